//! What the funnel returned as the protobuf JSON of ZITADEL's response messages: zero values left out,
//! field order by number in v1 (zitadel-api §3.3).

use profile_messages::Timestamp;
use profile_messages::reply::{
    CommandReply, EmailView, GetReply, HistoryChange, ObjectDetails, PhoneView, ProfileView,
    QueryReply,
};
use serde::Serialize;

use super::{Call, event_type};
use crate::error::ServiceError;
use crate::transport::Reply;

/// The response message of `call`.
///
/// # Errors
/// `Internal` when the funnel answered another kind of request.
pub(in crate::transport) fn response(call: Call, reply: &Reply) -> Result<Vec<u8>, ServiceError> {
    match reply {
        Reply::Command(reply) => command(call, reply),
        Reply::Query(QueryReply::Get(user)) => user_response(call, user),
        Reply::Query(QueryReply::History(history)) => {
            let result = history.changes.iter().map(ChangeJson::from).collect();
            json(&ChangesJson { result })
        }
        Reply::Query(QueryReply::List(_) | QueryReply::Replay(_)) => Err(ServiceError::Internal),
    }
}

fn command(call: Call, reply: &CommandReply) -> Result<Vec<u8>, ServiceError> {
    let details = &reply.details;
    match call {
        Call::UpdateHumanProfile
        | Call::UpdateMyProfile
        | Call::AddHumanUser
        | Call::ImportHumanUser => json(reply),
        Call::V2UpdateHumanUser | Call::V2AddHumanUser => json(&DetailsOnlyJson {
            user_id: reply.user_id.as_deref(),
            details: DetailsV2Json::of_change(details),
        }),
        Call::V2UpdateUser => json(&ChangedJson {
            change_date: details.change_date,
        }),
        Call::V2CreateUser => json(&CreatedJson {
            id: reply.user_id.as_deref().unwrap_or_default(),
            creation_date: details.creation_date,
        }),
        Call::GetHumanProfile
        | Call::GetUserById
        | Call::ListUserChanges
        | Call::GetMyProfile
        | Call::ListMyUserChanges
        | Call::V2GetUserById => Err(ServiceError::Internal),
    }
}

fn user_response(call: Call, user: &GetReply) -> Result<Vec<u8>, ServiceError> {
    match call {
        Call::GetHumanProfile | Call::GetMyProfile => json(&ProfileJson {
            details: &user.details,
            profile: &user.profile,
        }),
        Call::GetUserById => json(&UserJson {
            user: UserV1Json::from(user),
        }),
        Call::V2GetUserById => json(&UserV2ResponseJson {
            details: DetailsV2Json::of_read(&user.details),
            user: UserV2Json::from(user),
        }),
        Call::UpdateHumanProfile
        | Call::ListUserChanges
        | Call::AddHumanUser
        | Call::ImportHumanUser
        | Call::UpdateMyProfile
        | Call::ListMyUserChanges
        | Call::V2UpdateHumanUser
        | Call::V2UpdateUser
        | Call::V2AddHumanUser
        | Call::V2CreateUser => Err(ServiceError::Internal),
    }
}

fn json(message: &impl Serialize) -> Result<Vec<u8>, ServiceError> {
    serde_json::to_vec(message).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        ServiceError::Internal
    })
}

#[derive(Serialize)]
struct ProfileJson<'a> {
    details: &'a ObjectDetails,
    profile: &'a ProfileView,
}

#[derive(Serialize)]
struct UserJson<'a> {
    user: UserV1Json<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserV1Json<'a> {
    id: &'a str,
    details: &'a ObjectDetails,
    state: &'static str,
    user_name: &'a str,
    human: HumanV1Json<'a>,
}

#[derive(Serialize)]
struct HumanV1Json<'a> {
    profile: &'a ProfileView,
    email: &'a EmailView,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a PhoneView>,
}

/// Users have no other state here.
const ACTIVE: &str = "USER_STATE_ACTIVE";

