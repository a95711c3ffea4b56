//! What goes on behind the requests: passes of compaction over the log, and renewals of the view.

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

/// How a piece of work ended, and after how long.
#[derive(Debug)]
struct Work {
    done: Counter,
    failed: Counter,
    seconds: Histogram,
}

/// 10 ms to 44 minutes: a pass reads the whole log, slowly.
fn buckets() -> impl Iterator<Item = f64> {
    exponential_buckets(0.01, 4.0, 10)
}

impl Work {
    fn registered(
        registry: &mut Registry,
        [runs, runs_help]: [&'static str; 2],
        [duration, duration_help]: [&'static str; 2],
    ) -> Work {
        let outcomes = Family::<OutcomeLabels, Counter>::default();
        let counter = |outcome| outcomes.get_or_create(&OutcomeLabels { outcome }).clone();
        let work = Work {
            done: counter("done"),
            failed: counter("failed"),
            seconds: Histogram::new(buckets()),
        };
        registry.register(runs, runs_help, outcomes);
        registry.register_with_unit(duration, duration_help, Unit::Seconds, work.seconds.clone());
        work
    }

    fn record<T, E>(&self, outcome: &Result<T, E>, took: Duration) {
        match outcome {
            Ok(_) => self.done.inc(),
            Err(_) => self.failed.inc(),
        };
        self.seconds.observe(took.as_secs_f64());
    }
}

#[derive(Debug)]
pub struct UpkeepMetrics {
    passes: Work,
    renewals: Work,
    written_bytes: Counter,
    reclaimed_bytes: Counter,
}

/// Counted for nobody: for whoever compacts without a monitoring port.
impl Default for UpkeepMetrics {
    fn default() -> UpkeepMetrics {
        UpkeepMetrics::registered(&mut Registry::default())
    }
}

impl UpkeepMetrics {
    pub(super) fn registered(registry: &mut Registry) -> UpkeepMetrics {
        let metrics = UpkeepMetrics {
            passes: Work::registered(
                registry,
                ["profile_compaction_passes", "Passes over the whole log"],
                [
                    "profile_compaction_pass_duration",
                    "One pass over the whole log",
                ],
            ),
            renewals: Work::registered(
                registry,
                [
                    "profile_view_renewals",
                    "Times that all files of the current view were made anew",
                ],
                ["profile_view_renewal_duration", "One of these"],
            ),
            written_bytes: Counter::default(),
            reclaimed_bytes: Counter::default(),
        };
        registry.register_with_unit(
            "profile_compaction_written",
            "Segments that took the place of others",
            Unit::Bytes,
            metrics.written_bytes.clone(),
        );
        registry.register_with_unit(
            "profile_compaction_reclaimed",
            "What they are shorter than those",
            Unit::Bytes,
            metrics.reclaimed_bytes.clone(),
        );
        metrics
    }

    /// A pass of compaction, whatever it found to do.
    pub fn passed<T, E>(&self, outcome: &Result<T, E>, took: Duration) {
        self.passes.record(outcome, took);
    }

    /// What a pass wrote, and the length of what that replaced.
    pub fn rewrote(&self, bytes_before: u64, bytes_after: u64) {
        self.written_bytes.inc_by(bytes_after);
        self.reclaimed_bytes
            .inc_by(bytes_before.saturating_sub(bytes_after));
    }

    /// A renewal of the view.
    pub fn renewed<T, E>(&self, outcome: &Result<T, E>, took: Duration) {
        self.renewals.record(outcome, took);
    }
}
