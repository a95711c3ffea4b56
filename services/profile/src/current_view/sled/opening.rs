//! Opening the directory, or setting it aside: in doubt the log rebuilds the view.

use std::io;
use std::path::Path;

use super::SledOptions;
use super::directory::{Directory, Found, UNLOCK_ATTEMPTS_MAX, pause};
use super::state_file::{Left, Verdict};
use super::stored::{Stored, StoredError};

/// Why there is no view at all. Damage is not among the reasons: that only costs a rebuild.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the directory of the current view: {0}")]
    Io(io::Error),
    #[error("sled cannot be opened: {0}")]
    Sled(String),
}

impl From<StoredError> for OpenError {
    fn from(error: StoredError) -> Self {
        OpenError::Sled(error.to_string())
    }
}

/// Opens what can be trusted, else an empty database.
pub(super) fn open(options: &SledOptions, directory: &Directory) -> Result<Stored, OpenError> {
    match directory.examine().map_err(OpenError::Io)? {
        Found::Nothing => open_empty(options, directory),
        Found::State(Verdict::Unusable(why)) => open_instead(options, directory, why),
        Found::State(Verdict::Usable { openings, .. }) => {
            let attempt = openings.saturating_add(1);
            let opening = Left::Opening { attempt };
            directory.leave(opening).map_err(OpenError::Io)?;
            match reopen(options, &directory.database()) {
                Ok(stored) => opened(directory, stored),
                Err(StoredError::Damaged(why)) => open_instead(options, directory, &why),
                Err(StoredError::Io(why)) => Err(OpenError::Sled(why)),
            }
        }
    }
}

fn opened(directory: &Directory, stored: Stored) -> Result<Stored, OpenError> {
    directory.leave(Left::Running).map_err(OpenError::Io)?;
    if let Err(error) = directory.remove_leftovers() {
        tracing::warn!(%error, "an earlier copy of the current view cannot be deleted");
    }
    Ok(stored)
}

/// Sets the directory aside and opens an empty database in its place.
pub(super) fn open_instead(
    options: &SledOptions,
    directory: &Directory,
    why: &str,
) -> Result<Stored, OpenError> {
    let aside = directory.set_aside().map_err(OpenError::Io)?;
    tracing::warn!(
        why,
        aside = %aside.display(),
        "the current view was set aside and will be rebuilt from the log"
    );
    open_empty(options, directory)
}

fn open_empty(options: &SledOptions, directory: &Directory) -> Result<Stored, OpenError> {
    directory.leave(Left::Running).map_err(OpenError::Io)?;
    let cache_bytes_max = options.sled_cache_bytes_max;
    Ok(Stored::open(&directory.database(), cache_bytes_max)?)
}

/// Opens a database that should hold data, and reads all of it: what cannot be believed is found now,
/// and what is missing would never be found later.
pub(super) fn reopen(options: &SledOptions, database: &Path) -> Result<Stored, StoredError> {
    let stored = open_when_unlocked(options, database)?;
    if !stored.was_recovered() {
        return Err(StoredError::Damaged(
            "sled did not find its data".to_owned(),
        ));
    }
    stored.verify()?;
    Ok(stored)
}

fn open_when_unlocked(options: &SledOptions, database: &Path) -> Result<Stored, StoredError> {
    let mut attempts = 1;
    loop {
        match Stored::open(database, options.sled_cache_bytes_max) {
            Err(StoredError::Io(why)) if why.contains("lock") && attempts < UNLOCK_ATTEMPTS_MAX => {
                attempts += 1;
                pause();
            }
            outcome => return outcome,
        }
    }
}
