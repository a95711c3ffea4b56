//! The promises, looked at from outside: over answers, the log as `replay` tells it, and the stream.
//!
//! Every command writes its own key as the display name, so a change tells which command made it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use profile_messages::event::CloudEvent;

/// A command that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) user: String,
    pub(crate) key: String,
    pub(crate) version: u64,
    pub(crate) removes: bool,
}

/// An event, its payload as a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) version: u64,
    pub(crate) removes: bool,
    /// Empty for `removed`.
    pub(crate) key: String,
    pub(crate) digest: u64,
}

impl Event {
    pub(crate) fn read(payload: &[u8]) -> Result<Event, String> {
        let unreadable = |error| format!("a payload is no cloud event: {error}");
        let value: serde_json::Value = serde_json::from_slice(payload).map_err(unreadable)?;
        let mut hasher = DefaultHasher::new();
        // Of the value, with sorted names: an answer that was read as JSON has lost their order.
        value.to_string().hash(&mut hasher);
        let event: CloudEvent = serde_json::from_value(value).map_err(unreadable)?;
        let name = event.data.values.and_then(|values| values.display_name);
        Ok(Event {
            removes: event.event_type.ends_with(".removed.v1"),
            id: event.id,
            user: event.subject,
            version: event.userversion,
            key: name.unwrap_or_default(),
            digest: hasher.finish(),
        })
    }
}

/// A message of the stream; without an event it is a placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) sequence: u64,
    pub(crate) event: Option<Event>,
}

/// What `replay` told so far. It leaves out the earlier events of users who were removed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) end: u64,
    events: BTreeMap<u64, Event>,
    by_version: HashMap<(String, u64), u64>,
    newest: HashMap<String, u64>,
    removed: HashSet<String>,
    keys: HashSet<String>,
}

impl Log {
    /// Takes in the next event; I2 and I3 hold for it.
    pub(crate) fn insert(&mut self, position: u64, event: Event) -> Result<(), String> {
        let newest = self.newest.insert(event.user.clone(), event.version);
        let before = newest.unwrap_or_default();
        require(position > self.end, || format!("{position} is told twice"))?;
        require(event.removes || event.version == before + 1, || {
            format!("I3: {} comes behind version {before}", event.id)
        })?;
        let is_new = event.removes || self.keys.insert(event.key.clone());
        require(is_new, || format!("I2: {} was done twice", event.key))?;
        if event.removes {
            self.removed.insert(event.user.clone());
        }
        self.by_version
            .insert((event.user.clone(), event.version), position);
        self.events.insert(position, event);
        self.end = position;
        Ok(())
    }

    /// I1: every acknowledged command is in the log, where its answer says.
    pub(crate) fn holds(&self, settled: &[Settled]) -> Result<(), String> {
        for done in settled {
            let at = self.by_version.get(&(done.user.clone(), done.version));
            let event = at.and_then(|position| self.events.get(position));
            let is_there = match event {
                Some(event) if done.removes => event.removes,
                Some(event) => event.key == done.key,
                // Committed and removed between two looks: only the removal is told.
                None => !done.removes && self.removed.contains(&done.user),
            };
            require(is_there, || {
                format!("I1: {done:?} is not in the log: {event:?}")
            })?;
        }
        Ok(())
    }

    /// I5: the stream holds exactly the log from `first` to `last`, each event at its position, but for
    /// those of removed users that are erased by now.
    pub(crate) fn equals(&self, messages: &[Message], first: u64, last: u64) -> Result<(), String> {
        let mut expected = first;
        for Message { sequence, event } in messages {
            self.are_erased(expected..*sequence)?;
            require((expected..=last).contains(sequence), || {
                format!("I5: {sequence} is in the stream, {expected} to {last} was expected")
            })?;
            expected = sequence + 1;
            let told = self.events.get(sequence);
            let is_removed = |user: &String| self.removed.contains(user);
            let is_right = match (told, event) {
                (Some(told), Some(event)) => told == event,
                // Withheld in the stream, or withheld by `replay`: only of a removed user.
                (Some(told), None) => !told.removes && is_removed(&told.user),
                (None, Some(event)) => !event.removes && is_removed(&event.user),
                (None, None) => true,
            };
            require(is_right, || {
                format!("I5: {sequence} is {event:?}, the log says {told:?}")
            })?;
        }
        self.are_erased(expected..last + 1)
    }

    /// Whether nothing but earlier events of removed users was at these positions.
    pub(crate) fn are_erased(&self, mut missing: Range<u64>) -> Result<(), String> {
        missing.try_for_each(|position| {
            // What `replay` withholds is a removed user's too.
            let may_be_erased = self.events.get(&position).is_none_or(|told| {
                let is_removed = self.removed.contains(&told.user);
                is_removed && !told.removes
            });
            require(may_be_erased, || {
                format!("I5: {position} is missing in the stream")
            })
        })
    }

    /// The version of every user, 0 for one who is removed: where a consumer must arrive.
    pub(crate) fn versions(&self) -> BTreeMap<String, u64> {
        let version = |(user, version): (&String, &u64)| match self.removed.contains(user) {
            true => (user.clone(), 0),
            false => (user.clone(), *version),
        };
        self.newest.iter().map(version).collect()
    }

    pub(crate) fn events(&self) -> &BTreeMap<u64, Event> {
        &self.events
    }
}

fn require(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
