//! Whether an issuer may be asked about a token now: how many are asking it, and whether it was silent a
//! moment ago.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Tokens that one issuer is asked about at once. For each issuer of its own: one that hangs fills its places
/// and no others.
pub(super) const QUESTIONS_PER_ISSUER_MAX: usize = 64;
/// How long an issuer that gave no answer in time is passed over; then one question tries it again.
pub(super) const SILENT_FOR: Duration = Duration::from_secs(2);

/// Why an issuer is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTurn {
    Busy,
    Silent,
}

#[derive(Debug)]
pub(super) struct Turns {
    places: Semaphore,
    /// `None` after an answer of any kind.
    silent_until: Mutex<Option<Instant>>,
}

impl Turns {
    pub(super) fn new() -> Turns {
        Turns {
            places: Semaphore::new(QUESTIONS_PER_ISSUER_MAX),
            silent_until: Mutex::default(),
        }
    }

    /// A place among those who ask, given back when it is dropped.
    pub(super) fn take(&self, now: Instant) -> Result<SemaphorePermit<'_>, NoTurn> {
        let mut silent_until = self.silent_until();
        if silent_until.is_some_and(|until| now < until) {
            return Err(NoTurn::Silent);
        }
        let place = self.places.try_acquire().map_err(|_| NoTurn::Busy)?;
        // One question in this time tries a silent issuer again: the others must not be slow with it.
        if let Some(until) = silent_until.as_mut() {
            *until = now + SILENT_FOR;
        }
        Ok(place)
    }

    pub(super) fn answered(&self) {
        *self.silent_until() = None;
    }

    pub(super) fn silent(&self, now: Instant) {
        *self.silent_until() = Some(now + SILENT_FOR);
    }

    /// Nothing is half done when a holder panics: it is one value.
    fn silent_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
