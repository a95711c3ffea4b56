//! NATS headers out of bytes, for fuzzing.

use std::str::FromStr;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use profile_messages::envelope::Envelope;

use super::decode;
use crate::error::ServiceError;

/// Reads an envelope from names and values; what the client library takes for no header is left out.
///
/// # Errors
/// As [`decode::envelope`].
pub(in crate::transport) fn envelope<'a>(
    lines: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Envelope, ServiceError> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            continue;
        };
        if let (Ok(name), Ok(value)) = (HeaderName::from_str(name), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    decode::envelope(Some(&headers))
}
