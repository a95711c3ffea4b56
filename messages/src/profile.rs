//! The data of a user: the six profile fields, the contact data, and both together as stored.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The language tag of "none": ISO 639 `und`.
pub const LANGUAGE_UNDETERMINED: &str = "und";

/// Gender as ZITADEL numbers it. On the wire the enum is open; unknown numbers mean `Unspecified`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Gender {
    #[default]
    #[serde(rename = "GENDER_UNSPECIFIED")]
    Unspecified,
    #[serde(rename = "GENDER_FEMALE")]
    Female,
    #[serde(rename = "GENDER_MALE")]
    Male,
    #[serde(rename = "GENDER_DIVERSE")]
    Diverse,
}

impl Gender {
    pub const ALL: [Gender; 4] = [
        Gender::Unspecified,
        Gender::Female,
        Gender::Male,
        Gender::Diverse,
    ];

    /// ZITADEL maps every number but 1, 2 and 3 to unspecified (zitadel-api §2.4, without its −1).
    pub fn from_number(number: i32) -> Gender {
        match number {
            1 => Gender::Female,
            2 => Gender::Male,
            3 => Gender::Diverse,
            _ => Gender::Unspecified,
        }
    }

    pub fn number(self) -> i32 {
        match self {
            Gender::Unspecified => 0,
            Gender::Female => 1,
            Gender::Male => 2,
            Gender::Diverse => 3,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Gender::Unspecified => "GENDER_UNSPECIFIED",
            Gender::Female => "GENDER_FEMALE",
            Gender::Male => "GENDER_MALE",
            Gender::Diverse => "GENDER_DIVERSE",
        }
    }
}

/// The six fields that a profile update replaces, in ZITADEL's order, already canonical: the language
/// is a canonical BCP 47 tag, `und` for none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileFields {
    pub first_name: String,
    pub last_name: String,
    pub nick_name: String,
    pub display_name: String,
    pub preferred_language: String,
    pub gender: Gender,
}

/// Nothing set: empty names, no language, no gender. What the first change of a user is compared with.
impl Default for ProfileFields {
    fn default() -> ProfileFields {
        ProfileFields {
            first_name: String::new(),
            last_name: String::new(),
            nick_name: String::new(),
            display_name: String::new(),
            preferred_language: LANGUAGE_UNDETERMINED.to_owned(),
            gender: Gender::Unspecified,
        }
    }
}

/// New values of some of the six fields; an absent one did not change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChanges {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nick_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gender: Option<Gender>,
}

impl FieldChanges {
    /// What has to change for `before` to become `after`: the new values of the fields that differ.
    pub fn between(before: &ProfileFields, after: &ProfileFields) -> FieldChanges {
        fn text(before: &str, after: &str) -> Option<String> {
            (before != after).then(|| after.to_owned())
        }
        FieldChanges {
            first_name: text(&before.first_name, &after.first_name),
            last_name: text(&before.last_name, &after.last_name),
            nick_name: text(&before.nick_name, &after.nick_name),
            display_name: text(&before.display_name, &after.display_name),
            preferred_language: text(&before.preferred_language, &after.preferred_language),
            gender: (before.gender != after.gender).then_some(after.gender),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == FieldChanges::default()
    }

    /// The JSON names of the fields that changed, in declaration order.
    pub fn names(&self) -> Vec<&'static str> {
        [
            ("firstName", self.first_name.is_some()),
            ("lastName", self.last_name.is_some()),
            ("nickName", self.nick_name.is_some()),
            ("displayName", self.display_name.is_some()),
            ("preferredLanguage", self.preferred_language.is_some()),
            ("gender", self.gender.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, changed)| changed.then_some(name))
        .collect()
    }
}

/// User name, e-mail and phone: data of the user that only `create` sets. Never in an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    pub user_name: String,
    pub email: String,
    pub email_verified: bool,
    pub phone: String,
    pub phone_verified: bool,
}

/// Everything that is kept of an existing user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserState {
    pub fields: ProfileFields,
    pub contact: Contact,
    pub created_at: Timestamp,
}

impl UserState {
    /// Bytes of all its texts together: what an estimate of its size in memory or on disk adds up.
    pub fn text_bytes(&self) -> usize {
        let (fields, contact) = (&self.fields, &self.contact);
        let texts = [
            &fields.first_name,
            &fields.last_name,
            &fields.nick_name,
            &fields.display_name,
            &fields.preferred_language,
            &contact.user_name,
            &contact.email,
            &contact.phone,
        ];
        texts.into_iter().map(String::len).sum()
    }
}
