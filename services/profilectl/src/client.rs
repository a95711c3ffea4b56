//! The connection to NATS: opened from the options, and one request with its answer.

use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, Message, RequestErrorKind, ServerError,
};
use bytes::Bytes;
use profile_messages::envelope;
use profile_messages::error::{ErrorCode, Status};
use tokio::sync::mpsc;

use crate::args::Global;
use crate::failure::Failure;
use crate::request::{Effect, Request};

/// Notices of the connection that wait to be read; more are dropped.
const NOTICES_MAX: usize = 64;

/// What the connection tells beside messages.
#[derive(Debug)]
pub(crate) enum Notice {
    Disconnected,
    Connected,
    /// Messages came faster than they were printed, and some were dropped.
    Dropped,
    /// A publication or subscription that is not allowed: the server's own text.
    Refused(String),
    /// Any other error that the server reports, in its own text. A request may still be answered.
    Complaint(String),
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) notices: mpsc::Receiver<Notice>,
}

/// # Errors
/// No connection, refused credentials, or credential files that cannot be read.
pub(crate) async fn connect(global: &Global) -> Result<Connection, Failure> {
    let (sender, notices) = mpsc::channel(NOTICES_MAX);
    let mut options = credentials(secured(ConnectOptions::new(), global)?, global)
        .await?
        .name("profilectl")
        .connection_timeout(global.timeout)
        .request_timeout(Some(global.timeout))
        .event_callback(move |event| {
            // A full channel drops the notice: the messages go on.
            let _ = notice(event).map(|notice| sender.try_send(notice));
            std::future::ready(())
        });
    if let Some(prefix) = inbox_prefix(global) {
        options = options.custom_inbox_prefix(prefix);
    }
    let client = options
        .connect(servers(&global.server))
        .await
        .map_err(|error| match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                Failure::Credentials(error.to_string())
            }
            ConnectErrorKind::ServerParse
            | ConnectErrorKind::Dns
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::Tls
            | ConnectErrorKind::Io
            | ConnectErrorKind::MaxReconnects => Failure::NoConnection(error.to_string()),
        })?;
    Ok(Connection { client, notices })
}

/// `_INBOX.<user>` when a NATS user is given: the house's permissions keep inboxes of users apart.
pub(crate) fn inbox_prefix(global: &Global) -> Option<String> {
    let of_user = || global.user.as_ref().map(|user| format!("_INBOX.{user}"));
    global.inbox_prefix.clone().or_else(of_user)
}

impl Connection {
    /// Waits until the server has processed everything that was sent before.
    ///
    /// `flush` of async-nats only empties the socket buffer. A request to an own inbox that nobody
    /// listens on is a round trip: the server answers it in order with 503. A user who may not send or
    /// listen there gets a refusal instead, which comes in the same order.
    ///
    /// # Errors
    /// `Refused` when the server refuses anything else, `TimedOut`, `NoConnection`.
    pub(crate) async fn round_trip(&mut self) -> Result<(), Failure> {
        let subject = self.client.new_inbox();
        let message = async_nats::Request::new().payload(Bytes::new());
        let answer = self.client.send_request(subject.clone(), message);
        tokio::pin!(answer);
        loop {
            tokio::select! {
                // A refusal of what was sent before goes first.
                biased;
                Some(notice) = self.notices.recv() => {
                    if let Notice::Refused(text) = notice {
                        return ended_by(text, &subject);
                    }
                }
                answer = &mut answer => return match answer.map_err(|error| error.kind()) {
                    Ok(_) | Err(RequestErrorKind::NoResponders) => Ok(()),
                    Err(RequestErrorKind::TimedOut) => Err(Failure::TimedOut { subject }),
                    Err(kind) => Err(Failure::NoConnection(kind.to_string())),
                },
            }
        }
    }

    /// Sends one request and waits for its answer, or for the server's refusal.
    ///
    /// # Errors
    /// The service's error answer, or why there is none.
    pub(crate) async fn ask(&mut self, request: Request) -> Result<Bytes, Failure> {
        let effect = request.effect.clone();
        let answer = answer(&self.client, request);
        tokio::pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                Some(notice) = self.notices.recv() => {
                    if let Notice::Refused(text) = notice {
                        return Err(refused(text, effect));
                    }
                }
            }
        }
    }
}

/// Sends one request beside others and waits for its answer; none comes where the server refuses to publish.
///
/// # Errors
/// As for [`Connection::ask`].
pub(crate) async fn answer(client: &Client, request: Request) -> Result<Bytes, Failure> {
    let Request {
        subject,
        headers,
        body,
        effect,
    } = request;
    let message = async_nats::Request::new().headers(headers).payload(body);
    match client.send_request(subject.clone(), message).await {
        Ok(message) => read_answer(message, &effect),
        Err(error) => Err(match error.kind() {
            RequestErrorKind::NoResponders => Failure::NoResponders { subject },
            RequestErrorKind::TimedOut => {
                let cause = format!("no answer in time from {subject}");
                unanswered(effect, cause, Failure::TimedOut { subject })
            }
            RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                Failure::usage(error.to_string())
            }
            RequestErrorKind::Other => {
                let cause = error.to_string();
                unanswered(effect, cause.clone(), Failure::NoConnection(cause))
            }
        }),
    }
}

/// What a refusal says about the round trip to the inbox `subject`: one of that inbox or its siblings
/// is the end of the trip.
fn ended_by(text: String, subject: &str) -> Result<(), Failure> {
    let inboxes = subject
        .rsplit_once('.')
        .map_or(subject, |(prefix, _)| prefix);
    if text.contains(&format!("\"{inboxes}.")) {
        return Ok(());
    }
    Err(Failure::Refused(text))
}

