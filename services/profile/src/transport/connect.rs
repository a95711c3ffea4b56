//! The Connect protocol for unary calls of the user service v2: JSON or protobuf, HTTP statuses, errors as
//! JSON (connectrpc.com/docs/protocol). ZITADEL serves it for its v2 services only (zitadel-api §5.4).

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use profile_messages::error::{ErrorCode, FieldViolation, StatusDetail};
use profile_messages::json::{BODY_BYTES_MAX, BodyError};
use serde::Serialize;

use super::api::status::detail_bytes;
use super::api::{Call, json, json_reply, proto, proto_reply};
use super::exchange::{Exchange, Response, body, headers};
use super::{Funnel, Reply, Request as FunnelRequest};
use crate::error::ServiceError;

const PROTOCOL_VERSION: &str = "connect-protocol-version";
const COMPRESSED: &str = "a compressed body";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("accept-encoding");

/// How a message is written, asked for and answered alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Json,
    Proto,
}

impl Encoding {
    /// Parameters of the type (`charset`) do not matter.
    fn of(headers: &HeaderMap) -> Option<Encoding> {
        let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/json" => Some(Encoding::Json),
            "application/proto" => Some(Encoding::Proto),
            _ => None,
        }
    }

    fn content_type(self) -> HeaderValue {
        match self {
            Encoding::Json => HeaderValue::from_static("application/json"),
            Encoding::Proto => HeaderValue::from_static("application/proto"),
        }
    }
}

/// Answers one request for `call`.
pub(super) async fn answer<F, B>(
    exchange: &Exchange<F>,
    call: Call,
    request: Request<B>,
) -> Response
where
    F: Funnel,
    B: http_body::Body<Data = bytes::Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, request_body) = request.into_parts();
    if parts.method != Method::POST {
        let mut response = bare(StatusCode::METHOD_NOT_ALLOWED);
        let post = HeaderValue::from_static("POST");
        response.headers_mut().insert(ALLOW, post);
        return response;
    }
    let Some(encoding) = Encoding::of(&parts.headers) else {
        let mut response = bare(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let types = HeaderValue::from_static("application/json, application/proto");
        response.headers_mut().insert(ACCEPT_POST, types);
        return response;
    };
    let traced = exchange.trace(|| call.traced_as("connect_rpc"), &parts.headers);
    let called = async {
        check(&parts.headers)?;
        let admitted = exchange.admit(request_body).await?;
        let read = || decoded(call, encoding, &admitted.wire);
        let write = |reply: &Reply| match encoding {
            Encoding::Json => json_reply::response(call, reply),
            Encoding::Proto => proto_reply::response(call, reply),
        };
        let sent = (&parts.headers, &traced);
        exchange.call(&admitted, call, sent, read, write).await
    };
    let called = called.await;
    let error = called.as_ref().err().map(|refused| refused.error.code());
    let mut response = match called {
        Ok(answer) => {
            let mut response = of(StatusCode::OK, encoding, answer.message);
            response.headers_mut().extend(answer.headers);
            response
        }
        Err(refused) => failure(&refused.error),
    };
    traced.answer(error, response.headers_mut());
    let successor = call.successor().map(Call::rpc_path);
    headers::add_advice(response.headers_mut(), call, successor.as_deref());
    response
}

/// The headers that belong to the protocol itself.
fn check(headers: &HeaderMap) -> Result<(), ServiceError> {
    let read = |name: &HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    let refused = |name: &str, rule: &str| {
        let (field, description) = (name.to_owned(), rule.to_owned());
        ServiceError::Headers(vec![FieldViolation { field, description }])
    };
    let version = read(&HeaderName::from_static(PROTOCOL_VERSION));
    if version.is_some_and(|version| version != b"1") {
        return Err(refused(PROTOCOL_VERSION, "value must be 1"));
    }
    match read(&CONTENT_ENCODING) {
        None | Some(b"identity" | b"") => Ok(()),
        Some(_) => Err(ServiceError::Unsupported(COMPRESSED)),
    }
}

/// Unlike the gateway of REST, connect-go wants a body and nothing behind it.
fn decoded(call: Call, encoding: Encoding, sent: &[u8]) -> Result<FunnelRequest, ServiceError> {
    match encoding {
        Encoding::Proto if sent.len() > BODY_BYTES_MAX => Err(BodyError::TooLong.into()),
        Encoding::Proto => proto::request(call, sent).map_err(|_| BodyError::Undecodable.into()),
        Encoding::Json => {
            let mut values =
                serde_json::Deserializer::from_slice(sent).into_iter::<serde::de::IgnoredAny>();
            let first = values.next();
            let rest = sent.get(values.byte_offset()..).unwrap_or_default();
            if matches!(first, Some(Ok(_))) && !rest.trim_ascii().is_empty() {
                return Err(BodyError::Syntax { line: 1, column: 1 }.into());
            }
            if first.is_none() {
                return Err(BodyError::Eof.into());
            }
            Ok(json::request(call, None, sent)?)
        }
    }
}

fn failure(error: &ServiceError) -> Response {
    let status = error.status();
    let wire = ErrorJson {
        code: code(error.code()),
        message: &status.message,
        details: status.details.iter().map(DetailJson::from).collect(),
    };
    // Texts and numbers only, so that writing it does not fail.
    let json = serde_json::to_vec(&wire).unwrap_or_default();
    let http = StatusCode::from_u16(error.code().http());
    let http = http.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = of(http, Encoding::Json, json);
    headers::add_error(response.headers_mut(), error);
    if *error == ServiceError::Unsupported(COMPRESSED) {
        let identity = HeaderValue::from_static("identity");
        response.headers_mut().insert(ACCEPT_ENCODING, identity);
    }
    response
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    code: &'static str,
    message: &'a str,
    details: Vec<DetailJson>,
}

#[derive(Serialize)]
struct DetailJson {
    #[serde(rename = "type")]
    name: &'static str,
    /// Base64 without padding.
    value: String,
    /// The detail as JSON, for people; its type stands beside it.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    debug: serde_json::Map<String, serde_json::Value>,
}

impl From<&StatusDetail> for DetailJson {
    fn from(detail: &StatusDetail) -> DetailJson {
        let (name, bytes) = detail_bytes(detail);
        let mut debug = match serde_json::to_value(detail) {
            Ok(serde_json::Value::Object(debug)) => debug,
            Ok(_) | Err(_) => serde_json::Map::new(),
        };
        debug.remove("@type");
        DetailJson {
            name,
            value: STANDARD_NO_PAD.encode(bytes),
            debug,
        }
    }
}

/// Connect's names of the codes.
fn code(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::OutcomeUnknown => "unknown",
        ErrorCode::InvalidArgument => "invalid_argument",
        ErrorCode::DeadlineExceeded => "deadline_exceeded",
        ErrorCode::NotFound => "not_found",
        ErrorCode::PermissionDenied => "permission_denied",
        ErrorCode::ResourceExhausted => "resource_exhausted",
        ErrorCode::FailedPrecondition => "failed_precondition",
        ErrorCode::Aborted => "aborted",
        ErrorCode::OutOfRange => "out_of_range",
        ErrorCode::Unimplemented => "unimplemented",
        ErrorCode::Internal => "internal",
        ErrorCode::Unavailable => "unavailable",
        ErrorCode::Unauthenticated => "unauthenticated",
    }
}

fn of(status: StatusCode, encoding: Encoding, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(body(bytes));
    *response.status_mut() = status;
    let content_type = encoding.content_type();
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(body(""));
    *response.status_mut() = status;
    response
}
