//! The three answers, as `io.nats.micro.v1.*_response` of ADR-32 has them.

use std::collections::BTreeMap;

use bytes::Bytes;
use profile_messages::subject::{Operation, QUEUE};
use profile_messages::{Timestamp, schema};
use serde::Serialize;

use super::{EndpointStats, MicroError, MicroOptions};

const PING: &str = "io.nats.micro.v1.ping_response";
const INFO: &str = "io.nats.micro.v1.info_response";
const STATS: &str = "io.nats.micro.v1.stats_response";

/// Endpoint metadata: JSON Schemas of the bodies, and the subject with the user in it.
pub const SCHEMA_REQUEST: &str = "schema.request";
pub const SCHEMA_RESPONSE: &str = "schema.response";
pub const SUBJECT_PER_USER: &str = "subject.user";

/// The answers of one instance; the first two never change.
#[derive(Debug)]
pub(super) struct Answers {
    ping: Bytes,
    info: Bytes,
    identity: Identity,
    started: Timestamp,
}

#[derive(Clone, Debug, Serialize)]
struct Identity {
    name: String,
    id: String,
    version: String,
    metadata: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Response<'a, T: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    identity: &'a Identity,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Info<'a> {
    description: &'a str,
    endpoints: Vec<Endpoint>,
}

#[derive(Serialize)]
struct Endpoint {
    name: String,
    subject: String,
    queue_group: &'static str,
    metadata: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Stats {
    started: Timestamp,
    endpoints: Vec<EndpointNumbers>,
}

/// Times in nanoseconds.
#[derive(Serialize)]
struct EndpointNumbers {
    name: String,
    subject: String,
    queue_group: &'static str,
    num_requests: u64,
    num_errors: u64,
    last_error: String,
    processing_time: u64,
    average_processing_time: u64,
}

impl Answers {
    pub(super) fn new(
        options: &MicroOptions,
        id: &str,
        started: Timestamp,
    ) -> Result<Answers, MicroError> {
        if !is_name(&options.name) {
            return Err(MicroError::Name);
        }
        if !is_version(&options.version) {
            return Err(MicroError::Version);
        }
        let identity = Identity {
            name: options.name.clone(),
            id: id.to_owned(),
            version: options.version.clone(),
            metadata: options.metadata.clone(),
        };
        let info = Info {
            description: &options.description,
            endpoints: Operation::ALL.into_iter().map(endpoint).collect(),
        };
        Ok(Answers {
            ping: write(PING, &identity, Nothing {}),
            info: write(INFO, &identity, info),
            identity,
            started,
        })
    }

    pub(super) fn ping(&self) -> Bytes {
        self.ping.clone()
    }

    pub(super) fn info(&self) -> Bytes {
        self.info.clone()
    }

    pub(super) fn stats(&self, endpoints: &EndpointStats) -> Bytes {
        let numbers = |operation| numbers(operation, endpoints);
        let stats = Stats {
            started: self.started,
            endpoints: Operation::ALL.into_iter().map(numbers).collect(),
        };
        write(STATS, &self.identity, stats)
    }
}

fn write(kind: &'static str, identity: &Identity, rest: impl Serialize) -> Bytes {
    let response = Response {
        kind,
        identity,
        rest,
    };
    // Strings and numbers under string keys: writing them does not fail.
    serde_json::to_vec(&response).unwrap_or_default().into()
}

/// Endpoint names have no dots: `me-update`.
fn name(operation: Operation) -> String {
    operation.name().replace('.', "-")
}

fn endpoint(operation: Operation) -> Endpoint {
    let mut metadata = BTreeMap::from([
        (SCHEMA_REQUEST, schema::request(operation)),
        (SCHEMA_RESPONSE, schema::response(operation)),
    ]);
    if operation.has_user_form() {
        let subject = format!("profile.v1.user.{{userId}}.{}", operation.name());
        metadata.insert(SUBJECT_PER_USER, subject);
    }
    Endpoint {
        name: name(operation),
        subject: operation.subject(),
        queue_group: QUEUE,
        metadata,
    }
}

fn numbers(operation: Operation, endpoints: &EndpointStats) -> EndpointNumbers {
    let numbers = endpoints.read(operation);
    let nanoseconds = u64::try_from(numbers.processing_time.as_nanos()).unwrap_or(u64::MAX);
    EndpointNumbers {
        name: name(operation),
        subject: operation.subject(),
        queue_group: QUEUE,
        num_requests: numbers.requests,
        num_errors: numbers.errors,
        last_error: numbers.last_error,
        processing_time: nanoseconds,
        average_processing_time: nanoseconds.checked_div(numbers.requests).unwrap_or(0),
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !name.is_empty() && name.bytes().all(plain)
}

/// SemVer 2: three numbers without leading zeros, then `-` and `+` parts of dotted identifiers.
fn is_version(version: &str) -> bool {
    let (version, build) = split(version, '+');
    let (core, pre) = split(version, '-');
    let numbers: Vec<&str> = core.split('.').collect();
    numbers.len() == 3
        && numbers.into_iter().all(is_number)
        && pre.is_none_or(|pre| pre.split('.').all(|part| is_identifier(part, is_number)))
        && build.is_none_or(|build| build.split('.').all(|part| is_identifier(part, |_| true)))
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at)
        .map_or((text, None), |(head, tail)| (head, Some(tail)))
}

fn is_number(text: &str) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0'))
}

fn is_identifier(part: &str, digits_may_be: impl Fn(&str) -> bool) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let digits = part.bytes().all(|byte| byte.is_ascii_digit());
    !part.is_empty() && part.bytes().all(plain) && (!digits || digits_may_be(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_semantic() {
        for good in ["0.1.0", "1.2.3-rc.1", "1.0.0-0a+001.b", "1.0.0+build-7"] {
            assert!(is_version(good), "{good}");
        }
        for bad in [
            "1.2",
            "01.2.3",
            "1.2.3-01",
            "1.2.3-",
            "1.2.3+",
            "v1.2.3",
            "1.2.3-a..b",
            "",
        ] {
            assert!(!is_version(bad), "{bad}");
        }
    }

    #[test]
    fn names_are_one_token() {
        assert!(is_name("profile_service-1"));
        for bad in ["", "a.b", "a b", "*"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
