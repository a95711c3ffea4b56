//! The directory of the view: the file `STATE` (see [`state_file`](super::state_file)) and, in folders
//! named by a number, sled's own files. One folder counts; another one is a copy in the making, or a
//! leftover.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::lock;
use super::state_file::{self, Identity, Left, Verdict};
use crate::file_system::free_bytes;

/// sled gives up its file lock a little after its handle is dropped, with its last background task.
pub(super) const UNLOCK_ATTEMPTS_MAX: u32 = 50;
pub(super) const UNLOCK_PAUSE: Duration = Duration::from_millis(20);
const FIRST: u64 = 1;

/// What is in the directory before sled is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    State(Verdict),
}

#[derive(Debug)]
pub(super) struct Directory {
    dir: PathBuf,
    identity: Identity,
    /// The folder that counts. Locked while `STATE` is written, so that no two write it at once.
    number: Mutex<u64>,
}

impl Directory {
    pub(super) fn new(dir: &Path, identity: &Identity) -> Directory {
        Directory {
            dir: dir.to_owned(),
            identity: identity.clone(),
            number: Mutex::new(FIRST),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// sled's folder that counts.
    pub(super) fn database(&self) -> PathBuf {
        self.numbered(*lock(&self.number))
    }

    /// A folder for a copy: empty, and of no meaning until [`Directory::switch`].
    pub(super) fn next_database(&self) -> io::Result<(u64, PathBuf)> {
        let next = lock(&self.number).saturating_add(1);
        let path = self.numbered(next);
        remove(&path)?;
        Ok((next, path))
    }

    fn numbered(&self, number: u64) -> PathBuf {
        self.dir.join(number.to_string())
    }

    /// Looks before sled does; of a usable directory, the number is known from here on.
    pub(super) fn examine(&self) -> io::Result<Found> {
        let is_empty = match fs::read_dir(&self.dir) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        if is_empty {
            return Ok(Found::Nothing);
        }
        let verdict = state_file::judge(&self.dir, &self.identity)?;
        if let Verdict::Usable { number, .. } = verdict {
            *lock(&self.number) = number;
        }
        Ok(Found::State(verdict))
    }

    /// Notes durably how the directory is left. Before sled writes anything: [`Left::Running`].
    pub(super) fn leave(&self, left: Left) -> io::Result<()> {
        let number = lock(&self.number);
        state_file::write(&self.dir, &self.identity, *number, left)
    }

    /// From here on folder `to` counts, durably, unless `refusal` says why not. After an error the old
    /// one counts; a start that finds the new one catches up with the log from what is in it.
    pub(super) fn switch(
        &self,
        to: u64,
        refusal: impl FnOnce() -> Option<String>,
    ) -> io::Result<()> {
        let mut number = lock(&self.number);
        if let Some(why) = refusal() {
            return Err(io::Error::other(why));
        }
        let switched = state_file::write(&self.dir, &self.identity, to, Left::Running);
        if let Err(error) = switched {
            // The name may be there already, only not durably.
            let _ = state_file::write(&self.dir, &self.identity, *number, Left::Running);
            return Err(error);
        }
        *number = to;
        Ok(())
    }

    /// Every sled folder but the one that counts.
    pub(super) fn other_databases(&self) -> io::Result<Vec<PathBuf>> {
        let number = *lock(&self.number);
        let mut others = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let other = name.to_str().and_then(|name| name.parse::<u64>().ok());
            if other.is_some_and(|other| other != number) {
                others.push(entry.path());
            }
        }
        Ok(others)
    }

    /// Deletes them, durably.
    pub(super) fn remove_leftovers(&self) -> io::Result<()> {
        for other in self.other_databases()? {
            remove(&other)?;
        }
        File::open(&self.dir)?.sync_all()
    }

    /// fsyncs sled's files through descriptors of our own: fsync works on the file, not the descriptor,
    /// and sled 0.34's `flush` only starts writing back.
    pub(super) fn sync_files(&self) -> io::Result<()> {
        sync_tree(&self.database())?;
        File::open(&self.dir)?.sync_all()
    }

    /// Refuses while the disk has not `bytes` free: after one failed write sled can not even be read.
    pub(super) fn require_free(&self, bytes: usize) -> io::Result<()> {
        let free = free_bytes(&self.dir)?;
        if free < bytes as u64 {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!(
                    "the disk has {free} bytes free, less than the {bytes} that writing may take"
                ),
            ));
        }
        Ok(())
    }

    /// Whether the disk takes some more: sled never recovers from a failed write, so it is not tried on it.
    pub(super) fn probe_space(&self) -> io::Result<()> {
        const PROBE_BYTES: usize = 4 * 1024 * 1024;
        let path = self.dir.join("SPACE");
        let probed = File::create(&path).and_then(|mut file| {
            io::Write::write_all(&mut file, &vec![0; PROBE_BYTES])?;
            file.sync_all()
        });
        fs::remove_file(&path)?;
        probed
    }

    /// Renames the directory to `<name>.aside-<n>` for a later look, and deletes the one kept before.
    pub(super) fn set_aside(&self) -> io::Result<PathBuf> {
        let number_max = self.remove_aside()?;
        let (parent, prefix) = self.aside_prefix();
        let aside = parent.join(format!("{prefix}{}", number_max.saturating_add(1)));
        fs::rename(&self.dir, &aside)?;
        File::open(parent)?.sync_all()?;
        *lock(&self.number) = FIRST;
        Ok(aside)
    }

    /// Deletes what was set aside, durably; returns the highest number among it, or 0.
    pub(super) fn remove_aside(&self) -> io::Result<u64> {
        let (parent, prefix) = self.aside_prefix();
        let mut number_max = 0u64;
        for entry in fs::read_dir(&parent)? {
            let entry = entry?;
            let file_name = entry.file_name();
            let number = file_name
                .to_str()
                .and_then(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok());
            if let Some(number) = number {
                number_max = number_max.max(number);
                remove(&entry.path())?;
            }
        }
        File::open(parent)?.sync_all()?;
        Ok(number_max)
    }

    fn aside_prefix(&self) -> (PathBuf, String) {
        let named = self.dir.parent();
        let named = named.filter(|path| !path.as_os_str().is_empty());
        let parent = named.unwrap_or(Path::new(".")).to_owned();
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy();
        (parent, format!("{name}.aside-"))
    }
}

/// Waits until no handle of sled is left on a database, so that nothing is written any more.
pub(super) fn await_unlocked(database: &Path) -> io::Result<()> {
    for _ in 0..UNLOCK_ATTEMPTS_MAX {
        let file = match File::open(database.join("db")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => pause(),
        }
    }
    Err(io::Error::other("sled does not let go of it"))
}

/// sled offers nothing to wait on; this is the write-behind thread, a renewal, or a start.
pub(super) fn pause() {
    #[allow(clippy::disallowed_methods)]
    std::thread::sleep(UNLOCK_PAUSE);
}

/// Deletes a file or a directory that may not be there.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(dir)?.sync_all()
}
