//! What a call came to, whatever transport said it in whatever encoding.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use prost::Message;
use serde_json::Value;
use tonic_types::pb;
use zitadel::api::zitadel::v1::ErrorDetail;

/// An error, in one form for all transports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// gRPC's number.
    pub code: i32,
    pub message: String,
    /// Id and text of ZITADEL's detail.
    pub detail: Option<(String, String)>,
    /// Field and rule of every violation.
    pub violations: Vec<(String, String)>,
    /// Of the ErrorInfo detail: whether to send it again.
    pub retry: Option<String>,
    pub current_version: Option<String>,
}

impl Failure {
    /// google.rpc.Status as JSON: REST and NATS.
    pub fn from_json(status: &Value) -> Failure {
        let mut failure = Failure {
            code: i32::try_from(status["code"].as_i64().expect("a code")).expect("a small one"),
            message: text(&status["message"]),
            ..Failure::default()
        };
        for detail in status["details"].as_array().into_iter().flatten() {
            let name = text(&detail["@type"]);
            let name = name.strip_prefix("type.googleapis.com/");
            failure.add_json(name.expect("a type URL"), detail);
        }
        failure
    }

    /// google.rpc.Status in protobuf.
    pub fn from_proto(status: &[u8]) -> Failure {
        let status = pb::Status::decode(status).expect("a google.rpc.Status");
        let mut failure = Failure {
            code: status.code,
            message: status.message,
            ..Failure::default()
        };
        for detail in &status.details {
            let name = detail.type_url.strip_prefix("type.googleapis.com/");
            failure.add_proto(name.expect("a type URL"), &detail.value);
        }
        failure
    }

    /// `grpc-status` and what belongs to it; `None` is a success.
    pub fn from_grpc(trailers: &HeaderMap) -> Option<Failure> {
        let value = |name: &str| trailers.get(name).map(|value| value.to_str().unwrap());
        let code = value("grpc-status").unwrap_or_else(|| panic!("no status in {trailers:?}"));
        if code == "0" {
            return None;
        }
        let message = value("grpc-message").unwrap_or_default();
        let message = percent_decode_str(message).decode_utf8().unwrap();
        let code = code.parse().unwrap();
        let Some(details) = value("grpc-status-details-bin") else {
            return Some(Failure {
                code,
                message: message.into_owned(),
                ..Failure::default()
            });
        };
        let details = STANDARD_NO_PAD.decode(details.trim_end_matches('='));
        let failure = Failure::from_proto(&details.expect("base64"));
        assert_eq!((failure.code, &*failure.message), (code, &*message));
        Some(failure)
    }

    /// A Connect error body.
    pub fn from_connect(body: &Value) -> Failure {
        let name = text(&body["code"]);
        let mut failure = Failure {
            code: connect_code(&name),
            message: text(&body["message"]),
            ..Failure::default()
        };
        for detail in body["details"].as_array().into_iter().flatten() {
            let value = text(&detail["value"]);
            assert!(!value.contains('='), "padded: {value}");
            let bytes = STANDARD_NO_PAD.decode(value).expect("base64");
            let mut shown = Failure::default();
            shown.add_json(&text(&detail["type"]), &detail["debug"]);
            let mut meant = Failure::default();
            meant.add_proto(&text(&detail["type"]), &bytes);
            assert_eq!(shown, meant, "what a detail shows for people is what it is");
            failure.add_proto(&text(&detail["type"]), &bytes);
        }
        failure
    }

    fn add_json(&mut self, name: &str, detail: &Value) {
        match name {
            "zitadel.v1.ErrorDetail" => {
                self.detail = Some((text(&detail["id"]), text(&detail["message"])));
            }
            "google.rpc.BadRequest" => {
                let violations = detail["fieldViolations"].as_array();
                let violation = |it: &Value| (text(&it["field"]), text(&it["description"]));
                self.violations = violations.unwrap().iter().map(violation).collect();
            }
            "google.rpc.ErrorInfo" => {
                let metadata = |name: &str| detail["metadata"][name].as_str().map(str::to_owned);
                self.retry = metadata("retry");
                self.current_version = metadata("currentVersion");
            }
            unknown => panic!("a detail that nobody told of: {unknown}"),
        }
    }

    fn add_proto(&mut self, name: &str, bytes: &[u8]) {
        match name {
            "zitadel.v1.ErrorDetail" => {
                let detail = ErrorDetail::decode(bytes).expect("an ErrorDetail");
                self.detail = Some((detail.id, detail.message));
            }
            "google.rpc.BadRequest" => {
                let request = pb::BadRequest::decode(bytes).expect("a BadRequest");
                let violations = request.field_violations.into_iter();
                self.violations = violations.map(|it| (it.field, it.description)).collect();
            }
            "google.rpc.ErrorInfo" => {
                let info = pb::ErrorInfo::decode(bytes).expect("an ErrorInfo");
                self.retry = info.metadata.get("retry").cloned();
                self.current_version = info.metadata.get("currentVersion").cloned();
            }
            unknown => panic!("a detail that nobody told of: {unknown}"),
        }
    }
}

/// A gRPC message on the wire: a flag, the length, the bytes.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a short message");
    [&[0][..], &length.to_be_bytes(), message].concat()
}

/// The frames of a body: each with its flag.
pub fn frames(mut body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = body.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (frame, rest) = rest.split_at(length);
        frames.push((head[0], frame.to_vec()));
        body = rest;
    }
    assert!(body.is_empty(), "bytes behind the last frame: {body:?}");
    frames
}

/// The trailers that a gRPC-Web body ends with: lines of lower-case names.
pub fn web_trailers(frame: &[u8]) -> HeaderMap {
    let text = std::str::from_utf8(frame).expect("trailers are text");
    let mut trailers = HeaderMap::new();
    for line in text.split_terminator("\r\n") {
        let (name, value) = line.split_once(':').expect("a name and a value");
        assert_eq!(name, name.to_ascii_lowercase(), "{text}");
        let name: http::HeaderName = name.parse().expect("a header's name");
        trailers.append(name, value.trim().parse().expect("a header's value"));
    }
    trailers
}

/// Base64 as gRPC-Web text has it: pieces, each padded on its own.
pub fn from_web_text(text: &[u8]) -> Vec<u8> {
    assert_eq!(text.len() % 4, 0, "{text:?}");
    let quads = text.chunks(4);
    quads
        .flat_map(|quad| STANDARD.decode(quad).expect("base64"))
        .collect()
}

fn connect_code(name: &str) -> i32 {
    const NAMES: [&str; 17] = [
        "ok",
        "canceled",
        "unknown",
        "invalid_argument",
        "deadline_exceeded",
        "not_found",
        "already_exists",
        "permission_denied",
        "resource_exhausted",
        "failed_precondition",
        "aborted",
        "out_of_range",
        "unimplemented",
        "internal",
        "unavailable",
        "data_loss",
        "unauthenticated",
    ];
    let number = NAMES.iter().position(|other| *other == name);
    i32::try_from(number.unwrap_or_else(|| panic!("no code of Connect: {name}"))).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
