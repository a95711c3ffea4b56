//! The port to the commit log, which is the truth: a commit is acknowledged when it is in here.

mod compacting;
#[cfg(any(test, feature = "testkit"))]
pub mod conformance;
pub mod file;
pub mod jetstream;
pub mod memory;

pub use compacting::{CompactError, CompactionReport, Fate, Retention};

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use profile_messages::event::EventKind;
use profile_messages::record::{CommandKey, Hash16, Record};
use profile_messages::trace::TraceContext;
use profile_messages::{OrgId, Position, Timestamp, UserId, UserState, Version};
use tokio::sync::watch;

use crate::telemetry::metrics::GroupOutcome;

/// Where a user stands: the version and the place of the newest commit. Both 0 before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub version: Version,
    pub position: Position,
}

impl Head {
    /// The head of the record's user once the record is committed.
    pub fn after(record: &Record) -> Head {
        Head {
            version: record.version,
            position: record.position,
        }
    }
}

/// One accepted command on its way to the log: a [`Record`] without the position.
#[derive(Clone, Debug)]
pub struct Commit {
    pub user: UserId,
    pub org: OrgId,
    /// The head that the decision was made on; the commit gets `expected.version + 1`.
    pub expected: Head,
    pub epoch: u32,
    pub at: Timestamp,
    pub kind: EventKind,
    pub key: Option<CommandKey>,
    pub request_hash: Hash16,
    /// The CloudEvent, byte for byte as the relay will send it.
    pub event: Bytes,
    pub actor: String,
    pub actor_issuer: String,
    pub state: Option<UserState>,
    /// Where in a trace the append is.
    pub trace: Option<TraceContext>,
    /// Looked at last, just before the group is written.
    pub deadline: Option<Instant>,
}

impl Commit {
    /// The record of this commit at its place in the log.
    pub fn into_record(self, position: Position) -> Record {
        Record {
            position,
            previous: self.expected.position,
            user: self.user,
            org: self.org,
            version: self.expected.version.next(),
            epoch: self.epoch,
            at: self.at,
            kind: self.kind,
            key: self.key,
            request_hash: self.request_hash,
            event: self.event,
            actor: self.actor,
            actor_issuer: self.actor_issuer,
            state: self.state,
            trace: self.trace,
        }
    }
}

/// Why an append did not succeed. The three ways differ in what the caller may believe afterwards.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The user's head is not the expected one: reload, look for our own key, else decide again.
    #[error("the user is at version {} by now", head.version)]
    Conflict { head: Head },
    /// Nothing was written; the state in memory still holds.
    #[error("certainly not written: {0}")]
    NotWritten(NotWritten),
    /// The write had begun: it may be found after recovery. Forget the state, reload.
    #[error("maybe written: {0}")]
    MaybeWritten(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    #[error("the deadline passed before the append")]
    DeadlineExceeded,
    #[error("no space for the next log segment")]
    DiskFull,
    #[error("the append queue is full")]
    QueueFull,
    #[error("the record is over its size limit")]
    TooLarge,
    #[error("the log is closed")]
    Closed,
    #[error("the current head of the user cannot be read")]
    HeadUnknown,
    #[error("the log cannot be reached")]
    Unreachable,
}

/// Why records could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the log is damaged at {place}: {what}")]
    Damaged { place: String, what: String },
    #[error("the log cannot be read: {0}")]
    Io(String),
}

/// Bounds of one read; whichever is met first ends it. At least one record is returned if there is one.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    pub records_max: usize,
    pub bytes_max: usize,
}

/// An append-only log of commits with a compare on each user's head.
///
/// Law: an append that returned `Ok` is durable, and [`CommitObserver::committed`] has returned for it.
#[async_trait]
pub trait CommitLog: Send + Sync + std::fmt::Debug {
    /// Makes `commit` durable if the user's head is `commit.expected`. Appends of different callers are
    /// grouped into one durable write by the adapter.
    async fn append(&self, commit: Commit) -> Result<Arc<Record>, AppendError>;

    /// Durable records after `after`, oldest first. Positions are without a gap but for what was
    /// compacted away.
    async fn read_after(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError>;

    /// The durable record at `position`; `None` when there is none (yet, or any more). Found as soon as the
    /// observer hears of it, which may be before [`CommitLog::durable`] moves.
    async fn read_one(&self, position: Position) -> Result<Option<Arc<Record>>, ReadError>;

    /// The newest durable position, as it moves.
    fn durable(&self) -> watch::Receiver<Position>;

    /// Turns to a text when the log can take no more appends until a restart: the process must stop.
    fn failed(&self) -> watch::Receiver<Option<String>>;

    /// Drops what `retention` does not keep among the records up to `until`, as far as that gives back
    /// space; what is [`Fate::Erased`] goes in any case, once it lies in a part of the log that is not
    /// written any more. Appends and reads go on meanwhile. One at a time; another is `Busy`.
    ///
    /// # Errors
    /// [`CompactError`]: what was done until then stands, nothing that is kept is lost, and the log goes
    /// on as before. Try again later.
    async fn compact(
        &self,
        until: Position,
        retention: Arc<dyn Retention>,
    ) -> Result<CompactionReport, CompactError> {
        let _ = (until, retention);
        Err(CompactError::Unsupported)
    }

    /// The newest position that was dropped as [`Fate::Superseded`]: events after an older one are no
    /// longer complete. Never goes back. A reader asks after its read, since compaction goes on beside it.
    fn dropped_through(&self) -> Position {
        Position::NONE
    }

    /// Whether commits come from other processes too, so that the observer may be behind them.
    fn is_shared(&self) -> bool {
        false
    }

    /// Brings the observer up to the newest commit of `user`, or of all users, that was acknowledged by
    /// any process before the call. Nothing to do where there is one process.
    ///
    /// # Errors
    /// [`ReadError`] when that cannot be told: what the observer knows may be old.
    async fn see_newest(&self, user: Option<&UserId>) -> Result<(), ReadError> {
        let _ = user;
        Ok(())
    }

    /// Writes everything accepted so far and closes the log; later appends are refused as `Closed`. A
    /// compaction that is under way gives up.
    async fn close(&self);
}

/// What the log asks and tells while it appends: the heads of users, and each group as it turns durable.
pub trait CommitObserver: Send + Sync + std::fmt::Debug {
    /// The head of `user` over everything committed so far. The log asks for each user of a group before
    /// it writes the group, so that the observer has at hand what [`CommitObserver::committed`] needs.
    ///
    /// # Errors
    /// A text for the log when the head cannot be read; the append is then refused as not written.
    fn head(&self, user: &UserId) -> Result<Head, String>;

    /// Whether it has no room for further commits of other processes; they wait in the log.
    fn has_no_room(&self) -> bool {
        false
    }

    /// A group turned durable. It cannot be refused any more. Returns before any of its appends is answered: read your writes.
    fn committed(&self, group: &[Arc<Record>]);

    /// What came of a group, for whoever counts; told last. `records` are those of its frame, written or not.
    fn ended(&self, _records: &[Arc<Record>], _outcome: &GroupOutcome) {}
}
