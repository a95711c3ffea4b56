//! What fuzzing calls: every decoder of the edges, fed with bytes, with what must hold whatever they are.
//!
//! `fuzz/` runs these under libFuzzer, `tests/fuzz` replays the kept inputs. A panic in here is a finding.
//! Inputs begin with a letter or a line that chooses, so that corpora can be read and written by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test, kept where all can use it

mod edge;
mod headers;
mod oracle;

use http::Method;
use profile_messages::json::{BODY_BYTES_MAX, BodyError};
use profile_messages::subject::{Operation, RequestSubject, parse_request};
use serde_json::Value;

use self::oracle::{decoded, proto_of_json, same_but_for_absence};
use super::api::{Call, json, proto};
use super::nats::{decode, encode};
use super::rest::{Found, find, successor_path};
use crate::error::ServiceError;

pub use self::edge::{connect, grpc_web, http};
pub use self::headers::headers;

/// Stands for a secret in kept inputs: no error may repeat it.
pub const MARKER: &str = "Zq7Marker";

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// Every target by the name that its corpus has.
pub const TARGETS: [(&str, Target); 8] = [
    ("connect", connect),
    ("grpc_web", grpc_web),
    ("headers", headers),
    ("http", http),
    ("json_body", json_body),
    ("nats_request", nats_request),
    ("proto_message", proto_message),
    ("rest_path", rest_path),
];

/// A letter that chooses the call, then its JSON body.
pub fn json_body(data: &[u8]) {
    let Some((letter, body)) = data.split_first() else {
        return;
    };
    let call = chosen(&Call::ALL, *letter);
    let read = |body: &[u8]| json::request(call, None, body);
    let request = match read(body) {
        Ok(request) => request,
        Err(error) => return body_is_not_quoted(&error),
    };
    assert!(json::request(call, Some("u".to_owned()), body).is_ok());
    if !has_a_json_body(call) {
        return;
    }
    if let Some(again) = rewritten(body) {
        assert_eq!(read(&again).as_ref(), Ok(&request), "written again");
    }
    if let Some(message) = proto_of_json(call, body) {
        let other = proto::request(call, &message).expect("an encoded message");
        assert!(
            same_but_for_absence(&request, &other),
            "as JSON {request:?}, as protobuf {other:?}"
        );
    }
}

/// A letter that chooses the call, then its protobuf message.
pub fn proto_message(data: &[u8]) {
    let Some((letter, message)) = data.split_first() else {
        return;
    };
    let call = chosen(&Call::ALL, *letter);
    let read = proto::request(call, message);
    let dynamic = decoded(call, message);
    assert_eq!(read.is_ok(), dynamic.is_some(), "{call:?}: two decoders");
    let (Ok(request), Some(dynamic)) = (read, dynamic) else {
        return;
    };
    let again = prost::Message::encode_to_vec(&dynamic);
    let again = proto::request(call, &again).expect("an encoded message");
    assert_eq!(again, request, "encoded again");
    let text = oracle::json_of(&dynamic);
    if has_a_json_body(call) && text.len() <= BODY_BYTES_MAX {
        let other = json::request(call, None, &text).expect("protobuf's own JSON");
        assert_eq!(other, request, "the same message as JSON");
    }
}

/// A line with a subject, then the body. Without a known subject, its length chooses an operation.
pub fn nats_request(data: &[u8]) {
    let (line, body) = first_line(data);
    let line = String::from_utf8_lossy(line);
    let subject = parse_request(&line).unwrap_or_else(|| {
        let index = u8::try_from(line.len() % Operation::ALL.len()).unwrap_or_default();
        let operation = chosen(&Operation::ALL, index + b'A');
        let user = None;
        RequestSubject { operation, user }
    });
    match decode::request(&subject, body) {
        Ok(request) => {
            if let Some(again) = rewritten(body) {
                assert_eq!(decode::request(&subject, &again), Ok(request), "again");
            }
        }
        Err(error) => {
            if let ServiceError::Body(error) = &error {
                body_is_not_quoted(error);
            }
            nats_answer_is_whole(&error);
        }
    }
}

