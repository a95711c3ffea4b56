//! Wall time jumps as the simulation says, backwards too; monotonic time is the runtime's paused clock.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use profile::clock::Clock;
use profile_messages::Timestamp;

/// Seconds since 1970 at which every simulation starts.
pub(crate) const STARTED_S: i64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct SimClock(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Where the paused clock of the present runtime began.
    started: Instant,
    /// All jumps, and the time of the runtimes before.
    offset_us: i64,
    ids: u64,
}

impl SimClock {
    /// Only within a runtime whose time is paused: it is what monotonic time comes from.
    pub(crate) fn new() -> SimClock {
        SimClock(Mutex::new(State {
            started: paused_now(),
            offset_us: 0,
            ids: 0,
        }))
    }

    /// The runtime ends: its time is kept.
    pub(crate) fn runtime_ends(&self) {
        let mut state = self.0.lock().unwrap();
        state.offset_us += state.elapsed_us();
        state.started = paused_now();
    }

    /// The next runtime: its clock began somewhere else.
    pub(crate) fn runtime_begins(&self) {
        self.0.lock().unwrap().started = paused_now();
    }

    /// Moves wall time alone.
    pub(crate) fn jump(&self, micros: i64) {
        self.0.lock().unwrap().offset_us += micros;
    }
}

impl State {
    fn elapsed_us(&self) -> i64 {
        let elapsed = paused_now().duration_since(self.started).as_micros();
        i64::try_from(elapsed).unwrap()
    }
}

fn paused_now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let state = self.0.lock().unwrap();
        Timestamp(STARTED_S * 1_000_000 + state.elapsed_us() + state.offset_us)
    }

    fn monotonic(&self) -> Instant {
        paused_now()
    }

    fn random_id(&self) -> String {
        let mut state = self.0.lock().unwrap();
        state.ids += 1;
        // Spread, because the relay takes its chances from the first digits.
        let spread = state.ids.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{spread:016x}{:016x}", state.ids)
    }
}

/// Lets virtual time pass: the paused clock of the runtime jumps ahead as soon as nobody has anything to
/// do, so nothing here ever waits.
pub(crate) async fn pass(time: Duration) {
    let nothing = std::future::pending::<()>();
    let _ = tokio::time::timeout(time, nothing).await;
}
