//! Protobuf JSON into a request of the funnel. Nothing in here can panic on any input.

use profile_messages::command::{CommandRequest, CreateBody, ImportBody, UpdateBody, v2};
use profile_messages::json::{BodyError, decode_body};
use profile_messages::query::{ChangesBody, GetBody, QueryRequest};
use serde::Deserialize;

use super::Call;
use crate::transport::Request;

/// Reads the message of `call`. `user_id` is the path's, which counts whatever the body says; without one
/// (Connect) the body's counts.
///
/// # Errors
/// [`BodyError`]: the text is no message (zitadel-api §2.3).
pub(in crate::transport) fn request(
    call: Call,
    user_id: Option<String>,
    body: &[u8],
) -> Result<Request, BodyError> {
    let target = |in_body: Option<String>| user_id.clone().or(in_body).unwrap_or_default();
    Ok(match call {
        Call::UpdateHumanProfile => {
            let mut body = decode_body::<UpdateBody>(body)?;
            let user_id = target(body.user_id.take());
            CommandRequest::Update { user_id, body }.into()
        }
        Call::GetHumanProfile => {
            let user_id = target(named_user(body)?);
            QueryRequest::GetProfile { user_id }.into()
        }
        Call::GetUserById => {
            let user_id = target(named_user(body)?);
            QueryRequest::GetUser { user_id }.into()
        }
        Call::ListUserChanges => {
            let mut body = decode_body::<ChangesBody>(body)?;
            let user_id = target(body.user_id.take());
            QueryRequest::Changes { user_id, body }.into()
        }
        Call::AddHumanUser => {
            // ZITADEL's message has no such field: ours, over NATS, has.
            let body = decode_body::<CreateBody>(body)?;
            let user_id = None;
            CommandRequest::Create(CreateBody { user_id, ..body }).into()
        }
        Call::ImportHumanUser => CommandRequest::Import(decode_body::<ImportBody>(body)?).into(),
        Call::UpdateMyProfile => {
            let body = decode_body::<UpdateBody>(body)?;
            CommandRequest::UpdateMe { body }.into()
        }
        Call::GetMyProfile => {
            let body = GetBody::default();
            QueryRequest::GetMe { body }.into()
        }
        Call::ListMyUserChanges => {
            let body = decode_body::<ChangesBody>(body)?;
            QueryRequest::ChangesMe { body }.into()
        }
        Call::V2UpdateHumanUser => {
            let mut body = decode_body::<v2::UpdateHumanBody>(body)?;
            let user_id = target(body.user_id.take());
            CommandRequest::UpdateHuman { user_id, body }.into()
        }
        Call::V2UpdateUser => {
            let mut body = decode_body::<v2::UpdateUserBody>(body)?;
            each_oneof_once(body.oneof_set_twice())?;
            let user_id = target(body.user_id.take());
            CommandRequest::UpdateUser { user_id, body }.into()
        }
        Call::V2GetUserById => {
            let user_id = target(named_user(body)?);
            QueryRequest::GetAnyUser { user_id }.into()
        }
        Call::V2AddHumanUser => {
            let body = decode_body::<v2::AddHumanBody>(body)?;
            each_oneof_once(body.oneof_set_twice())?;
            CommandRequest::AddHuman(body).into()
        }
        Call::V2CreateUser => {
            let body = decode_body::<v2::CreateUserBody>(body)?;
            each_oneof_once(body.oneof_set_twice())?;
            CommandRequest::CreateUser(body).into()
        }
    })
}

/// protojson refuses a second member of a oneof; serde does not know that there are any.
fn each_oneof_once(set_twice: Option<&'static str>) -> Result<(), BodyError> {
    set_twice.map_or(Ok(()), |oneof| Err(BodyError::Twice(oneof)))
}

/// The user that a read names in its body: only Connect reads have one.
fn named_user(body: &[u8]) -> Result<Option<String>, BodyError> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Named {
        #[serde(alias = "user_id")]
        user_id: Option<String>,
    }
    Ok(decode_body::<Named>(body)?.user_id)
}
