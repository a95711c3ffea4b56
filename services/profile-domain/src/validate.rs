//! From a body as it arrived to a valid, canonical command: every broken rule at once, each with the
//! exact text that ZITADEL's validator gives for it (zitadel-api §2.1, §2.2).

use profile_messages::command::{Command, PatchBody, ProfilePatch, UpdateBody};
use profile_messages::json::WireGender;
use profile_messages::{Gender, OrgId, ProfileFields};

use crate::language::canonical_language;
use crate::rule::{Fields, LENGTH_MAX, Length, Violations};

mod new_user;
pub mod query;
#[cfg(test)]
mod tests;
pub mod v2;

pub use new_user::{NewUser, create, import};

/// Limit of every name, of the user name and the e-mail: code points.
const NAME: Length = Length::Between {
    min: 1,
    max: LENGTH_MAX,
};
const OPTIONAL_NAME: Length = Length::AtMost { max: LENGTH_MAX };
const LANGUAGE: Length = Length::AtMost { max: 10 };
const PHONE: Length = Length::Between { min: 1, max: 50 };

/// ZITADEL management UpdateHumanProfile: an absent display name is derived (where ZITADEL demands it).
///
/// # Errors
/// All broken rules, in ZITADEL's order.
pub fn management_update(
    user_id: &str,
    body: &UpdateBody,
    org: OrgId,
) -> Result<Command, Violations> {
    let mut fields = Fields::of("UpdateHumanProfileRequest");
    fields.any_text_length("UserId", "userId", user_id, NAME);
    let update = replacement(&mut fields, body, Absent::Derived);
    fields.into_result(Command::Update {
        org,
        fields: update,
    })
}

/// ZITADEL auth UpdateMyProfile: the display name is required.
///
/// # Errors
/// All broken rules, in ZITADEL's order.
pub fn my_update(body: &UpdateBody, org: OrgId) -> Result<Command, Violations> {
    my_update_fields(body).map(|fields| Command::Update { org, fields })
}

/// The fields of [`my_update`], for a caller that has no profile to update.
///
/// # Errors
/// As [`my_update`].
pub fn my_update_fields(body: &UpdateBody) -> Result<ProfileFields, Violations> {
    let mut fields = Fields::of("UpdateMyProfileRequest");
    let update = replacement(&mut fields, body, Absent::Refused);
    fields.into_result(update)
}

/// RFC 7396: null clears nickName, preferredLanguage and gender, and is refused for a required name.
///
/// # Errors
/// All broken rules, in declaration order.
pub fn patch(body: &PatchBody) -> Result<Command, Violations> {
    let mut fields = Fields::of("PatchProfileRequest");
    let patch = ProfilePatch {
        first_name: required(&mut fields, "FirstName", "firstName", &body.first_name),
        last_name: required(&mut fields, "LastName", "lastName", &body.last_name),
        nick_name: body.nick_name.as_ref().map(|nick_name| {
            let nick_name = text(nick_name);
            fields.length("NickName", "nickName", nick_name, OPTIONAL_NAME);
            nick_name.to_owned()
        }),
        display_name: required(
            &mut fields,
            "DisplayName",
            "displayName",
            &body.display_name,
        ),
        preferred_language: body.preferred_language.as_ref().map(|language| {
            let language = text(language);
            fields.any_text_length("PreferredLanguage", "preferredLanguage", language, LANGUAGE);
            canonical_language(language)
        }),
        gender: patched_gender(body.gender),
    };
    fields.into_result(Command::Patch { patch })
}

fn required(
    fields: &mut Fields,
    go_name: &str,
    json_name: &str,
    value: &Option<Option<String>>,
) -> Option<String> {
    let value = value.as_ref()?;
    match value {
        None => fields.required(go_name, json_name),
        Some(value) => fields.length(go_name, json_name, value, NAME),
    }
    value.clone()
}

/// What an absent display name means.
#[derive(Clone, Copy)]
enum Absent {
    Derived,
    Refused,
}

/// The six fields of a full replacement; what is absent becomes empty, `und` or unspecified.
fn replacement(fields: &mut Fields, body: &UpdateBody, absent: Absent) -> ProfileFields {
    let (first_name, last_name) = (text(&body.first_name), text(&body.last_name));
    fields.length("FirstName", "firstName", first_name, NAME);
    fields.length("LastName", "lastName", last_name, NAME);
    fields.length("NickName", "nickName", text(&body.nick_name), OPTIONAL_NAME);
    let display_name = match (&body.display_name, absent) {
        (None, Absent::Derived) => derived_display_name(first_name, last_name),
        (None, Absent::Refused) | (Some(_), Absent::Derived | Absent::Refused) => {
            let display_name = text(&body.display_name);
            fields.length("DisplayName", "displayName", display_name, NAME);
            display_name.to_owned()
        }
    };
    let language = text(&body.preferred_language);
    fields.any_text_length("PreferredLanguage", "preferredLanguage", language, LANGUAGE);
    ProfileFields {
        first_name: first_name.to_owned(),
        last_name: last_name.to_owned(),
        nick_name: text(&body.nick_name).to_owned(),
        display_name,
        preferred_language: canonical_language(language),
        gender: gender(body.gender),
    }
}

/// `"<first> <last>"`, cut to the limit in code points.
fn derived_display_name(first_name: &str, last_name: &str) -> String {
    format!("{first_name} {last_name}")
        .chars()
        .take(LENGTH_MAX as usize)
        .collect()
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

/// An unknown name is absent, as in every other body; null clears.
fn patched_gender(value: Option<Option<WireGender>>) -> Option<Gender> {
    match value {
        None | Some(Some(WireGender(None))) => None,
        Some(None) => Some(Gender::Unspecified),
        Some(Some(WireGender(Some(number)))) => Some(Gender::from_number(number)),
    }
}

fn gender(value: Option<WireGender>) -> Gender {
    Gender::from_number(value.and_then(|gender| gender.0).unwrap_or_default())
}
