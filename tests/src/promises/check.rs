//! The promises, looked at from outside: over answers, histories, gets and the event stream.
//!
//! Every command writes its own key as the display name, so a change tells which command made it.

use std::collections::{BTreeMap, BTreeSet};

/// A command that was acknowledged: once, or again for a repetition of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acked {
    pub user: String,
    pub key: String,
    pub version: u64,
    pub at: String,
}

/// One entry of a history, or what `get` says of the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub version: u64,
    pub at: String,
    pub key: String,
}

/// What the service says of one user. The history is oldest first.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub history: Vec<Change>,
    pub current: Option<Change>,
}

/// One message of the event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenEvent {
    pub id: String,
    pub user: String,
    pub change: Change,
}

pub type Users = BTreeMap<String, Told>;

/// I1, I2, I3, and that what was refused left no trace. `acked` holds every command whose outcome is
/// known to be success, each repetition too; `refused` the keys that were refused and not sent again.
pub fn users(acked: &[Acked], refused: &BTreeSet<String>, users: &Users) -> Result<(), String> {
    for (user, told) in users {
        versions_have_no_gap(user, &told.history)?;
        require(told.history.last() == told.current.as_ref(), || {
            format!(
                "get of {user} is {:?}, not the newest of its history",
                told.current
            )
        })?;
    }
    no_key_twice(users)?;
    acknowledged_is_in_the_history(acked, users)?;
    nothing_else_happened(acked, refused, users)
}

/// The list of the organization holds exactly the users who were created, at their newest versions.
/// Every command is known to be done or not.
pub fn list(acked: &[Acked], listed: &BTreeMap<String, u64>) -> Result<(), String> {
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for ack in acked {
        let version = expected.entry(&ack.user).or_default();
        *version = ack.version.max(*version);
    }
    for (user, version) in &expected {
        let told = listed.get(*user);
        require(told == Some(version), || {
            format!("{user} is at version {version}, the list says {told:?}")
        })?;
    }
    let unknown = listed
        .keys()
        .find(|user| !expected.contains_key(user.as_str()));
    require(unknown.is_none(), || {
        format!("{unknown:?} is listed and was never created")
    })
}

/// I5: after dedupe by id the stream holds, per user, exactly the history and in its order.
pub fn events(seen: &[SeenEvent], users: &Users) -> Result<(), String> {
    let mut by_id: BTreeMap<&str, &SeenEvent> = BTreeMap::new();
    let mut by_user: BTreeMap<&str, Vec<&SeenEvent>> = BTreeMap::new();
    for event in seen {
        match by_id.insert(&event.id, event) {
            None => by_user.entry(&event.user).or_default().push(event),
            Some(first) => require(first == event, || {
                format!("I5: {} was sent with two contents", event.id)
            })?,
        }
    }
    for (user, events) in &by_user {
        let history = users.get(*user).map(|told| told.history.as_slice());
        let history = history.ok_or_else(|| format!("I5: events of {user}, who is unknown"))?;
        for (event, change) in events.iter().zip(history) {
            require(event.change == *change, || {
                format!(
                    "I5: {} is {:?}, the history says {change:?}",
                    event.id, event.change
                )
            })?;
            let id = format!("{user}/1.{}", change.version);
            require(event.id == id, || {
                format!("I5: {} should be {id}", event.id)
            })?;
        }
    }
    for (user, told) in users {
        let (sent, made) = (
            by_user.get(user.as_str()).map_or(0, Vec::len),
            told.history.len(),
        );
        require(sent == made, || {
            format!("I5: {user} has {made} changes and {sent} events")
        })?;
    }
    Ok(())
}

fn versions_have_no_gap(user: &str, history: &[Change]) -> Result<(), String> {
    for (index, change) in history.iter().enumerate() {
        require(change.version == index as u64 + 1, || {
            format!("I3: {user} has version {} at {index}", change.version)
        })?;
    }
    // RFC 3339 with the same number of digits would sort; without, it is compared as a time.
    let times: Vec<_> = history.iter().map(|change| time_of(&change.at)).collect();
    require(times.is_sorted_by(|one, next| one < next), || {
        format!("I3: time goes back for {user}")
    })
}

fn no_key_twice(users: &Users) -> Result<(), String> {
    let mut keys = BTreeSet::new();
    for (user, told) in users {
        for change in &told.history {
            require(keys.insert(&change.key), || {
                format!("I2: {} changed {user} twice", change.key)
            })?;
        }
    }
    Ok(())
}

fn acknowledged_is_in_the_history(acked: &[Acked], users: &Users) -> Result<(), String> {
    let mut answers: BTreeMap<&str, &Acked> = BTreeMap::new();
    for ack in acked.iter().filter(|ack| users.contains_key(&ack.user)) {
        let first = *answers.entry(&ack.key).or_insert(ack);
        require(first == ack, || {
            format!("I2: {first:?} was answered again as {ack:?}")
        })?;
        let history = users.get(&ack.user).map(|told| told.history.as_slice());
        let change = Change {
            version: ack.version,
            at: ack.at.clone(),
            key: ack.key.clone(),
        };
        require(history.unwrap_or_default().contains(&change), || {
            format!("I1: {ack:?} is not in the history")
        })?;
    }
    Ok(())
}

fn nothing_else_happened(
    acked: &[Acked],
    refused: &BTreeSet<String>,
    users: &Users,
) -> Result<(), String> {
    let acked: BTreeSet<&str> = acked.iter().map(|ack| ack.key.as_str()).collect();
    for change in users.values().flat_map(|told| &told.history) {
        require(!refused.contains(&change.key), || {
            format!("I6: {} was refused and is done", change.key)
        })?;
        require(acked.contains(change.key.as_str()), || {
            format!("{} was never acknowledged", change.key)
        })?;
    }
    Ok(())
}

fn time_of(text: &str) -> profile_messages::Timestamp {
    profile_messages::Timestamp::parse(text).expect("a time as RFC 3339")
}

fn require(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
