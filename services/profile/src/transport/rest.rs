//! REST as grpc-gateway serves it for ZITADEL, with entity tags and all violations on top.

mod documents;
mod routes;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use profile_messages::json::BodyError;

use super::api::{Call, json, json_reply};
use super::http::exchange::{Exchange, Response, body, version};
use super::http::headers::{self, Condition};
use super::{Funnel, Reply, Request as FunnelRequest};
use crate::error::ServiceError;

pub(super) use self::routes::{Found, find, is_rest_path};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What stays as it is in a path segment (RFC 3986 unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Answers one request, whatever is in it.
pub(super) async fn answer<F, B>(exchange: &Exchange<F>, request: Request<B>) -> Response
where
    F: Funnel,
    B: http_body::Body<Data = bytes::Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, request_body) = request.into_parts();
    if let Some(document) = documents::find(&parts.method, parts.uri.path()) {
        return document.unwrap_or_else(method_not_allowed);
    }
    let (call, user_id) = match find(&parts.method, parts.uri.path()) {
        Found::Call { call, user_id } => (call, user_id),
        Found::Nothing => return not_found(),
        Found::OtherMethods(allowed) => return method_not_allowed(&allowed),
    };
    let successor = successor_path(call, user_id.as_deref());
    let mut response = called(exchange, call, user_id, &parts, request_body).await;
    headers::add_advice(response.headers_mut(), call, &successor);
    response
}

async fn called<F, B>(
    exchange: &Exchange<F>,
    call: Call,
    user_id: Option<String>,
    parts: &Parts,
    request_body: B,
) -> Response
where
    F: Funnel,
    B: http_body::Body<Data = bytes::Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut condition = Condition::None;
    let replied = async {
        let place = exchange.place()?;
        let mut envelope = headers::envelope(&parts.headers)?;
        if changes_a_user(call) {
            condition = headers::if_match(&parts.headers, &mut envelope)?;
        }
        let sent = match parts.method {
            // A body has no meaning there (RFC 9110 §9.3.1).
            Method::GET => bytes::Bytes::new(),
            _ => exchange.wire_body(request_body).await?,
        };
        let request = json::request(call, user_id, &sent)?;
        let drops_password = match &request {
            FunnelRequest::Command(command) => command.drops_password(),
            FunnelRequest::Query(_) => false,
        };
        let reply = exchange.call(&place, envelope, request).await?;
        let mut response = success(call, parts, &reply)?;
        if drops_password {
            headers::add_password_warning(response.headers_mut());
        }
        Ok(response)
    };
    let replied = replied.await;
    replied.unwrap_or_else(|error| failure(&error, condition))
}

fn success(call: Call, parts: &Parts, reply: &Reply) -> Result<Response, ServiceError> {
    let version = version(reply);
    let is_known =
        |version| parts.method == Method::GET && headers::has_version(&parts.headers, version);
    let mut response = match version {
        Some(version) if is_known(version) => {
            let mut response = Response::new(body(""));
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        Some(_) | None => of_json(StatusCode::OK, json_reply::response(call, reply)?),
    };
    if let Some(version) = version {
        headers::add_etag(response.headers_mut(), version);
    }
    Ok(response)
}

/// The error's status, but 412 where the condition was an entity tag (RFC 9110 §15.5.13).
fn failure(error: &ServiceError, condition: Condition) -> Response {
    let status = match (error, condition) {
        (ServiceError::VersionMismatch { .. }, Condition::IfMatch) => {
            StatusCode::PRECONDITION_FAILED
        }
        (_, Condition::IfMatch | Condition::None) => {
            let status = StatusCode::from_u16(error.code().http());
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        }
    };
    // A status holds texts and numbers only, so that writing it does not fail.
    let json = serde_json::to_vec(&error.status()).unwrap_or_default();
    let mut response = of_json(status, json);
    headers::add_error(response.headers_mut(), error);
    if matches!(error, ServiceError::Body(BodyError::TooLong)) {
        // The rest of the body was not read: this connection has no next request.
        let close = HeaderValue::from_static("close");
        response
            .headers_mut()
            .insert(http::header::CONNECTION, close);
    }
    response
}

fn of_json(status: StatusCode, json: Vec<u8>) -> Response {
    let mut response = Response::new(body(json));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// grpc-gateway's own words (zitadel-api §5.2).
fn not_found() -> Response {
    of_json(
        StatusCode::NOT_FOUND,
        br#"{"code":5,"message":"Not Found"}"#.to_vec(),
    )
}

fn method_not_allowed(allowed: &str) -> Response {
    let json = br#"{"code":12,"message":"Method Not Allowed"}"#;
    let mut response = of_json(StatusCode::METHOD_NOT_ALLOWED, json.to_vec());
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

/// Only a change of a user that exists can be conditional.
fn changes_a_user(call: Call) -> bool {
    match call {
        Call::UpdateHumanProfile
        | Call::UpdateMyProfile
        | Call::V2UpdateHumanUser
        | Call::V2UpdateUser => true,
        Call::GetHumanProfile
        | Call::GetUserById
        | Call::ListUserChanges
        | Call::AddHumanUser
        | Call::ImportHumanUser
        | Call::GetMyProfile
        | Call::ListMyUserChanges
        | Call::V2GetUserById
        | Call::V2AddHumanUser
        | Call::V2CreateUser => false,
    }
}

/// The path of the call's successor, for the same user.
pub(super) fn successor_path(call: Call, user_id: Option<&str>) -> String {
    let Some(successor) = call.successor() else {
        return String::new();
    };
    let (_, path) = successor.http();
    let user_id = utf8_percent_encode(user_id.unwrap_or_default(), SEGMENT).to_string();
    path.replace("{user_id}", &user_id)
}
