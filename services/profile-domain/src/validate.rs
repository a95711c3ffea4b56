//! From a body as it arrived to a valid, canonical command: every broken rule at once, each with the
//! exact text that ZITADEL's validator gives for it (zitadel-api §2.1, §2.2).

use profile_messages::command::{
    Command, CreateBody, EmailBody, PatchBody, PhoneBody, ProfilePatch, UpdateBody,
};
use profile_messages::json::{Message, WireGender};
use profile_messages::{Contact, Gender, OrgId, ProfileFields, UserId};

use crate::language::canonical_language;
use crate::rule::{Fields, LENGTH_MAX, Length, Violations};

#[cfg(test)]
mod tests;

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

/// The id that a new user asks for, if any, checked with the rest of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    pub user: Option<UserId>,
    pub fields: ProfileFields,
    pub contact: Contact,
}

/// ZITADEL AddHumanUser with an optional user id: user name, first and last name are trimmed.
///
/// # Errors
/// All broken rules, in ZITADEL's order, our `userId` last.
pub fn create(body: &CreateBody) -> Result<NewUser, Violations> {
    let mut fields = Fields::of("AddHumanUserRequest");
    let user_name = text(&body.user_name).trim();
    fields.length("UserName", "userName", user_name, NAME);
    let profile = new_profile(&mut fields, body.profile.as_ref());
    let (email, email_verified) = new_email(&mut fields, body.email.as_ref());
    let (phone, phone_verified) = new_phone(&mut fields, body.phone.as_ref());
    let user = match body.user_id.as_deref() {
        None | Some("") => None,
        Some(id) => UserId::parse(id)
            .inspect_err(|rule| fields.id("UserId", "userId", rule))
            .ok(),
    };
    let contact = Contact {
        user_name: user_name.to_owned(),
        email,
        email_verified,
        phone,
        phone_verified,
    };
    fields.into_result(NewUser {
        user,
        fields: profile,
        contact,
    })
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

fn new_profile(fields: &mut Fields, body: Option<&Message<UpdateBody>>) -> ProfileFields {
    let Some(Message(body)) = body else {
        fields.required("Profile", "profile");
        return ProfileFields::default();
    };
    let mut nested = fields.nested("Profile", "profile");
    let (first_name, last_name) = (text(&body.first_name), text(&body.last_name));
    nested.length("FirstName", "firstName", first_name, NAME);
    nested.length("LastName", "lastName", last_name, NAME);
    nested.length("NickName", "nickName", text(&body.nick_name), OPTIONAL_NAME);
    nested.length(
        "DisplayName",
        "displayName",
        text(&body.display_name),
        OPTIONAL_NAME,
    );
    let language = text(&body.preferred_language);
    nested.any_text_length("PreferredLanguage", "preferredLanguage", language, LANGUAGE);
    fields.collect(nested);
    let (first_name, last_name) = (first_name.trim(), last_name.trim());
    let display_name = match text(&body.display_name) {
        "" => derived_display_name(first_name, last_name),
        sent => sent.to_owned(),
    };
    ProfileFields {
        first_name: first_name.to_owned(),
        last_name: last_name.to_owned(),
        nick_name: text(&body.nick_name).to_owned(),
        display_name,
        preferred_language: canonical_language(language),
        gender: gender(body.gender),
    }
}

fn new_email(fields: &mut Fields, body: Option<&Message<EmailBody>>) -> (String, bool) {
    let Some(Message(body)) = body else {
        fields.required("Email", "email");
        return Default::default();
    };
    let mut nested = fields.nested("Email", "email");
    let email = text(&body.email);
    nested.length("Email", "email", email, NAME);
    fields.collect(nested);
    (email.to_owned(), body.is_email_verified.unwrap_or_default())
}

fn new_phone(fields: &mut Fields, body: Option<&Message<PhoneBody>>) -> (String, bool) {
    let Some(Message(body)) = body else {
        return Default::default();
    };
    let mut nested = fields.nested("Phone", "phone");
    let phone = text(&body.phone);
    nested.length("Phone", "phone", phone, PHONE);
    nested.prefix("Phone", "phone", phone, "+");
    fields.collect(nested);
    (phone.to_owned(), body.is_phone_verified.unwrap_or_default())
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
