//! The newest records as they were committed: whoever follows the log, the relay above all, need not
//! read, check and decode them again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use profile_messages::Position;
use profile_messages::record::Record;

use crate::commit_log::ReadLimits;
use crate::commit_log::memory::ReadBudget;

const RECORDS_MAX: usize = 8_192;
const BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Debug, Default)]
pub(in crate::commit_log) struct Recent(Mutex<Tail>);

/// Records of positions that follow one another, oldest first.
#[derive(Debug, Default)]
struct Tail {
    records: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    record: Arc<Record>,
    /// In its frame: a read ends at the same record as one of the file would.
    bytes: usize,
}

impl Recent {
    /// Takes the records of a group that is on disk, with the bytes of each.
    pub(in crate::commit_log) fn keep(&self, group: &[Arc<Record>], bytes: &[usize]) {
        let mut tail = self.lock();
        for (record, &bytes) in group.iter().zip(bytes) {
            let record = Arc::clone(record);
            tail.bytes += bytes;
            tail.records.push_back(Kept { record, bytes });
        }
        while tail.records.len() > RECORDS_MAX || tail.bytes > BYTES_MAX {
            tail.forget_first();
        }
    }

    /// What follows `after`, up to `to`; `None` when the next one is not here.
    pub(in crate::commit_log) fn between(
        &self,
        after: Position,
        to: Position,
        limits: ReadLimits,
    ) -> Option<Vec<Arc<Record>>> {
        let tail = self.lock();
        let first = tail.records.front()?.record.position;
        let skipped = usize::try_from(after.next().0.checked_sub(first.0)?).ok()?;
        if skipped >= tail.records.len() {
            return None;
        }
        let mut budget = ReadBudget::new(limits);
        let found = tail.records.iter().skip(skipped);
        let found = found.take_while(|it| it.record.position <= to && budget.takes(it.bytes));
        Some(found.map(|it| Arc::clone(&it.record)).collect())
    }

    /// Compaction may have thrown away what was kept here.
    pub(in crate::commit_log) fn forget_through(&self, last: Position) {
        let mut tail = self.lock();
        let is_old = |tail: &Tail| {
            let first = tail.records.front();
            first.is_some_and(|first| first.record.position <= last)
        };
        while is_old(&tail) {
            tail.forget_first();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    fn forget_first(&mut self) {
        if let Some(first) = self.records.pop_front() {
            self.bytes -= first.bytes;
        }
    }
}

#[cfg(test)]
mod tests;
