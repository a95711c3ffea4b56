//! The current view in sled, disposable: the log is the truth. What is committed but not yet in sled
//! stands in the overlay; a thread writes it behind; reads merge both.
//!
//! Reading order: this file, `page` (lists), `write_behind`, `renewal`, `catch_up`, `opening`; below them
//! `recent` (entries in memory for the next commits), `stored` (keys and calls of sled) and `flush`, `checked`
//! (sums that show damage), `directory` and `state_file` (whose it is, which database counts, how it was left).
//!
//! Locks, always taken in this order: `renewing`, `writing`, `pages`, `folding`, `stored`, `overlay`, the
//! directory's.

mod catch_up;
mod checked;
mod directory;
mod flush;
mod opening;
mod page;
mod recent;
mod renewal;
mod state_file;
mod stored;
#[cfg(test)]
mod tests;
mod write_behind;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use profile_messages::current::CurrentUser;
use profile_messages::record::Record;
use profile_messages::{OrgId, Position, UserId};
use tokio::sync::watch;

use self::directory::Directory;
use self::recent::RecentUsers;
use self::state_file::Left;
use self::stored::{Stored, StoredError};
use self::write_behind::{Wake, Writing};
use super::overlay::Overlay;
use super::{Behind, CurrentView, ListRequest, ListRows, ViewError};
use crate::commit_log::{CommitObserver, Head};

pub use self::opening::OpenError;
pub use self::state_file::{Identity, boot_id};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SledOptions {
    /// Memory for what is committed but not yet in sled; at it, [`CurrentView::is_full`].
    pub overlay_bytes_max: usize,
    /// How often the overlay is written to sled. It is also written when a quarter of it is used.
    pub write_behind_interval_ms: u64,
    /// sled's own page cache.
    pub sled_cache_bytes_max: u64,
}

impl Default for SledOptions {
    fn default() -> Self {
        SledOptions {
            overlay_bytes_max: 64 * 1024 * 1024,
            write_behind_interval_ms: 200,
            sled_cache_bytes_max: 256 * 1024 * 1024,
        }
    }
}

/// The view of one data directory, with its write-behind thread. Dropping it stops the thread and
/// leaves the directory as a kill would; [`SledView::close`] leaves it clean.
#[derive(Debug)]
pub struct SledView {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    options: SledOptions,
    directory: Directory,
    /// Held by a renewal from its first to its last step.
    renewing: Mutex<()>,
    writing: Mutex<Writing>,
    /// Held shared by a list page, exclusively while the generations change over: the writing of what
    /// was committed after a page began must not begin before the page ends.
    pages: RwLock<()>,
    /// Held over a fold and over telling a head, so that no older entry gets in behind a newer one.
    folding: Mutex<RecentUsers>,
    /// `None` while sled is reopened or cannot be, and after the close. Its lock is held for one call of
    /// sled at most.
    stored: RwLock<Option<Stored>>,
    overlay: RwLock<Overlay>,
    /// A write to sled failed: its handle takes no more writes, and its reads may fail, until reopened.
    is_degraded: AtomicBool,
    failure: watch::Sender<Option<String>>,
    /// Ends a renewal between two chunks: it takes `writing` so often that the close might wait for it.
    is_closing: AtomicBool,
    wake: Wake,
}

