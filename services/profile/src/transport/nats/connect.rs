//! Connections to the bus: how they log in, what they report, and the fence.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, RequestErrorKind};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::counters::NatsCounters;
use super::requests::{Release, release};
use super::{NatsOptions, StartError};

/// A user of the bus and the inboxes that belong to it alone.
#[derive(Clone, Debug)]
pub struct NatsUser {
    pub login: NatsLogin,
    /// Inbox prefix without the last dot, e.g. `_INBOX_profile_ingress`.
    pub inbox_prefix: String,
}

/// How a connection logs in.
#[derive(Clone)]
pub enum NatsLogin {
    Anonymous,
    Password {
        user: String,
        password: String,
    },
    /// A `.creds` file: JWT and nkey seed.
    CredentialsFile(PathBuf),
    NkeySeed(String),
}

/// Secrets must not print.
impl fmt::Debug for NatsLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NatsLogin::Anonymous => "Anonymous",
            NatsLogin::Password { .. } => "Password",
            NatsLogin::CredentialsFile(_) => "CredentialsFile",
            NatsLogin::NkeySeed(_) => "NkeySeed",
        })
    }
}

/// TLS to the bus. Servers that ask for TLS get it in any case.
#[derive(Clone, Debug, Default)]
pub struct NatsTls {
    /// Refuse servers without TLS.
    pub required: bool,
    /// PEM file of further roots.
    pub roots: Option<PathBuf>,
    /// PEM files of the client's certificate and key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

/// What one connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Ingress,
    Egress,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Ingress => "ingress",
            Role::Egress => "egress",
        }
    }
}

/// A further connection with the logins and the TLS of `options`, for what is not a request: the relay
/// and the health check.
///
/// # Errors
/// [`StartError`] when the server is not reached or refuses the login.
pub async fn connect_as(
    options: &NatsOptions,
    user: &NatsUser,
    role: &'static str,
) -> Result<Client, StartError> {
    let connect = base(options, user, role).await?;
    connect
        .connect(options.servers.clone())
        .await
        .map_err(|source| StartError::Connect { role, source })
}

/// The same, and `on_refusal` hears whenever the server says that something is not permitted.
///
/// # Errors
/// [`StartError`] when the server is not reached or refuses the login.
pub async fn connect_watched(
    options: &NatsOptions,
    user: &NatsUser,
    role: &'static str,
    on_refusal: impl Fn() + Send + Sync + 'static,
) -> Result<Client, StartError> {
    let connect = base(options, user, role).await?;
    let connect = connect.event_callback(move |event| {
        if let Event::ServerError(error) = event
            && is_refusal(&error.to_string())
        {
            on_refusal();
        }
        std::future::ready(())
    });
    connect
        .connect(options.servers.clone())
        .await
        .map_err(|source| StartError::Connect { role, source })
}

/// Whether a server's complaint is that something is not permitted.
fn is_refusal(complaint: &str) -> bool {
    complaint
        .to_ascii_lowercase()
        .contains("permissions violation")
}

/// The connection that takes requests; `releases` hears of its loss before it is made again.
pub(super) async fn connect_ingress(
    options: &NatsOptions,
    counters: &Arc<NatsCounters>,
    releases: mpsc::Sender<Release>,
) -> Result<Client, StartError> {
    let connect = reported(options, Role::Ingress, counters).await?;
    let connect = connect.reconnect_to_server_callback(move |_, server| {
        let releases = releases.clone();
        async move {
            // The first connection: there is nothing to let go of yet.
            if !server.server_id.is_empty() {
                release(&releases).await;
            }
            None // whichever server async-nats takes
        }
    });
    connected(connect, options, Role::Ingress).await
}

pub(super) async fn connect_egress(
    options: &NatsOptions,
    counters: &Arc<NatsCounters>,
) -> Result<Client, StartError> {
    let connect = reported(options, Role::Egress, counters).await?;
    connected(connect, options, Role::Egress).await
}

