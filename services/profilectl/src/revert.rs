//! `revert`: a full replacement that makes the six profile fields what they were at a former version.
//!
//! What they were is found by undoing the changes since, newest first, from today's profile; the version
//! they are undone from is the expected version of the replacement, so that nobody's change in between is
//! lost.

use std::ops::ControlFlow;

use bytes::Bytes;
use profile_messages::reply::{GetReply, HistoryChange, HistoryReply};
use profile_messages::subject::Operation;
use serde_json::{Map, Value};

use crate::args::{Global, PageArgs, RevertArgs, WriteArgs};
use crate::client::Connection;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::queries::Pages;
use crate::request::{self, addressed, operation};
use crate::{body, client, output};

/// By the name that a profile, its history and the body of an update have for them.
type Fields = Map<String, Value>;

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
    let reply = connection.ask(request).await.inspect_err(overtaken)?;
    output::command(&reply, global.format())
}

/// Says what a wrong version means here.
fn overtaken(failure: &Failure) {
    if failure.exit() == Exit::Aborted {
        output::note(
            "somebody changed the profile meanwhile: it stays as it is now. Look at its history, and revert \
             again if it is still wanted",
        );
    }
}

/// The fields at the version asked for: undoes history back to it.
async fn former(
    global: &Global,
    args: &RevertArgs,
    connection: &mut Connection,
    user: &GetReply,
) -> Result<Fields, Failure> {
    let pages = Pages {
        global,
        operation: operation(&args.target, Operation::History, Operation::MeHistory),
        user_id: args.target.user_id.as_deref(),
        prefix: None,
        page: &PageArgs::default(),
    };
    let mut undoing = Undoing::of(user)?;
    let next = |page: &HistoryReply| page.next_cursor.clone();
    let see = |_: &Bytes, page: &HistoryReply| {
        // What was changed since the profile was read makes the expected version refuse the update.
        let undone = args.to_version + 1..=user.details.sequence;
        for change in page
            .changes
            .iter()
            .filter(|it| undone.contains(&it.sequence))
        {
            undoing.undo(change)?;
        }
        Ok(match undoing.version == args.to_version {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    };
    pages.walk(connection, next, see).await?;
    match undoing.version == args.to_version {
        true => Ok(undoing.fields),
        false => Err(no_longer_kept(args.to_version)),
    }
}

/// The profile on its way back.
#[derive(Debug)]
struct Undoing {
    version: u64,
    fields: Fields,
}

impl Undoing {
    fn of(user: &GetReply) -> Result<Undoing, Failure> {
        let fields = serde_json::to_value(&user.profile).and_then(serde_json::from_value);
        Ok(Undoing {
            version: user.details.sequence,
            fields: fields
                .map_err(|error| Failure::other(format!("cannot write the profile: {error}")))?,
        })
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
            self.fields.insert(field.field.clone(), old.into());
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
fn replacement(mut fields: Fields) -> Value {
    fields.retain(|_, value| value != "");
    Value::Object(fields)
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
        let mut undoing = Undoing::of(&user()).unwrap();
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
        assert!(
            Undoing::of(&user())
                .unwrap()
                .undo(&change(3, fields))
                .is_err()
        );
        let unknown = r#"[{"field":"firstName","new":"D"}]"#;
        assert!(
            Undoing::of(&user())
                .unwrap()
                .undo(&change(4, unknown))
                .is_err()
        );
        let mut created = Undoing::of(&user()).unwrap();
        created.version = 1;
        assert!(created.undo(&change(1, "[]")).is_err());
    }
}
