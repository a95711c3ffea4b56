//! The commit log in files: one writer thread, one fdatasync for a group of commits.
//!
//! Reading order: `frame` and `segment` are the bytes, `scan` finds frames, `recovery` is what a start
//! does, `writer` what a commit goes through, `reader` the reads, `compact` what is thrown away. This
//! file is the adapter: the queue and the thread.
//!
//! Assumed of the disk: a 512-byte sector is written whole or not at all, and a sync that returned 0
//! has done what it says.

mod answers;
pub(crate) mod archive;
mod compact;
mod frame;
mod group;
mod next_segment;
mod reader;
pub(super) mod recent;
mod recovery;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use profile_messages::Position;
use profile_messages::record::Record;
use tokio::sync::watch;

use super::{
    AppendError, Commit, CommitLog, CommitObserver, CompactError, CompactionReport, NotWritten,
    ReadError, ReadLimits, Retention,
};
use crate::data_dir::DataDir;
use crate::file_system::make_dirs;
use compact::{Compaction, Compactor, Queue};
use frame::FrameCodec;
use group::{Pending, Work};
use reader::Reader;
use writer::{Surroundings, Writer};

const LOG: &str = "log";

/// Bounds and times of the log.
#[derive(Clone, Copy, Debug)]
pub struct FileLogOptions {
    /// Length of a segment file, zero-filled ahead.
    pub segment_bytes: u64,
    /// Commits that may wait; one more is refused as `QueueFull`.
    pub queue_commits_max: usize,
    pub group_commits_max: usize,
    pub group_bytes_max: usize,
    /// After this long without a commit an empty frame says that everything is durable.
    pub idle_after: Duration,
    pub prepare_next: PrepareNext,
    /// What a compaction reads at most; it writes less.
    pub compaction_read_bytes_per_second_max: u64,
}

impl Default for FileLogOptions {
    fn default() -> FileLogOptions {
        FileLogOptions {
            segment_bytes: 64 * 1024 * 1024,
            queue_commits_max: 8192,
            group_commits_max: 1024,
            group_bytes_max: 1024 * 1024,
            idle_after: Duration::from_millis(50),
            prepare_next: PrepareNext::Ahead,
            compaction_read_bytes_per_second_max: 32 * 1024 * 1024,
        }
    }
}

/// When the next segment is filled with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrepareNext {
    /// By a thread of its own, once the present one is half full.
    Ahead,
    /// By the writer: every call on the disk is then in one order.
    WhenNeeded,
}

/// Why the log was not opened: each names the thing and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} is no part of a log: move it out of this directory", path.display())]
    Unknown { path: PathBuf },
    #[error(
        "{} belongs to store {found}, this data directory to store {own}: put the segments and the file \
         STORE of one backup together, or move this segment away",
        path.display()
    )]
    OtherStore {
        path: PathBuf,
        found: String,
        own: String,
    },
    #[error(
        "{place} has format {found} of a newer release: run the release that wrote it, or a newer one"
    )]
    Newer { place: String, found: u32 },
    #[error("the header of {} is damaged: restore this segment from the backup", path.display())]
    HeaderDamaged { path: PathBuf },
    #[error(
        "{} follows a segment that is missing (it began at position {first} and ended at {last}): \
         restore that segment from the backup",
        path.display()
    )]
    SegmentMissing {
        path: PathBuf,
        first: Position,
        last: Position,
    },
    #[error(
        "{} is damaged at byte {offset}: position {position} and what follows was durable and cannot be \
         read; restore this segment from the backup, or the whole directory; do not cut it, since \
         acknowledged changes are behind the damage",
        path.display()
    )]
    Damaged {
        path: PathBuf,
        position: Position,
        offset: u64,
    },
}

