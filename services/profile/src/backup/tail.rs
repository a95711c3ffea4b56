//! The event stream as a restore sees it: a place to read what happened after the backup.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use profile_messages::{Position, UserId};

use super::BackupError;
use super::convert::{Known, TailEvent};
use super::restore::Missing;
use crate::relay::message::EventMessage;
use crate::relay::stream::jetstream::JetStreamEvents;
use crate::relay::stream::{EventStream, READ_MESSAGES_MAX, StreamError};

/// A read that was not answered is tried so often, after a pause that grows by itself.
const READS_MAX: u32 = 6;
const PAUSE: Duration = Duration::from_millis(200);

/// Where the stream stands, and the epoch of the store that wrote it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailState {
    /// `last + 1` when the stream holds nothing.
    pub first: u64,
    pub last: u64,
    pub epoch: u32,
}

/// The stream of one store, to be read only.
#[async_trait]
pub trait Tail: Send + Sync + std::fmt::Debug {
    /// `None` when there is no stream; refused when it is another store's.
    async fn look(&self) -> Result<Option<TailState>, StreamError>;

    /// The messages from `from` to `to`, both included, that still exist, in order; at most
    /// [`READ_MESSAGES_MAX`] are asked for.
    async fn read(&self, from: u64, to: u64) -> Result<Vec<(u64, EventMessage)>, StreamError>;
}

#[async_trait]
impl Tail for JetStreamEvents {
    async fn look(&self) -> Result<Option<TailState>, StreamError> {
        let looked = JetStreamEvents::look(self).await?;
        Ok(looked.map(|(state, epoch)| TailState {
            first: state.first,
            last: state.last,
            epoch,
        }))
    }

    async fn read(&self, from: u64, to: u64) -> Result<Vec<(u64, EventMessage)>, StreamError> {
        EventStream::read(self, from, to).await
    }
}

/// A user of the tail: the newest record so far, and what of the user may be older than that.
#[derive(Debug, Default)]
pub(super) struct TailUser {
    pub(super) known: Option<Known>,
    pub(super) missing: Missing,
}

/// What the stream knows beyond the backup, looked through once.
#[derive(Debug)]
pub(super) struct Survey {
    /// The first sequence behind the backup that the stream still has.
    pub(super) from: u64,
    /// The stream's last sequence; below `from` when there is nothing to take in.
    pub(super) last: u64,
    /// The highest epoch that the stream knows of.
    pub(super) epoch: u32,
    pub(super) users: HashMap<UserId, TailUser>,
}

/// Reads the stream behind `end` for the users that are in it.
///
/// # Errors
/// [`BackupError`]: no stream, another store's, a gap, or a message that is none of ours.
pub(super) async fn survey(
    tail: &dyn Tail,
    store_id: &str,
    end: Position,
    gap: super::Gap,
) -> Result<Survey, BackupError> {
    let state = look(tail).await?;
    let from = state.first.max(end.0 + 1);
    if state.first > end.0 + 1 && state.last > end.0 && gap == super::Gap::Refused {
        let first = Position(state.first);
        return Err(BackupError::Gap { first, end });
    }
    let mut survey = Survey {
        from,
        last: state.last,
        epoch: state.epoch,
        users: HashMap::new(),
    };
    let mut next = from;
    while next <= state.last {
        let until = chunk_end(next, state.last);
        for (sequence, message) in read(tail, next, until).await? {
            if let Some(event) = TailEvent::read(sequence, &message, store_id)? {
                survey.epoch = survey.epoch.max(event.epoch);
                survey.users.entry(event.user).or_default();
            }
        }
        next = until + 1;
    }
    Ok(survey)
}

/// The last sequence of a read that begins at `from`.
pub(super) fn chunk_end(from: u64, last: u64) -> u64 {
    last.min(from.saturating_add(READ_MESSAGES_MAX - 1))
}

/// Where the stream stands; asked again while the server does not answer.
pub(super) async fn look(tail: &dyn Tail) -> Result<TailState, BackupError> {
    let looked = answered(|| tail.look()).await?;
    looked.ok_or(BackupError::NoStream)
}

/// One read, tried again while the server does not answer.
pub(super) async fn read(
    tail: &dyn Tail,
    from: u64,
    to: u64,
) -> Result<Vec<(u64, EventMessage)>, StreamError> {
    answered(|| tail.read(from, to)).await
}

async fn answered<T, Answer>(ask: impl Fn() -> Answer) -> Result<T, StreamError>
where
    Answer: Future<Output = Result<T, StreamError>>,
{
    let mut attempt = 1;
    loop {
        match ask().await {
            Err(StreamError::Unavailable(_)) if attempt < READS_MAX => {}
            outcome => return outcome,
        }
        tokio::time::sleep(PAUSE * attempt).await;
        attempt += 1;
    }
}
