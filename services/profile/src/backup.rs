//! Backup of a data directory while its service runs, and restore from one.
//!
//! A backup is `STORE`, the log up to one durable position, and the file `BACKUP`, which is written last
//! and says what must be there. It never holds the current view or the relay's cursor: both come back
//! from the log and the stream.
//!
//! What may be copied while the writer writes: nothing but what a frame, or the header of the next
//! segment, calls durable. Frames are copied whole and byte for byte, so no group is ever half there.
//! What was acknowledged before the backup began is in it, since it waits until a frame covers what was
//! there at the beginning: the next group of a busy service, the idle frame of an idle one.
//!
//! Reading order: `copy` is what happens beside the running service, `verify` reads back, `restore`
//! makes a data directory, `tail` reads what the event stream knows beyond the backup, `convert` makes
//! records of it.

mod convert;
mod copy;
mod error;
mod manifest;
mod restore;
mod tail;
#[cfg(test)]
mod tests;
mod verify;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::commit_log::file::archive::LogFiles;
use crate::data_dir::{BACKUP, BACKUP_NEW, read_store, refuse_moved, write_store};
use crate::file_system::{FileSystem, make_dirs};
pub use error::BackupError;
pub use manifest::Manifest;
pub use restore::{Gap, Missing, Restore, Restored, restore};
pub use tail::{Tail, TailState};

/// What a volume may hold before anything is put there.
const LOST_AND_FOUND: &str = "lost+found";

/// The world around a backup or a restore.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub files: Arc<dyn FileSystem>,
    pub clock: Arc<dyn Clock>,
    /// How long a backup waits until what was there at its beginning is called durable.
    pub cover_wait_max: Duration,
}

/// Copies the data directory `data`, whose service may be running, to `to`, which is missing or empty,
/// and reads the copy back. Blocks.
///
/// # Errors
/// [`BackupError`]; what was written stays, and is refused as a data directory and as a backup.
pub fn backup(around: &Surroundings, data: &Path, to: &Path) -> Result<Manifest, BackupError> {
    let fs = around.files.as_ref();
    let begun_at = around.clock.now();
    refuse_moved(fs, data)?;
    let store = read_store(fs, data)?.ok_or_else(|| BackupError::NoStore {
        path: data.to_owned(),
    })?;
    let source = LogFiles::new(around.files.clone(), data, &store);
    let begin = copy::covered(around, &source, copy::look(&source)?)?;
    claim(fs, to)?;
    let target = LogFiles::new(around.files.clone(), to, &store);
    make_dirs(fs, target.dir()).map_err(BackupError::io("make", target.dir()))?;
    let through = copy::copy(around, (&source, &target), begin)?;
    write_store(fs, to, &store)?;
    let counts = verify::verify(&target, through, &mut |_| Ok(()))?;
    let manifest = Manifest {
        format: manifest::FORMAT,
        store: store.store_id,
        epoch: store.epoch,
        first: counts.first.0,
        end: through.0,
        records: counts.records,
        bytes: counts.bytes,
        begun_at,
    };
    manifest.write(fs, to)?;
    Ok(manifest)
}

/// Takes an empty directory for a backup: from here on nobody takes it for anything else.
fn claim(fs: &dyn FileSystem, to: &Path) -> Result<(), BackupError> {
    make_dirs(fs, to).map_err(BackupError::io("make", to))?;
    refuse_full(fs, to, &[LOST_AND_FOUND])?;
    let path = to.join(BACKUP_NEW);
    match fs.create(&path) {
        Ok(_) => fs.sync_dir(to).map_err(BackupError::io("sync", to)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(BackupError::NotEmpty {
            path: to.to_owned(),
            found: BACKUP_NEW.to_owned(),
        }),
        Err(error) => Err(BackupError::io("make", &path)(error)),
    }
}

/// Refuses a directory that holds anything but what is `passed` over.
fn refuse_full(fs: &dyn FileSystem, path: &Path, passed: &[&str]) -> Result<(), BackupError> {
    let names = fs.list(path).map_err(BackupError::io("list", path))?;
    match names
        .into_iter()
        .find(|name| !passed.contains(&name.as_str()))
    {
        None => Ok(()),
        Some(found) => Err(BackupError::NotEmpty {
            path: path.to_owned(),
            found,
        }),
    }
}

/// Whether `from` is a whole backup.
fn is_backup(fs: &dyn FileSystem, from: &Path) -> Result<bool, BackupError> {
    match fs.list(from) {
        Ok(names) => Ok(names.iter().any(|name| name == BACKUP)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(BackupError::io("list", from)(error)),
    }
}