impl OpenError {
    fn io(doing: &'static str, path: &Path, source: io::Error) -> OpenError {
        OpenError::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct FileLog {
    queue: Queue,
    compaction: Compaction,
    reader: Arc<Reader>,
    durable: watch::Receiver<Position>,
    failed: watch::Receiver<Option<String>>,
    /// Closed when the writer has gone.
    running: watch::Receiver<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl FileLog {
    /// Recovers the log in `dir` and starts its writer. The observer must be brought up to
    /// [`CommitLog::durable`] by the caller before the first append.
    ///
    /// # Errors
    /// [`OpenError`]: damaged, incomplete, of another store, of a newer release, or unreadable.
    pub fn open(
        options: FileLogOptions,
        dir: &DataDir,
        observer: Arc<dyn CommitObserver>,
    ) -> Result<FileLog, OpenError> {
        let writer = open_writer(options, dir, FrameCodec::new(dir.frame_magic()), observer)?;
        let (sender, receiver) = sync_channel(options.queue_commits_max);
        let (reader, durable) = (writer.reader.clone(), writer.durable.subscribe());
        let failed = writer.failed.subscribe();
        let queue: Queue = Arc::new(RwLock::new(Some(sender)));
        let compaction = Compaction::new(Compactor::new(&writer), Arc::clone(&queue));
        let (alive, running) = watch::channel(());
        let run = move || {
            let failed = writer.failed.clone();
            if catch_unwind(AssertUnwindSafe(|| run(writer, &receiver))).is_err() {
                failed.send_replace(Some("the writer of the log panicked".to_owned()));
            }
            drop(alive);
        };
        let thread = std::thread::Builder::new().name("log-writer".to_owned());
        let thread = thread.spawn(run);
        let thread = thread.map_err(|e| OpenError::io("start a thread for", dir.path(), e))?;
        Ok(FileLog {
            queue,
            compaction,
            reader,
            durable,
            failed,
            running,
            thread: Mutex::new(Some(thread)),
        })
    }

    fn send(&self, pending: Pending) -> Result<(), NotWritten> {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().ok_or(NotWritten::Closed)?;
        let sent = queue.try_send(Work::Commit(Box::new(pending)));
        sent.map_err(|error| match error {
            TrySendError::Full(_) => NotWritten::QueueFull,
            TrySendError::Disconnected(_) => NotWritten::Closed,
        })
    }

    fn stop_queue(&self) {
        let mut queue = self.queue.write().unwrap_or_else(PoisonError::into_inner);
        *queue = None;
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let reader = self.reader.clone();
        match tokio::runtime::Handle::try_current() {
            Err(_) => read(&reader),
            Ok(runtime) => {
                let done = runtime.spawn_blocking(move || read(&reader)).await;
                done.unwrap_or_else(|error| Err(ReadError::Io(error.to_string())))
            }
        }
    }
}

/// Waits for the writer and a compaction, so that the directory is free when the value is gone.
impl Drop for FileLog {
    fn drop(&mut self) {
        self.stop_queue();
        self.compaction.join();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl CommitLog for FileLog {
    async fn append(&self, commit: Commit) -> Result<Arc<Record>, AppendError> {
        let (answer, answered) = answers::expected_here();
        let pending = Pending { commit, answer };
        self.send(pending).map_err(AppendError::NotWritten)?;
        match answered.await {
            Ok(outcome) => outcome,
            Err(_) => Err(AppendError::MaybeWritten("the writer stopped".to_owned())),
        }
    }

    async fn read_after(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        if after >= *self.durable.borrow() {
            return Ok(Vec::new());
        }
        if let Some(recent) = self.reader.read_recent(after, limits) {
            return Ok(recent);
        }
        self.read(move |reader| reader.read_after(after, limits))
            .await
    }

    async fn read_one(&self, position: Position) -> Result<Option<Arc<Record>>, ReadError> {
        self.read(move |reader| reader.read_one(position)).await
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.durable.clone()
    }

    fn failed(&self) -> watch::Receiver<Option<String>> {
        self.failed.clone()
    }

    async fn compact(
        &self,
        until: Position,
        retention: Arc<dyn Retention>,
    ) -> Result<CompactionReport, CompactError> {
        let answered = self.compaction.start(until, retention)?.await;
        answered.unwrap_or_else(|_| Err(CompactError::Io("the compaction panicked".to_owned())))
    }

    fn dropped_through(&self) -> Position {
        self.reader.dropped_through()
    }

    async fn close(&self) {
        self.stop_queue();
        if let Some(mut compaction) = self.compaction.stop() {
            let _ = compaction.changed().await;
        }
        // Ends with an error when the writer drops its end, which is what is waited for.
        let _ = self.running.clone().changed().await;
    }
}

fn open_writer(
    options: FileLogOptions,
    dir: &DataDir,
    codec: FrameCodec,
    observer: Arc<dyn CommitObserver>,
) -> Result<Writer, OpenError> {
    let (fs, log_dir) = (dir.file_system(), dir.path().join(LOG));
    let failed = |source| OpenError::io("make", &log_dir, source);
    make_dirs(fs.as_ref(), &log_dir).map_err(failed)?;
    let recovered = recovery::recover(dir, &log_dir, codec, options.segment_bytes)?;
    let around = Surroundings {
        dir: dir.clone(),
        log_dir,
        codec,
        options,
        observer,
    };
    Ok(Writer::new(around, recovered))
}

/// The life of the writer thread: until the queue is closed and empty.
fn run(mut writer: Writer, queue: &Receiver<Work>) {
    let commits_max = writer.options.group_commits_max;
    let mut waiting = VecDeque::new();
    loop {
        let next = if writer.is_uncovered() {
            queue.recv_timeout(writer.options.idle_after)
        } else {
            queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match next {
            Ok(work) => take(work, &mut waiting, &mut writer),
            Err(RecvTimeoutError::Timeout) => writer.write_idle(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        while !waiting.is_empty() {
            let free = commits_max.saturating_sub(waiting.len());
            for work in queue.try_iter().take(free) {
                take(work, &mut waiting, &mut writer);
            }
            writer.write_group(&mut waiting);
        }
        if writer.has_failed() {
            // Later appends meet a queue without a reader.
            for work in queue.try_iter() {
                take(work, &mut waiting, &mut writer);
            }
            writer.write_group(&mut waiting);
            break;
        }
    }
    writer.close();
}

/// Commits wait for their group; a new segment is made between two of them.
fn take(work: Work, waiting: &mut VecDeque<Pending>, writer: &mut Writer) {
    match work {
        Work::Commit(pending) => waiting.push_back(*pending),
        Work::Roll(answer) => {
            // Nobody may wait any more: the segment is sealed all the same.
            let _ = answer.send(writer.roll());
        }
    }
}
