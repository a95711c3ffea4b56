//! What all workers count together.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Answers by operation.
    pub(crate) answers: BTreeMap<&'static str, u64>,
    /// Failed attempts: gRPC code, or what was missing.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Longest time without any answer, by the fault that came last before it ended.
    pub(crate) pauses: BTreeMap<&'static str, Duration>,
}

impl Counts {
    pub(crate) fn answers(&self) -> u64 {
        self.answers.values().sum()
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.values().sum()
    }
}

#[derive(Debug)]
pub(crate) struct Tally(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    counts: Counts,
    last_answer: Instant,
    last_fault: &'static str,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally(Mutex::new(Inner {
            counts: Counts::default(),
            last_answer: Instant::now(),
            last_fault: "none",
        }))
    }

    pub(crate) fn answered(&self, operation: &'static str) {
        let mut inner = self.lock();
        let pause = inner.last_answer.elapsed();
        inner.last_answer = Instant::now();
        *inner.counts.answers.entry(operation).or_default() += 1;
        let fault = inner.last_fault;
        let longest = inner.counts.pauses.entry(fault).or_default();
        *longest = pause.max(*longest);
    }

    pub(crate) fn failed(&self, why: &str) {
        *self
            .lock()
            .counts
            .failures
            .entry(why.to_owned())
            .or_default() += 1;
    }

    pub(crate) fn fault(&self, name: &'static str) {
        self.lock().last_fault = name;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("the tally is not poisoned")
    }
}
