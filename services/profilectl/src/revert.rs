//! `revert`: a full replacement that makes the six profile fields what they were at a former version.
//!
//! What they were is found by undoing the changes since, newest first, from today's profile; the version
//! they are undone from is the expected version of the replacement, so that nobody's change in between is
//! lost.

use std::collections::BTreeMap;

use profile_messages::reply::{GetReply, HistoryChange, HistoryReply, ProfileView};
use profile_messages::subject::Operation;
use serde_json::{Map, Value};

use crate::args::{Global, PageArgs, RevertArgs, WriteArgs};
use crate::client::Connection;
use crate::failure::Failure;
use crate::request::{self, addressed, operation};
use crate::{body, client, output};

/// By the name that history and the body of an update have for them.
type Fields = BTreeMap<String, String>;

pub(crate) async fn revert(global: &Global, args: &RevertArgs) -> Result<(), Failure> {
    let user_id = args.target.user_id.as_deref();
    let reading = operation(&args.target, Operation::Get, Operation::MeGet);
    let request = request::read(global, reading, user_id, body::get(None))?;
    let mut connection = client::connect(global).await?;
    let user: GetReply = output::decode(&connection.ask(request).await?)?;
    let version = user.details.sequence;
    if args.to_version >= version {
        let text = format!("the profile is at version {version}: name a former one");
        return Err(Failure::usage(text));
    }
    let fields = former(global, args, &mut connection, &user).await?;
    let write = WriteArgs {
        idempotency_key: args.idempotency_key.clone(),
        expected_version: Some(version),
        deadline_ms: None,
    };
    let updating = operation(&args.target, Operation::Update, Operation::MeUpdate);
    let addressed = addressed(updating, user_id, replacement(fields))?;
    let request = request::change(global, &write, addressed)?;
    let reply = connection.ask(request).await?;
    output::command(&reply, global.format())
}

/// The fields at the version asked for: reads history back to it, one page in memory at a time.
async fn former(
    global: &Global,
    args: &RevertArgs,
    connection: &mut Connection,
    user: &GetReply,
) -> Result<Fields, Failure> {
    let reading = operation(&args.target, Operation::History, Operation::MeHistory);
    let pages = PageArgs::default();
    let mut undoing = Undoing::of(user);
    let mut cursor: Option<String> = None;
    loop {
        let body = body::page(&pages, None, cursor.as_deref());
        let user_id = args.target.user_id.as_deref();
        let request = request::read(global, reading, user_id, body)?;
        let page: HistoryReply = output::decode(&connection.ask(request).await?)?;
        for change in &page.changes {
            if change.sequence > undoing.version || undoing.version == args.to_version {
                continue;
            }
            undoing.undo(change)?;
        }
        if undoing.version == args.to_version {
            return Ok(undoing.fields);
        }
        if page.next_cursor.is_none() || page.next_cursor == cursor {
            return Err(no_longer_kept(args.to_version));
        }
        cursor = page.next_cursor;
    }
}

/// The profile on its way back.
#[derive(Debug)]
struct Undoing {
    version: u64,
    fields: Fields,
}

impl Undoing {
    fn of(user: &GetReply) -> Undoing {
        let ProfileView {
            first_name,
            last_name,
            nick_name,
            display_name,
            preferred_language,
            gender,
        } = user.profile.clone();
        let fields = [
            ("firstName", first_name),
            ("lastName", last_name),
            ("nickName", nick_name),
            ("displayName", display_name),
            ("preferredLanguage", preferred_language),
            ("gender", gender.name().to_owned()),
        ];
        Undoing {
            version: user.details.sequence,
            fields: fields
                .map(|(name, value)| (name.to_owned(), value))
                .into_iter()
                .collect(),
        }
    }

    /// # Errors
    /// A change that history cannot undo any more: the newest one it keeps tells no old values.
    fn undo(&mut self, change: &HistoryChange) -> Result<(), Failure> {
        let before = change.sequence.saturating_sub(1);
        if change.sequence != self.version || before == 0 {
            return Err(no_longer_kept(before));
        }
        for field in &change.fields {
            let old = field.old.clone().ok_or_else(|| no_longer_kept(before))?;
            self.fields.insert(field.field.clone(), old);
        }
        self.version = before;
        Ok(())
    }
}

fn no_longer_kept(version: u64) -> Failure {
    let text = format!("version {version} cannot be told any more: history no longer reaches it");
    Failure::other(text)
}

/// In a full replacement what is absent is cleared; an empty text is not always allowed.
fn replacement(fields: Fields) -> Value {
    let is_set = |(_, value): &(String, String)| !value.is_empty();
    let fields = fields.into_iter().filter(is_set);
    Value::Object(
        fields
            .map(|(name, value)| (name, value.into()))
            .collect::<Map<_, _>>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> GetReply {
        serde_json::from_str(
            r#"{"userId":"u","details":{"sequence":"4","resourceOwner":"o"},"userName":"u",
                "profile":{"firstName":"D","lastName":"L","displayName":"D L"},"email":{"email":"e@e"}}"#,
        )
        .unwrap()
    }

    fn change(sequence: u64, fields: &str) -> HistoryChange {
        serde_json::from_str(&format!(
            r#"{{"sequence":"{sequence}","changeDate":"2025-09-06T08:55:36Z","type":"changed",
                "editorId":"e","resourceOwner":"o","fields":{fields}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn undoing_gives_each_field_the_value_it_had() {
        let mut undoing = Undoing::of(&user());
        let changes = [
            change(
                4,
                r#"[{"field":"firstName","old":"C","new":"D"},{"field":"nickName","old":"N","new":""}]"#,
            ),
            change(
                3,
                r#"[{"field":"firstName","old":"B","new":"C"},{"field":"gender","old":"GENDER_MALE","new":"GENDER_UNSPECIFIED"}]"#,
            ),
        ];
        for change in &changes {
            undoing.undo(change).unwrap();
        }
        assert_eq!(undoing.version, 2);
        let body = replacement(undoing.fields);
        let expected = serde_json::json!({
            "firstName": "B", "lastName": "L", "nickName": "N", "displayName": "D L", "gender": "GENDER_MALE",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_gap_an_unknown_old_value_and_the_creation_are_not_undone() {
        let fields = r#"[{"field":"firstName","old":"C","new":"D"}]"#;
        assert!(Undoing::of(&user()).undo(&change(3, fields)).is_err());
        let unknown = r#"[{"field":"firstName","new":"D"}]"#;
        assert!(Undoing::of(&user()).undo(&change(4, unknown)).is_err());
        let mut created = Undoing::of(&user());
        created.version = 1;
        assert!(created.undo(&change(1, "[]")).is_err());
    }
}
