//! The commit log in JetStream: for several nodes, without a consensus of our own.
//!
//! One message for each commit on the user's literal subject; the stream's sequence is the position, and
//! the sequence that the subject must be at is the fence, whichever node publishes. What others commit
//! comes in by a consumer; what it has not brought yet is read from the stream's leader. Either way
//! commits are told to the observer in the order of the stream, without a gap.
//!
//! Reading order: this file, [`append`], [`line`](self::line) (in order, without a gap), [`follower`]
//! (the thread that tells the observer), [`tail`] (the consumer), [`reading`] and [`stream`] (the calls),
//! [`compact`]; [`moving`] makes it of a log in files.

mod append;
mod compact;
mod follower;
mod line;
pub mod moving;
mod reading;
mod stream;
mod tail;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Client;
use async_trait::async_trait;
use profile_messages::record::Record;
use profile_messages::{Position, UserId};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::{
    AppendError, Commit, CommitLog, CommitObserver, CompactError, CompactionReport, NotWritten,
    ReadError, ReadLimits, Retention,
};
use crate::clock::Clock;
use append::Appending;
use line::Line;
use stream::LogStream;
pub use stream::{Begun, OpenError};

/// The oldest nats-server that is trusted with the log: from here on the fence is checked once for all
/// members of a stream, and an option that the server does not know is refused instead of passed over.
pub const SERVER_MIN: (i64, i64) = (2, 12);

/// What a start does without a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// The store is new.
    Make,
    /// There was one, with commits.
    Refuse,
}

#[derive(Clone, Debug)]
pub struct JetStreamLogOptions {
    pub if_missing: IfMissing,
    /// Which of the log's streams.
    pub partition: u16,
    pub replicas: usize,
    /// `$JS.API`, or `$JS.<domain>.API`.
    pub api_prefix: String,
    /// How long the servers may take for one answer.
    pub answer_within: Duration,
    /// How long one append is tried before it is told as not written, or as maybe written.
    pub append_within: Duration,
    /// A stream that ends before what was acknowledged, for so long, has lost it. Longer than a leader
    /// without a majority takes to notice.
    pub lost_after: Duration,
    /// Appends under way at a time; one more is refused as `QueueFull`.
    pub appends_max: usize,
}

impl Default for JetStreamLogOptions {
    fn default() -> Self {
        JetStreamLogOptions {
            if_missing: IfMissing::Make,
            partition: 0,
            replicas: 1,
            api_prefix: "$JS.API".to_owned(),
            answer_within: Duration::from_secs(2),
            append_within: Duration::from_secs(5),
            lost_after: Duration::from_secs(20),
            appends_max: 4096,
        }
    }
}

/// See the module. Open it, bring the observer up to [`CommitLog::durable`], then [`JetStreamLog::follow`].
#[derive(Debug)]
pub struct JetStreamLog {
    line: Arc<Line>,
    observer: Arc<dyn CommitObserver>,
    clock: Arc<dyn Clock>,
    append_within: Duration,
    /// A permit for each append; closed with the log.
    appends: Semaphore,
    appends_max: u32,
    is_closed: AtomicBool,
    compacting: tokio::sync::Mutex<()>,
    tail: Mutex<Option<JoinHandle<()>>>,
}

impl JetStreamLog {
    /// Finds the stream of this store, or makes it. Appends of other nodes are not followed yet.
    ///
    /// # Errors
    /// [`OpenError`]: not to be reached, too old, another store's, or refused.
    pub async fn open(
        options: JetStreamLogOptions,
        client: Client,
        store_id: &str,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn CommitObserver>,
    ) -> Result<JetStreamLog, OpenError> {
        let append_within = options.append_within;
        let appends_max = u32::try_from(options.appends_max).unwrap_or(u32::MAX);
        let stream = LogStream::new(client, options);
        let opened = stream.open(store_id).await?;
        let line = Line::starting_at(stream, opened, Arc::clone(&observer))?;
        Ok(JetStreamLog {
            line: Arc::new(line),
            observer,
            clock,
            append_within,
            appends: Semaphore::new(appends_max as usize),
            appends_max,
            is_closed: AtomicBool::new(false),
            compacting: tokio::sync::Mutex::default(),
            tail: Mutex::default(),
        })
    }

    /// From here on the observer hears of every commit, whichever node made it. Once, on the runtime that
    /// outlives all others, and after the observer was brought up to date.
    pub fn follow(&self) {
        let task = tokio::spawn(tail::run(Arc::clone(&self.line)));
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        *tail = Some(task);
    }

    fn stop_tail(&self) {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = tail.take() {
            task.abort();
        }
    }
}

impl Drop for JetStreamLog {
    fn drop(&mut self) {
        self.stop_tail();
    }
}

#[async_trait]
impl CommitLog for JetStreamLog {
    async fn append(&self, commit: Commit) -> Result<Arc<Record>, AppendError> {
        let refused = |why| Err(AppendError::NotWritten(why));
        let Ok(_permit) = self.appends.try_acquire() else {
            return refused(match self.is_closed.load(Ordering::Acquire) {
                true => NotWritten::Closed,
                false => NotWritten::QueueFull,
            });
        };
        let appending = Appending {
            line: &self.line,
            observer: self.observer.as_ref(),
            clock: self.clock.as_ref(),
            within: self.append_within,
        };
        appending.append(commit).await
    }

    async fn read_after(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        self.line.read_after(after, limits).await
    }

    async fn read_one(&self, position: Position) -> Result<Option<Arc<Record>>, ReadError> {
        self.line.read_one(position).await
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.line.follower().watch()
    }

    fn failed(&self) -> watch::Receiver<Option<String>> {
        self.line.follower().watch_failed()
    }

    async fn compact(
        &self,
        until: Position,
        retention: Arc<dyn Retention>,
    ) -> Result<CompactionReport, CompactError> {
        let Ok(_alone) = self.compacting.try_lock() else {
            return Err(CompactError::Busy);
        };
        compact::compact(&self.line, until, retention, &self.is_closed).await
    }

    fn dropped_through(&self) -> Position {
        self.line.dropped_through()
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn see_newest(&self, user: Option<&UserId>) -> Result<(), ReadError> {
        // Before it is asked: what comes in meanwhile says nothing against it.
        let known = match user {
            Some(user) => self.observer.head(user).map_err(ReadError::Io)?.position,
            None => self.line.follower().position(),
        };
        let newest = self.line.see_newest(user).await?;
        // A leader of a moment ago, or a stream that went back: what it does not know it cannot tell.
        if newest < known {
            return Err(stream::unreachable("the leader does not know every commit"));
        }
        Ok(())
    }

    async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        // With all permits here, no append is under way and none begins.
        if let Ok(all) = self.appends.acquire_many(self.appends_max).await {
            all.forget();
            self.appends.close();
        }
        self.stop_tail();
        self.line.follower().end().await;
    }
}
