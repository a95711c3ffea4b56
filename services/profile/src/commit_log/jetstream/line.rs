//! One line of commits out of several sources, and the reads of what is not in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use profile_messages::record::Record;
use profile_messages::{Position, UserId};

use super::follower::Follower;
use super::reading::{Run, run_after};
use super::stream::{LogStream, OpenError, Standing, Stored, unreachable};
use crate::commit_log::{CommitObserver, ReadError, ReadLimits};

/// What the consumer should have brought by itself is read after this long.
const PATIENCE: Duration = Duration::from_millis(20);
/// Another node's commit is on its way here as it is acknowledged there.
const SOON: Duration = Duration::from_millis(2);
/// How long the observer may take for what is in memory.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// One read on the way to a position.
const CHUNK: ReadLimits = ReadLimits {
    records_max: 1024,
    bytes_max: 4 * 1024 * 1024,
};

#[derive(Debug)]
pub(super) struct Line {
    stream: LogStream,
    follower: Follower,
    /// Who is behind reads once for all.
    filling: tokio::sync::Mutex<()>,
    dropped_through: AtomicU64,
    created_ns: i128,
}

impl Line {
    pub(super) fn starting_at(
        stream: LogStream,
        standing: Standing,
        observer: Arc<dyn CommitObserver>,
    ) -> Result<Line, OpenError> {
        Ok(Line {
            stream,
            follower: Follower::start(standing.last, observer)?,
            filling: tokio::sync::Mutex::default(),
            dropped_through: AtomicU64::new(standing.dropped_through.0),
            created_ns: standing.created_ns,
        })
    }

    pub(super) fn stream(&self) -> &LogStream {
        &self.stream
    }

    pub(super) fn follower(&self) -> &Follower {
        &self.follower
    }

    pub(super) fn dropped_through(&self) -> Position {
        Position(self.dropped_through.load(Ordering::Acquire))
    }

    pub(super) fn note_dropped(&self, through: Position) {
        self.dropped_through.fetch_max(through.0, Ordering::AcqRel);
    }

    /// Tells the observer of one commit, once everything before it is told; what is missing is read.
    pub(super) async fn take(&self, stored: Stored) -> Result<(), ReadError> {
        let position = stored.record.position;
        self.follower.take(Run::one(stored)).await;
        if self.follower.reaches(position, PATIENCE).await {
            return Ok(());
        }
        self.reach(position).await
    }

    /// The same for a commit that the consumer is likely to bring at this moment.
    pub(super) async fn take_soon(&self, position: Position) -> Result<(), ReadError> {
        if self.follower.reaches(position, SOON).await {
            return Ok(());
        }
        self.reach(position).await
    }

    /// Brings the observer to `position`, which the stream has reached.
    pub(super) async fn reach(&self, position: Position) -> Result<(), ReadError> {
        self.follower.refuse_failed()?;
        if self.follower.position() >= position {
            return Ok(());
        }
        let _alone = self.filling.lock().await;
        while self.follower.position() < position {
            let from = self.follower.position();
            let run = run_after(&self.stream, from, position, CHUNK).await?;
            let through = run.through;
            if run.has_holes() {
                self.look_for_dropped().await?;
            }
            self.follower.take(run).await;
            if !self.follower.reaches(through, TOLD_WITHIN).await {
                return Err(unreachable("the current view does not take commits"));
            }
        }
        Ok(())
    }

    /// Brings the observer to the newest commit that the leader knows; where that is.
    pub(super) async fn see_newest(&self, user: Option<&UserId>) -> Result<Position, ReadError> {
        let Some(newest) = self.stream.newest(user).await? else {
            return Ok(Position::NONE);
        };
        let position = newest.record.position;
        self.reach(position).await?;
        Ok(position)
    }

    /// Whether the stream is the one that was opened.
    pub(super) fn is_of(&self, standing: &Standing) -> bool {
        self.created_ns == standing.created_ns
    }

    /// What was acknowledged is not there any more: a server without `sync_interval: always` lost power,
    /// or the stream was made anew. To go on would fork users.
    pub(super) fn lost_its_end(&self, last: Position) -> ReadError {
        let seen = self.follower.position();
        self.follower.fail(&format!(
            "the stream {} ends at {last}, but commit {seen} was acknowledged: restore the stream; if the \
             commits after {last} are to be given up, stop all nodes and delete their current views",
            self.stream.name()
        ));
        unreachable("the commit log lost its end")
    }

    pub(super) async fn read_after(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        let until = self.follower.position();
        if after >= until {
            return Ok(Vec::new());
        }
        if let Some(recent) = self.follower.read_recent(after, limits) {
            return Ok(recent);
        }
        let run = run_after(&self.stream, after, until, limits).await?;
        if run.has_holes() {
            self.look_for_dropped().await?;
        }
        Ok(run.commits.into_iter().map(|it| it.record).collect())
    }

    pub(super) async fn read_one(
        &self,
        position: Position,
    ) -> Result<Option<Arc<Record>>, ReadError> {
        if position == Position::NONE || position > self.follower.position() {
            return Ok(None);
        }
        let found = self.stream.at(position).await?;
        Ok(found.map(|it| it.record))
    }

    /// Another node may have dropped history: it says so in the stream before it does.
    async fn look_for_dropped(&self) -> Result<(), ReadError> {
        let standing = self.stream.standing().await?;
        self.note_dropped(standing.dropped_through);
        Ok(())
    }
}
