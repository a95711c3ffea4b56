//! A commit log that fails by the seed: refuses, conflicts, writes and then reports failure.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use profile::clock::Clock;
use profile::commit_log::memory::MemoryLog;
use profile::commit_log::{
    AppendError, Commit, CommitLog, CommitObserver, CompactError, CompactionReport, NotWritten,
    ReadError, ReadLimits, Retention,
};
use profile_messages::Position;
use profile_messages::record::Record;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use tokio::sync::watch;

use crate::world::Plant;

#[derive(Debug)]
pub(crate) struct FaultyLog {
    inner: MemoryLog,
    observer: Arc<dyn CommitObserver>,
    rng: Mutex<ChaCha8Rng>,
    plant: Plant,
}

impl FaultyLog {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        observer: Arc<dyn CommitObserver>,
        rng: ChaCha8Rng,
        plant: Plant,
    ) -> FaultyLog {
        let inner = MemoryLog::observed(clock, Arc::clone(&observer));
        FaultyLog {
            inner,
            observer,
            rng: Mutex::new(rng),
            plant,
        }
    }

    fn draw(&self) -> u32 {
        self.rng.lock().unwrap().next_u32() % 100
    }

    /// What the planted bug makes of a commit.
    fn planted(&self, mut commit: Commit) -> Commit {
        match self.plant {
            Plant::NoVersionCheck => {
                commit.expected = self.observer.head(&commit.user).unwrap();
            }
            Plant::KeyNotWithCommit => commit.key = None,
            Plant::Nothing | Plant::ForgetsAcknowledged => {}
        }
        commit
    }
}

#[async_trait]
impl CommitLog for FaultyLog {
    async fn append(&self, commit: Commit) -> Result<Arc<Record>, AppendError> {
        let commit = self.planted(commit);
        match self.draw() {
            0..5 => Err(AppendError::NotWritten(NotWritten::QueueFull)),
            5..8 => Err(AppendError::NotWritten(NotWritten::DiskFull)),
            8..13 => {
                self.inner.append(commit).await?;
                Err(AppendError::MaybeWritten("written, then failed".to_owned()))
            }
            13..16 => Err(AppendError::MaybeWritten(
                "failed before the write".to_owned(),
            )),
            16..18 => {
                let head = self.observer.head(&commit.user).unwrap();
                Err(AppendError::Conflict { head })
            }
            18..21 if self.plant == Plant::ForgetsAcknowledged => {
                Ok(Arc::new(commit.into_record(self.durable().borrow().next())))
            }
            _ => self.inner.append(commit).await,
        }
    }

    async fn read_after(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        self.inner.read_after(after, limits).await
    }

    async fn read_one(&self, position: Position) -> Result<Option<Arc<Record>>, ReadError> {
        self.inner.read_one(position).await
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.inner.durable()
    }

    fn failed(&self) -> watch::Receiver<Option<String>> {
        self.inner.failed()
    }

    async fn compact(
        &self,
        until: Position,
        retention: Arc<dyn Retention>,
    ) -> Result<CompactionReport, CompactError> {
        self.inner.compact(until, retention).await
    }

    fn dropped_through(&self) -> Position {
        self.inner.dropped_through()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
