//! The rules: what a valid command does to a user, or why it is refused.

use profile_messages::command::{Command, ProfilePatch};
use profile_messages::event::Event;
use profile_messages::{FieldChanges, ProfileFields};

use crate::{Profile, Rejection};

#[cfg(test)]
mod tests;

/// Decides `command` on `profile`. `None`: the command is accepted and there is nothing to change.
///
/// # Errors
/// [`Rejection`], with ZITADEL's id and text.
pub fn decide(profile: &Profile, command: &Command) -> Result<Option<Event>, Rejection> {
    match command {
        Command::Create {
            org,
            fields,
            contact,
            user: _,
        } => {
            if fields.first_name.is_empty() {
                return Err(Rejection::FirstNameEmpty);
            }
            if fields.last_name.is_empty() {
                return Err(Rejection::LastNameEmpty);
            }
            match profile {
                Profile::Absent => Ok(Some(Event::Created {
                    org: org.clone(),
                    fields: fields.clone(),
                    contact: contact.clone(),
                })),
                Profile::Active { .. } | Profile::Removed { .. } => Err(Rejection::AlreadyExists),
            }
        }
        Command::Update { org, fields } => match profile {
            Profile::Active { org: owner, state } if owner == org => {
                let changed = changed(&state.fields, fields);
                changed.map(Some).ok_or(Rejection::NotChanged)
            }
            Profile::Absent | Profile::Active { .. } | Profile::Removed { .. } => {
                Err(Rejection::ProfileNotFound)
            }
        },
        Command::Patch { patch } => match profile {
            Profile::Active { state, .. } => {
                Ok(changed(&state.fields, &merged(&state.fields, patch)))
            }
            Profile::Absent | Profile::Removed { .. } => Err(Rejection::UserNotFound),
        },
        Command::Remove { org } => match profile {
            Profile::Active { org: owner, .. } if owner == org => Ok(Some(Event::Removed)),
            Profile::Absent | Profile::Active { .. } | Profile::Removed { .. } => {
                Err(Rejection::RemoveNotFound)
            }
        },
    }
}

fn changed(before: &ProfileFields, after: &ProfileFields) -> Option<Event> {
    let changes = FieldChanges::between(before, after);
    (!changes.is_empty()).then_some(Event::Changed { changes })
}

/// RFC 7396 on flat fields: what the patch names is replaced, the rest stays.
fn merged(fields: &ProfileFields, patch: &ProfilePatch) -> ProfileFields {
    fn text(before: &str, new: Option<&String>) -> String {
        new.map_or_else(|| before.to_owned(), Clone::clone)
    }
    ProfileFields {
        first_name: text(&fields.first_name, patch.first_name.as_ref()),
        last_name: text(&fields.last_name, patch.last_name.as_ref()),
        nick_name: text(&fields.nick_name, patch.nick_name.as_ref()),
        display_name: text(&fields.display_name, patch.display_name.as_ref()),
        preferred_language: text(
            &fields.preferred_language,
            patch.preferred_language.as_ref(),
        ),
        gender: patch.gender.unwrap_or(fields.gender),
    }
}
