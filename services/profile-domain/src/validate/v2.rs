//! ZITADEL's user service v2: the rules of its bodies, and the commands that they mean.
//!
//! Its validators look at plain fields first, then at oneofs, then at proto3-optional fields, each in
//! the order of declaration; this is the order of the calls here.

use profile_messages::command::v2::{
    AddHumanBody, CreateUserBody, EmailBody, PhoneBody, ProfileBody, UpdateHumanBody,
    UpdateUserBody,
};
use profile_messages::command::{Command, ProfilePatch};
use profile_messages::json::{Message, WireGender};
use profile_messages::{Contact, Gender, ProfileFields, UserId};

use super::{LANGUAGE, NAME, NewUser, OPTIONAL_NAME, derived_display_name, text};
use crate::language::canonical_language;
use crate::rule::{Fields, Length, Violations};

#[cfg(test)]
mod tests;

/// The type of the profile in every v2 body but UpdateUser's.
const SET_PROFILE: &str = "SetHumanProfile";
const SET_EMAIL: &str = "SetHumanEmail";
const SET_PHONE: &str = "SetHumanPhone";
/// UpdateUser cannot clear a language.
const SET_LANGUAGE: Length = Length::Between { min: 1, max: 10 };
/// As in v1, but that the empty one means none.
const PHONE: Length = Length::AtMost { max: 50 };

/// ZITADEL UpdateHumanUser: what `profile` sets is replaced, both names must be set in it.
///
/// # Errors
/// All broken rules, in ZITADEL's order.
pub fn update_human(user_id: &str, body: &UpdateHumanBody) -> Result<Command, Violations> {
    let mut fields = Fields::of("UpdateHumanUserRequest");
    fields.any_text_length("UserId", "userId", user_id, NAME);
    let patch = match &body.profile {
        None => ProfilePatch::default(),
        Some(Message(profile)) => set_profile(&mut fields, profile),
    };
    fields.into_result(Command::Patch { patch })
}

/// ZITADEL UpdateUser: what is set is replaced, nothing can be cleared but the gender.
///
/// # Errors
/// All broken rules, in ZITADEL's order.
pub fn update_user(user_id: &str, body: &UpdateUserBody) -> Result<Command, Violations> {
    let mut fields = Fields::of("UpdateUserRequest");
    fields.any_text_length("UserId", "userId", user_id, NAME);
    let mut patch = ProfilePatch::default();
    if let Some(Message(human)) = &body.human {
        let mut human_fields = fields.nested("Human", "human");
        if let Some(Message(profile)) = &human.profile {
            let mut profile_fields = human_fields.nested("Profile", "profile");
            patch = some_of_a_profile(&mut profile_fields, profile);
            human_fields.collect(profile_fields);
        }
        fields.collect(human_fields);
    }
    fields.into_result(Command::Patch { patch })
}

/// ZITADEL AddHumanUser of the user service. Names are trimmed, the e-mail is the default user name.
///
/// # Errors
/// All broken rules, in ZITADEL's order.
pub fn add_human(body: &AddHumanBody) -> Result<NewUser, Violations> {
    let mut fields = Fields::of("AddHumanUserRequest");
    let profile = new_profile(&mut fields, body.profile.as_ref());
    let mut contact = new_contact(&mut fields, body.email.as_ref(), body.phone.as_ref());
    let user = new_id(&mut fields, body.user_id.as_deref());
    contact.user_name = new_user_name(&mut fields, &body.username, &contact.email);
    fields.into_result(NewUser {
        user,
        fields: profile,
        contact,
    })
}

/// ZITADEL CreateUser, as [`add_human`]; `None` when the body has no human.
///
/// # Errors
/// All broken rules, in ZITADEL's order.
pub fn create_user(body: &CreateUserBody) -> Result<Option<NewUser>, Violations> {
    let mut fields = Fields::of("CreateUserRequest");
    let organization = text(&body.organization_id);
    fields.any_text_length("OrganizationId", "organizationId", organization, NAME);
    let human = body.human.as_ref().map(|Message(human)| {
        let mut human_fields = fields.nested("Human", "human");
        let profile = new_profile(&mut human_fields, human.profile.as_ref());
        let (email, phone) = (human.email.as_ref(), human.phone.as_ref());
        let contact = new_contact(&mut human_fields, email, phone);
        fields.collect(human_fields);
        (profile, contact)
    });
    let user = new_id(&mut fields, body.user_id.as_deref());
    let email = human.as_ref().map_or("", |(_, contact)| &contact.email);
    let user_name = new_user_name(&mut fields, &body.username, email);
    let new = human.map(|(profile, contact)| NewUser {
        user,
        fields: profile,
        contact: Contact {
            user_name,
            ..contact
        },
    });
    fields.into_result(new)
}

