//! Writing the overlay to sled, behind the commits. Nothing here can fail a commit: what cannot be
//! written stays in the overlay up to its bound, and is tried again.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use profile_messages::Position;

use super::recent::RecentUsers;
use super::renewal::CopyState;
use super::state_file::Left;
use super::stored::{Applied, Stored, StoredError};
use super::{Shared, SledView, lock, opening, read, write};
use crate::current_view::overlay::Generation;

/// Users in one sled batch. Small, because a batch keeps every read of sled waiting while it is applied
/// (sled's lock is global), and the next commit may need one: 28 µs a user (baseline).
const BATCH_USERS_MAX: usize = 32;
/// What sled may write for a byte of the overlay, as of the figures in RELIABILITY.md, with a margin.
const DISK_BYTES_PER_BYTE: usize = 8;
/// Free space below which sled is not written: it also rewrites what it has.
const FREE_BYTES_MIN: usize = 8 * 1024 * 1024;
/// Longest pause between two attempts when sled cannot be written.
const RETRY_PAUSE_MS_MAX: u64 = 5_000;

/// What the one writer at a time knows.
#[derive(Debug)]
pub(super) struct Writing {
    /// Everything up to here is in sled and with the operating system.
    pub(super) applied: Position,
    pub(super) is_closed: bool,
    /// Gets whatever sled gets.
    pub(super) copy: CopyState,
}

impl Writing {
    pub(super) fn after(applied: Position) -> Writing {
        Writing {
            applied,
            is_closed: false,
            copy: CopyState::None,
        }
    }
}

/// Wakes the thread before its interval ends.
#[derive(Debug, Default)]
pub(super) struct Wake {
    call: Mutex<Call>,
    called: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Call {
    #[default]
    None,
    Write,
    Stop,
}

impl Wake {
    pub(super) fn write_now(&self) {
        let mut call = lock(&self.call);
        if *call == Call::None {
            *call = Call::Write;
            self.called.notify_one();
        }
    }

    fn stop(&self) {
        *lock(&self.call) = Call::Stop;
        self.called.notify_one();
    }

    fn wait(&self, pause: Duration) -> Call {
        let is_quiet = |call: &mut Call| *call == Call::None;
        let (mut call, _) = self
            .called
            .wait_timeout_while(lock(&self.call), pause, is_quiet)
            .unwrap_or_else(PoisonError::into_inner);
        match *call {
            Call::Stop => Call::Stop,
            Call::None | Call::Write => std::mem::take(&mut *call),
        }
    }
}

pub(super) fn start(shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    start_with(shared, run)
}

/// A thread that ends with a panic is the end of the view: the overlay would only grow from then on.
pub(super) fn start_with(
    shared: &Arc<Shared>,
    run: impl FnOnce(&Shared) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    let guarded = move || {
        if catch_unwind(AssertUnwindSafe(|| run(&shared))).is_err() {
            shared.fail("the write-behind thread panicked");
        }
    };
    Builder::new()
        .name("write-behind".to_owned())
        .spawn(guarded)
}

fn run(shared: &Shared) {
    let interval_ms = shared.options.write_behind_interval_ms.max(1);
    let mut pause_ms = interval_ms;
    let mut has_failed = false;
    loop {
        match shared.wake.wait(Duration::from_millis(pause_ms)) {
            Call::Stop => return,
            Call::None | Call::Write => {}
        }
        pause_ms = match shared.write_behind() {
            Ok(()) => {
                if std::mem::take(&mut has_failed) {
                    tracing::info!("the current view can be written again");
                }
                interval_ms
            }
            Err(error) => {
                has_failed = true;
                let next_ms = (pause_ms * 2).min(RETRY_PAUSE_MS_MAX.max(interval_ms));
                let overlay_bytes = read(&shared.overlay).bytes_used();
                tracing::warn!(%error, retry_ms = next_ms, overlay_bytes, "the current view cannot be written");
                next_ms
            }
        };
    }
}

impl SledView {
    /// Writes what is committed so far to sled, now and on this thread.
    ///
    /// # Errors
    /// A text when sled cannot be written; everything stays in the overlay.
    pub fn write_behind(&self) -> Result<(), String> {
        self.shared
            .write_behind()
            .map_err(|error| error.to_string())
    }

    /// Writes everything behind and leaves the directory clean, so that the next start needs no more
    /// than what the log has got since. The log must be closed before. A second call does nothing.
    ///
    /// # Errors
    /// A text when it could not: the next start catches up, or rebuilds.
    pub fn close(&self) -> Result<(), String> {
        self.shared.is_closing.store(true, Ordering::Release);
        self.stop_thread();
        // A closed view answers nothing from memory either.
        *lock(&self.shared.folding) = RecentUsers::default();
        self.shared.close().map_err(|error| error.to_string())
    }

    fn stop_thread(&self) {
        self.shared.wake.stop();
        let thread = lock(&self.thread).take();
        if let Some(Err(_)) = thread.map(JoinHandle::join) {
            tracing::error!("the write-behind thread had panicked");
        }
    }
}

impl Drop for SledView {
    fn drop(&mut self) {
        self.stop_thread();
    }
}

impl Shared {
    /// Writes one generation to sled: the one left from last time, else what is active now.
    pub(super) fn write_behind(&self) -> Result<(), StoredError> {
        self.write_one(&mut lock(&self.writing))
    }

