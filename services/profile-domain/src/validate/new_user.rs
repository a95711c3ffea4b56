//! ZITADEL's v1 creations: AddHumanUser with an id of the caller's choice, and ImportHumanUser.

use profile_messages::command::{CreateBody, EmailBody, ImportBody, PhoneBody, UpdateBody};
use profile_messages::json::Message;
use profile_messages::{Contact, ProfileFields, UserId};

use super::{LANGUAGE, NAME, OPTIONAL_NAME, PHONE, derived_display_name, gender, text};
use crate::language::canonical_language;
use crate::rule::{Fields, Violations};

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
    let human = HumanParts {
        user_name: &body.user_name,
        profile: body.profile.as_ref(),
        email: body.email.as_ref(),
        phone: body.phone.as_ref(),
    };
    let (profile, contact) = new_human(&mut fields, &human);
    let user = match body.user_id.as_deref() {
        None | Some("") => None,
        Some(id) => UserId::parse(id)
            .inspect_err(|rule| fields.id("UserId", "userId", rule))
            .ok(),
    };
    fields.into_result(NewUser {
        user,
        fields: profile,
        contact,
    })
}

/// ZITADEL ImportHumanUser: as [`create`], under its own message names and without an id.
///
/// # Errors
/// All broken rules, in ZITADEL's order.
pub fn import(body: &ImportBody) -> Result<NewUser, Violations> {
    let mut fields = Fields::of("ImportHumanUserRequest");
    let human = HumanParts {
        user_name: &body.user_name,
        profile: body.profile.as_ref(),
        email: body.email.as_ref(),
        phone: body.phone.as_ref(),
    };
    let (profile, contact) = new_human(&mut fields, &human);
    fields.into_result(NewUser {
        user: None,
        fields: profile,
        contact,
    })
}

/// What both bodies say of the new user.
struct HumanParts<'a> {
    user_name: &'a Option<String>,
    profile: Option<&'a Message<UpdateBody>>,
    email: Option<&'a Message<EmailBody>>,
    phone: Option<&'a Message<PhoneBody>>,
}

fn new_human(fields: &mut Fields, human: &HumanParts<'_>) -> (ProfileFields, Contact) {
    let user_name = text(human.user_name).trim();
    fields.length("UserName", "userName", user_name, NAME);
    let profile = new_profile(fields, human.profile);
    let (email, email_verified) = new_email(fields, human.email);
    let (phone, phone_verified) = new_phone(fields, human.phone);
    let contact = Contact {
        user_name: user_name.to_owned(),
        email,
        email_verified,
        phone,
        phone_verified,
    };
    (profile, contact)
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
