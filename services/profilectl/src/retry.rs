//! Reads of a long run, which outlives a restart of the service or of nats-server.

use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use profile_messages::error::ErrorCode;

use crate::client;
use crate::failure::Failure;
use crate::request::Request;

const ATTEMPTS_MAX: u32 = 14;
const PAUSE_MS_FIRST: u64 = 50;
const PAUSE_MS_MAX: u64 = 5_000;

/// Asks again while there is no answer or the service is busy; `request` is made anew each time, with the
/// token that is in its file then.
///
/// # Errors
/// An answer that will not change, or the last failure of all attempts.
pub(crate) async fn read(
    client: &Client,
    request: impl Fn() -> Result<Request, Failure>,
) -> Result<Bytes, Failure> {
    let mut pause_ms = PAUSE_MS_FIRST;
    for _ in 1..ATTEMPTS_MAX {
        match client::answer(client, request()?).await {
            Err(failure) if is_passing(&failure) => {}
            ended => return ended,
        }
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
    }
    client::answer(client, request()?).await
}

fn is_passing(failure: &Failure) -> bool {
    match failure {
        Failure::NoResponders { .. }
        | Failure::TimedOut { .. }
        | Failure::OutcomeUnknown { .. }
        | Failure::NoConnection(_) => true,
        Failure::Usage(_)
        | Failure::Refused(_)
        | Failure::Credentials(_)
        | Failure::Output(_)
        | Failure::Other(_) => false,
        Failure::Answer { status, .. } => match ErrorCode::from_grpc(status.code) {
            Some(
                ErrorCode::ResourceExhausted
                | ErrorCode::DeadlineExceeded
                | ErrorCode::Unavailable
                | ErrorCode::OutcomeUnknown,
            ) => true,
            Some(
                ErrorCode::Unauthenticated
                | ErrorCode::PermissionDenied
                | ErrorCode::Internal
                | ErrorCode::InvalidArgument
                | ErrorCode::NotFound
                | ErrorCode::FailedPrecondition
                | ErrorCode::Aborted
                | ErrorCode::OutOfRange
                | ErrorCode::Unimplemented,
            )
            | None => false,
        },
    }
}
