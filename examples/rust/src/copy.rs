//! A copy of profiles, and how far it is: one file, replaced as a whole. Yours is a transaction of your database.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;

use profile_messages::event::{CloudEvent, EventKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is known of one user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    pub epoch: u32,
    /// Of the last event that was applied.
    pub version: u64,
    /// `None` once removed.
    pub profile: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    position: u64,
    listed_at: u64,
    epoch: u32,
    users: BTreeMap<String, Known>,
}

#[derive(Debug)]
pub struct ProfileCopy {
    path: PathBuf,
    kept: Kept,
}

impl ProfileCopy {
    /// What the file holds; empty without one.
    ///
    /// # Errors
    /// When it cannot be read, or holds something else.
    pub fn open(path: PathBuf) -> io::Result<ProfileCopy> {
        let kept = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error),
        };
        Ok(ProfileCopy { path, kept })
    }

    /// # Errors
    /// When it cannot be written: nothing may be acknowledged then.
    pub fn save(&self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(&self.kept)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)
    }

    /// The copy has every change up to here.
    pub fn position(&self) -> u64 {
        self.kept.position
    }

    pub fn users(&self) -> &BTreeMap<String, Known> {
        &self.kept.users
    }

    pub fn reached(&mut self, position: u64) {
        self.kept.position = self.kept.position.max(position);
    }

    /// Once for each event, however often it comes: what is not newer than the copy is passed over.
    pub fn apply(&mut self, event: &CloudEvent, position: u64) {
        self.reached(position);
        let Some(epoch) = epoch(event) else {
            return; // not of the contract
        };
        let known = self.kept.users.get(&event.subject);
        let at = known.map_or((0, 0), |known| (known.epoch, known.version));
        if position <= self.kept.listed_at || (epoch, event.userversion) <= at {
            return;
        }
        let before = known.and_then(|known| known.profile.clone());
        let known = Known {
            epoch,
            version: event.userversion,
            profile: (!is_removed(event)).then(|| after(before.unwrap_or_default(), event)),
        };
        self.kept.users.insert(event.subject.clone(), known);
        self.kept.epoch = self.kept.epoch.max(epoch);
        println!("applied {} {}", event.id, event.event_type);
    }

    /// Versions of a user have no gap. Where one shows, the stream has dropped an event: too old, or too many.
    /// (Those of a removed user are withheld, so `removed` may follow anything.)
    pub fn misses_one_before(&self, event: &CloudEvent, position: u64) -> bool {
        if is_removed(event) || position <= self.kept.listed_at {
            return false;
        }
        let known = self.kept.users.get(&event.subject);
        let is_same_epoch = known.is_none_or(|known| epoch(event) == Some(known.epoch));
        is_same_epoch && event.userversion > known.map_or(0, |known| known.version) + 1
    }

    /// What `list` says takes the place of the copy; whoever is not listed is removed.
    pub fn replace(&mut self, mut found: BTreeMap<String, Known>, position: u64) {
        for (user, known) in &mut found {
            known.epoch = self.kept.epoch;
            self.kept.users.remove(user);
        }
        for (user, mut known) in std::mem::take(&mut self.kept.users) {
            known.profile = None;
            found.insert(user, known);
        }
        self.kept.users = found;
        self.kept.position = position;
        self.kept.listed_at = position;
    }
}

fn is_removed(event: &CloudEvent) -> bool {
    event.event_type == EventKind::Removed.type_name()
}

/// Of an id `<userId>/<epoch>.<version>`; a restore of the service raises it.
fn epoch(event: &CloudEvent) -> Option<u32> {
    let (_, at) = event.id.rsplit_once('/')?;
    at.split_once('.')?.0.parse().ok()
}

/// The profile with the new values of the event (`events.payload` at `changed` or `full`).
fn after(mut profile: Map<String, Value>, event: &CloudEvent) -> Map<String, Value> {
    if let Ok(Value::Object(values)) = serde_json::to_value(&event.data.values) {
        profile.extend(values);
    }
    profile
}
