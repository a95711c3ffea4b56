//! The relay: from the commit log to the event stream, as its only publisher.
//!
//! Every commit is exactly one message of the stream, so that stream sequence and log position are
//! the same number. Each message is chained to the one before it by the sequence that the stream must
//! be at. A lost, rolled back, wiped or forged stream shows at once: the relay then looks at it,
//! compares it with the log, and fills it again or stops with a clear reason.
//!
//! Reading order: [`reconcile`] decides, [`resume`] carries it out, [`publish`] is the window,
//! [`source`] reads the log, [`stream`] is the port to JetStream, [`cursor`] is what is on disk.
//! Behind it [`erasure`] takes removed users' events out of the stream again.

mod cursor;
mod erasure;
pub mod lag;
pub mod message;
mod progress;
mod publish;
pub mod reconcile;
mod resume;
pub mod slots;
mod source;
pub mod stream;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;

use std::sync::Arc;
use std::time::Duration;

use profile_messages::Position;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::commit_log::CommitLog;
use crate::current_view::CurrentView;
use crate::telemetry::traces::Tracer;
use cursor::Cursor;
use erasure::Eraser;
use erasure::mark::ErasedMark;
use lag::RelayLag;
use progress::Progress;
pub use progress::{RelayCounts, RelayState, RelayStatus};
use publish::Window;
use reconcile::{Refusal, Trouble};
use resume::Context;
use slots::{SlotError, SlotStore};
use source::Source;
use stream::jetstream::{JetStreamEvents, StreamOptions};

/// The wait after a failure doubles from the first to the last of these, less up to half by chance.
const BACK_OFF_MS_MIN: u64 = 50;
const BACK_OFF_MS_MAX: u64 = 5_000;

#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// 1 to 64 bytes.
    pub store_id: String,
    pub epoch: u32,
    /// `data/relay`, or what the nodes share instead.
    pub cursor: Arc<dyn SlotStore>,
    /// `data/erased`, likewise.
    pub erased: Arc<dyn SlotStore>,
    /// How long a server that loses power may bring back what was erased.
    pub erase_settle: Duration,
    pub stream: StreamOptions,
    /// Most messages under way at a time.
    pub window_messages_max: usize,
    pub tracer: Tracer,
    /// Kept over several lives of the relay where it comes and goes.
    pub counts: Arc<RelayCounts>,
}

/// The relay, not yet started.
#[derive(Debug)]
pub struct Relay;

/// What it runs on, as traits.
#[derive(Debug)]
struct Parts {
    context: Context,
    slots: Arc<dyn SlotStore>,
    erase_settle: Duration,
    store_id: String,
    window_messages_max: usize,
    lag: Arc<RelayLag>,
    counts: Arc<RelayCounts>,
}

impl Relay {
    /// Reads cursor and mark and starts the relay's task. Everything else, also a server that cannot be
    /// reached, is seen in the status. `lag` was made before the log was opened.
    ///
    /// # Errors
    /// [`SlotError`] when one of them on disk is not this store's or cannot be read.
    pub async fn start(
        options: RelayOptions,
        log: Arc<dyn CommitLog>,
        view: Arc<dyn CurrentView>,
        egress: async_nats::Client,
        clock: Arc<dyn Clock>,
        lag: Arc<RelayLag>,
    ) -> Result<RelayHandle, SlotError> {
        let max_age = options.stream.max_age;
        let (store_id, epoch) = (options.store_id, options.epoch);
        let stream = JetStreamEvents::new(egress, options.stream, &store_id, epoch);
        let context = Context {
            stream: Arc::new(stream),
            source: Source { log, view },
            clock,
            max_age,
            erased: Arc::new(ErasedMark::load(options.erased, &store_id).await?),
            tracer: options.tracer,
        };
        start(Parts {
            context,
            slots: options.cursor,
            erase_settle: options.erase_settle,
            store_id,
            window_messages_max: options.window_messages_max,
            lag,
            counts: options.counts,
        })
        .await
    }
}

