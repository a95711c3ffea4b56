//! What stays in the log, and when the rest is thrown away.
//!
//! [`retention`] says what stays. A pass compacts the log up to the relay's cursor. If it meets records of
//! users who were removed, and whose events are erased from the stream, the view is renewed first: as
//! long as some file of the view may hold such a user, the log's records show that there is work to do.

mod retention;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use profile_messages::Position;
use profile_messages::record::Record;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::commit_log::{CommitLog, CompactError, CompactionReport, Fate, Retention};
use crate::current_view::CurrentView;
use crate::telemetry::metrics::UpkeepMetrics;
use retention::{ErasedRecords, ViewRetention};

/// The first pass does not wait longer than this after a start.
const FIRST_PASS_AFTER_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionOptions {
    /// From the end of one pass to the next.
    pub interval: Duration,
    /// How many of the newest changes of a user are kept, at least 1.
    pub history_changes_kept: u64,
}

/// Makes all files of the view anew, so that nothing of an earlier entry is left in any. A text when it
/// could not: what is to be erased then stays in the log until a later pass.
pub type Renew = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What a compaction works on.
#[derive(Clone)]
pub struct Compaction {
    pub options: CompactionOptions,
    pub log: Arc<dyn CommitLog>,
    pub view: Arc<dyn CurrentView>,
    /// What the stream holds: nothing after it is touched. `None` while the stream may have to be filled
    /// again: then there is no pass.
    pub cursor: watch::Receiver<Option<Position>>,
    /// Every removal at or before this is carried out in the stream for good.
    pub erased_through: watch::Receiver<Position>,
    pub renew: Renew,
    pub metrics: Arc<UpkeepMetrics>,
}

impl fmt::Debug for Compaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compaction")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The task that compacts. Dropping it ends the task.
#[derive(Debug)]
pub struct CompactionHandle {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl CompactionHandle {
    /// Ends the task; a pass that is under way ends with the log.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let _ = (&mut self.task).await;
    }
}

impl Drop for CompactionHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Compaction {
    /// A pass soon after the start, and then one in every interval.
    pub fn start(self) -> CompactionHandle {
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut pause = self.options.interval.min(FIRST_PASS_AFTER_MAX);
            loop {
                let stop = stopped.wait_for(|stop| *stop);
                if tokio::time::timeout(pause, stop).await.is_ok() {
                    return;
                }
                pause = self.options.interval;
                tokio::select! {
                    () = self.counted_pass() => {}
                    _ = stopped.wait_for(|stop| *stop) => return,
                }
            }
        });
        CompactionHandle { stop, task }
    }

    async fn counted_pass(&self) {
        if self.cursor.borrow().is_none() {
            return;
        }
        let began = Instant::now();
        let outcome = self.pass().await;
        tell(&outcome);
        match outcome {
            // It is the stop that ended it.
            Err(CompactError::Closed) => {}
            outcome => self.metrics.passed(&outcome, began.elapsed()),
        }
    }

    /// One pass. The first look drops what is superseded, and ends where it meets something to erase.
    ///
    /// # Errors
    /// [`CompactError`] of the log.
    pub async fn pass(&self) -> Result<CompactionReport, CompactError> {
        let Some(cursor) = *self.cursor.borrow() else {
            return Ok(CompactionReport::default());
        };
        let until = cursor.min(*self.log.durable().borrow());
        // One value for the whole pass: what is erased below was looked for before the view was renewed.
        let erased_through = *self.erased_through.borrow();
        let look = Arc::new(self.retention(erased_through, ErasedRecords::Find));
        let outcome = self.compact(until, Arc::clone(&look) as _).await;
        if !look.has_found_erased() {
            return outcome;
        }
        let began = Instant::now();
        let renewed = (self.renew)().await;
        self.metrics.renewed(&renewed, began.elapsed());
        let erased = match renewed {
            Ok(()) => ErasedRecords::Drop,
            Err(why) => {
                tracing::warn!(
                    why,
                    "the current view was not renewed, so records of removed users stay"
                );
                ErasedRecords::Keep
            }
        };
        // The stream may have been lost since the first look.
        let Some(cursor) = *self.cursor.borrow() else {
            return outcome;
        };
        let until = until.min(cursor);
        let retention = self.retention(erased_through, erased);
        self.compact(until, Arc::new(retention)).await
    }

    async fn compact(
        &self,
        until: Position,
        retention: Arc<dyn Retention>,
    ) -> Result<CompactionReport, CompactError> {
        let report = self.log.compact(until, retention).await?;
        self.metrics
            .rewrote(report.bytes_before, report.bytes_after);
        Ok(report)
    }

    /// Whether a pass keeps the record, once it comes to it.
    ///
    /// # Errors
    /// A text when the view cannot be read.
    pub fn keeps(&self, record: &Record) -> Result<bool, String> {
        let erased_through = *self.erased_through.borrow();
        let retention = self.retention(erased_through, ErasedRecords::Drop);
        Ok(retention.fate(record)? == Fate::Keep)
    }

    fn retention(&self, erased_through: Position, erased: ErasedRecords) -> ViewRetention {
        ViewRetention::new(
            Arc::clone(&self.view),
            self.options.history_changes_kept,
            erased_through,
            erased,
        )
    }
}

fn tell(outcome: &Result<CompactionReport, CompactError>) {
    match outcome {
        Ok(report) => tracing::info!(
            records_read = report.records_read,
            records_superseded = report.records_superseded,
            records_erased = report.records_erased,
            segments_before = report.segments_before,
            segments_after = report.segments_after,
            bytes_before = report.bytes_before,
            bytes_after = report.bytes_after,
            "the log was compacted"
        ),
        // The log is closed first at a stop.
        Err(CompactError::Closed) => {}
        Err(error) => tracing::warn!(%error, "the log was not compacted, trying again later"),
    }
}
