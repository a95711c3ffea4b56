//! Keeps a compaction slow, and ends it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::commit_log::CompactError;

/// So many pauses in a second: a burst of reading is no longer than that.
const PAUSES_PER_SECOND: u64 = 16;

#[derive(Debug)]
pub(crate) struct Brake {
    clock: Arc<dyn Clock>,
    bytes_per_second_max: u64,
    state: Mutex<State>,
    stopped: Condvar,
}

#[derive(Debug)]
struct State {
    is_stopped: bool,
    /// Read since the last pause.
    bytes: u64,
    since: Instant,
}

impl Brake {
    pub(crate) fn new(clock: Arc<dyn Clock>, bytes_per_second_max: u64) -> Brake {
        let state = State {
            is_stopped: false,
            bytes: 0,
            since: clock.monotonic(),
        };
        Brake {
            clock,
            bytes_per_second_max: bytes_per_second_max.max(1),
            state: Mutex::new(state),
            stopped: Condvar::new(),
        }
    }

    /// For good.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_stopped = true;
        self.stopped.notify_all();
    }

    /// So many bytes were read: waits until that was not too fast.
    ///
    /// # Errors
    /// `Closed` once it was told to stop.
    pub(crate) fn passed(&self, bytes: u64) -> Result<(), CompactError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes = state.bytes.saturating_add(bytes);
        let read = state.bytes;
        let taken = self.clock.monotonic().duration_since(state.since);
        let is_due = read >= (self.bytes_per_second_max / PAUSES_PER_SECOND).max(1);
        if is_due {
            state.bytes = 0;
        }
        drop(state);
        if !is_due {
            return self.pause(Duration::ZERO);
        }
        let micros = u128::from(read) * 1_000_000 / u128::from(self.bytes_per_second_max);
        let least = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.pause(least.saturating_sub(taken))?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.since = self.clock.monotonic();
        Ok(())
    }

    /// # Errors
    /// `Closed` once it was told to stop.
    pub(crate) fn pause(&self, pause: Duration) -> Result<(), CompactError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = self
            .stopped
            .wait_timeout_while(state, pause, |state| !state.is_stopped)
            .unwrap_or_else(PoisonError::into_inner);
        if state.is_stopped {
            return Err(CompactError::Closed);
        }
        Ok(())
    }
}
