//! Renewal: everything current is copied into a new database, which then takes the place of the old
//! one, so that no byte of an earlier entry is left in any file.
//!
//! Reads go on from the overlay and the old database. The write-behind goes on too, into both. Whoever
//! writes to either holds `writing`: a generation is written to both, or a chunk is read from the old
//! and written to the new, never one in the midst of the other. So a chunk is never older than what the
//! new database has of its users. List places and organizations are not copied but follow from the
//! entries, as with every write.
//!
//! Until `STATE` names the new database the old one counts, and what was copied is a leftover; from then
//! on it is the other way round. The next start deletes leftovers.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, TryLockError};

use profile_messages::UserId;

use super::directory::await_unlocked;
use super::stored::{Applied, Stored};
use super::write_behind::Writing;
use super::{Shared, SledView, lock, read, write};

/// Users in one copied chunk: some milliseconds in which the write-behind waits, and at most a few
/// megabytes of memory.
const CHUNK_USERS_MAX: usize = if cfg!(test) { 4 } else { 128 };

/// The new database while it is filled, as the write-behind sees it.
#[derive(Debug, Default)]
pub(super) enum CopyState {
    #[default]
    None,
    Filling(Stored),
    /// It will not be used, and why.
    Broken(String),
}

impl CopyState {
    /// What is being filled is of no use any more.
    pub(super) fn give_up(&mut self, why: &str) {
        if matches!(self, CopyState::Filling(_)) {
            *self = CopyState::Broken(why.to_owned());
        }
    }
}

/// Where a renewal stands; tests look at the files, and break off, at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before a chunk is copied.
    Copying,
    /// Everything is in both databases, and no write gets in between.
    Copied,
    /// The new database counts, durably; nobody reads it yet.
    Switched,
    /// It is read and written; the old one is there.
    Swapped,
    Deleted,
}

impl SledView {
    /// Copies everything current into a new database, goes on with that one, and deletes the old one and
    /// every directory that was set aside. When it returns without an error, no file of the view holds
    /// anything of an entry that was superseded, or of a user who was removed, before the call.
    ///
    /// Blocks its thread for as long as the copying takes; reads, commits and the write-behind go on.
    /// Needs sled's cache a second time, and room on the disk for a second copy, meanwhile.
    ///
    /// # Errors
    /// A text when another renewal runs, the view is closed or failed, or the disk refused: the view goes
    /// on as it was, or renewed with the old files still there. Call it again later.
    pub fn renew(&self) -> Result<(), String> {
        self.shared.renew_with(|_| Ok(()))
    }
}

