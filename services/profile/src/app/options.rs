//! From the configuration to what each module takes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;

use crate::commit_log::file::FileLogOptions;
use crate::config::{Config, NatsConnectionConfig, NatsCredentials};
use crate::current_view::sled::{Identity, SledOptions, boot_id};
use crate::data_dir::DataDir;
use crate::gateway::GatewayOptions;
use crate::relay::RelayOptions;
use crate::relay::stream::jetstream::StreamOptions;
use crate::service::ReadOptions;
use crate::transport::micro::MicroOptions;
use crate::transport::nats::{NatsLogin, NatsOptions, NatsTls, NatsUser};

/// The service's name in the NATS micro protocol.
pub(super) const SERVICE_NAME: &str = "profile";
/// Longest wait for one connection to nats-server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// JSON bytes of one page: below nats-server's default message size of 1 MiB.
const PAGE_BYTES_MAX: usize = 768 * 1024;

pub(super) fn log(config: &Config) -> FileLogOptions {
    FileLogOptions {
        segment_bytes: config.log.segment_bytes,
        queue_commits_max: config.log.append_queue_commits_max,
        group_commits_max: config.log.group_commits_max,
        group_bytes_max: usize::try_from(config.log.group_bytes_max).unwrap_or(usize::MAX),
        ..FileLogOptions::default()
    }
}

pub(super) fn view(config: &Config) -> SledOptions {
    SledOptions {
        overlay_bytes_max: usize::try_from(config.view.overlay_bytes_max).unwrap_or(usize::MAX),
        write_behind_interval_ms: config.view.write_behind_interval_ms,
        sled_cache_bytes_max: config.view.cache_bytes,
    }
}

/// With the epoch in it, so that a restore rebuilds the view.
pub(super) fn view_identity(data_dir: &DataDir) -> Identity {
    Identity {
        store_id: format!("{}/{}", data_dir.store_id(), data_dir.epoch()),
        boot_id: boot_id(),
    }
}

/// The limits of one of `shards` gateways.
pub(super) fn gateway(config: &Config, shards: usize) -> GatewayOptions {
    GatewayOptions {
        live_actors_max: (config.actors.live_actors_max / shards.max(1)).max(1),
        mailbox_commands_max: config.actors.mailbox_commands_max,
        gateway_commands_max: config.nats.in_flight_requests_max,
        idle_passivation: Duration::from_millis(config.actors.idle_passivation_ms),
    }
}

pub(super) fn reads(config: &Config) -> ReadOptions {
    ReadOptions {
        min_version_wait_max: Duration::from_millis(config.reads.min_version_wait_ms_max),
        page_rows_max: config.reads.page_rows_max as u64,
        page_bytes_max: PAGE_BYTES_MAX,
        concurrent_pages_max: config.reads.concurrent_pages_max,
        concurrent_waits_max: config.reads.concurrent_waits_max,
    }
}

pub(super) fn nats(config: &Config) -> anyhow::Result<NatsOptions> {
    let nats = &config.nats;
    Ok(NatsOptions {
        servers: nats.urls.clone(),
        ingress: user(&nats.ingress)?,
        egress: user(&nats.egress)?,
        tls: NatsTls {
            required: nats.urls.iter().any(|url| url.starts_with("tls://")),
            roots: nats.tls.ca_file.clone(),
            client_certificate: nats.tls.cert_file.clone().zip(nats.tls.key_file.clone()),
        },
        connect_timeout: CONNECT_TIMEOUT,
        ping_interval: Duration::from_millis(nats.ping_interval_ms),
        ingress_capacity_messages: nats.ingress_capacity_messages,
        in_flight_requests_max: nats.in_flight_requests_max,
        reply_prefixes_allowed: nats.reply_prefixes_allowed.clone(),
        micro: MicroOptions {
            name: SERVICE_NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: env!("CARGO_PKG_DESCRIPTION").to_owned(),
            metadata: BTreeMap::new(),
            prefix: nats.srv_prefix.clone(),
        },
    })
}

fn user(connection: &NatsConnectionConfig) -> anyhow::Result<NatsUser> {
    let login = match connection.credentials() {
        NatsCredentials::None => NatsLogin::Anonymous,
        NatsCredentials::Password { user, password } => NatsLogin::Password {
            user: user.to_owned(),
            password: password.expose().to_owned(),
        },
        NatsCredentials::CredsFile(file) => NatsLogin::CredentialsFile(file.to_owned()),
        NatsCredentials::NkeySeedFile(file) => {
            let seed = std::fs::read_to_string(file);
            let seed = seed.with_context(|| format!("the nkey seed {}", file.display()))?;
            NatsLogin::NkeySeed(seed.trim().to_owned())
        }
    };
    Ok(NatsUser {
        login,
        inbox_prefix: connection.inbox_prefix.clone(),
    })
}

pub(super) fn relay(config: &Config, data_dir: &DataDir) -> RelayOptions {
    RelayOptions {
        store_id: data_dir.store_id().to_owned(),
        epoch: data_dir.epoch(),
        cursor_path: data_dir.path().join("relay"),
        stream: StreamOptions {
            max_age: Duration::from_secs(config.relay.max_age_s),
            bytes_max: config.relay.max_bytes,
            replicas: config.relay.replicas,
            duplicate_window: Duration::from_secs(config.relay.duplicate_window_s),
            ..StreamOptions::default()
        },
        window_messages_max: config.relay.window_messages_max,
    }
}