async fn start(parts: Parts) -> Result<RelayHandle, SlotError> {
    let cursor = Cursor::load(parts.slots, &parts.store_id).await?;
    let durable = parts.context.source.log.durable();
    let progress = Progress::new(
        cursor.watch_written(),
        durable,
        parts.lag.clone(),
        parts.counts,
    );
    let progress = Arc::new(progress);
    let eraser = Eraser {
        stream: parts.context.stream.clone(),
        log: parts.context.source.log.clone(),
        progress: progress.clone(),
        mark: parts.context.erased.clone(),
        settle: parts.erase_settle,
    };
    let erased = parts.context.erased.watch();
    let (stop, stopped) = watch::channel(false);
    let task = Task {
        context: parts.context,
        window_messages_max: parts.window_messages_max,
        lag: parts.lag,
        progress: progress.clone(),
        stop: stopped,
    };
    let acked = progress.watch_cursor();
    let (ended, end) = oneshot::channel::<()>();
    let unnoticed = Unnoticed(progress.clone());
    let settling = progress.clone();
    // One task, so that aborting it ends all.
    let task = tokio::spawn(async move {
        let _unnoticed = unnoticed;
        let relay = async {
            tokio::select! {
                biased;
                () = task.run() => {}
                () = eraser.run() => {}
            }
            drop(ended);
        };
        let cursor = cursor.follow(acked, end);
        tokio::join!(relay, cursor, settling.follow_written());
    });
    Ok(RelayHandle {
        progress,
        erased,
        stop,
        task,
    })
}

/// Shows in the status that the task is gone, should it panic: nobody else would tell.
struct Unnoticed(Arc<Progress>);

impl Drop for Unnoticed {
    fn drop(&mut self) {
        match self.0.status().state {
            RelayState::Stopped(_) | RelayState::Closed => {}
            RelayState::Starting
            | RelayState::Running
            | RelayState::Refilling
            | RelayState::Standby
            | RelayState::Waiting(_) => {
                self.0.turn_to(RelayState::Stopped(Refusal::Ended));
            }
        }
    }
}

