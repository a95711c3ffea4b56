//! How many bytes of events the stream has still to take.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use profile_messages::record::Record;
use profile_messages::{Position, Timestamp};

/// Bytes of events that are committed but not acknowledged by the stream.
///
/// Made before the log is opened and told of every group by the log's observer; the relay adds what
/// was behind already when it started. Refuse writes above the configured bound.
#[derive(Debug, Default)]
pub struct RelayLag(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Commits up to here are counted by the relay, later ones by [`RelayLag::committed`].
    base: Option<Position>,
    committed_bytes: u64,
    acked_bytes: u64,
    acked: Position,
    /// Some of the commits that the stream has not acknowledged, oldest first: position and time.
    marks: VecDeque<(Position, Timestamp)>,
}

/// Between two marks at least, in microseconds.
const MARK_EVERY_US: i64 = 100_000;
/// A day; a longer lag is told as one of that length at least.
const MARKS_MAX: usize = 864_000;

impl RelayLag {
    /// A group turned durable: to be called for every group, in order.
    pub fn committed(&self, group: &[Arc<Record>]) {
        let mut inner = self.lock();
        for record in group {
            let before = Position(record.position.0.saturating_sub(1));
            if record.position > *inner.base.get_or_insert(before) {
                inner.committed_bytes += record.event.len() as u64;
            }
        }
        if let Some(first) = group.first() {
            inner.mark(first);
        }
    }

    /// When the oldest commit was made that the stream has not acknowledged, give or take a tenth of a
    /// second; `None` when it has all that this process committed.
    pub fn since(&self) -> Option<Timestamp> {
        self.lock().marks.front().map(|(_, at)| *at)
    }

    /// The stream has all, or nearly: another node sees to it. What is committed from here on is counted.
    pub fn forget(&self) {
        *self.lock() = Inner::default();
    }

    pub fn bytes(&self) -> u64 {
        let inner = self.lock();
        inner.committed_bytes.saturating_sub(inner.acked_bytes)
    }

    /// The end of what the relay counts itself, from `acked` on.
    pub(super) fn start(&self, acked: Position, durable: Position) -> Position {
        let mut inner = self.lock();
        inner.acked = acked;
        *inner.base.get_or_insert(durable)
    }

    pub(super) fn backlog(&self, bytes: u64) {
        self.lock().committed_bytes += bytes;
    }

    /// Counts each position once: a refill sends what was acknowledged before.
    pub(super) fn acked(&self, position: Position, bytes: u64) {
        let mut inner = self.lock();
        if position > inner.acked {
            inner.acked = position;
            inner.acked_bytes += bytes;
        }
        while inner
            .marks
            .front()
            .is_some_and(|(mark, _)| *mark <= position)
        {
            inner.marks.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn mark(&mut self, record: &Record) {
        let last = self.marks.back().map(|(_, at)| at.0);
        let is_due = last.is_none_or(|last| record.at.0 - last >= MARK_EVERY_US);
        if is_due && self.marks.len() < MARKS_MAX {
            self.marks.push_back((record.position, record.at));
        }
    }
}
