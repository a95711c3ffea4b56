//! What the edge counts: plain atomics, read by metrics and by the drain.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything since the edge started. `read` = answered + refused + dropped + still in flight +
/// `answers_failed`.
#[derive(Debug, Default)]
pub struct NatsCounters {
    /// Messages taken from the request subscription.
    pub read: Count,
    /// Answers of the funnel, errors included, handed to the egress connection.
    pub answered: Count,
    /// Answered at once with RESOURCE_EXHAUSTED or, in a drain over its time, UNAVAILABLE.
    pub refused: Count,
    /// Dropped: no reply subject.
    pub dropped_no_reply: Count,
    /// Dropped: a reply subject that the rule forbids.
    pub dropped_reply_forbidden: Count,
    /// Answers that could not be handed over: the egress connection is stuck or closed.
    pub answers_failed: Count,
    pub unknown_subjects: Count,
    /// Requests whose handling panicked; they are answered INTERNAL.
    pub panics: Count,
    /// `$SRV` requests taken, answered or not.
    pub discovery_read: Count,
    /// `$SRV` requests dropped by the reply rule.
    pub discovery_dropped: Count,
    /// Messages that async-nats reported as dropped because the subscription was full.
    pub slow_consumer: Count,
    pub disconnects: Count,
    /// Permission violations that the server reported, on either connection.
    pub permission_violations: Count,
    /// Other errors that the server or the client library reported.
    pub connection_errors: Count,
}
