//! A new data directory from a backup, with what the event stream knows beyond it.
//!
//! `RESTORING` is the first file in the directory and goes last: whatever ends in between leaves a
//! directory that no service starts on.

use std::io;
use std::path::{Path, PathBuf};

use profile_messages::{Position, UserId};

use super::convert::{Known, TailEvent};
use super::copy;
use super::tail::{self, Survey, Tail};
use super::verify::{Counts, verify};
use super::{BackupError, LOST_AND_FOUND, Manifest, Surroundings, is_backup, refuse_full};
use crate::commit_log::file::archive::{LogFiles, TailWriter};
use crate::data_dir::{LOCK, RESTORING, StoreFile, read_store, write_store};
use crate::file_system::{FileSystem, LockGuard, make_dirs};
use crate::relay::message::EventMessage;

/// What to do when the stream has lost the beginning of what is missing in the backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gap {
    #[default]
    Refused,
    /// What is in neither is lost.
    Accepted,
}

/// What to restore, and where.
#[derive(Clone, Debug)]
pub struct Restore {
    /// A backup.
    pub from: PathBuf,
    /// Missing or empty.
    pub data: PathBuf,
    pub gap: Gap,
    /// The new epoch; the next one that is known to be free when `None`.
    pub epoch: Option<u32>,
}

/// What of a user may be older than the user's version says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// User name, e-mail and phone are unknown.
    pub contact: bool,
    /// Some profile fields are of an earlier version, or unknown.
    pub profile: bool,
    /// A repetition of an earlier command would be done again.
    pub keys: bool,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    pub manifest: Manifest,
    pub epoch: u32,
    /// The last position of the new directory.
    pub end: Position,
    /// Events taken in from the stream.
    pub events: u64,
    /// Existing users of which something may be older, in the order of their ids.
    pub older: Vec<(UserId, Missing)>,
}

/// Makes the data directory.
///
/// # Errors
/// [`BackupError`]; before `data` is touched when the backup or the stream is to blame for it.
pub async fn restore(
    around: &Surroundings,
    wanted: &Restore,
    tail: Option<&dyn Tail>,
) -> Result<Restored, BackupError> {
    let fs = around.files.as_ref();
    let (manifest, store) = opened(fs, &wanted.from)?;
    let end = Position(manifest.end);
    let mut survey = match tail {
        Some(tail) => Some(tail::survey(tail, &store.store_id, end, wanted.gap).await?),
        None => None,
    };
    let epoch = next_epoch(wanted.epoch, &store, survey.as_ref())?;
    let _lock = claim(fs, &wanted.data)?;
    let source = LogFiles::new(around.files.clone(), &wanted.from, &store);
    let target = LogFiles::new(around.files.clone(), &wanted.data, &store);
    make_dirs(fs, target.dir()).map_err(BackupError::io("make", target.dir()))?;
    let whole = copy::look(&source)?;
    if !whole.ends_at(end) {
        return Err(BackupError::Damaged {
            path: wanted.from.clone(),
            what: format!("it does not end at position {end}, as BACKUP says"),
        });
    }
    copy::copy(around, (&source, &target), whole)?;
    let counts = verify(&target, end, &mut |record| {
        let users = survey.as_mut().map(|survey| &mut survey.users);
        if let Some(user) = users.and_then(|users| users.get_mut(&record.user)) {
            user.known = Some(Known::of(record));
        }
        Ok(())
    })?;
    compare(&manifest, &counts, &wanted.from)?;
    let (mut restored_end, mut events) = (end, 0);
    if let (Some(tail), Some(survey)) = (tail, survey.as_mut()) {
        if survey.last > end.0 {
            events = take_in(tail, survey, &target, (end, epoch, &store.store_id)).await?;
            restored_end = Position(survey.last);
        }
        refuse_moved(tail, survey.last).await?;
    }
    target.sync_names()?;
    write_store(fs, &wanted.data, &StoreFile { epoch, ..store })?;
    release(fs, &wanted.data)?;
    Ok(Restored {
        manifest,
        epoch,
        end: restored_end,
        events,
        older: survey.map(older).unwrap_or_default(),
    })
}

