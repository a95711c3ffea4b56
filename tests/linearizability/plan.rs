//! What a client does next, and how it is written on the wire.

use profile_messages::Gender;
use profile_messages::reply::{CommandReply, GetReply, HistoryReply};
use profile_tests::caller::Answer;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use serde_json::{Value, json};

use crate::model::{Change, FIELD_NAMES, Fields, Input, Output, Patch, Told};

const GENDERS: [&str; 3] = ["GENDER_FEMALE", "GENDER_MALE", "GENDER_DIVERSE"];
const FIRST_NAME: &str = "Gigi";
const LAST_NAME: &str = "Giraffe";
const LANGUAGE: &str = "en";
/// More than are made between two histories, mostly.
const HISTORY_ROWS: u64 = 50;

/// What a client knows when it decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// The newest version that any client was told.
    pub(crate) version: u64,
    /// Whether the user may be removed from now on.
    pub(crate) may_be_removed: bool,
}

pub(crate) fn below(rng: &mut ChaCha8Rng, bound: u64) -> u64 {
    rng.next_u64() % bound
}

/// The next operation. `name` is used by nobody else.
pub(crate) fn next(rng: &mut ChaCha8Rng, known: Known, name: &str) -> Input {
    if known.version == 0 && below(rng, 2) == 0 {
        return Input::Create(fields(rng, name));
    }
    match below(rng, 100) {
        0..42 => Input::Get,
        42..45 => Input::History,
        45..70 => Input::Update {
            fields: fields(rng, name),
            expected_version: expected(rng, known.version),
        },
        70..95 => Input::Patch {
            patch: patch(rng, name),
            expected_version: expected(rng, known.version),
        },
        95..98 => Input::Create(fields(rng, name)),
        _ if known.may_be_removed && below(rng, 4) == 0 => Input::Remove,
        _ => Input::Get,
    }
}

/// Mostly new values, sometimes those that somebody else writes too.
fn fields(rng: &mut ChaCha8Rng, name: &str) -> Fields {
    let is_common = below(rng, 8) == 0;
    let gender = if is_common { 0 } else { below(rng, 3) };
    let has_nick_name = !is_common && below(rng, 2) == 0;
    Fields {
        display_name: if is_common { "common" } else { name }.to_owned(),
        nick_name: if has_nick_name { name } else { "" }.to_owned(),
        gender: GENDERS[gender as usize].to_owned(),
    }
}

fn patch(rng: &mut ChaCha8Rng, name: &str) -> Patch {
    let name = || Some(name.to_owned());
    let (display_name, nick_name) = match below(rng, 4) {
        0 => (name(), None),
        1 => (None, name()),
        2 => (name(), name()),
        _ => (None, Some(String::new())),
    };
    Patch {
        display_name,
        nick_name,
    }
}

/// None, the newest known version, or an old one.
fn expected(rng: &mut ChaCha8Rng, version: u64) -> Option<u64> {
    match below(rng, 10) {
        0..3 => Some(version),
        3 => Some(version.saturating_sub(1)),
        _ => None,
    }
}

impl Input {
    /// Last part of the subject.
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Input::Create(_) => "create",
            Input::Get => "get",
            Input::History => "history",
            Input::Update { .. } => "update",
            Input::Patch { .. } => "patch",
            Input::Remove => "remove",
        }
    }

    pub(crate) fn is_command(&self) -> bool {
        !matches!(self, Input::Get | Input::History)
    }

    pub(crate) fn expected_version(&self) -> Option<u64> {
        match self {
            Input::Update {
                expected_version, ..
            }
            | Input::Patch {
                expected_version, ..
            } => *expected_version,
            Input::Create(_) | Input::Get | Input::History | Input::Remove => None,
        }
    }

    pub(crate) fn body(&self, user: &str) -> Value {
        match self {
            Input::Create(fields) => json!({
                "userId": user,
                "userName": user,
                "profile": profile(fields),
                "email": {"email": format!("{user}@zoo.example")},
            }),
            Input::Update { fields, .. } => {
                let mut body = profile(fields);
                body["userId"] = user.into();
                body
            }
            Input::Patch { patch, .. } => {
                let mut body = json!({"userId": user});
                if let Some(name) = &patch.display_name {
                    body["displayName"] = name.as_str().into();
                }
                if let Some(name) = &patch.nick_name {
                    body["nickName"] = name.as_str().into();
                }
                body
            }
            Input::Get | Input::Remove => json!({"userId": user}),
            Input::History => json!({"userId": user, "limit": HISTORY_ROWS}),
        }
    }
}

