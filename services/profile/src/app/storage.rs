//! Opening and closing what is on disk, in the one order that is safe.

use std::sync::Arc;

use anyhow::Context as _;
use profile_messages::UserId;
use profile_messages::record::Record;

use super::options;
use crate::clock::Clock;
use crate::commit_log::file::FileLog;
use crate::commit_log::{CommitLog, CommitObserver, Head};
use crate::config::Config;
use crate::current_view::CurrentView;
use crate::current_view::sled::SledView;
use crate::data_dir::DataDir;
use crate::entity::EntityPorts;
use crate::file_system::{FileSystem, RealFiles};
use crate::relay::lag::RelayLag;
use crate::telemetry::metrics::{GroupOutcome, LogMetrics};
use crate::telemetry::traces::Tracer;

/// The storage of one process: the data directory, the log in it, and the view that follows the log.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) data_dir: Arc<DataDir>,
    pub(super) log: Arc<dyn CommitLog>,
    pub(super) view: Arc<SledView>,
    /// What the stream has still to take, told of each commit beside the view.
    pub(super) lag: Arc<RelayLag>,
}

/// What the log tells of its commits goes to the view, which knows the heads, to the relay's lag, and is
/// counted.
#[derive(Debug)]
struct Observers {
    view: Arc<SledView>,
    lag: Arc<RelayLag>,
    metrics: Arc<LogMetrics>,
    tracer: Tracer,
}

impl CommitObserver for Observers {
    fn head(&self, user: &UserId) -> Result<Head, String> {
        self.view.head(user)
    }

    fn has_no_room(&self) -> bool {
        self.view.is_full()
    }

    fn committed(&self, group: &[Arc<Record>]) {
        self.view.committed(group);
        self.lag.committed(group);
    }

    fn ended(&self, records: &[Arc<Record>], outcome: &GroupOutcome) {
        self.metrics.record(outcome);
        self.trace(records, outcome);
    }
}

impl Observers {
    /// The one write and sync is a part of each trace that has a commit in the group.
    fn trace(&self, records: &[Arc<Record>], outcome: &GroupOutcome) {
        let contexts = records.iter().filter_map(|record| record.trace.as_ref());
        self.tracer.did("sync", outcome.took, contexts, |span| {
            let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            span.note(
                "profile_service.group.commits",
                number(records.len() as u64),
            );
            span.note("profile_service.group.bytes", number(outcome.frame_bytes));
            if outcome.maybe_written > 0 {
                span.fail("maybe_written");
            } else if outcome.committed == 0 {
                span.fail("certainly_not_written");
            }
        });
    }
}

/// Everything but the log: the view first, since the log asks it for heads.
pub(super) struct Opening {
    pub(super) data_dir: Arc<DataDir>,
    pub(super) observer: Arc<dyn CommitObserver>,
    view: Arc<SledView>,
    lag: Arc<RelayLag>,
}

impl Opening {
    pub(super) fn new(
        config: &Config,
        data_dir: DataDir,
        metrics: Arc<LogMetrics>,
        tracer: Tracer,
    ) -> anyhow::Result<Opening> {
        let data_dir = Arc::new(data_dir);
        let view = SledView::open(
            options::view(config),
            &data_dir.path().join("current"),
            options::view_identity(&data_dir),
        )
        .context("the current view cannot be opened")?;
        let view = Arc::new(view);
        let lag = Arc::new(RelayLag::default());
        let observer = Arc::new(Observers {
            view: Arc::clone(&view),
            lag: Arc::clone(&lag),
            metrics,
            tracer,
        });
        Ok(Opening {
            data_dir,
            observer,
            view,
            lag,
        })
    }

    pub(super) async fn in_files(self, config: &Config) -> anyhow::Result<Storage> {
        let observer = Arc::clone(&self.observer);
        let log = FileLog::open(options::log(config), &self.data_dir, observer)
            .context("the commit log cannot be opened")?;
        self.with(Arc::new(log)).await
    }

    /// The view catches up with the log.
    pub(super) async fn with(self, log: Arc<dyn CommitLog>) -> anyhow::Result<Storage> {
        let position = self.view.catch_up(log.as_ref()).await?;
        tracing::info!(position = position.0, "the current view is up to date");
        Ok(Storage {
            data_dir: self.data_dir,
            log,
            view: self.view,
            lag: self.lag,
        })
    }
}

impl Storage {
    /// The directory, which is this process's from here on.
    pub(super) fn directory(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<DataDir> {
        let files: Arc<dyn FileSystem> = Arc::new(RealFiles);
        Ok(DataDir::open(files, &config.data_dir, Arc::clone(clock))?)
    }

    /// What an actor needs of it.
    pub(super) fn ports(&self, config: &Config, clock: &Arc<dyn Clock>) -> EntityPorts {
        EntityPorts {
            log: Arc::clone(&self.log),
            view: Arc::clone(&self.view) as _,
            clock: Arc::clone(clock),
            store_id: self.data_dir.store_id().into(),
            epoch: self.data_dir.epoch(),
            payload: config.events.payload,
        }
    }

    /// # Errors
    /// When the log has failed, whatever else came between.
    pub(super) fn is_sound(&self) -> anyhow::Result<()> {
        match self.log.failed().borrow().as_ref() {
            None => Ok(()),
            Some(reason) => Err(anyhow::anyhow!("the commit log failed: {reason}")),
        }
    }

    /// The log first: what it still commits goes through the view.
    pub(super) async fn close(&self) {
        self.log.close().await;
        let view = Arc::clone(&self.view);
        let closed = tokio::task::spawn_blocking(move || view.close()).await;
        if let Ok(Err(error)) = closed {
            tracing::warn!(
                error,
                "the current view was not closed cleanly, it will be rebuilt"
            );
        }
    }
}
