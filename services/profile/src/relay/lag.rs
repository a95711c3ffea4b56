//! How many bytes of events the stream has still to take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use profile_messages::Position;
use profile_messages::record::Record;

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
}

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
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
