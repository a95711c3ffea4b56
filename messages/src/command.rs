//! Commands: the bodies as they arrive, and the closed set that the rules decide on.

use serde::Deserialize;

use crate::json::{Message, WireGender};
use crate::subject::Operation;
use crate::{Contact, Gender, OrgId, ProfileFields, UserId};

/// A change of one user, valid and canonical: what `decide` takes and what a request hash covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A new human user.
    Create {
        user: UserId,
        org: OrgId,
        fields: ProfileFields,
        contact: Contact,
    },
    /// Full replacement of the six fields; changing nothing is refused (ZITADEL v1). `org` is the
    /// context organization: a user of another one is as unknown as a missing one.
    Update { org: OrgId, fields: ProfileFields },
    /// RFC 7396 merge: an absent field keeps its value; changing nothing succeeds (ZITADEL v2).
    Patch { patch: ProfilePatch },
    /// The end of the user; the id is never reused. `org` as in `Update`.
    Remove { org: OrgId },
}

/// New values of some fields, canonical.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfilePatch {
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub nick_name: Option<String>,
    pub display_name: Option<String>,
    pub preferred_language: Option<String>,
    pub gender: Option<Gender>,
}

/// A command as a transport decoded it: not yet authenticated, not yet validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandRequest {
    /// ZITADEL AddHumanUser.
    Create(CreateBody),
    /// ZITADEL management UpdateHumanProfile. `user_id` is as sent, in any form.
    Update {
        user_id: String,
        body: UpdateBody,
    },
    /// ZITADEL auth UpdateMyProfile.
    UpdateMe {
        body: UpdateBody,
    },
    Patch {
        user_id: String,
        body: PatchBody,
    },
    PatchMe {
        body: PatchBody,
    },
    Remove {
        user_id: String,
    },
}

impl CommandRequest {
    pub fn operation(&self) -> Operation {
        match self {
            CommandRequest::Create(_) => Operation::Create,
            CommandRequest::Update { .. } => Operation::Update,
            CommandRequest::UpdateMe { .. } => Operation::MeUpdate,
            CommandRequest::Patch { .. } => Operation::Patch,
            CommandRequest::PatchMe { .. } => Operation::MePatch,
            CommandRequest::Remove { .. } => Operation::Remove,
        }
    }
}

/// Body of `update` and `me.update`: ZITADEL UpdateHumanProfileRequest, UpdateMyProfileRequest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateBody {
    #[serde(alias = "user_id")]
    pub user_id: Option<String>,
    #[serde(alias = "first_name")]
    pub first_name: Option<String>,
    #[serde(alias = "last_name")]
    pub last_name: Option<String>,
    #[serde(alias = "nick_name")]
    pub nick_name: Option<String>,
    #[serde(alias = "display_name")]
    pub display_name: Option<String>,
    #[serde(alias = "preferred_language")]
    pub preferred_language: Option<String>,
    pub gender: Option<WireGender>,
}

/// Body of `create`: ZITADEL AddHumanUserRequest with an optional `userId`. Passwords are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateBody {
    #[serde(alias = "user_id")]
    pub user_id: Option<String>,
    #[serde(alias = "user_name")]
    pub user_name: Option<String>,
    pub profile: Option<Message<UpdateBody>>,
    pub email: Option<Message<EmailBody>>,
    pub phone: Option<Message<PhoneBody>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EmailBody {
    pub email: Option<String>,
    #[serde(alias = "is_email_verified")]
    pub is_email_verified: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PhoneBody {
    pub phone: Option<String>,
    #[serde(alias = "is_phone_verified")]
    pub is_phone_verified: Option<bool>,
}

/// Body of `patch` and `me.patch`: absent keeps (outer `None`), null clears (`Some(None)`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PatchBody {
    #[serde(alias = "user_id")]
    pub user_id: Option<String>,
    #[serde(alias = "first_name", deserialize_with = "present")]
    pub first_name: Option<Option<String>>,
    #[serde(alias = "last_name", deserialize_with = "present")]
    pub last_name: Option<Option<String>>,
    #[serde(alias = "nick_name", deserialize_with = "present")]
    pub nick_name: Option<Option<String>>,
    #[serde(alias = "display_name", deserialize_with = "present")]
    pub display_name: Option<Option<String>>,
    #[serde(alias = "preferred_language", deserialize_with = "present")]
    pub preferred_language: Option<Option<String>>,
    #[serde(deserialize_with = "present")]
    pub gender: Option<Option<WireGender>>,
}

/// Body of operations that name a user and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetBody {
    #[serde(alias = "user_id")]
    pub user_id: Option<String>,
}

fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
