//! The file `BACKUP`: what a backup holds. Its presence says that the backup is whole; restore compares
//! positions and records with what it finds; `bytes` is for people.

use std::io;
use std::path::Path;

use profile_messages::Timestamp;
use serde::{Deserialize, Serialize};

use super::BackupError;
use crate::data_dir::{BACKUP, BACKUP_NEW};
use crate::file_system::{FileSystem, read_whole};

/// The format that this release writes.
pub(super) const FORMAT: u32 = 1;
const BYTES_MAX: usize = 4096;

/// What a backup holds, as JSON in the file `BACKUP`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub format: u32,
    /// The store's id.
    pub store: String,
    /// The store's epoch when the backup was taken.
    pub epoch: u32,
    /// Position of the oldest record, 0 for none.
    pub first: u64,
    /// Every commit up to this position is in the backup, unless it was compacted away before.
    pub end: u64,
    pub records: u64,
    /// Length of all segment files.
    pub bytes: u64,
    /// What was acknowledged before this time is in the backup.
    pub begun_at: Timestamp,
}

/// Read alone, so that a later format is refused by name.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Manifest {
    /// Writes the file durably, as one atom, in the place of `BACKUP.new`.
    pub(super) fn write(&self, fs: &dyn FileSystem, dir: &Path) -> Result<(), BackupError> {
        let (new, path) = (dir.join(BACKUP_NEW), dir.join(BACKUP));
        let write = || {
            let mut bytes = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
            bytes.push(b'\n');
            let file = fs.open(&new)?;
            file.write_at(&bytes, 0)?;
            file.sync()?;
            fs.rename(&new, &path)?;
            fs.sync_dir(dir)
        };
        write().map_err(BackupError::io("write", &path))
    }

    pub(super) fn read(fs: &dyn FileSystem, dir: &Path) -> Result<Manifest, BackupError> {
        let path = dir.join(BACKUP);
        let bytes = read_whole(fs, &path, BYTES_MAX).map_err(BackupError::io("read", &path))?;
        let damaged = |error: serde_json::Error| BackupError::Damaged {
            path: path.clone(),
            what: error.to_string(),
        };
        let Format { format: found } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if found > FORMAT {
            return Err(BackupError::Newer {
                path: path.clone(),
                found,
                known: FORMAT,
            });
        }
        serde_json::from_slice(&bytes).map_err(damaged)
    }
}