impl Shared {
    pub(super) fn renew_with(
        &self,
        mut at: impl FnMut(Stage) -> Result<(), String>,
    ) -> Result<(), String> {
        let _one_at_a_time = match self.renewing.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err("another renewal of the current view runs".to_owned());
            }
        };
        self.drop_copy(); // of a renewal that panicked
        let renewed = self.begin_copy().and_then(|number| {
            self.copy_all(&mut at)?;
            self.take_over(number, &mut at)
        });
        let old = match renewed {
            Ok(old) => old,
            Err(why) => {
                self.drop_copy();
                return Err(why);
            }
        };
        at(Stage::Swapped)?;
        drop(old);
        self.delete_earlier()
            .map_err(|error| format!("earlier data cannot be deleted: {error}"))?;
        at(Stage::Deleted)
    }

    /// What cannot be deleted now is deleted by the next renewal or start.
    fn drop_copy(&self) {
        let copy = std::mem::take(&mut lock(&self.writing).copy);
        drop(copy); // sled may take its time, so not under the lock
        if let Err(error) = self.delete_leftovers() {
            tracing::warn!(%error, "a copy of the current view cannot be deleted");
        }
    }

    /// Brings everything committed so far into sled, and opens an empty database beside it.
    fn begin_copy(&self) -> Result<u64, String> {
        const GENERATIONS: usize = 2;
        for _ in 0..GENERATIONS {
            self.write_behind().map_err(text)?;
        }
        self.delete_leftovers().map_err(text)?;
        let (number, path) = self.directory.next_database().map_err(text)?;
        let empty = Stored::open(&path, self.options.sled_cache_bytes_max).map_err(text)?;
        let mut writing = lock(&self.writing);
        if writing.is_closed {
            return Err("the current view is closed".to_owned());
        }
        writing.copy = CopyState::Filling(empty);
        Ok(number)
    }

    fn copy_all(&self, at: &mut impl FnMut(Stage) -> Result<(), String>) -> Result<(), String> {
        let mut after: Option<UserId> = None;
        loop {
            at(Stage::Copying)?;
            if self.is_closing.load(Ordering::Acquire) {
                return Err("the current view was closed".to_owned());
            }
            let copied = self.copy_chunk(after.as_ref())?;
            if copied.is_none() {
                return Ok(());
            }
            after = copied;
        }
    }

    /// Copies the next users; returns the last of them, or `None` at the end.
    fn copy_chunk(&self, after: Option<&UserId>) -> Result<Option<UserId>, String> {
        let mut writing = lock(&self.writing);
        // Chunk by chunk the lock is hardly ever free: what is due would wait for all of them.
        if self.is_generation_due() {
            self.write_one(&mut writing).map_err(text)?;
        }
        let new = filling(&writing)?;
        let entries = self
            .in_sled(|stored| stored.users_after(after, CHUNK_USERS_MAX))
            .map_err(text)?;
        let reached = writing.applied;
        let borrowed: Vec<&Arc<_>> = entries.iter().collect();
        new.apply(&borrowed, &Applied::Part { reached })
            .map_err(text)?;
        Ok(entries.last().map(|entry| entry.user.clone()))
    }

    fn is_generation_due(&self) -> bool {
        let overlay = read(&self.overlay);
        overlay.flushing().is_some() || overlay.active().bytes_used() >= self.generation_bytes_max()
    }

    /// From here on the new database counts. Returns the old one.
    fn take_over(
        &self,
        number: u64,
        at: &mut impl FnMut(Stage) -> Result<(), String>,
    ) -> Result<Option<Stored>, String> {
        let mut writing = lock(&self.writing);
        let new = filling(&writing)?;
        if read(&self.overlay).flushing().is_some() {
            return Err("the old database could not be written".to_owned());
        }
        let applied = writing.applied;
        new.apply(&[], &Applied::Whole { applied }).map_err(text)?;
        new.flush().map_err(text)?;
        let totals = self.in_sled(Stored::totals).map_err(text)?;
        if new.totals().map_err(text)? != totals {
            return Err("the copy is not what was copied".to_owned());
        }
        at(Stage::Copied)?;
        let failure = || self.failure.borrow().clone();
        self.directory.switch(number, failure).map_err(text)?;
        let old = match std::mem::take(&mut writing.copy) {
            CopyState::Filling(new) => write(&self.stored).replace(new),
            CopyState::None | CopyState::Broken(_) => None, // filled a moment ago, and locked since
        };
        // After the swap, so that breaking off here leaves what a crash would: nothing half done.
        at(Stage::Switched)?;
        Ok(old)
    }

    fn delete_earlier(&self) -> io::Result<()> {
        self.delete_leftovers()?;
        self.directory.remove_aside()?;
        Ok(())
    }

    fn delete_leftovers(&self) -> io::Result<()> {
        for database in self.directory.other_databases()? {
            await_unlocked(&database)?;
        }
        self.directory.remove_leftovers()
    }
}

fn filling<'a>(writing: &'a MutexGuard<'_, Writing>) -> Result<&'a Stored, String> {
    match &writing.copy {
        CopyState::Filling(new) => Ok(new),
        CopyState::Broken(why) => Err(why.clone()),
        CopyState::None => Err("there is no copy".to_owned()),
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