/// Refused to publish: certainly not done. Anything else, e.g. the inbox: the answer is lost.
fn refused(text: String, effect: Effect) -> Failure {
    if text.to_lowercase().contains("for publish") {
        return Failure::Refused(text);
    }
    let cause = format!("the NATS server refuses ({text}), see --inbox-prefix");
    unanswered(effect, cause, Failure::Refused(text))
}

/// A change without an answer may have been done; a read is what `read` says.
fn unanswered(effect: Effect, cause: String, read: Failure) -> Failure {
    match effect {
        Effect::Read => read,
        Effect::Change { key } => Failure::OutcomeUnknown { cause, key },
    }
}

fn read_answer(message: Message, effect: &Effect) -> Result<Bytes, Failure> {
    let header = |name: &str| {
        let headers = message.headers.as_ref()?;
        headers.get(name).map(|value| value.as_str().to_owned())
    };
    let Some(http) = header(envelope::SERVICE_ERROR_CODE) else {
        return Ok(message.payload);
    };
    let status = serde_json::from_slice(&message.payload)
        .unwrap_or_else(|_| status_of_headers(&http, header(envelope::SERVICE_ERROR)));
    let key = match effect {
        Effect::Read => None,
        Effect::Change { key } => Some(key.clone()),
    };
    Err(Failure::Answer {
        status,
        body: message.payload,
        key,
    })
}

/// A status made of the error headers alone, for an answer whose body is not one.
fn status_of_headers(http: &str, text: Option<String>) -> Status {
    let code = ErrorCode::ALL
        .into_iter()
        .find(|code| code.http().to_string() == http)
        .unwrap_or(ErrorCode::Internal);
    Status {
        code: code.grpc(),
        message: text.unwrap_or_else(|| format!("error {http}")),
        details: Vec::new(),
    }
}

/// Whoever names a certificate does not want to be talked out of TLS by a server without it.
fn secured(mut options: ConnectOptions, global: &Global) -> Result<ConnectOptions, Failure> {
    let files = [&global.ca_file, &global.cert_file, &global.key_file];
    for path in files.into_iter().flatten() {
        std::fs::read(path)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
        options = options.require_tls(true);
    }
    if let Some(authorities) = &global.ca_file {
        options = options.add_root_certificates(authorities.clone());
    }
    if let (Some(certificate), Some(key)) = (&global.cert_file, &global.key_file) {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

async fn credentials(
    mut options: ConnectOptions,
    global: &Global,
) -> Result<ConnectOptions, Failure> {
    if let Some(user) = &global.user {
        let password = global
            .password
            .as_ref()
            .map_or("", |secret| secret.reveal());
        options = options.user_and_password(user.clone(), password.to_owned());
    }
    if let Some(path) = &global.creds {
        options = options.credentials_file(path).await.map_err(|error| {
            Failure::usage(format!(
                "cannot use credentials {}: {error}",
                path.display()
            ))
        })?;
    }
    if let Some(path) = &global.nkey {
        let seed = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
        options = options.nkey(seed.trim().to_owned());
    }
    Ok(options)
}

fn servers(text: &str) -> Vec<String> {
    text.split(',').map(|url| url.trim().to_owned()).collect()
}

fn notice(event: Event) -> Option<Notice> {
    match event {
        Event::Connected => Some(Notice::Connected),
        Event::Disconnected | Event::Closed => Some(Notice::Disconnected),
        Event::SlowConsumer(_) => Some(Notice::Dropped),
        Event::ServerError(ServerError::SlowConsumer(_)) => Some(Notice::Dropped),
        Event::ServerError(ServerError::AuthorizationViolation) => {
            Some(Notice::Refused("authorization violation".to_owned()))
        }
        Event::ServerError(ServerError::Other(text)) => Some(reported(text)),
        Event::LameDuckMode | Event::Draining | Event::ClientError(_) => None,
    }
}

/// `-ERR` of nats-server: `Permissions Violation for Publish to "..."`, and the like for subscriptions.
fn reported(text: String) -> Notice {
    if text.to_lowercase().contains("permissions violation") {
        Notice::Refused(text)
    } else {
        Notice::Complaint(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_permission_is_a_refusal() {
        for text in [
            "Permissions Violation for Publish to \"a.b\"",
            "Permissions Violation for Subscription to \"a.>\" using queue \"q\"",
            "permissions violation for subscription to \"a\"",
        ] {
            let notice = reported(text.to_owned());
            assert!(matches!(notice, Notice::Refused(said) if said == text));
        }
        for text in [
            "Maximum Payload Violation",
            "Stale Connection",
            "Invalid Subject",
            "Maximum Subscriptions Exceeded",
            "",
        ] {
            assert!(matches!(reported(text.to_owned()), Notice::Complaint(_)));
        }
    }

    #[test]
    fn a_refusal_of_the_own_inbox_ends_the_round_trip_and_any_other_is_one() {
        let ended = |text: &str| ended_by(text.to_owned(), "_INBOX.u.N1").is_ok();
        assert!(ended(
            "Permissions Violation for Publish to \"_INBOX.u.N1\""
        ));
        assert!(ended(
            "Permissions Violation for Subscription to \"_INBOX.u.N2.*\""
        ));
        assert!(!ended(
            "Permissions Violation for Publish to \"_INBOX.v.N1\""
        ));
        assert!(!ended(
            "Permissions Violation for Subscription to \"profile-event.v1.*.*.>\""
        ));
    }
}
