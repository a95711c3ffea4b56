//! What the funnel returned as ZITADEL's response messages.

use profile_messages::Timestamp;
use profile_messages::reply::{
    CommandReply, GetReply, HistoryChange, ObjectDetails, ProfileView, QueryReply,
};
use prost::Message;

use super::proto::zitadel::{auth, change, management, object, user, v1};
use super::{Call, event_type};
use crate::error::ServiceError;
use crate::transport::Reply;

/// The bytes of the response message of `call`.
///
/// # Errors
/// `Internal` when the funnel answered another kind of request.
pub(in crate::transport) fn response(call: Call, reply: &Reply) -> Result<Vec<u8>, ServiceError> {
    match reply {
        Reply::Command(reply) => command(call, reply),
        Reply::Query(QueryReply::Get(user)) => user_response(call, user),
        Reply::Query(QueryReply::History(history)) => {
            // Both responses have the same one field.
            let result = history.changes.iter().map(changed).collect();
            Ok(management::v1::ListUserChangesResponse { result }.encode_to_vec())
        }
        Reply::Query(QueryReply::List(_) | QueryReply::Replay(_)) => Err(ServiceError::Internal),
    }
}

fn command(call: Call, reply: &CommandReply) -> Result<Vec<u8>, ServiceError> {
    let user_id = reply.user_id.clone().unwrap_or_default();
    let details = &reply.details;
    let v1_details = Some(details_v1(details));
    let bytes = match call {
        Call::UpdateHumanProfile => management::v1::UpdateHumanProfileResponse {
            details: v1_details,
        }
        .encode_to_vec(),
        Call::UpdateMyProfile => auth::v1::UpdateMyProfileResponse {
            details: v1_details,
        }
        .encode_to_vec(),
        Call::AddHumanUser => management::v1::AddHumanUserResponse {
            user_id,
            details: v1_details,
        }
        .encode_to_vec(),
        Call::ImportHumanUser => management::v1::ImportHumanUserResponse {
            user_id,
            details: v1_details,
        }
        .encode_to_vec(),
        Call::V2UpdateHumanUser => user::v2::UpdateHumanUserResponse {
            details: Some(details_of_change(details)),
            ..Default::default()
        }
        .encode_to_vec(),
        Call::V2UpdateUser => user::v2::UpdateUserResponse {
            change_date: details.change_date.map(timestamp),
            ..Default::default()
        }
        .encode_to_vec(),
        Call::V2AddHumanUser => user::v2::AddHumanUserResponse {
            user_id,
            details: Some(details_of_change(details)),
            ..Default::default()
        }
        .encode_to_vec(),
        Call::V2CreateUser => user::v2::CreateUserResponse {
            id: user_id,
            creation_date: details.creation_date.map(timestamp),
            ..Default::default()
        }
        .encode_to_vec(),
        Call::GetHumanProfile
        | Call::GetUserById
        | Call::ListUserChanges
        | Call::GetMyProfile
        | Call::ListMyUserChanges
        | Call::V2GetUserById => return Err(ServiceError::Internal),
    };
    Ok(bytes)
}

