//! Request headers, over NATS and over HTTP.

use std::str::FromStr;

use profile_messages::envelope::{
    AUTHORIZATION, DEADLINE_MS, DEADLINE_MS_MAX, EXPECTED_VERSION, Envelope, IDEMPOTENCY_KEY,
    IDEMPOTENCY_KEY_LENGTH_MAX, ZITADEL_ORG,
};
use profile_messages::trace::STATE_BYTES_MAX;

use super::{MARKER, nats_answer_is_whole};
use crate::error::ServiceError;
use crate::transport::api::Call;
use crate::transport::exchange::headers as http_headers;
use crate::transport::nats::decode;

/// Lines of `name: value`, read as NATS headers and as HTTP headers.
pub fn headers(data: &[u8]) {
    let mut nats = async_nats::HeaderMap::new();
    let mut http = http::HeaderMap::new();
    for (name, value) in lines(data) {
        if let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) {
            let name = async_nats::HeaderName::from_str(name);
            let value = async_nats::HeaderValue::from_str(value);
            if let (Ok(name), Ok(value)) = (name, value) {
                nats.append(name, value);
            }
        }
        append(&mut http, name, value);
    }
    judge(decode::envelope(Some(&nats)));
    // The words of HTTP name what is unreadable: any name, lower case there.
    match http_headers::envelope(&http) {
        Ok(mut envelope) => {
            judge(Ok(envelope.clone()));
            let judged = http_headers::if_match(&http, Call::V2UpdateUser, &mut envelope);
            judge(judged.map(|_| envelope));
        }
        Err(error) => nats_answer_is_whole(&error),
    }
    for version in [0, 7, u64::MAX] {
        http_headers::has_version(&http, version);
    }
}

/// Names and values of the lines that have both.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
        Some((name, value.trim_ascii_start()))
    })
}

/// Adds what HTTP takes for a header; the rest never reaches the service.
pub(super) fn append(headers: &mut http::HeaderMap, name: &[u8], value: &[u8]) {
    let name = http::HeaderName::from_bytes(name);
    let value = http::HeaderValue::from_bytes(value);
    if let (Ok(name), Ok(value)) = (name, value) {
        headers.append(name, value);
    }
}

fn judge(read: Result<Envelope, ServiceError>) {
    match read {
        Ok(envelope) => is_in_form(&envelope),
        Err(error) => {
            let ServiceError::Headers(violations) = &error else {
                panic!("{error}");
            };
            assert!(!violations.is_empty());
            for violation in violations {
                let names = [
                    AUTHORIZATION,
                    DEADLINE_MS,
                    EXPECTED_VERSION,
                    IDEMPOTENCY_KEY,
                    ZITADEL_ORG,
                    "If-Match",
                ];
                assert!(names.contains(&violation.field.as_str()));
                assert!(!violation.description.contains(MARKER));
            }
            nats_answer_is_whole(&error);
        }
    }
}

fn is_in_form(envelope: &Envelope) {
    if let Some(key) = &envelope.idempotency_key {
        assert!((1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&key.len()));
        assert!(key.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    // A deadline that came in the manner of gRPC may be 0: it has passed.
    assert!(envelope.deadline_ms <= Some(DEADLINE_MS_MAX));
    assert_ne!(envelope.org.as_deref(), Some(""));
    if let Some(trace) = &envelope.trace {
        assert_eq!(trace.traceparent().len(), 55);
        assert!(trace.tracestate().len() <= STATE_BYTES_MAX);
    }
    let token = envelope.authorization.as_deref().unwrap_or_default();
    let elsewhere = [&envelope.org, &envelope.idempotency_key];
    let elsewhere = elsewhere.into_iter().flatten();
    if token.contains(MARKER) && !elsewhere.into_iter().any(|it| it.contains(MARKER)) {
        assert!(
            !format!("{envelope:?}").contains(MARKER),
            "a token is shown"
        );
    }
}