async fn connected(
    connect: ConnectOptions,
    options: &NatsOptions,
    role: Role,
) -> Result<Client, StartError> {
    connect
        .connect(options.servers.clone())
        .await
        .map_err(|source| StartError::Connect {
            role: role.name(),
            source,
        })
}

async fn reported(
    options: &NatsOptions,
    role: Role,
    counters: &Arc<NatsCounters>,
) -> Result<ConnectOptions, StartError> {
    let user = match role {
        Role::Ingress => &options.ingress,
        Role::Egress => &options.egress,
    };
    let counters = Arc::clone(counters);
    Ok(base(options, user, role.name())
        .await?
        .subscription_capacity(options.ingress_capacity_messages)
        // An answer waits for a place at most while the socket is stuck.
        .client_capacity(options.in_flight_requests_max.saturating_add(2_048))
        .event_callback(move |event| {
            report(role, &event, &counters);
            std::future::ready(())
        }))
}

async fn base(
    options: &NatsOptions,
    user: &NatsUser,
    role: &'static str,
) -> Result<ConnectOptions, StartError> {
    let connect = secured(login(&user.login).await?, &options.tls);
    Ok(connect
        .name(format!("{} {role}", options.micro.name))
        .custom_inbox_prefix(&user.inbox_prefix)
        .connection_timeout(options.connect_timeout)
        .ping_interval(options.ping_interval))
}

async fn login(login: &NatsLogin) -> Result<ConnectOptions, StartError> {
    Ok(match login {
        NatsLogin::Anonymous => ConnectOptions::new(),
        NatsLogin::Password { user, password } => {
            ConnectOptions::with_user_and_password(user.clone(), password.clone())
        }
        NatsLogin::CredentialsFile(file) => ConnectOptions::with_credentials_file(file)
            .await
            .map_err(|source| StartError::Credentials { source })?,
        NatsLogin::NkeySeed(seed) => ConnectOptions::with_nkey(seed.clone()),
    })
}

fn secured(connect: ConnectOptions, tls: &NatsTls) -> ConnectOptions {
    let mut connect = connect.require_tls(tls.required);
    if let Some(roots) = &tls.roots {
        connect = connect.add_root_certificates(roots.clone());
    }
    if let Some((certificate, key)) = &tls.client_certificate {
        connect = connect.add_client_certificate(certificate.clone(), key.clone());
    }
    connect
}

fn report(role: Role, event: &Event, counters: &NatsCounters) {
    let connection = role.name();
    match event {
        Event::Connected | Event::LameDuckMode | Event::Draining | Event::Closed => {
            tracing::info!(connection, %event, "nats");
        }
        Event::Disconnected => {
            counters.disconnects.add_one();
            tracing::warn!(connection, "nats connection lost");
        }
        // One for each message that is dropped: counted, not logged.
        Event::SlowConsumer(_) => counters.slow_consumer.add_one(),
        Event::ServerError(error) => {
            let text = error.to_string();
            if is_refusal(&text) {
                counters.permission_violations.add_one();
            } else {
                counters.connection_errors.add_one();
            }
            tracing::error!(connection, error = text, "the nats server reports an error");
        }
        Event::ClientError(error) => {
            counters.connection_errors.add_one();
            tracing::error!(connection, %error, "the nats client reports an error");
        }
    }
}

/// Waits until the server has processed everything that was sent on this connection before, and
/// everything that it had routed here by then has been received.
///
/// `flush` of async-nats only empties the socket buffer. A request to a subject without listeners is
/// a round trip: the server answers it in order with 503. `subject` must be one that this user may
/// publish to and that nobody listens on.
pub(super) async fn fence(client: &Client, subject: String, bound: Duration) -> Result<(), Fence> {
    let request = async_nats::Request::new()
        .payload(Bytes::new())
        .timeout(Some(bound));
    // Its own timeout begins once the request has a place in the connection's queue, and a lost
    // connection with a full queue gives none.
    match timeout(bound, client.send_request(subject, request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Fence),
    }
}

/// The fence was not passed in time.
#[derive(Debug)]
pub(super) struct Fence;
