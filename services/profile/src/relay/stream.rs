//! The event stream as the relay sees it: a small port, so that the relay can be tested against a
//! model of it. The adapter for NATS is [`jetstream::JetStreamEvents`].

pub mod jetstream;

use async_trait::async_trait;
use futures::future::BoxFuture;

use super::message::EventMessage;
use crate::jetstream::Unanswered;

/// Where the stream stands. `first` is `last + 1` when it holds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    pub first: u64,
    pub last: u64,
}

/// The stream's word that a message is in it, at `sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    pub sequence: u64,
    /// The stream knew the id already; `sequence` is then that of the earlier message.
    pub duplicate: bool,
}

/// Why the stream did not do it. Never holds a payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Nothing was heard: it may have happened. Try again later.
    #[error("{0}")]
    Unavailable(String),
    /// The stream is not where the relay believed it to be: look again.
    #[error("{0}")]
    Surprise(String),
    /// The server cannot hold the stream. An error at start-up; later it may be passing.
    #[error("{0}")]
    Unsupported(String),
    /// The stream is not ours to write to; trying again changes nothing.
    #[error("{0}")]
    Refused(String),
}

impl From<Unanswered> for StreamError {
    fn from(unanswered: Unanswered) -> StreamError {
        let text = unanswered.to_string();
        match unanswered {
            Unanswered::NoResponders => StreamError::Surprise(text),
            Unanswered::NotSent(_) | Unanswered::Unheard(_) => StreamError::Unavailable(text),
        }
    }
}

/// What became of a message that was to be erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erasure {
    Erased,
    /// Nothing is there (any more).
    AlreadyGone,
}

pub type AckFuture = BoxFuture<'static, Result<Ack, StreamError>>;

/// Most messages that one [`EventStream::read`] is asked for.
pub const READ_MESSAGES_MAX: u64 = 256;

/// The one stream that the relay writes. Stream sequence and log position are the same number.
#[async_trait]
pub trait EventStream: Send + Sync + std::fmt::Debug {
    /// Looks at the stream: `None` when there is none. Checks that it belongs to this store and
    /// brings its limits to the configured ones.
    async fn inspect(&self) -> Result<Option<StreamState>, StreamError>;

    /// Writes this store's epoch into the stream, so that an older data directory is refused from here on.
    /// Called once the stream was compared with the log: a directory that the stream itself refuses must
    /// not shut out the right one.
    async fn take_over(&self) -> Result<(), StreamError> {
        Ok(())
    }

    /// Makes the stream; its first message will get `first_sequence`.
    async fn create(&self, first_sequence: u64) -> Result<(), StreamError>;

    /// The messages from `from` to `to`, both included, that still exist, in order.
    /// At most [`READ_MESSAGES_MAX`] sequences are asked for.
    async fn read(&self, from: u64, to: u64) -> Result<Vec<(u64, EventMessage)>, StreamError>;

    /// Sends one message that the stream takes only if its last sequence is `expected_last`. Returns
    /// once the message is on its way, in the order of the calls; the future ends within a bound.
    async fn publish(
        &self,
        message: EventMessage,
        expected_last: u64,
    ) -> Result<AckFuture, StreamError>;

    /// The first message at or behind `from` that has exactly this subject, with its sequence.
    async fn find(
        &self,
        subject: &str,
        from: u64,
    ) -> Result<Option<(u64, EventMessage)>, StreamError>;

    /// Deletes one message for good: when this returns, its bytes are overwritten. Every other message
    /// keeps its sequence. [`StreamError::Refused`] when the stream does not let messages be deleted.
    async fn erase(&self, sequence: u64) -> Result<Erasure, StreamError>;
}
