//! Request headers into an [`Envelope`], and the headers of every answer.

use std::time::Duration;

use http::header::{
    CACHE_CONTROL, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH,
    LINK, PRAGMA, RETRY_AFTER, WARNING, WWW_AUTHENTICATE,
};
use profile_messages::Version;
use profile_messages::envelope::{
    AUTHORIZATION, DEADLINE_MS, DEADLINE_MS_MAX, EXPECTED_VERSION, Envelope, IDEMPOTENCY_KEY, ORG,
    TRACEPARENT, TRACESTATE, ZITADEL_ORG,
};
use profile_messages::error::{ErrorCode, FieldViolation};
use profile_messages::trace::TraceContext;

use crate::error::ServiceError;
use crate::transport::api::{Call, Effect};

/// Since when the calls with a successor are deprecated (RFC 9745): 2025-07-01, the month of ZITADEL v4.
const DEPRECATED_SINCE: &str = "@1751328000";
/// What a caller that dropped a password is told (RFC 9111 §5.5 in its last form, RFC 7234).
const PASSWORD_DROPPED: &str = r#"299 profile-service "password fields are not stored""#;
/// How long a refused caller should wait, in seconds.
const RETRY_AFTER_S: &str = "1";
const GRPC_TIMEOUT: &str = "grpc-timeout";
const CONNECT_TIMEOUT_MS: &str = "connect-timeout-ms";
const ONE_TAG: &str = "value must be * or one strong entity tag, the quoted version";
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");

/// Whether the caller made its change conditional on an entity tag: a mismatch is 412 then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Condition {
    None,
    IfMatch,
}

/// Every header that is read.
const READ: [&str; 8] = [
    AUTHORIZATION,
    ORG,
    ZITADEL_ORG,
    IDEMPOTENCY_KEY,
    EXPECTED_VERSION,
    DEADLINE_MS,
    GRPC_TIMEOUT,
    CONNECT_TIMEOUT_MS,
];

/// Reads the headers that matter to the funnel. A deadline in the manner of gRPC or Connect counts like ours.
///
/// # Errors
/// [`ServiceError::Headers`] with every header that is not of its form.
pub(in crate::transport) fn envelope(headers: &HeaderMap) -> Result<Envelope, ServiceError> {
    let is_unreadable = |name: &&str| headers.get(*name).is_some_and(|it| text(it).is_none());
    let unreadable = READ.into_iter().filter(is_unreadable);
    let unreadable: Vec<_> = unreadable
        .map(|name| violation(name, "value must be UTF-8"))
        .collect();
    if !unreadable.is_empty() {
        return Err(ServiceError::Headers(unreadable));
    }
    let read = |name: &str| headers.get(name).and_then(text);
    let mut envelope = Envelope::from_headers(read).map_err(ServiceError::Headers)?;
    let asked = match (read(GRPC_TIMEOUT), read(CONNECT_TIMEOUT_MS)) {
        (Some(timeout), _) => Some(grpc_timeout(timeout)?),
        (None, Some(timeout)) => Some(connect_timeout(timeout)?),
        (None, None) => None,
    };
    if let Some(timeout) = asked {
        let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let bounded = milliseconds.min(DEADLINE_MS_MAX);
        envelope.deadline_ms = Some(envelope.deadline_ms.unwrap_or(bounded).min(bounded));
    }
    envelope.trace = trace(headers);
    Ok(envelope)
}

/// The caller's place in a trace, if it says so in the form of the W3C.
pub(in crate::transport) fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    let parent = headers.get(TRACEPARENT).and_then(text)?;
    let states = headers.get_all(TRACESTATE).iter();
    let states: Option<Vec<&str>> = states.map(text).collect();
    TraceContext::parse(parent, &states.unwrap_or_default().join(","))
}

/// `traceresponse`, as level 2 of Trace Context drafted it: a caller without a trace finds this one by it.
pub(in crate::transport) fn add_trace(headers: &mut HeaderMap, context: &TraceContext) {
    if let Ok(value) = HeaderValue::try_from(context.traceparent()) {
        headers.insert(TRACERESPONSE, value);
    }
}

/// A version that no user ever has: what a tag that is none of ours stands for.
const NO_VERSION: Version = Version(u64::MAX);

