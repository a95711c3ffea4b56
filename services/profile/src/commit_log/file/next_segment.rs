//! The file of the next segment: filled with zeros ahead, beside the writing; and not tried again at
//! once on a full disk, since every attempt takes the last of its space for a while.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::{PrepareNext, segment};
use crate::data_dir::DataDir;
use crate::file_system::{LogFile, is_out_of_space};

/// How long a full disk is left alone; commits that need the next segment are refused meanwhile.
pub(super) const FULL_DISK_PAUSE_MS: u64 = 1_000;

type Filled = io::Result<Arc<dyn LogFile>>;

#[derive(Debug)]
pub(super) struct NextSegment {
    dir: DataDir,
    log_dir: PathBuf,
    bytes: u64,
    prepare_next: PrepareNext,
    preparing: Option<JoinHandle<Filled>>,
    /// The disk was full at the last attempt: the earliest time of the next one.
    full_until: Option<Instant>,
}

impl NextSegment {
    pub(super) fn new(
        dir: DataDir,
        log_dir: PathBuf,
        bytes: u64,
        prepare_next: PrepareNext,
    ) -> NextSegment {
        NextSegment {
            dir,
            log_dir,
            bytes,
            prepare_next,
            preparing: None,
            full_until: None,
        }
    }

    /// Starts to fill the file beside the writing, unless that has begun or the disk was full.
    pub(super) fn prepare_ahead(&mut self) {
        if self.preparing.is_none() && self.full_until.is_none() {
            self.start();
        }
    }

    /// The filled file, under its temporary name.
    ///
    /// # Errors
    /// Whatever the disk says; on one that was full, "no space" at once until an attempt went well.
    pub(super) fn take(&mut self) -> Filled {
        if self
            .full_until
            .is_some_and(|until| self.is_still_full(until))
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let ahead = self.preparing.take().and_then(|thread| thread.join().ok());
        let filled = match ahead {
            Some(Ok(file)) => Ok(file),
            Some(Err(error)) if self.full_until.is_some() => Err(error),
            // Not made ahead, or in vain some time ago: perhaps there is space by now.
            Some(Err(_)) | None => {
                segment::prepare(self.dir.file_system().as_ref(), &self.log_dir, self.bytes)
            }
        };
        match &filled {
            Ok(_) => self.full_until = None,
            Err(error) => self.note(error),
        }
        filled
    }

    /// Whether [`NextSegment::take`] would not keep the writer waiting; else it begins to fill the file.
    pub(super) fn is_ready(&mut self) -> bool {
        if self.prepare_next == PrepareNext::WhenNeeded {
            return true;
        }
        self.prepare_ahead();
        match &self.preparing {
            Some(thread) => thread.is_finished(),
            // On a full disk the answer is an error at once, without a thread it is made when taken.
            None => true,
        }
    }

    /// Leaves the disk alone for a while if the error says that it is full.
    pub(super) fn note(&mut self, error: &io::Error) {
        if is_out_of_space(error) {
            tracing::warn!("no space for the next log segment");
            let pause = Duration::from_millis(FULL_DISK_PAUSE_MS);
            self.full_until = Some(self.dir.clock().monotonic() + pause);
        }
    }

    /// The lock of the directory must outlive every write in it.
    pub(super) fn stop(&mut self) {
        if let Some(preparing) = self.preparing.take() {
            let _ = preparing.join();
        }
    }

    /// On a disk that was full the writer never waits: the thread tries, and commits are refused until
    /// it has ended.
    fn is_still_full(&mut self, until: Instant) -> bool {
        match &self.preparing {
            Some(thread) => !thread.is_finished(),
            None => self.dir.clock().monotonic() < until || self.start(),
        }
    }

    /// Whether a thread fills the file now; without one it is filled when it is needed.
    fn start(&mut self) -> bool {
        if self.prepare_next == PrepareNext::WhenNeeded {
            return false;
        }
        let (fs, log_dir) = (self.dir.file_system().clone(), self.log_dir.clone());
        let bytes = self.bytes;
        let fill = move || segment::prepare(fs.as_ref(), &log_dir, bytes);
        self.preparing = Builder::new()
            .name("log-prepare".to_owned())
            .spawn(fill)
            .ok();
        self.preparing.is_some()
    }
}
