//! The log in memory: for tests and simulation. Needs no runtime, and the same calls give the same log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound::{Excluded, Included};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use profile_messages::record::{RECORD_BYTES_MAX, Record};
use profile_messages::{Position, UserId};
use tokio::sync::watch;

use super::{
    AppendError, Commit, CommitLog, CommitObserver, CompactError, CompactionReport, Fate, Head,
    NotWritten, ReadError, ReadLimits, Retention,
};
use crate::clock::Clock;

/// Heads of users, folded from what is committed. The observer of a log that nobody else observes.
#[derive(Debug, Default)]
pub struct HeadsInMemory {
    heads: Mutex<HashMap<UserId, Head>>,
}

impl CommitObserver for HeadsInMemory {
    fn head(&self, user: &UserId) -> Result<Head, String> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(heads.get(user).copied().unwrap_or_default())
    }

    fn committed(&self, group: &[Arc<Record>]) {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        for record in group {
            heads.insert(record.user.clone(), Head::after(record));
        }
    }
}

/// See the module. "Durable" here means: as long as the value lives.
#[derive(Debug)]
pub struct MemoryLog {
    clock: Arc<dyn Clock>,
    observer: Arc<dyn CommitObserver>,
    records: Mutex<BTreeMap<Position, Kept>>,
    dropped_through: Mutex<Position>,
    /// Held over a whole append, so that the observer hears the commits in order.
    open: Mutex<bool>,
    durable: watch::Sender<Position>,
    failed: watch::Sender<Option<String>>,
}

/// A record with its encoded length, which every read counts.
#[derive(Debug)]
struct Kept {
    record: Arc<Record>,
    bytes: usize,
}

impl MemoryLog {
    /// A log that keeps the heads itself.
    pub fn new(clock: Arc<dyn Clock>) -> MemoryLog {
        MemoryLog::observed(clock, Arc::new(HeadsInMemory::default()))
    }

    pub fn observed(clock: Arc<dyn Clock>, observer: Arc<dyn CommitObserver>) -> MemoryLog {
        MemoryLog {
            clock,
            observer,
            records: Mutex::default(),
            dropped_through: Mutex::default(),
            open: Mutex::new(true),
            durable: watch::Sender::new(Position::NONE),
            failed: watch::Sender::new(None),
        }
    }

    fn append_now(&self, commit: Commit) -> Result<Arc<Record>, AppendError> {
        let refused = |why| Err(AppendError::NotWritten(why));
        let open = locked(&self.open);
        if !*open {
            return refused(NotWritten::Closed);
        }
        let Ok(head) = self.observer.head(&commit.user) else {
            return refused(NotWritten::HeadUnknown);
        };
        if head != commit.expected {
            return Err(AppendError::Conflict { head });
        }
        let deadline = commit.deadline;
        let position = self.durable.borrow().next();
        let record = Arc::new(commit.into_record(position));
        let mut encoded = Vec::new();
        record.encode_into(&mut encoded);
        if encoded.len() > RECORD_BYTES_MAX {
            return refused(NotWritten::TooLarge);
        }
        if deadline.is_some_and(|deadline| self.clock.monotonic() >= deadline) {
            return refused(NotWritten::DeadlineExceeded);
        }
        let kept = Kept {
            record: record.clone(),
            bytes: encoded.len(),
        };
        locked(&self.records).insert(position, kept);
        self.observer.committed(std::slice::from_ref(&record));
        self.durable.send_replace(position);
        Ok(record)
    }

    /// Memory has no segments: everything that is not kept goes at once.
    fn compact_now(
        &self,
        until: Position,
        retention: &dyn Retention,
    ) -> Result<CompactionReport, CompactError> {
        if !*locked(&self.open) {
            return Err(CompactError::Closed);
        }
        let until = until.min(*self.durable.borrow());
        let old: Vec<_> = locked(&self.records)
            .range(..=until)
            .map(|(_, kept)| Arc::clone(&kept.record))
            .collect();
        let mut report = CompactionReport {
            records_read: old.len() as u64,
            ..CompactionReport::default()
        };
        let (mut gone, mut superseded) = (HashSet::new(), Position::NONE);
        for record in old {
            match retention.fate(&record).map_err(CompactError::Retention)? {
                Fate::Keep => continue,
                Fate::Superseded => {
                    superseded = record.position;
                    report.records_superseded += 1;
                }
                Fate::Erased => report.records_erased += 1,
            }
            gone.insert(record.position);
        }
        let mut records = locked(&self.records);
        let mut dropped_through = locked(&self.dropped_through);
        *dropped_through = superseded.max(*dropped_through);
        records.retain(|position, _| !gone.contains(position));
        Ok(report)
    }
}

#[async_trait]
impl CommitLog for MemoryLog {
    async fn append(&self, commit: Commit) -> Result<Arc<Record>, AppendError> {
        self.append_now(commit)
    }

    async fn read_after(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        let durable = *self.durable.borrow();
        if after >= durable {
            return Ok(Vec::new());
        }
        let mut budget = ReadBudget::new(limits);
        let records = locked(&self.records);
        let newer = records.range((Excluded(after), Included(durable)));
        Ok(newer
            .take_while(|(_, kept)| budget.takes(kept.bytes))
            .map(|(_, kept)| kept.record.clone())
            .collect())
    }

    async fn read_one(&self, position: Position) -> Result<Option<Arc<Record>>, ReadError> {
        let records = locked(&self.records);
        Ok(records.get(&position).map(|kept| kept.record.clone()))
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.durable.subscribe()
    }

    fn failed(&self) -> watch::Receiver<Option<String>> {
        self.failed.subscribe()
    }

    async fn compact(
        &self,
        until: Position,
        retention: Arc<dyn Retention>,
    ) -> Result<CompactionReport, CompactError> {
        self.compact_now(until, retention.as_ref())
    }

    fn dropped_through(&self) -> Position {
        *locked(&self.dropped_through)
    }

    async fn close(&self) {
        *locked(&self.open) = false;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a read against its limits: the first record always fits.
#[derive(Debug)]
pub(crate) struct ReadBudget {
    limits: ReadLimits,
    records: usize,
    bytes: usize,
}

impl ReadBudget {
    pub(crate) fn new(limits: ReadLimits) -> ReadBudget {
        ReadBudget {
            limits,
            records: 0,
            bytes: 0,
        }
    }

    pub(crate) fn takes(&mut self, bytes: usize) -> bool {
        let fits = self.records < self.limits.records_max
            && self.bytes.saturating_add(bytes) <= self.limits.bytes_max;
        let takes = self.records == 0 || fits;
        self.records += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::commit_log::conformance::{Subject, every_law_holds};

    #[test]
    fn the_memory_log_keeps_every_law_without_a_runtime() {
        futures::executor::block_on(every_law_holds(&|| {
            Box::pin(async {
                let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
                let observer = Arc::new(HeadsInMemory::default());
                Subject {
                    log: Arc::new(MemoryLog::observed(clock.clone(), observer.clone())),
                    observer,
                    clock,
                    reopen: None,
                }
            })
        }));
    }
}
