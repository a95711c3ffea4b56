//! A clock that only the simulation moves, backwards too.

use std::sync::Mutex;
use std::time::Instant;

use profile::clock::Clock;
use profile_messages::Timestamp;

#[derive(Debug)]
pub(crate) struct SimClock {
    started: Instant,
    state: Mutex<(i64, u64)>,
}

impl SimClock {
    #[allow(clippy::disallowed_methods)] // a fixed origin: monotonic time never moves in here
    pub(crate) fn at(micros: i64) -> SimClock {
        SimClock {
            started: Instant::now(),
            state: Mutex::new((micros, 0)),
        }
    }

    pub(crate) fn jump(&self, micros: i64) {
        self.state.lock().unwrap().0 += micros;
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.state.lock().unwrap().0)
    }

    fn monotonic(&self) -> Instant {
        self.started
    }

    fn random_id(&self) -> String {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        format!("id-{}", state.1)
    }
}
