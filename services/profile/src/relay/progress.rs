//! What the relay shows of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use profile_messages::Position;
use tokio::sync::{Notify, watch};

use super::lag::RelayLag;
use super::reconcile::Refusal;

/// What the relay is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayState {
    Starting,
    Running,
    /// Sending again what the stream lost.
    Refilling,
    /// Another node relays; this one would, were it gone.
    Standby,
    /// Trying again for ever; why, for people.
    Waiting(String),
    /// For good: somebody has to look. The process should end with it.
    Stopped(Refusal),
    /// Asked to stop.
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayStatus {
    /// The stream holds every event up to here; during a refill it lies before the cursor.
    pub acked: Position,
    /// Commits that the stream never acknowledged.
    pub lag_events: u64,
    pub lag_bytes: u64,
    pub state: RelayState,
}

/// What became of messages, since the start.
#[derive(Debug, Default)]
pub struct RelayCounts {
    published: AtomicU64,
    refused: AtomicU64,
    unanswered: AtomicU64,
    looks: AtomicU64,
}

impl RelayCounts {
    /// Acknowledged at their place, placeholders and refills included.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Those that the stream did not take at their place. What was under way behind one is not counted.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Those of which nothing was heard: they may be in the stream. Likewise.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// How often the relay went back to look at the stream and to send again what is missing there.
    pub fn retries(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(super) struct Progress {
    counts: Arc<RelayCounts>,
    status: watch::Sender<RelayStatus>,
    /// The highest position ever acknowledged: the cursor.
    highest: watch::Sender<Option<Position>>,
    /// The cursor as it is on disk.
    written: watch::Receiver<Option<Position>>,
    settled: watch::Sender<Option<Position>>,
    durable: watch::Receiver<Position>,
    lag: Arc<RelayLag>,
    look_wanted: Notify,
    /// What came into the stream after this position was sent by this process ...
    sent_after: AtomicU64,
    /// ... and of that, this is the newest removal.
    newest_removal: AtomicU64,
}

/// Up to where the stream holds what the log says; `None` while that is not known.
fn confirmed(status: &RelayStatus) -> Option<Position> {
    match status.state {
        RelayState::Running | RelayState::Refilling => Some(status.acked),
        RelayState::Starting
        | RelayState::Standby
        | RelayState::Waiting(_)
        | RelayState::Stopped(_)
        | RelayState::Closed => None,
    }
}

/// Up to where nothing has to be sent again as far as is known: what the stream lost, or may have lost,
/// must still be in the log when it is filled again.
fn settled_at(written: Option<Position>, status: &RelayStatus) -> Option<Position> {
    match status.state {
        RelayState::Running => written.map(|written| written.min(status.acked)),
        RelayState::Starting
        | RelayState::Refilling
        | RelayState::Standby
        | RelayState::Waiting(_)
        | RelayState::Stopped(_)
        | RelayState::Closed => None,
    }
}

impl Progress {
    pub(super) fn new(
        written: watch::Receiver<Option<Position>>,
        durable: watch::Receiver<Position>,
        lag: Arc<RelayLag>,
        counts: Arc<RelayCounts>,
    ) -> Progress {
        let cursor = *written.borrow();
        let status = RelayStatus {
            acked: cursor.unwrap_or_default(),
            lag_events: 0,
            lag_bytes: 0,
            state: RelayState::Starting,
        };
        Progress {
            counts,
            status: watch::Sender::new(status),
            highest: watch::Sender::new(cursor),
            written,
            settled: watch::Sender::new(None),
            durable,
            lag,
            look_wanted: Notify::new(),
            sent_after: AtomicU64::new(u64::MAX),
            newest_removal: AtomicU64::new(0),
        }
    }

    pub(super) fn status(&self) -> RelayStatus {
        let mut status = self.status.borrow().clone();
        self.measure(&mut status);
        status
    }

    pub(super) fn watch(&self) -> watch::Receiver<RelayStatus> {
        self.status.subscribe()
    }

    pub(super) fn counts(&self) -> Arc<RelayCounts> {
        Arc::clone(&self.counts)
    }

    /// The stream answered, and did not take a message at its place.
    pub(super) fn refused(&self) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn unanswered(&self) {
        self.counts.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn retries(&self) {
        self.counts.looks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cursor(&self) -> Option<Position> {
        *self.highest.borrow()
    }

    pub(super) fn watch_cursor(&self) -> watch::Receiver<Option<Position>> {
        self.highest.subscribe()
    }

    /// See [`super::RelayHandle::watch_settled`].
    pub(super) fn watch_settled(&self) -> watch::Receiver<Option<Position>> {
        self.settled.subscribe()
    }

    /// Lets what is settled follow the cursor on disk, until nobody writes that any more.
    pub(super) async fn follow_written(&self) {
        let mut written = self.written.clone();
        while written.changed().await.is_ok() {
            self.settle();
        }
    }

    /// Up to where the stream holds what the log says; `None` while that is not known.
    pub(super) fn confirmed(&self) -> Option<Position> {
        confirmed(&self.status.borrow())
    }

    /// Returns when that is more than `position`.
    pub(super) async fn confirmed_beyond(&self, position: Position) {
        let mut status = self.status.subscribe();
        let beyond = |status: &RelayStatus| confirmed(status) > Some(position);
        // Cannot fail: the sender is our own.
        let _ = status.wait_for(beyond).await;
    }

    /// A removal is about to be sent.
    pub(super) fn sends_removal(&self, position: Position) {
        self.newest_removal.fetch_max(position.0, Ordering::Relaxed);
    }

    /// Whether nothing of what the stream has after `position` is a removal, as far as this process
    /// knows without a look at the log.
    pub(super) fn knows_of_no_removal_after(&self, position: Position) -> bool {
        let sent_after = self.sent_after.load(Ordering::Relaxed);
        let newest = self.newest_removal.load(Ordering::Relaxed);
        position.0 >= sent_after && position.0 >= newest
    }

    /// Somebody saw that the stream is not as it should be.
    pub(super) fn want_look(&self) {
        self.look_wanted.notify_one();
    }

    pub(super) async fn look_wanted(&self) {
        self.look_wanted.notified().await;
    }

    /// One more acknowledged, in order.
    pub(super) fn acked(&self, position: Position, event_bytes: u64, refill: Position) {
        self.counts.published.fetch_add(1, Ordering::Relaxed);
        self.advance(position, event_bytes);
        self.update(|status| {
            status.acked = position;
            status.state = if position < refill {
                RelayState::Refilling
            } else {
                RelayState::Running
            };
        });
    }

    /// Found in the stream and compared; `event_bytes` of what was not counted before.
    pub(super) fn adopted(&self, position: Position, event_bytes: u64) {
        self.advance(position, event_bytes);
    }

    /// Publishing goes on behind `last`.
    pub(super) fn resumed(&self, last: u64, refill: Position) {
        self.sent_after.store(last, Ordering::Relaxed);
        self.update(|status| {
            status.acked = Position(last);
            status.state = if last < refill.0 {
                RelayState::Refilling
            } else {
                RelayState::Running
            };
        });
    }

    pub(super) fn turn_to(&self, state: RelayState) {
        self.update(|status| status.state = state);
    }

    fn advance(&self, position: Position, event_bytes: u64) {
        self.lag.acked(position, event_bytes);
        self.highest.send_if_modified(|highest| {
            let higher = Some(position) > *highest;
            if higher {
                *highest = Some(position);
            }
            higher
        });
    }

    fn update(&self, change: impl FnOnce(&mut RelayStatus)) {
        self.status.send_modify(|status| {
            change(status);
            self.measure(status);
        });
        self.settle();
    }

    fn settle(&self) {
        self.settled.send_if_modified(|settled| {
            // Looked at in here, so that of two callers the last one has seen the newest.
            let now = settled_at(*self.written.borrow(), &self.status.borrow());
            let moved = *settled != now;
            *settled = now;
            moved
        });
    }

    fn measure(&self, status: &mut RelayStatus) {
        let highest = self.cursor().unwrap_or_default();
        status.lag_events = self.durable.borrow().0.saturating_sub(highest.0);
        status.lag_bytes = self.lag.bytes();
    }
}
