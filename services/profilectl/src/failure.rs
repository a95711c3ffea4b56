//! Every way a run can fail, its exit code, and what the user may do about it.

use std::io;

use bytes::Bytes;
use profile_messages::error::{ErrorCode, Retry, Status};

use crate::exit::Exit;

/// Texts hold no secret: no token, password or key of the connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    /// An error answer of the service. `key` is the idempotency key that was sent.
    #[error("{}", status.message)]
    Answer {
        status: Status,
        body: Bytes,
        key: Option<String>,
    },
    #[error("nobody answers {subject}: is profiled running, and on this NATS server and account?")]
    NoResponders { subject: String },
    /// No answer to a read.
    #[error("no answer in time from {subject}: is profiled overloaded? See --timeout")]
    TimedOut { subject: String },
    /// No answer to a change, or a connection that was lost while waiting for it.
    #[error("{cause}: the outcome is unknown, repeat with the same --idempotency-key")]
    OutcomeUnknown { cause: String, key: String },
    /// The NATS server refuses to publish or subscribe.
    #[error("the NATS server refuses it: {0}")]
    Refused(String),
    #[error("no connection to NATS: {0}")]
    NoConnection(String),
    /// NATS credentials that the server does not take.
    #[error("the NATS server does not accept the credentials: {0}")]
    Credentials(String),
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
    #[error("{0}")]
    Other(String),
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Failure {
        Failure::Usage(text.into())
    }

    pub(crate) fn other(text: impl Into<String>) -> Failure {
        Failure::Other(text.into())
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) => Exit::Usage,
            Failure::Answer { status, .. } => {
                ErrorCode::from_grpc(status.code).map_or(Exit::Other, Exit::of)
            }
            Failure::NoResponders { .. } | Failure::NoConnection(_) => Exit::Unavailable,
            Failure::TimedOut { .. } => Exit::DeadlineExceeded,
            Failure::OutcomeUnknown { .. } => Exit::OutcomeUnknown,
            Failure::Refused(_) => Exit::PermissionDenied,
            Failure::Credentials(_) => Exit::Unauthenticated,
            // The reader of a pipe went away: it has what it wanted.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
            Failure::Output(_) | Failure::Other(_) => Exit::Other,
        }
    }

    /// The key to repeat the request with, where it may have been done.
    pub(crate) fn retry_key(&self) -> Option<&str> {
        match self {
            Failure::OutcomeUnknown { key, .. } => Some(key),
            Failure::Answer { status, key, .. } => {
                let info = status.info()?;
                let sent = key.as_deref().filter(|_| info.retry == Retry::SameKey);
                info.idempotency_key.as_deref().or(sent)
            }
            Failure::Usage(_)
            | Failure::NoResponders { .. }
            | Failure::TimedOut { .. }
            | Failure::Refused(_)
            | Failure::NoConnection(_)
            | Failure::Credentials(_)
            | Failure::Output(_)
            | Failure::Other(_) => None,
        }
    }
}
