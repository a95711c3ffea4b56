//! What surrounds a request body: the headers, with their names and limits.

use crate::Version;
use crate::error::FieldViolation;
use crate::trace::TraceContext;

pub const AUTHORIZATION: &str = "Authorization";
/// The context organization; the same as [`ZITADEL_ORG`].
pub const ORG: &str = "Profile-Org";
pub const ZITADEL_ORG: &str = "x-zitadel-orgid";
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The user's version that the command is meant for; 0 = must not exist.
pub const EXPECTED_VERSION: &str = "Profile-Expected-Version";
/// W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";
pub const TRACESTATE: &str = "tracestate";
/// Milliseconds from receipt within which the command may still be appended.
pub const DEADLINE_MS: &str = "Profile-Deadline-Ms";
/// On events: place in the whole log.
pub const POSITION: &str = "Profile-Position";
/// ADR-32: one line for people, and the HTTP status as a number.
pub const SERVICE_ERROR: &str = "Nats-Service-Error";
pub const SERVICE_ERROR_CODE: &str = "Nats-Service-Error-Code";

/// Longest idempotency key in characters (visible ASCII).
pub const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 200;
/// Longest deadline in milliseconds.
pub const DEADLINE_MS_MAX: u64 = 60_000;
/// Longest bearer token header in bytes.
pub const AUTHORIZATION_BYTES_MAX: usize = 16 * 1024;

/// The headers of a request, read and checked, values as sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    pub authorization: Option<String>,
    pub org: Option<String>,
    pub idempotency_key: Option<String>,
    pub expected_version: Option<Version>,
    pub trace: Option<TraceContext>,
    pub deadline_ms: Option<u64>,
}

impl Envelope {
    /// Reads the headers through `header`, which looks a name up without regard to letter case.
    ///
    /// # Errors
    /// Every header that is not of its form, by its name.
    pub fn from_headers<'a>(
        header: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Envelope, Vec<FieldViolation>> {
        let mut violations = Vec::new();
        let mut refuse = |name: &str, rule: &str| {
            violations.push(FieldViolation {
                field: name.into(),
                description: rule.into(),
            });
        };
        let authorization = header(AUTHORIZATION).map(str::to_owned);
        if authorization
            .as_ref()
            .is_some_and(|value| value.len() > AUTHORIZATION_BYTES_MAX)
        {
            refuse(AUTHORIZATION, "value length must be at most 16384 bytes");
        }
        let idempotency_key = header(IDEMPOTENCY_KEY).map(str::to_owned);
        if idempotency_key.as_deref().is_some_and(|key| !is_key(key)) {
            let rule = "value must be 1 to 200 visible ASCII characters";
            refuse(IDEMPOTENCY_KEY, rule);
        }
        let expected = header(EXPECTED_VERSION).map(str::parse::<u64>);
        if matches!(expected, Some(Err(_))) {
            refuse(
                EXPECTED_VERSION,
                "value must be a decimal number, 0 for \"must not exist\"",
            );
        }
        let deadline = header(DEADLINE_MS).map(|text| match text.parse::<u64>() {
            Ok(milliseconds) if (1..=DEADLINE_MS_MAX).contains(&milliseconds) => Some(milliseconds),
            Ok(_) | Err(_) => None,
        });
        if deadline == Some(None) {
            refuse(
                DEADLINE_MS,
                "value must be a decimal number between 1 and 60000",
            );
        }
        // An empty header is none, as in ZITADEL.
        let named = [ORG, ZITADEL_ORG].map(|name| header(name).filter(|org| !org.is_empty()));
        if let [Some(ours), Some(zitadels)] = named
            && ours != zitadels
        {
            refuse(
                ZITADEL_ORG,
                "value must be that of Profile-Org where both are given",
            );
        }
        let [ours, zitadels] = named;
        let org = ours.or(zitadels);
        if !violations.is_empty() {
            return Err(violations);
        }
        Ok(Envelope {
            authorization,
            org: org.map(str::to_owned),
            idempotency_key,
            expected_version: expected.and_then(Result::ok).map(Version),
            // One that is not of its form is ignored, as W3C Trace Context asks.
            trace: header(TRACEPARENT).and_then(|parent| {
                TraceContext::parse(parent, header(TRACESTATE).unwrap_or_default())
            }),
            deadline_ms: deadline.flatten(),
        })
    }
}

fn is_key(key: &str) -> bool {
    (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The token must not print.
impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope")
            .field("org", &self.org)
            .field("idempotency_key", &self.idempotency_key)
            .field("expected_version", &self.expected_version)
            .field("deadline_ms", &self.deadline_ms)
            .finish_non_exhaustive()
    }
}
