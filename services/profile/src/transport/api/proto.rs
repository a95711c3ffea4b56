//! Protobuf messages into a request of the funnel. Nothing in here can panic on any input.

mod bodies;

use profile_messages::command::CommandRequest;
use profile_messages::query::{GetBody, QueryRequest};
use prost::{DecodeError, Message as _};

use super::Call;
use crate::transport::Request;

/// Made of `messages/proto` by the build script.
#[allow(
    dead_code,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    rustdoc::all
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/zitadel.rs"));
}

pub(in crate::transport) use generated::zitadel;
use zitadel::user::v2 as user_v2;
use zitadel::{auth, management};

/// The descriptors of `messages/proto`, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Reads the message of `call`.
///
/// # Errors
/// The bytes are not a message of that type.
pub(in crate::transport) fn request(call: Call, message: &[u8]) -> Result<Request, DecodeError> {
    Ok(match call {
        Call::UpdateHumanProfile => {
            let mut sent = management::v1::UpdateHumanProfileRequest::decode(message)?;
            let user_id = std::mem::take(&mut sent.user_id);
            let body = sent.into();
            CommandRequest::Update { user_id, body }.into()
        }
        Call::GetHumanProfile => {
            let user_id = management::v1::GetHumanProfileRequest::decode(message)?.user_id;
            QueryRequest::GetProfile { user_id }.into()
        }
        Call::GetUserById => {
            let sent = management::v1::GetUserByIdRequest::decode(message)?;
            QueryRequest::GetUser { user_id: sent.id }.into()
        }
        Call::ListUserChanges => {
            let sent = management::v1::ListUserChangesRequest::decode(message)?;
            let (user_id, body) = (sent.user_id, bodies::changes(sent.query));
            QueryRequest::Changes { user_id, body }.into()
        }
        Call::AddHumanUser => {
            let sent = management::v1::AddHumanUserRequest::decode(message)?;
            CommandRequest::Create(sent.into()).into()
        }
        Call::ImportHumanUser => {
            let sent = management::v1::ImportHumanUserRequest::decode(message)?;
            CommandRequest::Import(sent.into()).into()
        }
        Call::UpdateMyProfile => {
            let body = auth::v1::UpdateMyProfileRequest::decode(message)?.into();
            CommandRequest::UpdateMe { body }.into()
        }
        Call::GetMyProfile => {
            auth::v1::GetMyProfileRequest::decode(message)?;
            let body = GetBody::default();
            QueryRequest::GetMe { body }.into()
        }
        Call::ListMyUserChanges => {
            let sent = auth::v1::ListMyUserChangesRequest::decode(message)?;
            let body = bodies::changes(sent.query);
            QueryRequest::ChangesMe { body }.into()
        }
        Call::V2UpdateHumanUser => {
            let mut sent = user_v2::UpdateHumanUserRequest::decode(message)?;
            let user_id = std::mem::take(&mut sent.user_id);
            let body = sent.into();
            CommandRequest::UpdateHuman { user_id, body }.into()
        }
        Call::V2UpdateUser => {
            let mut sent = user_v2::UpdateUserRequest::decode(message)?;
            let user_id = std::mem::take(&mut sent.user_id);
            let body = sent.into();
            CommandRequest::UpdateUser { user_id, body }.into()
        }
        Call::V2GetUserById => {
            let user_id = user_v2::GetUserByIdRequest::decode(message)?.user_id;
            QueryRequest::GetAnyUser { user_id }.into()
        }
        Call::V2AddHumanUser => {
            let sent = user_v2::AddHumanUserRequest::decode(message)?;
            CommandRequest::AddHuman(sent.into()).into()
        }
        Call::V2CreateUser => {
            let sent = user_v2::CreateUserRequest::decode(message)?;
            CommandRequest::CreateUser(sent.into()).into()
        }
    })
}
