//! The compaction beside the log: at most one thread of its own.

use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle};

use profile_messages::Position;
use tokio::sync::{oneshot, watch};

use super::Compactor;
use crate::commit_log::file::group::Work;
use crate::commit_log::file::writer::Rolled;
use crate::commit_log::{CompactError, CompactionReport, Retention};

/// `None` once the log is closed.
pub(crate) type Queue = Arc<RwLock<Option<SyncSender<Work>>>>;

type Answer = Result<CompactionReport, CompactError>;

#[derive(Debug)]
pub(crate) struct Compaction {
    queue: Queue,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once the log is closed: it holds the data directory.
    compactor: Option<Arc<Compactor>>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    thread: JoinHandle<()>,
    /// Closed when the thread has done its work.
    ended: watch::Receiver<()>,
}

impl Compaction {
    pub(crate) fn new(compactor: Compactor, queue: Queue) -> Compaction {
        let state = State {
            compactor: Some(Arc::new(compactor)),
            running: None,
        };
        Compaction {
            queue,
            state: Mutex::new(state),
        }
    }

    /// Starts a pass; its outcome comes through the receiver, which is closed if the pass panics.
    pub(crate) fn start(
        &self,
        until: Position,
        retention: Arc<dyn Retention>,
    ) -> Result<oneshot::Receiver<Answer>, CompactError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let compactor = state.compactor.clone().ok_or(CompactError::Closed)?;
        let is_running = |it: &Running| it.ended.has_changed().is_ok();
        if state.running.as_ref().is_some_and(is_running) {
            return Err(CompactError::Busy);
        }
        let (answer, answered) = oneshot::channel();
        let (alive, ended) = watch::channel(());
        let queue = Arc::clone(&self.queue);
        let run = move || {
            let outcome = compactor.pass(until, retention.as_ref(), &mut || roll(&queue));
            drop((compactor, retention, alive));
            // Nobody may wait any more: it is done all the same.
            let _ = answer.send(outcome);
        };
        let thread = Builder::new().name("log-compact".to_owned()).spawn(run);
        let thread = thread.map_err(|error| CompactError::Io(error.to_string()))?;
        state.running = Some(Running { thread, ended });
        Ok(answered)
    }

    /// Tells a pass to give up, and refuses later ones.
    pub(crate) fn stop(&self) -> Option<watch::Receiver<()>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compactor) = state.compactor.take() {
            compactor.brake.stop();
        }
        state.running.as_ref().map(|it| it.ended.clone())
    }

    /// Waits for the thread.
    pub(crate) fn join(&self) {
        self.stop();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let running = state.running.take();
        drop(state);
        if let Some(running) = running {
            let _ = running.thread.join();
        }
    }
}

/// Asks the writer, in its queue, and waits for its answer.
fn roll(queue: &Queue) -> Rolled {
    let (answer, answered) = oneshot::channel();
    // Not held while waiting: the writer ends when the last sender is gone.
    let sent = match queue
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .as_ref()
    {
        Some(queue) => queue.try_send(Work::Roll(answer)),
        None => return Rolled::No("the log is closed".to_owned()),
    };
    match sent {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => return Rolled::Later,
        Err(TrySendError::Disconnected(_)) => {
            return Rolled::No("the log has failed".to_owned());
        }
    }
    let gone = |_| Rolled::No("the log was closed".to_owned());
    answered.blocking_recv().unwrap_or_else(gone)
}