impl SledView {
    /// Opens the view in `dir`, or sets the directory aside and starts an empty one when it cannot be
    /// trusted. Either way [`SledView::catch_up`] comes next, before anything is read or committed.
    ///
    /// # Errors
    /// [`OpenError`] when the file system refuses, or sled fails on an empty directory too.
    pub fn open(
        options: SledOptions,
        dir: &Path,
        identity: Identity,
    ) -> Result<SledView, OpenError> {
        let directory = Directory::new(dir, &identity);
        let stored = opening::open(&options, &directory)?;
        let applied = stored.applied()?;
        let shared = Arc::new(Shared {
            options,
            directory,
            renewing: Mutex::default(),
            writing: Mutex::new(Writing::after(applied)),
            pages: RwLock::default(),
            folding: Mutex::default(),
            stored: RwLock::new(Some(stored)),
            overlay: RwLock::new(Overlay::starting_at(applied)),
            is_degraded: AtomicBool::new(false),
            failure: watch::Sender::new(None),
            is_closing: AtomicBool::new(false),
            wake: Wake::default(),
        });
        let thread = write_behind::start(&shared).map_err(OpenError::Io)?;
        Ok(SledView {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// What is committed and not in sled yet.
    pub fn behind(&self) -> Behind {
        read(&self.shared.overlay).behind()
    }

    /// Turns to a text when the view cannot be trusted any more: every read and every append is then
    /// refused, and the next start rebuilds it. The process should stop.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.shared.failure.subscribe()
    }
}

impl std::fmt::Debug for Shared {
    /// Without the entries: their values are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("dir", &self.directory.path())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// The newest entry of a user: the overlay's, else sled's.
    fn user(&self, user: &UserId) -> Result<Option<Arc<CurrentUser>>, ViewError> {
        self.refuse_failed()?;
        if let Some(entry) = read(&self.overlay).user(user) {
            return Ok(Some(Arc::clone(entry)));
        }
        Ok(self.in_sled(|stored| stored.user(user))?.map(Arc::new))
    }

    /// The same where sled cannot be read just now: what the next commit would be folded onto is as new
    /// and in memory.
    fn user_or_recent(&self, user: &UserId) -> Result<Option<Arc<CurrentUser>>, ViewError> {
        let unreadable = match self.user(user) {
            Ok(entry) => return Ok(entry),
            Err(unreadable) => unreadable,
        };
        self.refuse_failed()?;
        lock(&self.folding).get(user).cloned().ok_or(unreadable)
    }

    /// The newest entry of a user, which the next [`Shared::fold`] then has without reading sled.
    fn user_to_commit(&self, user: &UserId) -> Result<Option<Arc<CurrentUser>>, ViewError> {
        let mut recent = lock(&self.folding);
        self.refuse_failed()?;
        let known = self.user_before(&recent, user)?;
        recent.put(user, known.clone());
        Ok(known)
    }

    fn user_before(
        &self,
        recent: &RecentUsers,
        user: &UserId,
    ) -> Result<Option<Arc<CurrentUser>>, ViewError> {
        match recent.get(user) {
            Some(known) => Ok(known.clone()),
            None => self.user(user),
        }
    }

    /// Folds records, oldest first, into the overlay: all of them at once for a reader.
    fn fold(&self, records: &[Arc<Record>]) -> Result<(), ViewError> {
        let mut recent = lock(&self.folding);
        let mut newest: HashMap<UserId, Arc<CurrentUser>> = HashMap::new();
        let mut position = Position::NONE;
        for record in records {
            let before = match newest.get(&record.user) {
                Some(entry) => Some(Arc::clone(entry)),
                None => self.user_before(&recent, &record.user)?,
            };
            let entry = CurrentUser::fold(before.as_deref(), record);
            newest.insert(record.user.clone(), Arc::new(entry));
            position = position.max(record.position);
        }
        for (user, entry) in &newest {
            recent.put(user, Some(Arc::clone(entry)));
        }
        let mut overlay = write(&self.overlay);
        overlay.commit(newest.into_values().collect(), position);
        let is_due = overlay.flushing().is_none()
            && overlay.active().bytes_used() >= self.generation_bytes_max();
        drop(overlay);
        if is_due {
            self.wake.write_now();
        }
        Ok(())
    }

    fn generation_bytes_max(&self) -> usize {
        self.options.overlay_bytes_max / 4
    }

    fn is_full(&self) -> bool {
        read(&self.overlay).bytes_used() >= self.options.overlay_bytes_max
    }

    /// One read of sled. Damage that no failed write explains is the end of this view.
    fn in_sled<T>(
        &self,
        call: impl FnOnce(&Stored) -> Result<T, StoredError>,
    ) -> Result<T, ViewError> {
        let stored = read(&self.stored);
        let Some(stored) = stored.as_ref() else {
            return Err(ViewError::Unreadable("sled is not open".to_owned()));
        };
        call(stored).map_err(|error| {
            let is_damage = matches!(error, StoredError::Damaged(_));
            if is_damage && !self.is_degraded.load(Ordering::Acquire) {
                self.fail(&error.to_string());
            }
            ViewError::Unreadable(error.to_string())
        })
    }

    fn refuse_failed(&self) -> Result<(), ViewError> {
        match self.failure.borrow().as_ref() {
            None => Ok(()),
            Some(why) => Err(ViewError::Unreadable(why.clone())),
        }
    }

    fn fail(&self, why: &str) {
        let is_first = self.failure.send_if_modified(|failure| {
            let is_first = failure.is_none();
            failure.get_or_insert_with(|| why.to_owned());
            is_first
        });
        if !is_first {
            return;
        }
        tracing::error!(why, "the current view failed; the next start rebuilds it");
        if let Err(error) = self.directory.leave(Left::Suspect) {
            tracing::error!(%error, "the current view could not be marked as suspect");
        }
    }
}

impl CommitObserver for SledView {
    fn head(&self, user: &UserId) -> Result<Head, String> {
        match self.shared.user_to_commit(user) {
            Ok(entry) => Ok(entry.map_or(Head::default(), |entry| Head {
                version: entry.version,
                position: entry.position,
            })),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Cannot fail: `head` has kept the entry before in memory. A record whose head nobody asked for, and
    /// whose user sled cannot tell, would be lost: then the view as a whole fails.
    fn committed(&self, group: &[Arc<Record>]) {
        if let Err(error) = self.shared.fold(group) {
            self.shared.fail(&error.to_string());
        }
    }
}

impl CurrentView for SledView {
    fn user(&self, user: &UserId) -> Result<Option<Arc<CurrentUser>>, ViewError> {
        self.shared.user_or_recent(user)
    }

    fn list(&self, request: &ListRequest) -> Result<ListRows, ViewError> {
        page::read_page(&self.shared, request)
    }

    fn org_had_user(&self, org: &OrgId) -> Result<bool, ViewError> {
        self.shared.refuse_failed()?;
        if read(&self.shared.overlay).org_had_user(org) {
            return Ok(true);
        }
        self.shared.in_sled(|stored| stored.org_had_user(org))
    }

    fn position(&self) -> Position {
        read(&self.shared.overlay).position()
    }

    fn is_full(&self) -> bool {
        self.shared.is_full()
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