/// The running relay. Dropping it ends the relay as a crash would: nothing is lost by that.
#[derive(Debug)]
pub struct RelayHandle {
    progress: Arc<Progress>,
    erased: watch::Receiver<Position>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl RelayHandle {
    /// Where the relay stands now, lag included.
    pub fn status(&self) -> RelayStatus {
        self.progress.status()
    }

    /// The status as it moves; the lag in it is that of the last move.
    pub fn watch(&self) -> watch::Receiver<RelayStatus> {
        self.progress.watch()
    }

    /// What became of messages so far.
    pub fn counts(&self) -> Arc<RelayCounts> {
        self.progress.counts()
    }

    /// Every removal at or before this position is carried out in the stream for good, and that is
    /// known on disk.
    pub fn watch_erased(&self) -> watch::Receiver<Position> {
        self.erased.clone()
    }

    /// Up to here the stream holds everything, and the cursor on disk says so. `None` while that is not
    /// known or not so: at the start, in a refill, while the stream is away, and when the relay has ended.
    pub fn watch_settled(&self) -> watch::Receiver<Option<Position>> {
        self.progress.watch_settled()
    }

    /// Waits for what is under way, writes the cursor, and ends. Bounded by the ack timeout.
    pub async fn stop(mut self) -> RelayStatus {
        self.stop.send_replace(true);
        let _ = (&mut self.task).await;
        self.progress.status()
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How the count of the backlog ended.
enum Measured {
    Yes,
    ToldToStop,
    Refused(Refusal),
}

#[derive(Debug)]
struct Task {
    context: Context,
    window_messages_max: usize,
    lag: Arc<RelayLag>,
    progress: Arc<Progress>,
    stop: watch::Receiver<bool>,
}

impl Task {
    async fn run(mut self) {
        match self.measure_backlog().await {
            Measured::Yes => {}
            Measured::ToldToStop => return self.progress.turn_to(RelayState::Closed),
            Measured::Refused(refusal) => return self.refuse(refusal),
        }
        let (mut failures, mut was_running) = (0, false);
        loop {
            let before = self.progress.status().acked;
            let trouble = match self.turn(&mut was_running).await {
                None => return self.progress.turn_to(RelayState::Closed),
                Some(Trouble::Refused(refusal)) => return self.refuse(refusal),
                Some(Trouble::Unsupported(text)) if !was_running => {
                    return self.refuse(Refusal::Stream(text));
                }
                Some(Trouble::Later(text) | Trouble::Unsupported(text)) => text,
            };
            // Something got through since the last failure: look again at once.
            if self.progress.status().acked > before {
                failures = 0;
            }
            tracing::warn!(%trouble, failures, "the relay looks at the event stream again");
            self.progress.retries();
            if failures > 0 {
                self.progress.turn_to(RelayState::Waiting(trouble));
                if self.stops_within(self.back_off(failures)).await {
                    return self.progress.turn_to(RelayState::Closed);
                }
            }
            failures += 1;
        }
    }

    /// From a look at the stream to the next trouble; `None` when asked to stop.
    async fn turn(&mut self, was_running: &mut bool) -> Option<Trouble> {
        if *self.stop.borrow() {
            return None;
        }
        let mut stop = self.stop.clone();
        let resumed = tokio::select! {
            biased;
            resumed = self.resume() => resumed,
            _ = stop.wait_for(|stop| *stop) => return None,
        };
        let resumed = match resumed {
            Ok(resumed) => resumed,
            Err(trouble) => return Some(trouble),
        };
        *was_running = true;
        let (context, progress) = (&self.context, &self.progress);
        let window = Window::new(context, progress, self.window_messages_max, resumed);
        window.run(&mut self.stop).await
    }

    async fn resume(&self) -> Result<resume::Resumed, Trouble> {
        let cursor = self.progress.cursor();
        let resumed = self.context.resume(cursor).await?;
        if let Some(adopted) = resumed.adopted
            && Some(adopted) > cursor
        {
            let before = cursor.unwrap_or_default();
            let bytes = self.context.source.bytes(before, adopted).await?;
            self.progress.adopted(adopted, bytes);
        }
        self.progress.resumed(resumed.last, resumed.refill);
        Ok(resumed)
    }

    /// Counts what was behind already at the start. Nothing is published before it is known: a lag
    /// that is counted too low would let writes go on above their bound.
    async fn measure_backlog(&mut self) -> Measured {
        let cursor = self.progress.cursor().unwrap_or_default();
        let durable = *self.context.source.log.durable().borrow();
        let end = self.lag.start(cursor, durable);
        let mut stop = self.stop.clone();
        let mut failures = 0;
        loop {
            let counted = tokio::select! {
                biased;
                counted = self.context.source.bytes(cursor, end) => counted,
                _ = stop.wait_for(|stop| *stop) => return Measured::ToldToStop,
            };
            let trouble = match counted {
                Ok(bytes) => {
                    self.lag.backlog(bytes);
                    return Measured::Yes;
                }
                Err(Trouble::Refused(refusal)) => return Measured::Refused(refusal),
                Err(Trouble::Later(text) | Trouble::Unsupported(text)) => text,
            };
            tracing::warn!(%trouble, failures, "the relay's backlog is not known, reading it again");
            self.progress.turn_to(RelayState::Waiting(trouble));
            if self.stops_within(self.back_off(failures)).await {
                return Measured::ToldToStop;
            }
            failures += 1;
        }
    }

    fn refuse(&self, refusal: Refusal) {
        tracing::error!(%refusal, "the relay stops");
        self.progress.turn_to(RelayState::Stopped(refusal));
    }

    async fn stops_within(&mut self, wait: Duration) -> bool {
        let stopped = tokio::time::timeout(wait, self.stop.wait_for(|stop| *stop));
        stopped.await.is_ok()
    }

    fn back_off(&self, failures: u32) -> Duration {
        let doubled = BACK_OFF_MS_MIN.saturating_mul(1 << failures.min(16));
        let bound_ms = doubled.min(BACK_OFF_MS_MAX);
        let random = self.context.clock.random_id();
        let chance = random
            .get(..4)
            .and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let less_ms = bound_ms / 2 * chance.unwrap_or(0) / 0xffff;
        Duration::from_millis(bound_ms - less_ms)
    }
}

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
