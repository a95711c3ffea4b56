//! One user as the promises have it: a register with versions, and what each operation sees of it.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The fields that the clients change; the others stay as they were made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fields {
    pub(crate) display_name: String,
    pub(crate) nick_name: String,
    pub(crate) gender: String,
}

/// New values of some fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) display_name: Option<String>,
    pub(crate) nick_name: Option<String>,
}

/// The user between two operations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Absent,
    Present {
        version: u64,
        fields: Arc<Fields>,
    },
    /// The id is never reused.
    Removed,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Create(Fields),
    Get,
    /// The newest changes; what they were is in [`Told`].
    History,
    Update {
        fields: Fields,
        expected_version: Option<u64>,
    },
    Patch {
        patch: Patch,
        expected_version: Option<u64>,
    },
    Remove,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// To `get`.
    Seen { version: u64, fields: Fields },
    /// To `history`.
    Newest { version: u64 },
    /// To a command: the version after it.
    Done { version: u64 },
    /// Refused: there is no user, or no longer.
    NotFound,
    /// Refused: there is or was a user of this id.
    AlreadyExists,
    /// Refused: the user is like that already.
    NotChanged,
    /// Refused: the expected version is not this one.
    OtherVersion { current: u64 },
}

impl Output {
    /// For tallies.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Output::Seen { .. } => "seen",
            Output::Newest { .. } => "history",
            Output::Done { .. } => "done",
            Output::NotFound => "not found",
            Output::AlreadyExists => "already exists",
            Output::NotChanged => "not changed",
            Output::OtherVersion { .. } => "other version",
        }
    }
}

impl State {
    /// What `input` is told in this state, and the state after it.
    pub(crate) fn execute(&self, input: &Input) -> (Output, State) {
        match (self, input) {
            (State::Absent, Input::Create(fields)) => self.changed_to(fields.clone(), 0),
            (State::Present { .. } | State::Removed, Input::Create(_)) => {
                (Output::AlreadyExists, self.clone())
            }
            (State::Absent | State::Removed, _) => (Output::NotFound, self.clone()),
            (State::Present { version, fields }, Input::Get) => {
                let (version, fields) = (*version, Fields::clone(fields));
                (Output::Seen { version, fields }, self.clone())
            }
            (State::Present { version, .. }, Input::History) => {
                let version = *version;
                (Output::Newest { version }, self.clone())
            }
            (
                State::Present { version, .. },
                Input::Update {
                    expected_version: Some(expected),
                    ..
                }
                | Input::Patch {
                    expected_version: Some(expected),
                    ..
                },
            ) if expected != version => (Output::OtherVersion { current: *version }, self.clone()),
            (State::Present { version, fields }, Input::Update { fields: new, .. }) => {
                match **fields == *new {
                    true => (Output::NotChanged, self.clone()),
                    false => self.changed_to(new.clone(), *version),
                }
            }
            (State::Present { version, fields }, Input::Patch { patch, .. }) => {
                let new = merged(fields, patch);
                match **fields == new {
                    true => (Output::Done { version: *version }, self.clone()),
                    false => self.changed_to(new, *version),
                }
            }
            (State::Present { version, .. }, Input::Remove) => {
                let version = version + 1;
                (Output::Done { version }, State::Removed)
            }
        }
    }

    fn changed_to(&self, fields: Fields, version_before: u64) -> (Output, State) {
        let (version, fields) = (version_before + 1, Arc::new(fields));
        (Output::Done { version }, State::Present { version, fields })
    }
}

/// Old value, where there was one, and new value of each field that a change changed.
pub(crate) type Change = BTreeMap<&'static str, (Option<String>, String)>;

/// What histories tell of versions.
pub(crate) type Told = BTreeMap<u64, Change>;

impl Fields {
    /// The change that makes these fields out of `before`.
    pub(crate) fn change_from(&self, before: Option<&Fields>) -> Change {
        let values = |of: &Fields| {
            let Fields {
                display_name,
                nick_name,
                gender,
            } = of.clone();
            [display_name, nick_name, gender]
        };
        let (old, new) = (before.map(values), values(self));
        let mut change = Change::new();
        for (index, (name, new)) in FIELD_NAMES.into_iter().zip(new).enumerate() {
            let old = old.as_ref().map(|old| old[index].clone());
            if new != old.clone().unwrap_or_default() {
                change.insert(name, (old, new));
            }
        }
        change
    }
}

/// As `history` names them.
pub(crate) const FIELD_NAMES: [&str; 3] = ["displayName", "nickName", "gender"];

fn merged(fields: &Fields, patch: &Patch) -> Fields {
    let replaced = |old: &String, new: &Option<String>| new.as_ref().unwrap_or(old).clone();
    Fields {
        display_name: replaced(&fields.display_name, &patch.display_name),
        nick_name: replaced(&fields.nick_name, &patch.nick_name),
        gender: fields.gender.clone(),
    }
}

/// One operation of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// For the report of a broken history.
    pub(crate) client: usize,
    pub(crate) input: Input,
    /// Before its first byte was sent, on the clock that all clients share.
    pub(crate) called_ns: u64,
    pub(crate) outcome: Outcome,
}

/// What became of it. A refusal that says "not done, try again" is no operation of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Known {
        output: Output,
        /// After its last byte was received.
        returned_ns: u64,
    },
    /// Nobody said: done at any time after the call, or never.
    Maybe,
}
