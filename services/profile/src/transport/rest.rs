//! REST as grpc-gateway serves it for ZITADEL, with entity tags and all violations on top.

mod documents;
mod routes;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use profile_messages::ID_LENGTH_BYTES_MAX;
use profile_messages::json::BodyError;

use super::api::{Call, Effect, json, json_reply};
use super::exchange::headers::{self, Condition};
use super::exchange::{Answer, Exchange, Refused, Response, body};
use super::{Funnel, Reply};
use crate::error::ServiceError;
use crate::telemetry::traces::Served;

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
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let response = answered(exchange, &parts, body).await;
    match parts.method {
        Method::HEAD => without_body(response),
        _ => response,
    }
}

async fn answered<F, B>(exchange: &Exchange<F>, parts: &Parts, body: B) -> Response
where
    F: Funnel,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Some(document) = documents::find(&parts.method, parts.uri.path()) {
        return document.unwrap_or_else(method_not_allowed);
    }
    let (call, user_id) = match find(&parts.method, parts.uri.path()) {
        Found::Call { call, user_id } => (call, user_id),
        Found::Nothing => return not_found(),
        Found::OtherMethods(allowed) => return method_not_allowed(&allowed),
    };
    let successor = successor_path(call, user_id.as_deref());
    let mut traced = exchange.trace(|| traced_as(call), &parts.headers);
    let called = async {
        let admitted = match call.http() {
            // A body has no meaning there (RFC 9110 §9.3.1).
            (Method::GET, _) => exchange.admit(Empty::new()).await?,
            _ => exchange.admit(body).await?,
        };
        let read = || Ok(json::request(call, user_id, &admitted.wire)?);
        let write = |reply: &Reply| json_reply::response(call, reply);
        let sent = (&parts.headers, &traced);
        exchange.call(&admitted, call, sent, read, write).await
    };
    let called = called.await;
    let error = called.as_ref().err().map(|refused| refused.error.code());
    let mut response = match called {
        Ok(answer) => success(call, &parts.headers, answer),
        Err(refused) => failure(&refused),
    };
    traced.status("http.response.status_code", response.status().as_u16());
    traced.answer(error, response.headers_mut());
    headers::add_advice(response.headers_mut(), call, successor.as_deref());
    response
}

/// The path itself is not shown: what a caller puts in the place of an id may be anything.
fn traced_as(call: Call) -> Served {
    let (method, route) = call.http();
    Served {
        name: format!("{method} {route}").into(),
        attributes: vec![
            ("http.request.method", method.to_string().into()),
            ("http.route", route.into()),
        ],
    }
}

/// 304 for a reader that has this version already.
fn success(call: Call, sent: &HeaderMap, answer: Answer) -> Response {
    let is_known = |version| headers::has_version(sent, version);
    let mut response = match (call.effect(), answer.version) {
        (Effect::Read, Some(version)) if is_known(version) => {
            let mut response = Response::new(body(""));
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        (Effect::Read | Effect::Change | Effect::Creation, _) => {
            of_json(StatusCode::OK, answer.message)
        }
    };
    response.headers_mut().extend(answer.headers);
    response
}

/// The error's status, but 412 where the condition was an entity tag (RFC 9110 §15.5.13), and 408 for a
/// body that did not come.
fn failure(refused: &Refused) -> Response {
    let error = &refused.error;
    let status = match (error, refused.condition) {
        (ServiceError::VersionMismatch { .. }, Condition::IfMatch) => {
            StatusCode::PRECONDITION_FAILED
        }
        (ServiceError::BodyTimeout, _) => StatusCode::REQUEST_TIMEOUT,
        (_, Condition::IfMatch | Condition::None) => {
            let status = StatusCode::from_u16(error.code().http());
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        }
    };
    // A status holds texts and numbers only, so that writing it does not fail.
    let json = serde_json::to_vec(&error.status()).unwrap_or_default();
    let mut response = of_json(status, json);
    headers::add_error(response.headers_mut(), error);
    if matches!(
        error,
        ServiceError::Body(BodyError::TooLong) | ServiceError::BodyTimeout
    ) {
        // The rest of the body was not read: this connection has no next request.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// The same headers, `Content-Length` too, and nothing else (RFC 9110 §9.3.2).
fn without_body(mut response: Response) -> Response {
    let length = http_body::Body::size_hint(response.body()).exact();
    if let Some(length) = length
        && response.status() != StatusCode::NOT_MODIFIED
    {
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = body("");
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

/// The path of the call's successor, for the same user; none for an id that no user can have, which may be
/// as long as a path.
pub(super) fn successor_path(call: Call, user_id: Option<&str>) -> Option<String> {
    let (_, path) = call.successor()?.http();
    let user_id = user_id.unwrap_or_default();
    if user_id.len() > ID_LENGTH_BYTES_MAX {
        return None;
    }
    let user_id = utf8_percent_encode(user_id, SEGMENT).to_string();
    Some(path.replace("{user_id}", &user_id))
}
