//! Wall time jumps as the simulation says, backwards too; monotonic time is the runtime's paused clock.

use std::sync::Mutex;
use std::time::Instant;

use profile::clock::Clock;
use profile_messages::Timestamp;

/// Seconds since 1970 at which every simulation starts.
pub(crate) const STARTED_S: i64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct SimClock {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    jumped_us: i64,
    ids: u64,
}

impl SimClock {
    /// Only within a runtime whose time is paused: it is what monotonic time comes from.
    pub(crate) fn new() -> SimClock {
        SimClock {
            started: tokio::time::Instant::now().into_std(),
            state: Mutex::new(State {
                jumped_us: 0,
                ids: 0,
            }),
        }
    }

    /// Moves wall time alone.
    pub(crate) fn jump(&self, micros: i64) {
        self.state.lock().unwrap().jumped_us += micros;
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let elapsed = self.monotonic().duration_since(self.started).as_micros();
        let jumped_us = self.state.lock().unwrap().jumped_us;
        Timestamp(STARTED_S * 1_000_000 + i64::try_from(elapsed).unwrap() + jumped_us)
    }

    fn monotonic(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn random_id(&self) -> String {
        let mut state = self.state.lock().unwrap();
        state.ids += 1;
        // Spread, because the relay takes its chances from the first digits.
        let spread = state.ids.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{spread:016x}{:016x}", state.ids)
    }
}
