//! Why there is no backup or no restored directory. Each says what to do; none holds a value.

use std::io;
use std::path::{Path, PathBuf};

use profile_messages::Position;

use crate::commit_log::file::OpenError;
use crate::data_dir::DataDirError;
use crate::relay::stream::StreamError;

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(
        "{} is not empty (it holds {found}): name a new or empty directory",
        path.display()
    )]
    NotEmpty { path: PathBuf, found: String },
    #[error("{} has no file STORE: it is no data directory", path.display())]
    NoStore { path: PathBuf },
    #[error(
        "{} has no file BACKUP: it is no backup, or one that did not end; take another one",
        path.display()
    )]
    NotABackup { path: PathBuf },
    #[error("{} is damaged ({what}): take another backup", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error(
        "{} has format {found} of a newer release (this one knows {known}): run that release, or a newer one",
        path.display()
    )]
    Newer {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error(
        "nothing called position {position} durable within {waited_s} s: the service has died or hangs. \
         Start it once, then back up"
    )]
    NotCovered { position: Position, waited_s: u64 },
    #[error("the segments of the log changed {0} times while they were copied: try again later")]
    Changing(u32),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("another process holds {}: stop it first", path.display())]
    Locked { path: PathBuf },
    #[error("the event stream cannot be used: {0}")]
    Stream(#[from] StreamError),
    #[error(
        "there is no event stream on this server: if it is lost for good, restore --without-stream"
    )]
    NoStream,
    #[error(
        "the event stream begins at {first}, the backup ends at {end}: what was acknowledged between them \
         is in neither. Take a newer backup; or, if there is none, restore with --accept-gap"
    )]
    Gap { first: Position, end: Position },
    #[error(
        "the message at sequence {sequence} of the event stream is no event that this store's service \
         sent after the backup ({what}): it is another store's, or was forged"
    )]
    NotOurs { sequence: u64, what: &'static str },
    #[error(
        "the event stream went on from {from} to {to} during the restore: stop the service that still \
         runs on the old data directory, and restore into a new directory"
    )]
    StreamMoved { from: u64, to: u64 },
    #[error(
        "epoch {given} is not above {used}, which was used before: name a higher one, or leave --epoch out"
    )]
    EpochUsed { given: u32, used: u32 },
}

impl BackupError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
        let path = path.to_owned();
        move |source| BackupError::Io {
            doing,
            path,
            source,
        }
    }
}
