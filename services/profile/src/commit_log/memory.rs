//! The commit log in memory: nothing is kept. For tests and simulation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use profile_messages::Position;
use profile_messages::record::Record;
use tokio::sync::watch;

use super::{AppendError, Commit, CommitLog, CommitObserver, NotWritten, ReadError, ReadLimits};

#[derive(Debug)]
pub struct MemoryLog {
    observer: Arc<dyn CommitObserver>,
    records: Mutex<Vec<Arc<Record>>>,
    durable: watch::Sender<Position>,
    failed: watch::Sender<Option<String>>,
    closed: std::sync::atomic::AtomicBool,
}

impl MemoryLog {
    pub fn new(observer: Arc<dyn CommitObserver>) -> MemoryLog {
        MemoryLog {
            observer,
            records: Mutex::default(),
            durable: watch::Sender::default(),
            failed: watch::Sender::default(),
            closed: Default::default(),
        }
    }

    fn records(&self) -> MutexGuard<'_, Vec<Arc<Record>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CommitLog for MemoryLog {
    async fn append(&self, commit: Commit) -> Result<Arc<Record>, AppendError> {
        let mut records = self.records();
        if self.closed.load(std::sync::atomic::Ordering::Acquire) {
            return Err(AppendError::NotWritten(NotWritten::Closed));
        }
        let unknown = |_| AppendError::NotWritten(NotWritten::HeadUnknown);
        let head = self.observer.head(&commit.user).map_err(unknown)?;
        if head != commit.expected {
            return Err(AppendError::Conflict { head });
        }
        let position = Position(records.len() as u64 + 1);
        let record = Arc::new(commit.into_record(position));
        records.push(Arc::clone(&record));
        self.observer.committed(std::slice::from_ref(&record));
        self.durable.send_replace(position);
        Ok(record)
    }

    async fn read_after(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        let skipped = usize::try_from(after.0).unwrap_or(usize::MAX);
        let records = self.records();
        Ok(records
            .iter()
            .skip(skipped)
            .take(limits.records_max)
            .cloned()
            .collect())
    }

    async fn read_one(&self, position: Position) -> Result<Option<Arc<Record>>, ReadError> {
        let index = usize::try_from(position.0)
            .ok()
            .and_then(|position| position.checked_sub(1));
        Ok(index.and_then(|index| self.records().get(index).cloned()))
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.durable.subscribe()
    }

    fn failed(&self) -> watch::Receiver<Option<String>> {
        self.failed.subscribe()
    }

    async fn close(&self) {
        self.closed
            .store(true, std::sync::atomic::Ordering::Release);
    }
}
