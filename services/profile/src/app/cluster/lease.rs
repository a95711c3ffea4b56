//! Which node relays. A lease only saves work: two nodes that both think they hold it get in each other's
//! way, since every event names the sequence that the stream must be at, and neither can do harm.
//!
//! Nobody compares clocks: a lease that was not renewed for a while, by the watcher's own clock, is free.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::clock::Clock;
use crate::jetstream::cells::{Cell, CellError, Cells, Put};

const LEASE: &str = "lease";
/// How often a holder renews it, and others look.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(1);
/// A holder that could not renew it for so long lets go ...
const HELD_FOR: Duration = Duration::from_secs(3);
/// ... before others take it.
const FREE_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Lease {
    cells: Arc<Cells>,
    node: Bytes,
    clock: Arc<dyn Clock>,
    /// The sequence of another's lease, and since when it has been that.
    seen: Option<(u64, Instant)>,
    held: Option<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    sequence: u64,
    renewed: Instant,
}

impl Lease {
    pub(super) fn new(cells: Arc<Cells>, node: &str, clock: Arc<dyn Clock>) -> Lease {
        Lease {
            cells,
            node: Bytes::from(node.to_owned()),
            clock,
            seen: None,
            held: None,
        }
    }

    /// Takes the lease if nobody holds it; whether it is ours now.
    pub(super) async fn is_taken(&mut self) -> Result<bool, CellError> {
        let now = self.clock.monotonic();
        let expected = match self.cells.get(LEASE).await? {
            None => 0,
            Some(cell) if self.is_free(&cell, now) => cell.sequence,
            Some(_) => return Ok(false),
        };
        self.write(expected, now).await
    }

    /// An empty value was let go; one that nobody renews is as good as that.
    fn is_free(&mut self, cell: &Cell, now: Instant) -> bool {
        let since = match self.seen {
            Some((sequence, since)) if sequence == cell.sequence => since,
            Some(_) | None => {
                self.seen = Some((cell.sequence, now));
                now
            }
        };
        cell.value.is_empty() || now.duration_since(since) >= FREE_AFTER
    }

    /// Whether it is still ours. What cannot be renewed now may be next time.
    pub(super) async fn is_renewed(&mut self) -> bool {
        let Some(held) = self.held else { return false };
        let now = self.clock.monotonic();
        match self.write(held.sequence, now).await {
            Ok(is_ours) => is_ours,
            Err(error) => {
                tracing::warn!(%error, "the relay's lease is not renewed");
                now.duration_since(held.renewed) < HELD_FOR
            }
        }
    }

    async fn write(&mut self, expected: u64, now: Instant) -> Result<bool, CellError> {
        match self.cells.put(LEASE, self.node.clone(), expected).await? {
            Put::Written { sequence } => {
                let renewed = now;
                self.held = Some(Held { sequence, renewed });
                Ok(true)
            }
            // Perhaps by our own write whose answer was lost: then nobody else has it, and it is free soon.
            Put::Overtaken => {
                self.held = None;
                Ok(false)
            }
        }
    }

    /// Lets the next node begin at once.
    pub(super) async fn let_go(&mut self) {
        if let Some(held) = self.held.take() {
            let freed = self.cells.put(LEASE, Bytes::new(), held.sequence).await;
            if let Err(error) = freed {
                tracing::debug!(%error, "the relay's lease runs out by itself");
            }
        }
    }
}