/// `If-Match` of a change (RFC 9110 §13.1.1): one strong tag, the quoted version, or `*`. Reads pass it over.
///
/// # Errors
/// [`ServiceError::Headers`] for a weak tag, a list, a version that differs from ours, and on a creation,
/// which has nothing to match yet.
pub(in crate::transport) fn if_match(
    headers: &HeaderMap,
    call: Call,
    envelope: &mut Envelope,
) -> Result<Condition, ServiceError> {
    let refused = |rule: &str| ServiceError::Headers(vec![violation("If-Match", rule)]);
    let mut values = headers.get_all(IF_MATCH).iter();
    let tag = match (call.effect(), values.next(), values.next()) {
        (Effect::Read, ..) | (_, None, _) => return Ok(Condition::None),
        (Effect::Creation, ..) => return Err(refused("a creation has nothing to match")),
        (Effect::Change, Some(_), Some(_)) => return Err(refused(ONE_TAG)),
        (Effect::Change, Some(value), None) => text(value).unwrap_or_default().trim(),
    };
    if tag == "*" {
        // A user that does not exist is refused anyway.
        return Ok(Condition::IfMatch);
    }
    let opaque = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    let opaque = opaque.filter(|opaque| !opaque.contains('"'));
    let version = opaque.ok_or_else(|| refused(ONE_TAG)).map(|opaque| {
        let version = opaque.parse().map(Version).unwrap_or(NO_VERSION);
        // Tags are compared as texts: "007" is none of ours.
        match version.to_string() == opaque {
            true => version,
            false => NO_VERSION,
        }
    })?;
    if envelope
        .expected_version
        .is_some_and(|other| other != version)
    {
        let rule = format!("value must be that of {EXPECTED_VERSION} where both are given");
        return Err(refused(&rule));
    }
    envelope.expected_version = Some(version);
    Ok(Condition::IfMatch)
}

/// Whether the caller already has this version (`If-None-Match`, RFC 9110 §13.1.2: weak comparison).
pub(in crate::transport) fn has_version(headers: &HeaderMap, version: u64) -> bool {
    let own = format!("\"{version}\"");
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(text);
    let mut tags = values.flat_map(|value| value.split(','));
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own
    })
}

/// What every answer says to caches and crawlers (zitadel-api §5.3).
pub(in crate::transport) fn add_general(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(EXPIRES, HeaderValue::from_static("0"));
    headers.insert(ROBOTS, HeaderValue::from_static("none"));
}

/// What a call says whatever comes of it: that it is deprecated, with its successor's place.
pub(in crate::transport) fn add_advice(
    headers: &mut HeaderMap,
    call: Call,
    successor: Option<&str>,
) {
    if call.successor().is_none() {
        return;
    }
    headers.insert(DEPRECATION, HeaderValue::from_static(DEPRECATED_SINCE));
    let link = successor.map(|path| format!("<{path}>; rel=\"successor-version\""));
    if let Some(Ok(link)) = link.map(HeaderValue::try_from) {
        headers.insert(LINK, link);
    }
}

pub(in crate::transport) fn add_password_warning(headers: &mut HeaderMap) {
    headers.insert(WARNING, HeaderValue::from_static(PASSWORD_DROPPED));
}

pub(in crate::transport) fn add_etag(headers: &mut HeaderMap, version: u64) {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
        headers.insert(ETAG, tag);
    }
}

/// What an error says beside its body.
pub(in crate::transport) fn add_error(headers: &mut HeaderMap, error: &ServiceError) {
    if let ServiceError::VersionMismatch { current } = error {
        add_etag(headers, current.0);
    }
    match error.code() {
        ErrorCode::ResourceExhausted | ErrorCode::Unavailable => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        ErrorCode::Unauthenticated => {
            // Texts of authentication hold no value of the request.
            if let Ok(text) = HeaderValue::try_from(error.to_string()) {
                headers.insert(WWW_AUTHENTICATE, text);
            }
        }
        ErrorCode::InvalidArgument
        | ErrorCode::PermissionDenied
        | ErrorCode::NotFound
        | ErrorCode::FailedPrecondition
        | ErrorCode::Aborted
        | ErrorCode::OutOfRange
        | ErrorCode::Unimplemented
        | ErrorCode::DeadlineExceeded
        | ErrorCode::OutcomeUnknown
        | ErrorCode::Internal => {}
    }
}

/// At most 8 digits and a unit (gRPC over HTTP/2, "Timeout").
fn grpc_timeout(text: &str) -> Result<Duration, ServiceError> {
    let refused = || {
        let rule = "value must be at most 8 digits and one of H, M, S, m, u and n";
        ServiceError::Headers(vec![violation(GRPC_TIMEOUT, rule)])
    };
    let unit = text.chars().next_back().ok_or_else(refused)?;
    let digits = text.strip_suffix(unit).unwrap_or_default();
    let number = number(digits, 8).ok_or_else(refused)?;
    Ok(match unit {
        'H' => Duration::from_secs(number * 3_600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return Err(refused()),
    })
}

/// At most 10 digits of milliseconds (Connect, "Timeout").
fn connect_timeout(text: &str) -> Result<Duration, ServiceError> {
    let rule = "value must be at most 10 digits";
    let refused = || ServiceError::Headers(vec![violation(CONNECT_TIMEOUT_MS, rule)]);
    number(text, 10)
        .map(Duration::from_millis)
        .ok_or_else(refused)
}

fn number(digits: &str, digits_max: usize) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let fits = (1..=digits_max).contains(&digits.len());
    (plain && fits).then(|| digits.parse().ok()).flatten()
}

fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

fn violation(name: &str, rule: &str) -> FieldViolation {
    FieldViolation {
        field: name.to_owned(),
        description: rule.to_owned(),
    }
}

#[cfg(test)]
mod tests;
