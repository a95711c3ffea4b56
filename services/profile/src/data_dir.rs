//! The data directory: it belongs to one process, and its store file says which store it holds.

mod store_file;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::{digest, hmac};
use profile_messages::record::Hash16;

use crate::clock::Clock;
use crate::file_system::{FileSystem, LockGuard, make_dirs, read_whole};
pub(crate) use store_file::{STORE_ID_BYTES, StoreFile};

pub(crate) const LOCK: &str = "LOCK";
const STORE: &str = "STORE";
const STORE_NEW: &str = "STORE.new";
/// Marks of what only looks like a data directory: a backup, begun or whole, and a restore not ended.
pub(crate) const BACKUP: &str = "BACKUP";
pub(crate) const BACKUP_NEW: &str = "BACKUP.new";
pub(crate) const RESTORING: &str = "RESTORING";
/// The log in this directory was moved to the bus of several nodes: what is in `log` counts no more.
const MOVED: &str = "MOVED";
/// What may lie in a directory that is not ours yet: our own leftovers, and what mkfs puts there.
const NOT_FOREIGN: [&str; 3] = [LOCK, STORE_NEW, "lost+found"];

/// Why a data directory was not opened: each names the thing and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error(
        "another process holds {}: stop it first, or give this one a data directory of its own",
        path.display()
    )]
    Locked { path: PathBuf },
    #[error(
        "{} is not empty (it holds {found}) and has no file STORE: if it is not a data directory, \
         name an empty or new one; if it is, restore the file STORE from the backup",
        path.display()
    )]
    Foreign { path: PathBuf, found: String },
    #[error(
        "{} is a backup, not a data directory: make one from it with `profiled restore`, since two \
         services on one backup would use its event ids twice",
        path.display()
    )]
    Backup { path: PathBuf },
    #[error(
        "{} holds a restore that did not end: delete what is in it and restore again",
        path.display()
    )]
    HalfRestored { path: PathBuf },
    #[error(
        "the log of {} was moved to the bus (`profilectl migrate`), where several nodes write it: set \
         commit_log.engine = \"jetstream\"",
        path.display()
    )]
    Moved { path: PathBuf },
    #[error(
        "{} has format {found}, this release knows up to {known}: run the release that wrote it, or a \
         newer one",
        path.display()
    )]
    Newer {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error(
        "{} is damaged ({what}): restore this file from the backup; without it the log cannot be read",
        path.display()
    )]
    Damaged { path: PathBuf, what: &'static str },
    #[error(
        "{} holds store {found}, but the nodes on this bus share store {shared}: name an empty or new \
         directory for this node, or the bus of that store",
        path.display()
    )]
    OtherStore {
        path: PathBuf,
        found: String,
        shared: String,
    },
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// An open data directory; the lock is held until the last clone is gone.
#[derive(Clone)]
pub struct DataDir {
    inner: Arc<Inner>,
}

struct Inner {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    clock: Arc<dyn Clock>,
    store: StoreFile,
    hash_key: hmac::Key,
    _lock: Box<dyn LockGuard>,
}

/// Without the secret and what is derived from it.
impl fmt::Debug for DataDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataDir")
            .field("path", &self.inner.path)
            .field("store_id", &self.inner.store.store_id)
            .field("epoch", &self.inner.store.epoch)
            .finish_non_exhaustive()
    }
}

