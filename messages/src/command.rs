//! Commands: the bodies as they arrive, and the closed set that the rules decide on.

use serde::Deserialize;

use crate::json::{Message, Sent, WireGender, sent_list, sent_message, sent_text};
use crate::subject::Operation;
use crate::{Contact, Gender, OrgId, ProfileFields, UserId};

pub mod v2;

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
    /// ZITADEL management AddHumanUser.
    Create(CreateBody),
    /// ZITADEL management ImportHumanUser.
    Import(ImportBody),
    /// ZITADEL user v2 AddHumanUser.
    AddHuman(v2::AddHumanBody),
    /// ZITADEL user v2 CreateUser.
    CreateUser(v2::CreateUserBody),
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
    /// ZITADEL user v2 UpdateHumanUser.
    UpdateHuman {
        user_id: String,
        body: v2::UpdateHumanBody,
    },
    /// ZITADEL user v2 UpdateUser.
    UpdateUser {
        user_id: String,
        body: v2::UpdateUserBody,
    },
    Remove {
        user_id: String,
    },
}

impl CommandRequest {
    /// Part of an idempotency key's scope: ZITADEL's calls are the operation that does the same over
    /// NATS, so that the transport does not matter to a retry.
    pub fn operation(&self) -> Operation {
        match self {
            CommandRequest::Create(_)
            | CommandRequest::Import(_)
            | CommandRequest::AddHuman(_)
            | CommandRequest::CreateUser(_) => Operation::Create,
            CommandRequest::Update { .. } => Operation::Update,
            CommandRequest::UpdateMe { .. } => Operation::MeUpdate,
            CommandRequest::Patch { .. }
            | CommandRequest::UpdateHuman { .. }
            | CommandRequest::UpdateUser { .. } => Operation::Patch,
            CommandRequest::PatchMe { .. } => Operation::MePatch,
            CommandRequest::Remove { .. } => Operation::Remove,
        }
    }

    /// Whether it holds a password, which is taken, never kept: only the v1 creations may.
    pub fn drops_password(&self) -> bool {
        match self {
            CommandRequest::Create(body) => body.initial_password.is_some(),
            CommandRequest::Import(body) => {
                let password = [body.password, body.hashed_password];
                password.iter().any(Option::is_some) || body.password_change_required == Some(true)
            }
            CommandRequest::AddHuman(_)
            | CommandRequest::CreateUser(_)
            | CommandRequest::Update { .. }
            | CommandRequest::UpdateMe { .. }
            | CommandRequest::Patch { .. }
            | CommandRequest::PatchMe { .. }
            | CommandRequest::UpdateHuman { .. }
            | CommandRequest::UpdateUser { .. }
            | CommandRequest::Remove { .. } => false,
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
    #[serde(alias = "initial_password", deserialize_with = "sent_text")]
    pub initial_password: Option<Sent>,
}

/// Body of ZITADEL management ImportHumanUser. Passwords are not kept; the fields after them are not
/// supported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImportBody {
    #[serde(alias = "user_name")]
    pub user_name: Option<String>,
    pub profile: Option<Message<UpdateBody>>,
    pub email: Option<Message<EmailBody>>,
    pub phone: Option<Message<PhoneBody>>,
    #[serde(deserialize_with = "sent_text")]
    pub password: Option<Sent>,
    #[serde(alias = "hashed_password", deserialize_with = "sent_message")]
    pub hashed_password: Option<Sent>,
    #[serde(alias = "password_change_required")]
    pub password_change_required: Option<bool>,
    #[serde(alias = "request_passwordless_registration")]
    pub request_passwordless_registration: Option<bool>,
    #[serde(alias = "otp_code", deserialize_with = "sent_text")]
    pub otp_code: Option<Sent>,
    #[serde(deserialize_with = "sent_list")]
    pub idps: Option<Sent>,
    #[serde(alias = "recovery_codes", deserialize_with = "sent_list")]
    pub recovery_codes: Option<Sent>,
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