    pub(super) fn write_one(
        &self,
        writing: &mut MutexGuard<'_, Writing>,
    ) -> Result<(), StoredError> {
        if let Some(why) = self.failure.borrow().as_ref() {
            return Err(StoredError::Damaged(why.clone()));
        }
        self.heal(writing)?;
        let Some(generation) = self.begin_flush() else {
            return Ok(());
        };
        let bytes = generation.bytes_used().saturating_mul(DISK_BYTES_PER_BYTE);
        self.directory
            .require_free(bytes.saturating_add(FREE_BYTES_MIN))
            .map_err(|error| StoredError::Io(error.to_string()))?;
        match self.store(&generation) {
            Ok(()) => writing.applied = generation.position(),
            Err(error) => {
                writing
                    .copy
                    .give_up("the old database could not be written");
                match &error {
                    // sled 0.34 keeps the first failed write and answers every later one with it.
                    StoredError::Io(_) => self.is_degraded.store(true, Ordering::Release),
                    StoredError::Damaged(why) => self.fail(why),
                }
                return Err(error);
            }
        }
        // The copy keeps nobody's changes back: if it cannot take them, there is none.
        if let CopyState::Filling(copy) = &writing.copy
            && let Err(error) = store_in(copy, &generation)
        {
            writing.copy.give_up(&error.to_string());
        }
        self.end_flush();
        Ok(())
    }

    /// Waits for pages being read, so that they are not overtaken by what was committed after them.
    pub(super) fn begin_flush(&self) -> Option<Arc<Generation>> {
        let _no_page = write(&self.pages);
        write(&self.overlay).begin_flush()
    }

    pub(super) fn end_flush(&self) {
        let written = write(&self.overlay).end_flush();
        drop(written); // the lock is free by now
    }

    /// In bounded batches, the applied position in the last one: after a crash in between, catching up
    /// folds the same records again, which changes nothing.
    fn store(&self, generation: &Generation) -> Result<(), StoredError> {
        let position = generation.position();
        let entries = generation.entries();
        let batches = entries.len().div_ceil(BATCH_USERS_MAX);
        for (index, batch) in entries.chunks(BATCH_USERS_MAX).enumerate() {
            let meta = if index + 1 == batches {
                Applied::Whole { applied: position }
            } else {
                Applied::Part { reached: position }
            };
            self.store_batch(batch, &meta)?;
        }
        // Before the generation is dropped: what sled has not handed over is lost when it is reopened.
        self.with_stored(super::Stored::flush)
    }

    pub(super) fn store_batch(
        &self,
        batch: &[&Arc<profile_messages::current::CurrentUser>],
        meta: &Applied,
    ) -> Result<(), StoredError> {
        self.with_stored(|stored| stored.apply(batch, meta))
    }

    fn with_stored(
        &self,
        call: impl FnOnce(&super::Stored) -> Result<(), StoredError>,
    ) -> Result<(), StoredError> {
        match read(&self.stored).as_ref() {
            Some(stored) => call(stored),
            None => Err(StoredError::Io("sled is not open".to_owned())),
        }
    }

    fn heal(&self, writing: &Writing) -> Result<(), StoredError> {
        self.heal_with(writing, || {
            opening::reopen(&self.options, &self.directory.database())
        })
    }

    /// After a failed write: opens sled again once the disk takes data. That takes a while, so nobody
    /// waits for it: reads of what is not in memory are refused meanwhile.
    pub(super) fn heal_with(
        &self,
        writing: &Writing,
        reopen: impl FnOnce() -> Result<Stored, StoredError>,
    ) -> Result<(), StoredError> {
        if !self.is_degraded.load(Ordering::Acquire) || writing.is_closed {
            return Ok(());
        }
        self.directory
            .probe_space()
            .map_err(|error| StoredError::Io(error.to_string()))?;
        self.let_go_of_sled();
        let reopened = reopen().and_then(|reopened| {
            if reopened.applied()? < writing.applied {
                return Err(StoredError::Damaged("sled lost what it had".to_owned()));
            }
            Ok(reopened)
        });
        match reopened {
            Ok(reopened) => *write(&self.stored) = Some(reopened),
            Err(error) => {
                if let StoredError::Damaged(why) = &error {
                    self.fail(why);
                }
                return Err(error);
            }
        }
        self.is_degraded.store(false, Ordering::Release);
        Ok(())
    }

    /// sled gives up its file lock, and first writes what it still has: not under our lock.
    fn let_go_of_sled(&self) {
        let stored = write(&self.stored).take();
        drop(stored);
    }

    fn close(&self) -> Result<(), StoredError> {
        const GENERATIONS: usize = 2;
        let mut writing = lock(&self.writing);
        if writing.is_closed {
            return Ok(());
        }
        writing.copy.give_up("the current view was closed");
        for _ in 0..GENERATIONS {
            self.write_one(&mut writing)?;
        }
        // sled writes on its way out too, so it goes before the fsync.
        self.let_go_of_sled();
        writing.is_closed = true;
        let left = self.directory.sync_files();
        left.and_then(|()| self.directory.leave(Left::Clean))
            .map_err(|error| StoredError::Io(error.to_string()))?;
        // Damage that a read met in between has the last word.
        if self.failure.borrow().is_some() {
            let left = self.directory.leave(Left::Suspect);
            return left.map_err(|error| StoredError::Io(error.to_string()));
        }
        Ok(())
    }
}

/// Without the applied position: the copy is not whole yet.
fn store_in(copy: &Stored, generation: &Generation) -> Result<(), StoredError> {
    let reached = generation.position();
    let entries = generation.entries();
    let mut batches = entries.chunks(BATCH_USERS_MAX);
    batches.try_for_each(|batch| copy.apply(batch, &Applied::Part { reached }))
}