fn user_response(call: Call, user: &GetReply) -> Result<Vec<u8>, ServiceError> {
    match call {
        // Both responses have the same two fields.
        Call::GetHumanProfile | Call::GetMyProfile => {
            let response = management::v1::GetHumanProfileResponse {
                details: Some(details_v1(&user.details)),
                profile: Some(profile_v1(&user.profile)),
            };
            Ok(response.encode_to_vec())
        }
        Call::GetUserById => {
            let user = Some(user_v1(user));
            Ok(management::v1::GetUserByIdResponse { user }.encode_to_vec())
        }
        Call::V2GetUserById => {
            let response = user::v2::GetUserByIdResponse {
                details: Some(details_of_read(&user.details)),
                user: Some(user_v2(user)),
            };
            Ok(response.encode_to_vec())
        }
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

fn details_v1(details: &ObjectDetails) -> v1::ObjectDetails {
    v1::ObjectDetails {
        sequence: details.sequence,
        creation_date: details.creation_date.map(timestamp),
        change_date: details.change_date.map(timestamp),
        resource_owner: details.resource_owner.clone(),
    }
}

/// Of a change, a creation too: `change_date` is the time of the event, `creation_date` is not set.
fn details_of_change(details: &ObjectDetails) -> object::v2::Details {
    object::v2::Details {
        sequence: details.sequence,
        change_date: details.change_date.or(details.creation_date).map(timestamp),
        resource_owner: details.resource_owner.clone(),
        creation_date: None,
    }
}

fn details_of_read(details: &ObjectDetails) -> object::v2::Details {
    object::v2::Details {
        creation_date: details.creation_date.map(timestamp),
        ..details_of_change(details)
    }
}

fn profile_v1(profile: &ProfileView) -> user::v1::Profile {
    user::v1::Profile {
        first_name: profile.first_name.clone(),
        last_name: profile.last_name.clone(),
        nick_name: profile.nick_name.clone(),
        display_name: profile.display_name.clone(),
        preferred_language: profile.preferred_language.clone(),
        gender: profile.gender.number(),
        avatar_url: String::new(),
    }
}

fn user_v1(user: &GetReply) -> user::v1::User {
    let phone = user.phone.as_ref().map(|phone| user::v1::Phone {
        phone: phone.phone.clone(),
        is_phone_verified: phone.is_phone_verified,
    });
    let human = user::v1::Human {
        profile: Some(profile_v1(&user.profile)),
        email: Some(user::v1::Email {
            email: user.email.email.clone(),
            is_email_verified: user.email.is_email_verified,
        }),
        phone,
        password_changed: None,
    };
    user::v1::User {
        id: user.user_id.clone(),
        details: Some(details_v1(&user.details)),
        state: user::v1::UserState::Active.into(),
        user_name: user.user_name.clone(),
        login_names: Vec::new(),
        preferred_login_name: String::new(),
        r#type: Some(user::v1::user::Type::Human(human)),
    }
}

fn user_v2(user: &GetReply) -> user::v2::User {
    let profile = &user.profile;
    let phone = user.phone.as_ref().map(|phone| user::v2::HumanPhone {
        phone: phone.phone.clone(),
        is_verified: phone.is_phone_verified,
    });
    let human = user::v2::HumanUser {
        profile: Some(user::v2::HumanProfile {
            given_name: profile.first_name.clone(),
            family_name: profile.last_name.clone(),
            nick_name: Some(profile.nick_name.clone()),
            display_name: Some(profile.display_name.clone()),
            preferred_language: Some(profile.preferred_language.clone()),
            gender: Some(profile.gender.number()),
            avatar_url: String::new(),
        }),
        email: Some(user::v2::HumanEmail {
            email: user.email.email.clone(),
            is_verified: user.email.is_email_verified,
        }),
        phone,
        ..Default::default()
    };
    user::v2::User {
        user_id: user.user_id.clone(),
        details: Some(details_of_read(&user.details)),
        state: user::v2::UserState::Active.into(),
        username: user.user_name.clone(),
        login_names: Vec::new(),
        preferred_login_name: String::new(),
        r#type: Some(user::v2::user::Type::Human(human)),
    }
}

fn changed(change: &HistoryChange) -> change::v1::Change {
    let (key, localized_message) = event_type(&change.kind);
    change::v1::Change {
        change_date: Some(timestamp(change.change_date)),
        event_type: Some(v1::LocalizedMessage {
            key: key.to_owned(),
            localized_message: localized_message.to_owned(),
        }),
        sequence: change.sequence,
        editor_id: change.editor_id.clone(),
        resource_owner_id: change.resource_owner.clone(),
        ..Default::default()
    }
}

/// Microseconds since 1970 as protobuf has them.
fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let nanos = at.0.rem_euclid(1_000_000) * 1_000;
    prost_types::Timestamp {
        seconds: at.0.div_euclid(1_000_000),
        nanos: i32::try_from(nanos).unwrap_or_default(),
    }
}
