//! The two kinds of load: a closed loop (as fast as answers come) and an open one (at a given rate).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hdrhistogram::Histogram;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::keys::Keys;

/// Latencies are kept in microseconds, up to a minute, to three digits.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Calls of an open loop that may be on their way; a rate that needs more is not borne.
const OPEN_CALLS_MAX: usize = 8_192;

/// Runs so far: each has keys and changes of its own.
static RUNS: AtomicU64 = AtomicU64::new(1);

/// What is called: one operation of one system.
#[async_trait]
pub(crate) trait Call: Send + Sync {
    /// Does the operation for the user of this number and returns when it is answered. `caller` is the
    /// number of the loop that asks, from 0; `salt` makes the change another one.
    async fn call(&self, caller: usize, user: usize, salt: u64) -> Result<(), String>;
}

/// What a load gave.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    /// Microseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) failures: u64,
    pub(crate) first_failure: Option<String>,
}

impl Measured {
    pub(crate) fn us(&self, quantile: f64) -> u64 {
        self.latency.value_at_quantile(quantile)
    }
}

/// Keeps `in_flight` calls on their way for `lasting`; those that end later are not counted.
pub(crate) async fn closed(
    call: &Arc<dyn Call>,
    keys: Keys,
    in_flight: usize,
    lasting: Duration,
) -> Measured {
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let began = Instant::now();
    let until = began + lasting;
    let mut callers = JoinSet::new();
    for caller in 0..in_flight {
        let call = Arc::clone(call);
        callers.spawn(async move {
            let mut keys = keys.source(run << 32 | caller as u64);
            let mut tally = Tally::new();
            loop {
                let (user, salt) = (keys.next(), keys.salt());
                let asked = Instant::now();
                let result = call.call(caller, user, salt).await;
                let answered = Instant::now();
                if answered >= until {
                    return tally;
                }
                tally.add(answered - asked, result);
            }
        });
    }
    let tally = sum(callers).await;
    tally.over(lasting)
}

/// Starts `per_second` calls a second, whether or not earlier ones are answered. A latency counts from
/// the moment at which the call was due, so that a system that stalls is not spared the calls that wait
/// for it (coordinated omission).
pub(crate) async fn open(
    call: &Arc<dyn Call>,
    keys: Keys,
    per_second: f64,
    lasting: Duration,
) -> Measured {
    let began = Instant::now();
    let calls = (per_second * lasting.as_secs_f64()) as u64;
    let mut keys = keys.source(RUNS.fetch_add(1, Ordering::Relaxed) << 32);
    let mut running = JoinSet::new();
    let mut tally = Tally::new();
    for number in 0..calls {
        let due = began + Duration::from_secs_f64(number as f64 / per_second);
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        while let Some(done) = running.try_join_next() {
            tally.take(done);
        }
        if running.len() >= OPEN_CALLS_MAX
            && let Some(done) = running.join_next().await
        {
            tally.take(done);
        }
        let (user, salt, call) = (keys.next(), keys.salt(), Arc::clone(call));
        running.spawn(async move {
            let result = call.call(number as usize, user, salt).await;
            (Instant::now() - due, result)
        });
    }
    while let Some(done) = running.join_next().await {
        tally.take(done);
    }
    tally.over(began.elapsed())
}

/// What was answered so far.
struct Tally {
    latency: Histogram<u64>,
    failures: u64,
    first_failure: Option<String>,
}

impl Tally {
    fn new() -> Tally {
        Tally {
            latency: Histogram::new_with_max(LATENCY_US_MAX, 3).expect("bounds that fit"),
            failures: 0,
            first_failure: None,
        }
    }

    fn add(&mut self, took: Duration, result: Result<(), String>) {
        match result {
            Ok(()) => self.latency.saturating_record(took.as_micros() as u64),
            Err(failure) => {
                self.failures += 1;
                self.first_failure.get_or_insert(failure);
            }
        }
    }

    fn take(&mut self, done: Result<(Duration, Result<(), String>), JoinError>) {
        let (took, result) = done.expect("a call does not panic");
        self.add(took, result);
    }

    fn over(self, lasted: Duration) -> Measured {
        Measured {
            per_second: self.latency.len() as f64 / lasted.as_secs_f64(),
            latency: self.latency,
            failures: self.failures,
            first_failure: self.first_failure,
        }
    }
}

async fn sum(mut callers: JoinSet<Tally>) -> Tally {
    let mut all = Tally::new();
    while let Some(tally) = callers.join_next().await {
        let tally = tally.expect("a caller does not panic");
        all.latency.add(&tally.latency).expect("the same bounds");
        all.failures += tally.failures;
        all.first_failure = all.first_failure.or(tally.first_failure);
    }
    all
}
