//! The newest records as they were committed: whoever follows the log, the relay above all, need not
//! read, check and decode them again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use profile_messages::record::{HEADER_BYTES, Record};
use profile_messages::{Position, UserState};

use crate::commit_log::ReadLimits;
use crate::commit_log::memory::ReadBudget;

const RECORDS_MAX: usize = 8_192;
const BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Tail>);

/// Records of positions that follow one another, oldest first.
#[derive(Debug, Default)]
struct Tail {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
}

impl Recent {
    /// Takes the records of a group that is on disk.
    pub(super) fn keep(&self, group: &[Arc<Record>]) {
        let mut tail = self.lock();
        for record in group {
            tail.bytes += bytes_of(record);
            tail.records.push_back(Arc::clone(record));
        }
        while tail.records.len() > RECORDS_MAX || tail.bytes > BYTES_MAX {
            tail.forget_first();
        }
    }

    /// What follows `after`, up to `to`; `None` when the next one is not here.
    pub(super) fn between(
        &self,
        after: Position,
        to: Position,
        limits: ReadLimits,
    ) -> Option<Vec<Arc<Record>>> {
        let tail = self.lock();
        let first = tail.records.front()?.position;
        let skipped = usize::try_from(after.next().0.checked_sub(first.0)?).ok()?;
        if skipped >= tail.records.len() {
            return None;
        }
        let mut budget = ReadBudget::new(limits);
        let found = tail.records.iter().skip(skipped);
        let found = found.take_while(|it| it.position <= to && budget.takes(bytes_of(it)));
        Some(found.cloned().collect())
    }

    /// Compaction may have thrown away what was kept here.
    pub(super) fn forget_through(&self, last: Position) {
        let mut tail = self.lock();
        while tail.records.front().is_some_and(|it| it.position <= last) {
            tail.forget_first();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    fn forget_first(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.bytes -= bytes_of(&record);
        }
    }
}

/// About what it is in a frame.
fn bytes_of(record: &Record) -> usize {
    let state = record.state.as_ref().map_or(0, UserState::text_bytes);
    HEADER_BYTES + record.event.len() + state
}

#[cfg(test)]
mod tests;
