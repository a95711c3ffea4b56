//! One open sled database: every call to sled goes through here, and none of its panics gets out.
//!
//! One tree, so that a batch is atomic over all of it:
//!
//! | key | value |
//! | --- | --- |
//! | `u/` user id | the encoded [`CurrentUser`] |
//! | `l/` list place | nothing |
//! | `o/` organization id | nothing: it has had a user |
//! | `m/applied` | every commit up to this position is in here (u64, big-endian) |
//! | `m/reached` | no commit after this position is in here, not even in part |

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use profile_messages::current::CurrentUser;
use profile_messages::{OrgId, Position, UserId};

use crate::current_view::list_place::{self, Span};

const APPLIED: &[u8] = b"m/applied";
const REACHED: &[u8] = b"m/reached";

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
    db: ::sled::Db,
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
        guarded(|| Ok(Stored { db: config.open()? }))
    }

    /// Whether sled found what it had written before, rather than starting empty.
    pub(super) fn was_recovered(&self) -> bool {
        self.db.was_recovered()
    }

    pub(super) fn applied(&self) -> Result<Position, StoredError> {
        self.position(APPLIED)
    }

    pub(super) fn reached(&self) -> Result<Position, StoredError> {
        self.position(REACHED)
    }

    fn position(&self, key: &[u8]) -> Result<Position, StoredError> {
        guarded(|| match self.db.get(key)? {
            None => Ok(Position::NONE),
            Some(bytes) => match <[u8; 8]>::try_from(bytes.as_ref()) {
                Ok(bytes) => Ok(Position(u64::from_be_bytes(bytes))),
                Err(_) => Err(StoredError::Damaged("a position".to_owned())),
            },
        })
    }

    pub(super) fn user(&self, user: &UserId) -> Result<Option<CurrentUser>, StoredError> {
        guarded(|| match self.db.get(user_key(user))? {
            None => Ok(None),
            Some(bytes) => match CurrentUser::decode(&bytes) {
                Ok(entry) => Ok(Some(entry)),
                Err(error) => Err(StoredError::Damaged(error.to_string())),
            },
        })
    }

    pub(super) fn org_had_user(&self, org: &OrgId) -> Result<bool, StoredError> {
        guarded(|| Ok(self.db.contains_key(org_key(org))?))
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
            for key in self.db.range(place_key(&span.start())..).keys() {
                let key = key?;
                let Some(place) = key.strip_prefix(b"l/").filter(|place| span.holds(place)) else {
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

    /// Writes entries with their list keys as one atom, and `meta`. Applying it again changes nothing.
    pub(super) fn apply(
        &self,
        entries: &[&Arc<CurrentUser>],
        meta: &Applied,
    ) -> Result<(), StoredError> {
        guarded(|| {
            let mut batch = ::sled::Batch::default();
            for entry in entries {
                let place_before = self
                    .user(&entry.user)?
                    .and_then(|before| list_place::of_entry(&before));
                let place = list_place::of_entry(entry);
                if let Some(gone) = place_before.filter(|before| place.as_ref() != Some(before)) {
                    batch.remove(place_key(&gone));
                }
                if let Some(place) = place {
                    batch.insert(place_key(&place), &[]);
                }
                batch.insert(org_key(&entry.org), &[]);
                batch.insert(user_key(&entry.user), entry.encode());
            }
            match meta {
                Applied::Part { reached } => batch.insert(REACHED, &reached.0.to_be_bytes()),
                Applied::Whole { applied } => {
                    batch.insert(REACHED, &applied.0.to_be_bytes());
                    batch.insert(APPLIED, &applied.0.to_be_bytes());
                }
            }
            Ok(self.db.apply_batch(batch)?)
        })
    }

    /// Hands everything to the operating system: it outlives the process, not the machine.
    pub(super) fn flush(&self) -> Result<(), StoredError> {
        guarded(|| Ok(self.db.flush().map(|_| ())?))
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

fn user_key(user: &UserId) -> Vec<u8> {
    [b"u/", user.as_str().as_bytes()].concat()
}

fn org_key(org: &OrgId) -> Vec<u8> {
    [b"o/", org.as_str().as_bytes()].concat()
}

fn place_key(place: &[u8]) -> Vec<u8> {
    [b"l/", place].concat()
}
