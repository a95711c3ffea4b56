//! Metrics, as Prometheus reads them. No label has a user, an organization or a value of a profile: all
//! labels are of closed sets.
//!
//! What happens often is counted where it happens ([`RequestMetrics`], [`LogMetrics`],
//! [`UpkeepMetrics`]); what already has
//! a number somewhere is read when Prometheus asks ([`Reading`]).

mod commit_log;
mod process;
mod reading;
mod requests;
#[cfg(test)]
mod tests;
mod upkeep;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub use self::commit_log::{GroupOutcome, LogMetrics};
pub use self::reading::{Kind, Reading, Sample};
pub use self::requests::{RequestMetrics, Transport};
pub use self::upkeep::UpkeepMetrics;

/// `Content-Type` of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted; one for a process.
pub struct Metrics {
    registry: Mutex<Registry>,
    pub requests: Arc<RequestMetrics>,
    pub commit_log: Arc<LogMetrics>,
    pub upkeep: Arc<UpkeepMetrics>,
}

impl Metrics {
    /// With the process's own numbers and its version, and everything at zero.
    pub fn new(version: &'static str) -> Metrics {
        let mut registry = Registry::default();
        let requests = Arc::new(RequestMetrics::registered(&mut registry));
        let commit_log = Arc::new(LogMetrics::registered(&mut registry));
        let upkeep = Arc::new(UpkeepMetrics::registered(&mut registry));
        let metrics = Metrics {
            registry: Mutex::new(registry),
            requests,
            commit_log,
            upkeep,
        };
        metrics.read(process::readings(version));
        metrics
    }

    /// These too from now on. A name stands in one of them only.
    pub fn read(&self, readings: Vec<Reading>) {
        self.registry()
            .register_collector(Box::new(reading::Readings(readings)));
    }

    /// All of them now, in the OpenMetrics text format.
    ///
    /// # Errors
    /// Never for a string; the signature is the library's.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry())?;
        Ok(text)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
