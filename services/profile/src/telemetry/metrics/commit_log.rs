//! Groups of commits: how many, how large, how long, and what became of their commits.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// What came of a group, for [`LogMetrics::record`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupOutcome {
    pub committed: u64,
    /// Somebody else had committed for the user meanwhile.
    pub conflicts: u64,
    pub certainly_not_written: u64,
    pub maybe_written: u64,
    /// Of the frame; 0 when there was nothing to write.
    pub frame_bytes: u64,
    /// For the write and the sync.
    pub took: Duration,
}

#[derive(Debug)]
pub struct LogMetrics {
    committed: Counter,
    conflicts: Counter,
    certainly_not_written: Counter,
    maybe_written: Counter,
    group_commits: Histogram,
    written_bytes: Counter,
    sync_seconds: Histogram,
}

impl LogMetrics {
    pub(super) fn registered(registry: &mut Registry) -> LogMetrics {
        let outcomes = Family::<OutcomeLabels, Counter>::default();
        let counter = |outcome| outcomes.get_or_create(&OutcomeLabels { outcome }).clone();
        let metrics = LogMetrics {
            committed: counter("committed"),
            conflicts: counter("conflict"),
            certainly_not_written: counter("certainly_not_written"),
            maybe_written: counter("maybe_written"),
            group_commits: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            written_bytes: Counter::default(),
            // 50 µs to 1.6 s.
            sync_seconds: Histogram::new(exponential_buckets(0.000_05, 2.0, 16)),
        };
        registry.register(
            "profile_log_commits",
            "Commits that were given to the log, by what became of them",
            outcomes,
        );
        registry.register(
            "profile_log_group_commits",
            "Commits that were made durable with one sync",
            metrics.group_commits.clone(),
        );
        registry.register_with_unit(
            "profile_log_written",
            "Frames of groups, headers included",
            Unit::Bytes,
            metrics.written_bytes.clone(),
        );
        registry.register_with_unit(
            "profile_log_sync_duration",
            "One write and one fdatasync",
            Unit::Seconds,
            metrics.sync_seconds.clone(),
        );
        metrics
    }

    pub fn record(&self, group: &GroupOutcome) {
        self.committed.inc_by(group.committed);
        self.conflicts.inc_by(group.conflicts);
        self.certainly_not_written
            .inc_by(group.certainly_not_written);
        self.maybe_written.inc_by(group.maybe_written);
        if group.frame_bytes > 0 {
            self.written_bytes.inc_by(group.frame_bytes);
            self.sync_seconds.observe(group.took.as_secs_f64());
        }
        if group.committed > 0 {
            self.group_commits.observe(group.committed as f64);
        }
    }
}