/// `METHOD PATH`.
pub fn rest_path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (method, path) = text.split_once(' ').unwrap_or(("GET", &text));
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        return;
    };
    // The service sees only paths that are part of a URI.
    let path = http::Uri::try_from(path).map(|uri| uri.path().to_owned());
    let Ok(path) = path else { return };
    let Found::Call { call, user_id } = find(&method, &path) else {
        return;
    };
    let (own_method, pattern) = call.http();
    assert!(own_method == method || (own_method, &method) == (Method::GET, &Method::HEAD));
    assert_eq!(pattern.contains("{user_id}"), user_id.is_some());
    let Some(advice) = successor_path(call, user_id.as_deref()) else {
        return;
    };
    assert!(http::HeaderValue::try_from(advice.as_str()).is_ok());
    if let (Some(id), Some(successor)) = (&user_id, call.successor()) {
        let (method, _) = successor.http();
        // The segment that a client must not resolve away names nobody anyway.
        let dots = [".", ".."].contains(&id.as_str());
        let expected = Found::Call {
            call: successor,
            user_id: user_id.clone(),
        };
        assert!(dots || find(&method, &advice) == expected, "{advice}");
    }
}

/// Reads take no body over REST, and v1 has no other JSON.
fn has_a_json_body(call: Call) -> bool {
    let (method, _) = call.http();
    method != Method::GET || call == Call::V2GetUserById
}

/// What is chosen by a letter, `A` first.
fn chosen<T: Copy>(all: &[T], letter: u8) -> T {
    let index = usize::from(letter.wrapping_sub(b'A')) % all.len();
    *all.get(index).expect("an index below the length")
}

/// The first line without its end, and what is behind it.
fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let line = parts.next().unwrap_or_default();
    (line, parts.next().unwrap_or_default())
}

/// The body's first value as serde_json writes it. `None` for none, for a number that only an ignored
/// field may hold, and for one that grew too long.
fn rewritten(body: &[u8]) -> Option<Vec<u8>> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    match values.next()? {
        Ok(value) => Some(value.to_string().into_bytes()).filter(|it| it.len() <= BODY_BYTES_MAX),
        Err(error) if error.to_string().starts_with("number out of range") => None,
        Err(error) => panic!("accepted, but no JSON: {error}"),
    }
}

/// All there is to be told of a body that was refused: nothing of what stands in it.
fn body_is_not_quoted(error: &BodyError) {
    let text: String = error
        .to_string()
        .chars()
        .filter(|character| !character.is_ascii_digit())
        .collect();
    let known = [
        "the body is longer than  bytes",
        "unexpected EOF",
        "syntax error (line :)",
        "duplicate field (line :)",
        "invalid value for a field (line :)",
        "oneof org is already set",
        "oneof password_type is already set",
        "oneof user_type is already set",
        "oneof verification is already set",
    ];
    assert!(known.contains(&text.as_str()), "{text}");
}

/// One line of at most 256 bytes, an HTTP status and a body that is a status.
fn nats_answer_is_whole(error: &ServiceError) {
    use profile_messages::envelope::{SERVICE_ERROR, SERVICE_ERROR_CODE};
    let answer = encode::failure(error);
    let headers = answer.headers.expect("headers of an error");
    let line = headers.get(SERVICE_ERROR).expect("a text").as_str();
    assert!(line.len() <= 256 && !line.chars().any(char::is_control));
    let code = headers.get(SERVICE_ERROR_CODE).expect("a code").as_str();
    assert_eq!(code, error.code().http().to_string());
    let status = serde_json::from_slice(&answer.payload);
    assert_eq!(status.ok(), Some(error.status()));
    let payload = String::from_utf8_lossy(&answer.payload);
    assert!(!payload.contains(MARKER) && !line.contains(MARKER));
}
