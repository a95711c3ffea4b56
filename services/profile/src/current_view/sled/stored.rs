//! One open sled database: every call to sled goes through here, and none of its panics gets out.
//!
//! One tree, so that a batch is atomic over all of it:
//!
//! | key | value |
//! | --- | --- |
//! | `u/` user id | the encoded [`CurrentUser`] and its sum (see [`checked`](super::checked)) |
//! | `l/` list place | nothing |
//! | `o/` organization id | nothing: it has had a user |
//! | `m/` | the [`Meta`] and its sum |

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use profile_messages::current::CurrentUser;
use profile_messages::{OrgId, Position, UserId};

use super::checked::{Meta, Totals, sealed, unsealed};
use super::flush::flushed;
use crate::current_view::list_place::{self, Span};

const META: &[u8] = b"m/";
const USERS: &[u8] = b"u/";
const PLACES: &[u8] = b"l/";
const ORGS: &[u8] = b"o/";

/// Why sled did not do as asked. The texts hold no stored value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StoredError {
    /// The file system refused: the data may be as good as before.
    #[error("{0}")]
    Io(String),
    /// What is stored cannot be trusted.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl From<::sled::Error> for StoredError {
    fn from(error: ::sled::Error) -> Self {
        use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        match error {
            ::sled::Error::Io(io)
                if [InvalidData, InvalidInput, UnexpectedEof].contains(&io.kind()) =>
            {
                StoredError::Damaged(io.to_string())
            }
            ::sled::Error::Io(io) => StoredError::Io(io.to_string()),
            ::sled::Error::Corruption { .. } => StoredError::Damaged("sled: corruption".to_owned()),
            // Their texts quote pages, hence stored values.
            ::sled::Error::CollectionNotFound(_) => {
                StoredError::Damaged("sled: a collection is missing".to_owned())
            }
            ::sled::Error::Unsupported(_) => StoredError::Damaged("sled: unsupported".to_owned()),
            ::sled::Error::ReportableBug(_) => StoredError::Damaged("sled: a bug".to_owned()),
        }
    }
}

/// sled panics on damaged files; a panic is damage.
fn guarded<T>(call: impl FnOnce() -> Result<T, StoredError>) -> Result<T, StoredError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(StoredError::Damaged("sled panicked".to_owned())))
}

pub(super) struct Stored {
    /// `None` only while it is dropped.
    db: Option<::sled::Db>,
}

impl Drop for Stored {
    /// sled writes on its way out, and may panic over what it finds.
    fn drop(&mut self) {
        let db = self.db.take();
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            tracing::error!("sled panicked while it was closed");
        }
    }
}

impl std::fmt::Debug for Stored {
    /// sled's own walks through all pages.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stored")
    }
}

/// A row of sled's list index. The entry is `None` when the index and the entries disagree, which is
/// damage unless the overlay holds the user.
#[derive(Debug)]
pub(super) struct StoredRow {
    pub(super) place: Vec<u8>,
    pub(super) user: UserId,
    pub(super) entry: Option<Arc<CurrentUser>>,
}

impl Stored {
    pub(super) fn open(dir: &Path, cache_bytes_max: u64) -> Result<Stored, StoredError> {
        let config = ::sled::Config::new()
            .path(dir)
            .cache_capacity(cache_bytes_max)
            .mode(::sled::Mode::HighThroughput)
            .flush_every_ms(None); // the write-behind flushes
        guarded(|| {
            Ok(Stored {
                db: Some(config.open()?),
            })
        })
    }

    fn db(&self) -> Result<&::sled::Db, StoredError> {
        let closed = || StoredError::Io("sled is closed".to_owned());
        self.db.as_ref().ok_or_else(closed)
    }

    /// Whether sled found what it had written before, rather than starting empty.
    pub(super) fn was_recovered(&self) -> bool {
        self.db().is_ok_and(|db| db.was_recovered())
    }

    pub(super) fn applied(&self) -> Result<Position, StoredError> {
        Ok(self.meta()?.applied)
    }

    pub(super) fn reached(&self) -> Result<Position, StoredError> {
        Ok(self.meta()?.reached)
    }

    pub(super) fn totals(&self) -> Result<Totals, StoredError> {
        Ok(self.meta()?.totals)
    }

    fn meta(&self) -> Result<Meta, StoredError> {
        let stored = guarded(|| Ok(self.db()?.get(META)?))?;
        let Some(stored) = stored else {
            return Ok(Meta::default());
        };
        unsealed(META, &stored)
            .and_then(Meta::decode)
            .ok_or_else(|| StoredError::Damaged("the positions and totals".to_owned()))
    }

    /// Reads everything and compares it with the totals: whether anything is missing, damaged, or of
    /// another time than the rest. Returns how many entries, list places and organizations there are.
    pub(super) fn verify(&self) -> Result<u64, StoredError> {
        guarded(|| {
            let mut found = Totals::default();
            for item in self.db()?.iter() {
                let (key, value) = item?;
                match key.get(..2) {
                    Some(USERS) => found.add(&key, believed(&key, &value)?),
                    Some(PLACES | ORGS) if value.is_empty() => found.add(&key, &value),
                    Some(META) if key == META => {}
                    Some(_) | None => return Err(StoredError::Damaged("a key".to_owned())),
                }
            }
            if found != self.totals()? {
                return Err(StoredError::Damaged("something is missing".to_owned()));
            }
            Ok(found.keys())
        })
    }

    pub(super) fn user(&self, user: &UserId) -> Result<Option<CurrentUser>, StoredError> {
        let key = user_key(user);
        guarded(|| match self.db()?.get(&key)? {
            None => Ok(None),
            Some(stored) => decoded(&key, &stored).map(Some),
        })
    }

