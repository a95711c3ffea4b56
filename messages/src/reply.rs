//! Replies: lowerCamelCase JSON as protobuf writes it, zero values left out, uint64 as a string.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json::{u64_from_text, u64_text};
use crate::{Contact, Gender, ProfileFields, Timestamp};

/// ZITADEL ObjectDetails. On create without `changeDate`, on other changes without `creationDate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectDetails {
    /// The user's version.
    #[serde(serialize_with = "u64_text", deserialize_with = "u64_from_text")]
    pub sequence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_date: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_date: Option<Timestamp>,
    /// The organization.
    pub resource_owner: String,
}

/// Answer to every command; `user_id` on `create` only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandReply {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    pub details: ObjectDetails,
}

/// ZITADEL user.v1.Profile as JSON: empty text and the unspecified gender are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileView {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nick_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preferred_language: String,
    #[serde(default, skip_serializing_if = "is_unspecified")]
    pub gender: Gender,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmailView {
    pub email: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_email_verified: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhoneView {
    pub phone: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_phone_verified: bool,
}

/// Answer to `get`: ZITADEL GetHumanProfileResponse with the contact data beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetReply {
    pub user_id: String,
    pub details: ObjectDetails,
    pub profile: ProfileView,
    pub user_name: String,
    pub email: EmailView,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<PhoneView>,
}

/// Answer to `history`: newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryReply {
    pub changes: Vec<HistoryChange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryChange {
    #[serde(serialize_with = "u64_text", deserialize_with = "u64_from_text")]
    pub sequence: u64,
    pub change_date: Timestamp,
    /// `created`, `changed` or `removed`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Subject of the token that made the change.
    pub editor_id: String,
    pub resource_owner: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// Old and new value of one field; `old` is absent on `created`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    pub field: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    pub new: String,
}

/// Answer to `list`: a page in order of (case-folded display name, user id), true at `position`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListReply {
    pub users: Vec<GetReply>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    #[serde(serialize_with = "u64_text", deserialize_with = "u64_from_text")]
    pub position: u64,
}

/// Answer to `replay`. Ask again with `after` = `position` until `end`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayReply {
    pub events: Vec<ReplayedEvent>,
    #[serde(serialize_with = "u64_text", deserialize_with = "u64_from_text")]
    pub position: u64,
    /// Whether the log had no later event.
    pub end: bool,
}

/// One event, byte for byte as the relay sends it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayedEvent {
    #[serde(serialize_with = "u64_text", deserialize_with = "u64_from_text")]
    pub position: u64,
    pub event: Box<RawValue>,
}

/// The answer of the funnel to a query.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum QueryReply {
    Get(Box<GetReply>),
    History(HistoryReply),
    List(ListReply),
    Replay(ReplayReply),
}

impl From<&ProfileFields> for ProfileView {
    fn from(fields: &ProfileFields) -> ProfileView {
        let ProfileFields {
            first_name,
            last_name,
            nick_name,
            display_name,
            preferred_language,
            gender,
        } = fields.clone();
        ProfileView {
            first_name,
            last_name,
            nick_name,
            display_name,
            preferred_language,
            gender,
        }
    }
}

impl From<&Contact> for EmailView {
    fn from(contact: &Contact) -> EmailView {
        EmailView {
            email: contact.email.clone(),
            is_email_verified: contact.email_verified,
        }
    }
}

impl PhoneView {
    pub fn of(contact: &Contact) -> Option<PhoneView> {
        let (phone, is_phone_verified) = (contact.phone.clone(), contact.phone_verified);
        (!phone.is_empty()).then_some(PhoneView {
            phone,
            is_phone_verified,
        })
    }
}

fn is_unspecified(gender: &Gender) -> bool {
    *gender == Gender::Unspecified
}
