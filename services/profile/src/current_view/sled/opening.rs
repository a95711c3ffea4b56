//! Opening the directory, or setting it aside: in doubt the log rebuilds the view.

use std::io;
use std::path::Path;
use std::time::Duration;

use profile_messages::Position;

use super::SledOptions;
use super::directory::{self, Found, Identity, Left};
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
pub(super) fn open(
    options: &SledOptions,
    dir: &Path,
    identity: &Identity,
) -> Result<Stored, OpenError> {
    match directory::examine(dir, identity).map_err(OpenError::Io)? {
        Found::Nothing => open_empty(options, dir, identity),
        Found::Unusable(why) => open_instead(options, dir, identity, why),
        Found::Usable => {
            directory::leave(dir, identity, Left::Running).map_err(OpenError::Io)?;
            match reopen(options, dir) {
                Ok(stored) => Ok(stored),
                Err(StoredError::Damaged(why)) => open_instead(options, dir, identity, &why),
                Err(StoredError::Io(why)) => Err(OpenError::Sled(why)),
            }
        }
    }
}

/// Sets the directory aside and opens an empty database in its place.
pub(super) fn open_instead(
    options: &SledOptions,
    dir: &Path,
    identity: &Identity,
    why: &str,
) -> Result<Stored, OpenError> {
    let aside = directory::set_aside(dir).map_err(OpenError::Io)?;
    tracing::warn!(
        why,
        aside = %aside.display(),
        "the current view was set aside and will be rebuilt from the log"
    );
    open_empty(options, dir, identity)
}

fn open_empty(options: &SledOptions, dir: &Path, identity: &Identity) -> Result<Stored, OpenError> {
    directory::leave(dir, identity, Left::Running).map_err(OpenError::Io)?;
    Ok(Stored::open(dir, options.sled_cache_bytes_max)?)
}

/// Opens a directory that should hold data.
pub(super) fn reopen(options: &SledOptions, dir: &Path) -> Result<Stored, StoredError> {
    let stored = open_when_unlocked(options, dir)?;
    if !stored.was_recovered() {
        return Err(StoredError::Damaged(
            "sled did not find its data".to_owned(),
        ));
    }
    stored.reached()?;
    stored.applied()?;
    Ok(stored)
}

/// sled gives up its file lock a little after its handle is dropped, with its last background task.
fn open_when_unlocked(options: &SledOptions, dir: &Path) -> Result<Stored, StoredError> {
    const ATTEMPTS_MAX: u32 = 50;
    const PAUSE: Duration = Duration::from_millis(20);
    let mut attempts = 1;
    loop {
        match Stored::open(dir, options.sled_cache_bytes_max) {
            Err(StoredError::Io(why)) if why.contains("lock") && attempts < ATTEMPTS_MAX => {
                attempts += 1;
                // sled offers nothing to wait on; this is the write-behind thread, or a start.
                #[allow(clippy::disallowed_methods)]
                std::thread::sleep(PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// The position up to which everything is in sled.
pub(super) fn applied(stored: &Stored) -> Result<Position, OpenError> {
    Ok(stored.applied()?)
}