    /// Entries in the order of user ids, those after `after`, at most so many.
    pub(super) fn users_after(
        &self,
        after: Option<&UserId>,
        users_max: usize,
    ) -> Result<Vec<Arc<CurrentUser>>, StoredError> {
        let mut from = after.map_or_else(|| USERS.to_vec(), user_key);
        if after.is_some() {
            from.push(0); // the smallest key above it
        }
        guarded(|| {
            let mut entries = Vec::new();
            for item in self.db()?.range(from..).take(users_max) {
                let (key, stored) = item?;
                if !key.starts_with(USERS) {
                    break;
                }
                entries.push(Arc::new(decoded(&key, &stored)?));
            }
            Ok(entries)
        })
    }

    pub(super) fn org_had_user(&self, org: &OrgId) -> Result<bool, StoredError> {
        guarded(|| Ok(self.db()?.contains_key(org_key(org))?))
    }

    /// Listed rows of a span in order, at most `rows_max`, without those of users that `is_newer` names.
    pub(super) fn listed(
        &self,
        span: &Span,
        rows_max: usize,
        is_newer: impl Fn(&UserId) -> bool,
    ) -> Result<Vec<StoredRow>, StoredError> {
        guarded(|| {
            let mut rows = Vec::new();
            for key in self.db()?.range(place_key(&span.start())..).keys() {
                let key = key?;
                let Some(place) = key.strip_prefix(PLACES).filter(|place| span.holds(place)) else {
                    break;
                };
                let user = list_place::user_of(place)
                    .ok_or_else(|| StoredError::Damaged("a list key".to_owned()))?;
                if is_newer(&user) {
                    continue;
                }
                let entry = self.user(&user)?.map(Arc::new);
                let place = place.to_vec();
                rows.push(StoredRow { place, user, entry });
                if rows.len() >= rows_max {
                    break;
                }
            }
            Ok(rows)
        })
    }

    /// Writes entries of different users with their list keys as one atom, and how far that brings the
    /// database. Applying it again changes nothing.
    pub(super) fn apply(
        &self,
        entries: &[&Arc<CurrentUser>],
        brings: &Applied,
    ) -> Result<(), StoredError> {
        guarded(|| {
            let mut change = Change {
                meta: self.meta()?,
                ..Change::default()
            };
            for entry in entries {
                self.change(&mut change, entry)?;
            }
            match brings {
                Applied::Part { reached } => change.meta.reached = *reached,
                Applied::Whole { applied } => {
                    (change.meta.reached, change.meta.applied) = (*applied, *applied);
                }
            }
            let meta = sealed(META, change.meta.encode());
            change.batch.insert(META, meta);
            Ok(self.db()?.apply_batch(change.batch)?)
        })
    }

    fn change(&self, change: &mut Change, entry: &CurrentUser) -> Result<(), StoredError> {
        let (key, value) = (user_key(&entry.user), entry.encode());
        let totals = &mut change.meta.totals;
        let (mut place_before, mut org_before) = (None, None);
        if let Some(stored) = self.db()?.get(&key)? {
            let before = decoded(&key, &stored)?;
            place_before = list_place::of_entry(&before);
            org_before = Some(before.org);
            totals.remove(&key, believed(&key, &stored)?);
        }
        totals.add(&key, &value);
        let sealed = sealed(&key, value);
        change.batch.insert(key, sealed);

        let place = list_place::of_entry(entry);
        if place != place_before {
            if let Some(gone) = place_before.as_deref().map(place_key) {
                totals.remove(&gone, &[]);
                change.batch.remove(gone);
            }
            if let Some(come) = place.as_deref().map(place_key) {
                totals.add(&come, &[]);
                change.batch.insert(come, &[]);
            }
        }
        if org_before.as_ref() != Some(&entry.org) && !self.org_had_user(&entry.org)? {
            let key = org_key(&entry.org);
            if change.orgs.insert(entry.org.clone()) {
                totals.add(&key, &[]);
                change.batch.insert(key, &[]);
            }
        }
        Ok(())
    }

    /// Hands everything to the operating system: it outlives the process, not the machine.
    pub(super) fn flush(&self) -> Result<(), StoredError> {
        let db = self.db()?.clone();
        flushed(move || {
            let outcome = guarded(|| Ok(db.flush().map(|_| ())?));
            // Before the outcome is known: whoever closes sled then holds its last handle.
            drop(db);
            outcome
        })
    }
}

/// How far a batch brings the database.
#[derive(Clone, Copy, Debug)]
pub(super) enum Applied {
    /// One of several batches, none of which holds a commit after `reached`.
    Part { reached: Position },
    /// The last of them.
    Whole { applied: Position },
}

/// A batch in the making.
#[derive(Default)]
struct Change {
    batch: ::sled::Batch,
    meta: Meta,
    /// Organizations that are new with it.
    orgs: HashSet<OrgId>,
}

/// The value of a key, if its sum is right.
fn believed<'a>(key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], StoredError> {
    unsealed(key, stored).ok_or_else(|| StoredError::Damaged("an entry's sum is wrong".to_owned()))
}

fn decoded(key: &[u8], stored: &[u8]) -> Result<CurrentUser, StoredError> {
    CurrentUser::decode(believed(key, stored)?)
        .map_err(|error| StoredError::Damaged(error.to_string()))
}

fn user_key(user: &UserId) -> Vec<u8> {
    [USERS, user.as_str().as_bytes()].concat()
}

fn org_key(org: &OrgId) -> Vec<u8> {
    [ORGS, org.as_str().as_bytes()].concat()
}

fn place_key(place: &[u8]) -> Vec<u8> {
    [PLACES, place].concat()
}
