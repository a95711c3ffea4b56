//! What an answer must be, whatever was asked.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HeaderMap, PRAGMA};
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;
use profile_messages::error::{ErrorCode, Status};
use prost::Message;
use serde_json::Value;

use crate::transport::exchange::Response;

/// Every status that this service knows (zitadel-api §5.2, RFC 9110 for 304, 405, 408, 412, 415).
const STATUSES: [u16; 16] = [
    200, 304, 400, 401, 403, 404, 405, 408, 409, 412, 415, 429, 500, 501, 503, 504,
];

/// Whether `code` in an error's body is a number, as in REST, or a name, as in Connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectCode {
    Named,
    Any,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
}

impl Answer {
    pub(super) async fn read(response: Response) -> Answer {
        let (parts, body) = response.into_parts();
        let collected = body.collect().await.expect("an answer has an end");
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: collected.to_bytes().to_vec(),
            trailers,
        }
    }

    fn content_type(&self) -> &str {
        let value = self.headers.get(CONTENT_TYPE);
        value.and_then(|it| it.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn is_grpc(&self) -> bool {
        self.status == StatusCode::OK && self.content_type().starts_with("application/grpc")
    }

    pub(super) fn has_the_general_headers(&self) {
        for name in [CACHE_CONTROL, PRAGMA, EXPIRES] {
            assert!(self.headers.contains_key(&name), "no {name}: {self:?}");
        }
    }

    pub(super) fn has_no_body(&self) {
        assert!(self.body.is_empty(), "{self:?}");
    }

    /// REST and Connect: a known status, and JSON that says the same.
    pub(super) fn is_http_answer(&self, code: ConnectCode) {
        assert!(STATUSES.contains(&self.status.as_u16()), "{self:?}");
        if self.content_type() != "application/json" {
            return;
        }
        let json: Value = serde_json::from_slice(&self.body).expect("JSON is JSON");
        if self.status == StatusCode::OK {
            return;
        }
        match json.get("code") {
            Some(Value::Number(number)) if code == ConnectCode::Any => {
                let number = number.as_i64().and_then(|it| i32::try_from(it).ok());
                let known = number.and_then(ErrorCode::from_grpc).expect("a known code");
                // Those whose HTTP status says more than the code.
                let refined = matches!(self.status.as_u16(), 405 | 408 | 412);
                assert!(refined || known.http() == self.status.as_u16(), "{self:?}");
                let status: Status = serde_json::from_value(json).expect("a status");
                assert!(!status.message.is_empty());
            }
            Some(Value::String(name)) => {
                let known = ErrorCode::ALL.into_iter();
                let mut known = known.filter(|it| it.http() == self.status.as_u16());
                let is_same = |it: ErrorCode| {
                    let own = it.name().to_lowercase().replace("outcome_", "");
                    own == *name
                };
                assert!(known.any(is_same), "{self:?}");
            }
            _ => panic!("no code: {self:?}"),
        }
    }

    /// gRPC and gRPC-Web: `grpc-status` in headers, trailers or the last frame, and whole frames.
    pub(super) fn is_grpc_answer(&self, is_ours: bool) {
        let wire = self.unpacked();
        let mut rest = wire.as_slice();
        let mut found = [&self.headers, &self.trailers]
            .into_iter()
            .find_map(|headers| headers.get("grpc-status").cloned());
        while let [flag, a, b, c, d, behind @ ..] = rest {
            let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).expect("64 bits");
            let (frame, behind) = behind.split_at_checked(length).expect("a whole frame");
            if flag & 0x80 != 0 {
                found = trailer(frame, "grpc-status");
            }
            rest = behind;
        }
        assert!(rest.is_empty(), "half a frame: {self:?}");
        let status = found.expect("a grpc-status");
        let status = status.to_str().ok().and_then(|it| it.parse::<i32>().ok());
        let status = status.expect("a number");
        // tonic has CANCELLED and ALREADY_EXISTS too; our own calls do not.
        let is_known = status == 0 || ErrorCode::from_grpc(status).is_some();
        assert!(is_known || (!is_ours && status < 17), "{self:?}");
    }

    /// The body without base64, where it is text: tonic-web encodes each piece on its own.
    fn unpacked(&self) -> Vec<u8> {
        if !self.content_type().starts_with("application/grpc-web-text") {
            return self.body.clone();
        }
        let mut bytes = Vec::new();
        for group in self.body.chunks(4) {
            bytes.extend(STANDARD.decode(group).expect("base64 in groups of four"));
        }
        bytes
    }

    /// All that a reader of the answer may come to see.
    pub(super) fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.body).into_owned();
        text.push_str(&String::from_utf8_lossy(&match self.is_grpc() {
            true => self.unpacked(),
            false => Vec::new(),
        }));
        for (name, value) in self.headers.iter().chain(&self.trailers) {
            text.push_str(&format!("\n{name}: {value:?}"));
            if name == "grpc-status-details-bin" {
                let details = STANDARD_NO_PAD.decode(value.as_bytes()).unwrap_or_default();
                let status = tonic_types::pb::Status::decode(details.as_slice());
                text.push_str(&format!("{:?}", status.expect("a google.rpc.Status")));
            }
        }
        text
    }
}

/// A header in the last frame of gRPC-Web.
fn trailer(frame: &[u8], name: &str) -> Option<HeaderValue> {
    let lines = frame.split(|byte| *byte == b'\n');
    let mut fields = lines.filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        line.trim().split_once(':')
    });
    let (_, value) = fields.find(|(found, _)| *found == name)?;
    HeaderValue::try_from(value.trim()).ok()
}