fn profile(fields: &Fields) -> Value {
    json!({
        "firstName": FIRST_NAME,
        "lastName": LAST_NAME,
        "nickName": fields.nick_name,
        "displayName": fields.display_name,
        "preferredLanguage": LANGUAGE,
        "gender": fields.gender,
    })
}

/// What an answer says of one operation.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    Output(Output),
    /// To `history`: its newest version, and the changes.
    History(Output, Told),
    /// Certainly not done; try again.
    NotDone,
    /// Maybe done.
    Open,
}

/// # Panics
/// On an answer that this operation never has.
pub(crate) fn heard(input: &Input, answer: &Answer) -> Heard {
    let Some(status) = answer.status else {
        return match input {
            Input::History => history(&answer.body),
            Input::Create(_)
            | Input::Get
            | Input::Update { .. }
            | Input::Patch { .. }
            | Input::Remove => Heard::Output(output(input, &answer.body)),
        };
    };
    if answer.metadata("retry") == Some("same-key") {
        return Heard::Open;
    }
    let message = answer.body["message"].as_str().unwrap_or_default();
    let id = message.rsplit_once('(').map_or("", |(_, id)| id);
    match (status, id.trim_end_matches(')')) {
        (429 | 503, _) => Heard::NotDone,
        (409, _) => {
            let current = answer.metadata("currentVersion").expect("the version");
            let current = current.parse().expect("a number");
            Heard::Output(Output::OtherVersion { current })
        }
        (400, "COMMAND-k2unb") => Heard::Output(Output::AlreadyExists),
        (400, "COMMAND-2M0fs") => Heard::Output(Output::NotChanged),
        (_, "COMMAND-3M9sd" | "COMMAND-ugjs0upun6" | "COMMAND-m9od" | "QUERY-HNhb3") => {
            Heard::Output(Output::NotFound)
        }
        (_, _) => panic!("{input:?}: {}", answer.body),
    }
}

fn output(input: &Input, body: &Value) -> Output {
    if input.is_command() {
        let reply =
            serde_json::from_value::<CommandReply>(body.clone()).expect("the reply of a command");
        let version = reply.details.sequence;
        return Output::Done { version };
    }
    let reply = serde_json::from_value::<GetReply>(body.clone()).expect("the reply of get");
    let (version, profile) = (reply.details.sequence, reply.profile);
    let kept = [
        profile.first_name,
        profile.last_name,
        profile.preferred_language,
    ];
    assert_eq!(kept, [FIRST_NAME, LAST_NAME, LANGUAGE], "nobody wrote that");
    let fields = Fields {
        display_name: profile.display_name,
        nick_name: profile.nick_name,
        gender: Gender::name(profile.gender).to_owned(),
    };
    Output::Seen { version, fields }
}

fn history(body: &Value) -> Heard {
    let reply: HistoryReply = serde_json::from_value(body.clone()).expect("the reply of history");
    let newest = reply.changes.first().expect("a user has a first change");
    let newest = Output::Newest {
        version: newest.sequence,
    };
    let mut told = Told::new();
    for change in reply.changes {
        let mut of_version = Change::new();
        for field in change.fields {
            let ours = FIELD_NAMES.into_iter().find(|name| *name == field.field);
            if let Some(name) = ours {
                of_version.insert(name, (field.old, field.new));
            }
        }
        told.insert(change.sequence, of_version);
    }
    Heard::History(newest, told)
}
