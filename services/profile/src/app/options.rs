//! From the configuration to what each module takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::commit_log::file::FileLogOptions;
use crate::compaction::CompactionOptions;
use crate::config::{Config, NatsConnectionConfig, NatsCredentials, is_loopback_url};
use crate::current_view::sled::{Identity, SledOptions, boot_id};
use crate::data_dir::DataDir;
use crate::gateway::GatewayOptions;
use crate::relay::RelayOptions;
use crate::relay::slots::SlotFile;
use crate::relay::stream::jetstream::StreamOptions;
use crate::service::ReadOptions;
use crate::telemetry::traces::Tracer;
use crate::transport::http::{HttpOptions, HttpTls};
use crate::transport::micro::MicroOptions;
use crate::transport::nats::{NatsLogin, NatsOptions, NatsTls, NatsUser};

/// The service's name in the NATS micro protocol.
pub(super) const SERVICE_NAME: &str = "profile";
/// Metadata of the same protocol: which store answers.
pub(super) const STORE: &str = "store";
/// And which of several nodes of that store.
pub(super) const NODE: &str = "node";
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
        compaction_read_bytes_per_second_max: config.compaction.read_bytes_per_second_max,
        ..FileLogOptions::default()
    }
}

pub(super) fn compaction(config: &Config) -> CompactionOptions {
    CompactionOptions {
        interval: Duration::from_secs(config.compaction.interval_s),
        history_changes_kept: config.compaction.history_changes_kept,
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
        gateway_commands_max: commands_max(config),
        idle_passivation: Duration::from_millis(config.actors.idle_passivation_ms),
    }
}

/// As many as the edges let in.
fn commands_max(config: &Config) -> usize {
    let over_http = config
        .http
        .listen
        .map_or(0, |_| config.http.in_flight_requests_max);
    config.nats.in_flight_requests_max + over_http
}

pub(super) fn reads(config: &Config) -> ReadOptions {
    ReadOptions {
        min_version_wait_max: Duration::from_millis(config.reads.min_version_wait_ms_max),
        page_rows_max: config.reads.page_rows_max as u64,
        page_bytes_max: PAGE_BYTES_MAX,
        concurrent_pages_max: config.reads.concurrent_pages_max,
        concurrent_waits_max: config.reads.concurrent_waits_max,
        log: config.commit_log.reads,
    }
}

/// With `store_id` in the metadata, by which `profiled health` knows its own instance.
pub(super) fn nats(config: &Config, store_id: &str) -> anyhow::Result<NatsOptions> {
    let nats = &config.nats;
    Ok(NatsOptions {
        servers: nats.urls.clone(),
        ingress: user(&nats.ingress)?,
        egress: user(&nats.egress)?,
        tls: NatsTls {
            required: requires_tls(config),
            roots: nats.tls.ca_file.clone(),
            client_certificate: nats.tls.cert_file.clone().zip(nats.tls.key_file.clone()),
        },
        connect_timeout: CONNECT_TIMEOUT,
        ping_interval: Duration::from_millis(nats.ping_interval_ms),
        ingress_capacity_messages: nats.ingress_capacity_messages,
        in_flight_requests_max: nats.in_flight_requests_max,
        partition: nats.partition,
        reply_prefixes_allowed: nats.reply_prefixes_allowed.clone(),
        micro: MicroOptions {
            name: SERVICE_NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: env!("CARGO_PKG_DESCRIPTION").to_owned(),
            metadata: BTreeMap::from([(STORE.to_owned(), store_id.to_owned())]),
            prefix: nats.srv_prefix.clone(),
        },
    })
}

/// `None` without `http.listen`.
pub(super) fn http(config: &Config) -> Option<HttpOptions> {
    let http = &config.http;
    let files = http.tls.cert_file.clone().zip(http.tls.key_file.clone());
    let tls = files.map(|(certificates, key)| HttpTls {
        certificates,
        key,
        client_authorities: http.tls.client_ca_file.clone(),
    });
    Some(HttpOptions {
        listen: http.listen?,
        tls,
        connections_max: http.connections_max,
        streams_per_connection_max: http.streams_per_connection_max,
        in_flight_requests_max: http.in_flight_requests_max,
        header_read_timeout: Duration::from_millis(http.header_read_ms_max),
        body_read_timeout: Duration::from_millis(http.body_read_ms_max),
        idle_timeout: Duration::from_millis(http.idle_ms_max),
    })
}

