//! Bringing sled up to the log at a start: a little after an unclean stop, everything for a rebuild.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use profile_messages::Position;
use profile_messages::record::Record;

use super::recent::RecentUsers;
use super::write_behind::Writing;
use super::{Shared, SledView, lock, opening, read, write};
use crate::commit_log::CommitLog;
use crate::current_view::catch_up::{CatchUpError, fold_after};
use crate::current_view::overlay::Overlay;
use crate::current_view::{CurrentView, ViewError};

impl SledView {
    /// Folds in every durable record after what sled has, and returns the position reached. A view that
    /// turns out to be damaged is set aside and rebuilt from the log's start. One that is ahead of the
    /// log is the witness that acknowledged commits are gone: what a power cut could have left of it was
    /// set aside before, and the log tells the view of a commit only once it is durable.
    /// Memory stays within the bounds of the overlay and of the recent users. Writes to sled block the calling thread.
    ///
    /// # Errors
    /// [`CatchUpError`] when the log cannot be read or lost its end, or sled can neither be read nor rebuilt.
    pub async fn catch_up(&self, log: &dyn CommitLog) -> Result<Position, CatchUpError> {
        let end = *log.durable().borrow();
        let reached = self.shared.in_sled(|stored| stored.reached());
        if let Ok(seen) = reached
            && seen > end
        {
            let dir = self.shared.directory.path().to_owned();
            return Err(CatchUpError::LogLostItsEnd { dir, seen, end });
        }
        match self.fold_behind(log).await {
            Err(CatchUpError::View(error)) if self.failed().borrow().is_some() => {
                self.shared.reset(&error.to_string())?;
                self.fold_behind(log).await
            }
            outcome => outcome,
        }
    }

    async fn fold_behind(&self, log: &dyn CommitLog) -> Result<Position, CatchUpError> {
        let shared = &self.shared;
        shared.refuse_failed()?;
        let after = self.position();
        let position = fold_after(log, after, |records| shared.fold_bounded(records)).await?;
        write(&shared.overlay).commit(Vec::new(), position);
        // Not needed for reads: the write-behind goes on with it.
        if let Err(error) = self.write_behind() {
            tracing::warn!(%error, "the current view cannot be written");
        }
        shared.refuse_failed()?;
        Ok(position)
    }
}

impl Shared {
    /// Folds, and writes to sled what would go over a generation's size.
    fn fold_bounded(&self, records: &[Arc<Record>]) -> Result<(), ViewError> {
        self.fold(records)?;
        let is_large = read(&self.overlay).bytes_used() >= self.generation_bytes_max();
        if is_large && let Err(error) = self.write_behind() {
            self.refuse_failed()?;
            if self.is_full() {
                return Err(ViewError::Unreadable(error.to_string()));
            }
        }
        Ok(())
    }

    /// Sets the directory aside and goes on with an empty one. At a start only: what is in the overlay
    /// is forgotten.
    fn reset(&self, why: &str) -> Result<(), ViewError> {
        let mut writing = lock(&self.writing);
        let _no_page = write(&self.pages);
        let mut recent = lock(&self.folding);
        let mut stored = write(&self.stored);
        *stored = None;
        let empty = opening::open_instead(&self.options, &self.directory, why)
            .map_err(|error| ViewError::Unreadable(error.to_string()))?;
        *stored = Some(empty);
        *recent = RecentUsers::default();
        *write(&self.overlay) = Overlay::default();
        *writing = Writing::after(Position::NONE);
        self.is_degraded.store(false, Ordering::Release);
        self.failure.send_replace(None);
        Ok(())
    }
}
