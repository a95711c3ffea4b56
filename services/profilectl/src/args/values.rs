//! Values of options that are not plain text or numbers.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use profile_messages::Timestamp;

use crate::clock;

/// A token or password: does not print.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    /// For a header or a connection, never for a text.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Secret, Infallible> {
        Ok(Secret::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A role of a minted token; without an organization it holds in the caller's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleGrant {
    pub(crate) role: String,
    pub(crate) org: Option<String>,
}

impl FromStr for RoleGrant {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<RoleGrant, &'static str> {
        let (role, org) = match text.split_once('=') {
            Some((role, org)) => (role, Some(org)),
            None => (text, None),
        };
        if role.is_empty() || org == Some("") {
            return Err("a role is ROLE or ROLE=ORG");
        }
        Ok(RoleGrant {
            role: role.to_owned(),
            org: org.map(str::to_owned),
        })
    }
}

/// Reads a whole number with a unit: `ms`, `s`, `m` or `h`. Zero is refused.
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "a time is a whole number and ms, s, m or h, e.g. 500ms or 5s";
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or("the unit is missing: ms, s, m or h")?;
    let (number, unit) = text.split_at(split);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(FORM),
    };
    let number: u64 = number.parse().map_err(|_| FORM)?;
    match number.checked_mul(unit_ms) {
        None | Some(0) => Err(FORM),
        Some(milliseconds) => Ok(Duration::from_millis(milliseconds)),
    }
}

/// A time, or how long ago it was.
pub(super) fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = duration(text) {
        let ago_us = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
        let now_us = i64::try_from(clock::now_s().saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        return Ok(Timestamp(now_us.saturating_sub(ago_us)));
    }
    Timestamp::parse(text).map_err(|_| {
        "a time as 2025-09-05T08:00:00Z, or how long ago, e.g. 500ms, 30s, 15m or 2h".to_owned()
    })
}