impl DataDir {
    /// Locks `path` and reads its store file; makes both in an empty or missing directory.
    ///
    /// # Errors
    /// [`DataDirError`]: in use, foreign, moved, of a newer release, damaged, or unreadable.
    pub fn open(
        fs: Arc<dyn FileSystem>,
        path: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<DataDir, DataDirError> {
        let made = Arc::clone(&clock);
        let dir = DataDir::open_or(fs, path, clock, move || new_store(made.as_ref()))?;
        refuse_moved(dir.inner.fs.as_ref(), path)?;
        Ok(dir)
    }

    /// The same for one of several nodes, which have one store together.
    ///
    /// # Errors
    /// [`DataDirError`]: as [`DataDir::open`], and when the directory is of another store.
    pub(crate) fn open_shared(
        fs: Arc<dyn FileSystem>,
        path: &Path,
        clock: Arc<dyn Clock>,
        shared: &StoreFile,
    ) -> Result<DataDir, DataDirError> {
        let dir = DataDir::open_or(fs, path, clock, || shared.clone())?;
        let found = &dir.inner.store;
        if found == shared {
            return Ok(dir);
        }
        Err(DataDirError::OtherStore {
            path: path.to_owned(),
            found: format!("{} of epoch {}", found.store_id, found.epoch),
            shared: format!("{} of epoch {}", shared.store_id, shared.epoch),
        })
    }

    fn open_or(
        fs: Arc<dyn FileSystem>,
        path: &Path,
        clock: Arc<dyn Clock>,
        new: impl FnOnce() -> StoreFile,
    ) -> Result<DataDir, DataDirError> {
        make_dirs(fs.as_ref(), path).map_err(failed("make", path))?;
        refuse_foreign(fs.as_ref(), path)?;
        if let Some(advice) = exposed(fs.as_ref(), path) {
            tracing::warn!("{advice}");
        }
        let lock_path = path.join(LOCK);
        let lock = fs.lock(&lock_path).map_err(|source| {
            if source.kind() == io::ErrorKind::WouldBlock {
                DataDirError::Locked {
                    path: lock_path.clone(),
                }
            } else {
                failed("lock", &lock_path)(source)
            }
        })?;
        // Who held the lock until now may have been restoring.
        refuse_foreign(fs.as_ref(), path)?;
        let store = match read_store(fs.as_ref(), path)? {
            Some(store) => store,
            None => {
                let store = new();
                write_store(fs.as_ref(), path, &store)?;
                store
            }
        };
        Ok(DataDir {
            inner: Arc::new(Inner {
                hash_key: hmac::Key::new(hmac::HMAC_SHA256, &store.secret),
                fs,
                path: path.to_owned(),
                clock,
                store,
                _lock: lock,
            }),
        })
    }

    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Random id of this store, for ever: 32 hex digits.
    pub fn store_id(&self) -> &str {
        &self.inner.store.store_id
    }

    /// 1 at first; a restore from a backup raises it.
    pub fn epoch(&self) -> u32 {
        self.inner.store.epoch
    }

    /// The key of every hash that is stored. Never shown.
    pub fn secret(&self) -> &[u8; 32] {
        &self.inner.store.secret
    }

    /// The first 16 bytes of an HMAC-SHA-256 over `parts`, each led by its length in bytes (u64,
    /// little-endian), so that no two lists of parts are the same message.
    pub fn keyed_hash(&self, parts: &[&[u8]]) -> Hash16 {
        let mut context = hmac::Context::with_key(&self.inner.hash_key);
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let tag = context.sign();
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }

    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.inner.fs
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// What every frame of this store's log begins with.
    pub(crate) fn frame_magic(&self) -> [u8; 8] {
        self.inner.store.frame_magic
    }
}

/// The id of the store in `path`, also while another process holds the directory; `None` where there
/// is no store yet.
///
/// # Errors
/// [`DataDirError`]: of a newer release, damaged, or unreadable.
pub fn store_id_of(fs: &dyn FileSystem, path: &Path) -> Result<Option<String>, DataDirError> {
    Ok(read_store(fs, path)?.map(|store| store.store_id))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io {
        doing,
        path,
        source,
    }
}

/// Before anything is made in it: somebody else's directory is left as it was.
fn refuse_foreign(fs: &dyn FileSystem, path: &Path) -> Result<(), DataDirError> {
    let names = fs.list(path).map_err(failed("list", path))?;
    let path = path.to_owned();
    if names
        .iter()
        .any(|name| name == BACKUP || name == BACKUP_NEW)
    {
        return Err(DataDirError::Backup { path });
    }
    if names.iter().any(|name| name == RESTORING) {
        return Err(DataDirError::HalfRestored { path });
    }
    if names.iter().any(|name| name == STORE) {
        return Ok(());
    }
    match names.iter().find(|n| !NOT_FOREIGN.contains(&n.as_str())) {
        None => Ok(()),
        Some(found) => Err(DataDirError::Foreign {
            path,
            found: found.clone(),
        }),
    }
}

/// The log in a directory whose log was moved is not the newest any more.
///
/// # Errors
/// [`DataDirError::Moved`], or that it cannot be looked at.
pub(crate) fn refuse_moved(fs: &dyn FileSystem, path: &Path) -> Result<(), DataDirError> {
    let names = fs.list(path).map_err(failed("list", path))?;
    let path = path.to_owned();
    match names.iter().any(|name| name == MOVED) {
        true => Err(DataDirError::Moved { path }),
        false => Ok(()),
    }
}

/// Says durably that the log in here was moved.
///
/// # Errors
/// [`DataDirError::Io`].
pub(crate) fn mark_moved(fs: &dyn FileSystem, path: &Path) -> Result<(), DataDirError> {
    if refuse_moved(fs, path).is_err() {
        return Ok(());
    }
    let mark = path.join(MOVED);
    let write = || {
        fs.create(&mark)?.sync()?;
        fs.sync_dir(path)
    };
    write().map_err(failed("write", &mark))
}

/// What to do about a directory that others than its owner may enter.
fn exposed(fs: &dyn FileSystem, path: &Path) -> Option<String> {
    let is_private = fs.is_private(path).unwrap_or(true);
    let path = path.display();
    (!is_private).then(|| {
        format!(
            "others than its owner have access to {path}, which holds personal data: run `chmod 700 {path}`"
        )
    })
}

/// The store file of `dir`, which may be another process's; `None` where there is none.
///
/// # Errors
/// [`DataDirError`]: of a newer release, damaged, or unreadable.
pub(crate) fn read_store(
    fs: &dyn FileSystem,
    dir: &Path,
) -> Result<Option<StoreFile>, DataDirError> {
    let path = dir.join(STORE);
    match read_whole(fs, &path, store_file::BYTES + 1) {
        Ok(bytes) => StoreFile::decode(&bytes, &path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", &path)(source)),
    }
}

/// A store that there never was.
pub(crate) fn new_store(clock: &dyn Clock) -> StoreFile {
    // Each id has 128 random bits: two of them fill a key of 256.
    let drawn = digest::digest(
        &digest::SHA256,
        format!("{} {}", clock.random_id(), clock.random_id()).as_bytes(),
    );
    let magic = digest::digest(&digest::SHA256, clock.random_id().as_bytes());
    let mut store_id = clock.random_id();
    store_id.truncate(STORE_ID_BYTES);
    StoreFile {
        store_id,
        epoch: 1,
        secret: drawn.as_ref().first_chunk().copied().unwrap_or_default(),
        frame_magic: magic.as_ref().first_chunk().copied().unwrap_or_default(),
    }
}

/// Writes the store file durably, as one atom.
///
/// # Errors
/// [`DataDirError::Io`].
pub(crate) fn write_store(
    fs: &dyn FileSystem,
    dir: &Path,
    store: &StoreFile,
) -> Result<(), DataDirError> {
    let (new, path) = (dir.join(STORE_NEW), dir.join(STORE));
    let write = || {
        match fs.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = fs.create(&new)?;
        file.write_at(&store.encode(), 0)?;
        file.sync()?;
        fs.rename(&new, &path)?;
        fs.sync_dir(dir)
    };
    write().map_err(failed("write", &path))
}
