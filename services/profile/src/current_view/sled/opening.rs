//! Opening the directory, or setting it aside: in doubt the log rebuilds the view.

use std::io;
use std::path::Path;

use super::SledOptions;
use super::directory::{Directory, Found, UNLOCK_ATTEMPTS_MAX, pause};
use super::state_file::{Left, Verdict};
use super::stored::{Stored, StoredError};
use crate::clock::{Clock, SystemClock};

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

/// Opens what can be trusted, else an empty database. All of it is read: what cannot be believed is
/// found now, and what is missing would never be found later.
pub(super) fn open(options: &SledOptions, directory: &Directory) -> Result<Stored, OpenError> {
    open_with(options, directory, Stored::verify)
}

pub(super) fn open_with(
    options: &SledOptions,
    directory: &Directory,
    verify: impl FnOnce(&Stored) -> Result<u64, StoredError>,
) -> Result<Stored, OpenError> {
    match directory.examine().map_err(OpenError::Io)? {
        Found::Nothing => open_empty(options, directory),
        Found::State(Verdict::Unusable(why)) => open_instead(options, directory, why),
        Found::State(Verdict::Usable { openings, .. }) => {
            let attempt = openings.saturating_add(1);
            let opening = Left::Opening { attempt };
            directory.leave(opening).map_err(OpenError::Io)?;
            match reopen(options, &directory.database()) {
                Ok(stored) => opened(options, directory, stored, verify),
                Err(error) => refused(options, directory, error),
            }
        }
    }
}

/// sled's own open may end the process, and did not; from here on a kill, as of a start that takes too
/// long, says nothing against the database.
fn opened(
    options: &SledOptions,
    directory: &Directory,
    stored: Stored,
    verify: impl FnOnce(&Stored) -> Result<u64, StoredError>,
) -> Result<Stored, OpenError> {
    directory.leave(Left::Running).map_err(OpenError::Io)?;
    let clock = SystemClock::default();
    let begun = clock.monotonic();
    let entries = match verify(&stored) {
        Ok(entries) => entries,
        Err(error) => {
            drop(stored);
            return refused(options, directory, error);
        }
    };
    let took = clock.monotonic().saturating_duration_since(begun);
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(entries, milliseconds, "the current view was verified");
    if let Err(error) = directory.remove_leftovers() {
        tracing::warn!(%error, "an earlier copy of the current view cannot be deleted");
    }
    Ok(stored)
}

fn refused(
    options: &SledOptions,
    directory: &Directory,
    error: StoredError,
) -> Result<Stored, OpenError> {
    match error {
        StoredError::Damaged(why) => open_instead(options, directory, &why),
        StoredError::Io(why) => Err(OpenError::Sled(why)),
    }
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
    let stored = Stored::open(&directory.database(), options.sled_cache_bytes_max)?;
    // With the operating system before anything else is: on a disk that is full by the first write a
    // database that is opened again would find nothing, and be taken for one that lost its data.
    stored.flush()?;
    Ok(stored)
}

/// Opens a database that should hold data. It is not read: a start does that, and a process that lived
/// on since has lost nothing but its handle, while everybody waits for a new one.
pub(super) fn reopen(options: &SledOptions, database: &Path) -> Result<Stored, StoredError> {
    let stored = open_when_unlocked(options, database)?;
    if !stored.was_recovered() {
        return Err(StoredError::Damaged(
            "sled did not find its data".to_owned(),
        ));
    }
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