/// TLS is asked for by a URL or by any key of `[nats.tls]`: who names a certificate does not want to be
/// talked out of it by a server without one.
fn requires_tls(config: &Config) -> bool {
    let tls = &config.nats.tls;
    let is_tls = |url: &String| {
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("tls"))
    };
    let named = [&tls.ca_file, &tls.cert_file, &tls.key_file];
    config.nats.urls.iter().any(is_tls) || named.into_iter().any(Option::is_some)
}

/// A hint in the log for each way in which secrets cross a network in clear.
pub(super) fn warn_of_exposure(config: &Config) {
    if is_exposed(config) {
        tracing::warn!(
            "a nats server that is not on this machine is used without TLS: passwords, tokens and \
             profiles cross the network in clear"
        );
    }
    if is_http_exposed(config) {
        tracing::warn!(
            "http.listen is not a loopback address and has no TLS: unless a proxy in front ends it, tokens \
             and profiles cross the network in clear"
        );
    }
}

/// Whether what only the bus should see crosses a network in clear.
pub(super) fn is_exposed(config: &Config) -> bool {
    let elsewhere = |url: &String| !is_loopback_url(url);
    !requires_tls(config) && config.nats.urls.iter().any(elsewhere)
}

/// The same of the HTTP edge. In a container any address is as good as this one: it is a hint, no refusal.
pub(super) fn is_http_exposed(config: &Config) -> bool {
    let elsewhere = config.http.listen.is_some_and(|it| !it.ip().is_loopback());
    elsewhere && config.http.tls.cert_file.is_none()
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

pub(super) fn relay(config: &Config, data_dir: &DataDir, tracer: Tracer) -> RelayOptions {
    RelayOptions {
        store_id: data_dir.store_id().to_owned(),
        epoch: data_dir.epoch(),
        cursor: Arc::new(SlotFile::new(data_dir.path().join("relay"))),
        erased: Arc::new(SlotFile::new(data_dir.path().join("erased"))),
        erase_settle: Duration::from_secs(config.relay.erase_settle_s),
        stream: stream(config),
        window_messages_max: config.relay.window_messages_max,
        tracer,
        counts: Arc::default(),
    }
}

pub(super) fn stream(config: &Config) -> StreamOptions {
    StreamOptions {
        max_age: Duration::from_secs(config.relay.max_age_s),
        bytes_max: config.relay.max_bytes,
        replicas: config.relay.replicas,
        duplicate_window: Duration::from_secs(config.relay.duplicate_window_s),
        ..StreamOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(urls: &str, more: &[(&str, &str)]) -> Config {
        let more = more.iter().map(|(name, value)| (*name, *value));
        let all = std::iter::once(("PROFILE__NATS__URLS", urls)).chain(more);
        let all = all.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Config::load_dev(None, all).unwrap()
    }

    #[test]
    fn a_tls_url_and_any_key_of_the_tls_section_require_tls() {
        let plain = r#"["nats://127.0.0.1:4222"]"#;
        assert!(!requires_tls(&config(plain, &[])));
        for urls in [
            r#"["tls://n1:4222"]"#,
            r#"["TLS://n1:4222"]"#,
            r#"["nats://n0:4222", "Tls://n1:4222"]"#,
        ] {
            assert!(requires_tls(&config(urls, &[])), "{urls}");
        }
        let roots = ("PROFILE__NATS__TLS__CA_FILE", "ca.pem");
        assert!(requires_tls(&config(plain, &[roots])));
        let pair = [
            ("PROFILE__NATS__TLS__CERT_FILE", "client.pem"),
            ("PROFILE__NATS__TLS__KEY_FILE", "client-key.pem"),
        ];
        let nats = nats(&config(plain, &pair), "s-1").unwrap();
        assert!(nats.tls.required);
    }

    #[test]
    fn a_server_elsewhere_without_tls_is_noticed() {
        let exposed = |urls| is_exposed(&config(urls, &[]));
        assert!(!exposed(r#"["nats://127.0.0.1:4222", "nats://localhost"]"#));
        assert!(exposed(r#"["nats://127.0.0.1:4222", "nats://10.0.0.5"]"#));
        assert!(!exposed(r#"["tls://10.0.0.5:4222"]"#));
    }
}