/// The manifest and the store file of a whole backup.
fn opened(fs: &dyn FileSystem, from: &Path) -> Result<(Manifest, StoreFile), BackupError> {
    let path = from.to_owned();
    if !is_backup(fs, from)? {
        return Err(BackupError::NotABackup { path });
    }
    let manifest = Manifest::read(fs, from)?;
    let Some(store) = read_store(fs, from)? else {
        return Err(BackupError::NoStore { path });
    };
    if (&store.store_id, store.epoch) != (&manifest.store, manifest.epoch) {
        let what = "STORE and BACKUP are of two stores or epochs".to_owned();
        return Err(BackupError::Damaged { path, what });
    }
    Ok((manifest, store))
}

/// Above every epoch that is known to have been used: event ids are never used twice.
fn next_epoch(
    given: Option<u32>,
    store: &StoreFile,
    survey: Option<&Survey>,
) -> Result<u32, BackupError> {
    let used = survey.map_or(0, |survey| survey.epoch).max(store.epoch);
    let given = given.unwrap_or(used.saturating_add(1));
    if given > used {
        return Ok(given);
    }
    Err(BackupError::EpochUsed { given, used })
}

/// Takes an empty directory: from here on no service starts on it until [`release`].
fn claim(fs: &dyn FileSystem, data: &Path) -> Result<Box<dyn LockGuard>, BackupError> {
    make_dirs(fs, data).map_err(BackupError::io("make", data))?;
    let empty = [LOCK, LOST_AND_FOUND];
    refuse_full(fs, data, &empty)?;
    let path = data.join(LOCK);
    let lock = match fs.lock(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(BackupError::Locked { path });
        }
        Err(error) => return Err(BackupError::io("lock", &path)(error)),
    };
    refuse_full(fs, data, &empty)?;
    let mark = data.join(RESTORING);
    let made = fs.create(&mark).and_then(|_| fs.sync_dir(data));
    made.map_err(BackupError::io("make", &mark))?;
    Ok(lock)
}

fn release(fs: &dyn FileSystem, data: &Path) -> Result<(), BackupError> {
    let mark = data.join(RESTORING);
    let gone = fs.remove(&mark).and_then(|()| fs.sync_dir(data));
    gone.map_err(BackupError::io("remove", &mark))
}

/// The files must hold as much as `BACKUP` says.
fn compare(manifest: &Manifest, counts: &Counts, from: &Path) -> Result<(), BackupError> {
    let found = (counts.first.0, counts.records);
    let said = (manifest.first, manifest.records);
    if found == said {
        return Ok(());
    }
    Err(BackupError::Damaged {
        path: from.to_owned(),
        what: format!("first position and records are {found:?}, BACKUP says {said:?}"),
    })
}

/// Writes a record for each event of the tail; returns their number.
async fn take_in(
    tail: &dyn Tail,
    survey: &mut Survey,
    target: &LogFiles,
    (end, epoch, store_id): (Position, u32, &str),
) -> Result<u64, BackupError> {
    let (mut events, mut next) = (0, survey.from);
    let mut writer = TailWriter::new(target, end, epoch)?;
    while next <= survey.last {
        let until = tail::chunk_end(next, survey.last);
        for (sequence, message) in tail::read(tail, next, until).await? {
            let Some(event) = TailEvent::read(sequence, &message, store_id)? else {
                continue;
            };
            let not_ours = |what| BackupError::NotOurs { sequence, what };
            let user = survey.users.get_mut(&event.user);
            let user = user.ok_or_else(|| not_ours("it was not there before"))?;
            let record = event.into_record(user)?;
            // The relay adopts what is equal, and nothing else.
            if EventMessage::event(&record) != message {
                return Err(not_ours("its subject or its headers"));
            }
            writer.push(&record)?;
            events += 1;
        }
        writer.cover(Position(until))?;
        next = until + 1;
    }
    // A stream that was emptied gives nothing to read, and goes on behind its last sequence all the same.
    writer.cover(Position(survey.last))?;
    writer.finish()?;
    Ok(events)
}

/// Whoever still writes to the stream has events that this restore does not know.
async fn refuse_moved(tail: &dyn Tail, from: u64) -> Result<(), BackupError> {
    let to = tail::look(tail).await?.last;
    if to == from {
        return Ok(());
    }
    Err(BackupError::StreamMoved { from, to })
}

fn older(survey: Survey) -> Vec<(UserId, Missing)> {
    let exists = |known: &Option<Known>| known.as_ref().is_some_and(|it| !it.is_removed());
    let mut older: Vec<_> = survey
        .users
        .into_iter()
        .filter(|(_, user)| exists(&user.known) && user.missing != Missing::default())
        .map(|(id, user)| (id, user.missing))
        .collect();
    older.sort_by(|one, other| one.0.cmp(&other.0));
    older
}
