//! Who a run speaks for: written beside what it leaves, so that only the same caller goes on with it.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Of a token that is a JWT; an opaque one tells nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Caller {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
}

impl Caller {
    /// The claims are only compared: the service verifies them.
    pub(crate) fn of(token: Option<&str>) -> Caller {
        token.and_then(claims).unwrap_or_default()
    }
}

fn claims(token: &str) -> Option<Caller> {
    let claims = token.split('.').nth(1)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
    serde_json::from_slice(&claims).ok()
}
