//! What the funnel returned into a NATS message: ADR-32's error headers, a JSON body in any case.

use async_nats::HeaderMap;
use bytes::Bytes;
use profile_messages::envelope::{SERVICE_ERROR, SERVICE_ERROR_CODE, TRACEPARENT};
use profile_messages::error::{ErrorCode, FieldViolation};
use profile_messages::trace::TraceContext;
use serde::Serialize;

use crate::error::ServiceError;

/// Longest `Nats-Service-Error` in bytes.
const ERROR_TEXT_BYTES_MAX: usize = 256;
/// What headers and framing of an answer may take of the server's `max_payload`, in bytes.
const HEADER_BYTES_RESERVED: usize = 1024;

/// An answer as it is published; `error` is set when it is one.
#[derive(Debug)]
pub(in crate::transport) struct Answer {
    pub(in crate::transport) headers: Option<HeaderMap>,
    pub(in crate::transport) payload: Bytes,
    pub(in crate::transport) error: Option<ErrorCode>,
}

/// Writes a success, or [`page_too_large`] when it does not fit into `payload_bytes_max`: the client
/// library would refuse to send it and the requester would hear nothing.
pub(in crate::transport) fn success(reply: &impl Serialize, payload_bytes_max: usize) -> Answer {
    match serde_json::to_vec(reply) {
        Ok(body) if body.len().saturating_add(HEADER_BYTES_RESERVED) > payload_bytes_max => {
            failure(&page_too_large())
        }
        Ok(body) => Answer {
            headers: None,
            payload: body.into(),
            error: None,
        },
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            failure(&ServiceError::Internal)
        }
    }
}

pub(in crate::transport) fn failure(error: &ServiceError) -> Answer {
    let code = error.code();
    let mut headers = HeaderMap::new();
    headers.insert(SERVICE_ERROR, one_line(&error.to_string()));
    headers.insert(SERVICE_ERROR_CODE, code.http().to_string());
    // A status holds texts and numbers only, so that writing it does not fail.
    let payload = serde_json::to_vec(&error.status()).unwrap_or_default();
    Answer {
        headers: Some(headers),
        payload: payload.into(),
        error: Some(code),
    }
}

/// Tells the caller of its trace.
pub(super) fn with_trace(mut answer: Answer, context: Option<TraceContext>) -> Answer {
    if let Some(context) = context {
        let headers = answer.headers.get_or_insert_default();
        headers.insert(TRACEPARENT, context.traceparent());
    }
    answer
}

/// Only `list`, `history` and `replay` can be asked for less.
fn page_too_large() -> ServiceError {
    let rule = "the page is larger than a message may be, ask for fewer rows";
    ServiceError::Invalid {
        message: rule.to_owned(),
        violations: vec![FieldViolation {
            field: "limit".to_owned(),
            description: rule.to_owned(),
        }],
    }
}

/// A header value: one line without control characters, cut at a character.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(ERROR_TEXT_BYTES_MAX));
    for character in text.chars().filter(|character| !character.is_control()) {
        if line.len() + character.len_utf8() > ERROR_TEXT_BYTES_MAX {
            break;
        }
        line.push(character);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_text_is_one_line_of_at_most_256_bytes() {
        assert_eq!(one_line("a\r\nb\u{7}c"), "abc");
        assert_eq!(one_line(&"x".repeat(300)).len(), 256);
        // 255 bytes and a character of two: it does not fit and is not cut in half.
        let cut = one_line(&format!("{}é and more", "x".repeat(255)));
        assert_eq!(cut, "x".repeat(255));
    }

    #[test]
    fn an_error_has_its_number_and_a_status_body() {
        let answer = failure(&ServiceError::Overloaded("in flight"));
        let headers = answer.headers.unwrap();
        assert_eq!(headers.get(SERVICE_ERROR_CODE).unwrap().as_str(), "429");
        let text = headers.get(SERVICE_ERROR).unwrap().as_str();
        assert_eq!(text, "too many requests: in flight");
        let status: profile_messages::error::Status =
            serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(status.code, 8);
        assert_eq!(answer.error, Some(ErrorCode::ResourceExhausted));
    }

    #[test]
    fn a_page_over_the_largest_message_is_an_error_that_says_so() {
        let answer = success(&"x".repeat(5_000), 4_096);
        assert_eq!(answer.error, Some(ErrorCode::InvalidArgument));
        assert!(success(&"x", 4_096).error.is_none());
    }
}