impl<'a> From<&'a GetReply> for UserV1Json<'a> {
    fn from(user: &'a GetReply) -> UserV1Json<'a> {
        UserV1Json {
            id: &user.user_id,
            details: &user.details,
            state: ACTIVE,
            user_name: &user.user_name,
            human: HumanV1Json {
                profile: &user.profile,
                email: &user.email,
                phone: user.phone.as_ref(),
            },
        }
    }
}

#[derive(Serialize)]
struct ChangesJson<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    result: Vec<ChangeJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeJson<'a> {
    change_date: Timestamp,
    event_type: LocalizedJson,
    sequence: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    editor_id: &'a str,
    resource_owner_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LocalizedJson {
    key: &'static str,
    localized_message: &'static str,
}

impl<'a> From<&'a HistoryChange> for ChangeJson<'a> {
    fn from(change: &'a HistoryChange) -> ChangeJson<'a> {
        let (key, localized_message) = event_type(&change.kind);
        ChangeJson {
            change_date: change.change_date,
            event_type: LocalizedJson {
                key,
                localized_message,
            },
            sequence: change.sequence.to_string(),
            editor_id: &change.editor_id,
            resource_owner_id: &change.resource_owner,
        }
    }
}

/// `zitadel.object.v2.Details`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DetailsV2Json<'a> {
    sequence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    change_date: Option<Timestamp>,
    resource_owner: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_date: Option<Timestamp>,
}

impl<'a> DetailsV2Json<'a> {
    /// Of a change, a creation too: `changeDate` is the time of the event, `creationDate` is not set.
    fn of_change(details: &'a ObjectDetails) -> DetailsV2Json<'a> {
        DetailsV2Json {
            sequence: details.sequence.to_string(),
            change_date: details.change_date.or(details.creation_date),
            resource_owner: &details.resource_owner,
            creation_date: None,
        }
    }

    fn of_read(details: &'a ObjectDetails) -> DetailsV2Json<'a> {
        DetailsV2Json {
            creation_date: details.creation_date,
            ..DetailsV2Json::of_change(details)
        }
    }
}

/// `UpdateHumanUserResponse`; with the user's id, v2 `AddHumanUserResponse`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DetailsOnlyJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    details: DetailsV2Json<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangedJson {
    change_date: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreatedJson<'a> {
    id: &'a str,
    creation_date: Option<Timestamp>,
}

#[derive(Serialize)]
struct UserV2ResponseJson<'a> {
    details: DetailsV2Json<'a>,
    user: UserV2Json<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserV2Json<'a> {
    user_id: &'a str,
    details: DetailsV2Json<'a>,
    state: &'static str,
    username: &'a str,
    human: HumanV2Json<'a>,
}

#[derive(Serialize)]
struct HumanV2Json<'a> {
    profile: ProfileV2Json<'a>,
    email: EmailV2Json<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<PhoneV2Json<'a>>,
}

/// `HumanProfile`: the optional fields are always set, empty or not.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProfileV2Json<'a> {
    given_name: &'a str,
    family_name: &'a str,
    nick_name: &'a str,
    display_name: &'a str,
    preferred_language: &'a str,
    gender: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EmailV2Json<'a> {
    email: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_verified: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhoneV2Json<'a> {
    phone: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_verified: bool,
}

impl<'a> From<&'a GetReply> for UserV2Json<'a> {
    fn from(user: &'a GetReply) -> UserV2Json<'a> {
        let profile = &user.profile;
        UserV2Json {
            user_id: &user.user_id,
            details: DetailsV2Json::of_read(&user.details),
            state: ACTIVE,
            username: &user.user_name,
            human: HumanV2Json {
                profile: ProfileV2Json {
                    given_name: &profile.first_name,
                    family_name: &profile.last_name,
                    nick_name: &profile.nick_name,
                    display_name: &profile.display_name,
                    preferred_language: &profile.preferred_language,
                    gender: profile.gender.name(),
                },
                email: EmailV2Json {
                    email: &user.email.email,
                    is_verified: user.email.is_email_verified,
                },
                phone: user.phone.as_ref().map(|phone| PhoneV2Json {
                    phone: &phone.phone,
                    is_verified: phone.is_phone_verified,
                }),
            },
        }
    }
}