/// `SetHumanProfile` in the field `profile` of `outer`.
fn set_profile(outer: &mut Fields, profile: &ProfileBody) -> ProfilePatch {
    let mut fields = outer.nested_type(SET_PROFILE, "Profile", "profile");
    let given_name = text(&profile.given_name);
    fields.length("GivenName", "givenName", given_name, NAME);
    let family_name = text(&profile.family_name);
    fields.length("FamilyName", "familyName", family_name, NAME);
    if let Some(nick_name) = &profile.nick_name {
        fields.length("NickName", "nickName", nick_name, OPTIONAL_NAME);
    }
    if let Some(display_name) = &profile.display_name {
        fields.length("DisplayName", "displayName", display_name, OPTIONAL_NAME);
    }
    let language = profile.preferred_language.as_deref();
    if let Some(language) = language {
        fields.any_text_length("PreferredLanguage", "preferredLanguage", language, LANGUAGE);
    }
    outer.collect(fields);
    ProfilePatch {
        first_name: Some(given_name.to_owned()),
        last_name: Some(family_name.to_owned()),
        nick_name: profile.nick_name.clone(),
        display_name: profile.display_name.clone(),
        preferred_language: language.map(canonical_language),
        gender: gender(profile.gender),
    }
}

/// `UpdateUserRequest.Human.Profile`.
fn some_of_a_profile(fields: &mut Fields, profile: &ProfileBody) -> ProfilePatch {
    let texts = [
        ("GivenName", "givenName", &profile.given_name),
        ("FamilyName", "familyName", &profile.family_name),
        ("NickName", "nickName", &profile.nick_name),
        ("DisplayName", "displayName", &profile.display_name),
    ];
    for (go_name, json_name, value) in texts {
        if let Some(value) = value {
            fields.length(go_name, json_name, value, NAME);
        }
    }
    let language = profile.preferred_language.as_deref();
    if let Some(language) = language {
        let (go_name, json_name) = ("PreferredLanguage", "preferredLanguage");
        fields.any_text_length(go_name, json_name, language, SET_LANGUAGE);
    }
    if let Some(WireGender(Some(number))) = profile.gender
        && Gender::from_number(number).number() != number
    {
        fields.undefined_enum("Gender", "gender");
    }
    ProfilePatch {
        first_name: profile.given_name.clone(),
        last_name: profile.family_name.clone(),
        nick_name: profile.nick_name.clone(),
        display_name: profile.display_name.clone(),
        preferred_language: language.map(canonical_language),
        gender: gender(profile.gender),
    }
}

/// An unknown name is absent, an unknown number is unspecified.
fn gender(sent: Option<WireGender>) -> Option<Gender> {
    let WireGender(number) = sent?;
    number.map(Gender::from_number)
}

fn new_profile(outer: &mut Fields, body: Option<&Message<ProfileBody>>) -> ProfileFields {
    let Some(Message(body)) = body else {
        outer.required("Profile", "profile");
        return ProfileFields::default();
    };
    let set = set_profile(outer, body);
    let first_name = text(&set.first_name).trim().to_owned();
    let last_name = text(&set.last_name).trim().to_owned();
    let display_name = match text(&set.display_name) {
        "" => derived_display_name(&first_name, &last_name),
        sent => sent.to_owned(),
    };
    let nothing = ProfileFields::default();
    ProfileFields {
        first_name,
        last_name,
        nick_name: set.nick_name.unwrap_or(nothing.nick_name),
        display_name,
        preferred_language: set.preferred_language.unwrap_or(nothing.preferred_language),
        gender: set.gender.unwrap_or(nothing.gender),
    }
}

/// E-mail and phone; the user name comes later in ZITADEL's order.
fn new_contact(
    outer: &mut Fields,
    email: Option<&Message<EmailBody>>,
    phone: Option<&Message<PhoneBody>>,
) -> Contact {
    let (email, email_verified) = match email {
        None => {
            outer.required("Email", "email");
            Default::default()
        }
        Some(Message(body)) => {
            let mut fields = outer.nested_type(SET_EMAIL, "Email", "email");
            let email = text(&body.email);
            fields.length("Email", "email", email, NAME);
            outer.collect(fields);
            (email.to_owned(), body.is_verified.unwrap_or_default())
        }
    };
    let (phone, phone_verified) = match phone {
        None => Default::default(),
        Some(Message(body)) => {
            let phone = text(&body.phone);
            let mut fields = outer.nested_type(SET_PHONE, "Phone", "phone");
            fields.length("Phone", "phone", phone, PHONE);
            if !phone.is_empty() {
                fields.prefix("Phone", "phone", phone, "+");
            }
            outer.collect(fields);
            let verified = body.is_verified.unwrap_or_default() && !phone.is_empty();
            (phone.to_owned(), verified)
        }
    };
    Contact {
        user_name: String::new(),
        email,
        email_verified,
        phone,
        phone_verified,
    }
}

/// ZITADEL's rule of length first, then our form of an id.
fn new_id(fields: &mut Fields, user_id: Option<&str>) -> Option<UserId> {
    let user_id = user_id?;
    if !NAME.holds(user_id) {
        fields.any_text_length("UserId", "userId", user_id, NAME);
        return None;
    }
    UserId::parse(user_id)
        .inspect_err(|rule| fields.id("UserId", "userId", rule))
        .ok()
}

fn new_user_name(fields: &mut Fields, user_name: &Option<String>, email: &str) -> String {
    let user_name = text(user_name);
    if !user_name.is_empty() {
        fields.length("Username", "username", user_name, NAME);
    }
    match user_name.trim() {
        "" => email.to_owned(),
        trimmed => trimmed.to_owned(),
    }
}
