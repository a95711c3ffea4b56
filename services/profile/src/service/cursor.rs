//! Page cursors: opaque, authenticated, bound to what the page was asked for.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use profile_messages::error::FieldViolation;

use crate::data_dir::DataDir;
use crate::error::ServiceError;

/// Longest cursor in characters.
const CURSOR_LENGTH_MAX: usize = 4_096;

/// Seals the place where the next page begins. `scope` is everything that must be the same then.
pub(super) fn seal(data_dir: &DataDir, scope: &[&str], place: &[u8]) -> String {
    let mut bytes = mac(data_dir, scope, place).to_vec();
    bytes.extend_from_slice(place);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place out of a cursor that was sealed for the same scope.
pub(super) fn open(
    data_dir: &DataDir,
    scope: &[&str],
    cursor: &str,
) -> Result<Vec<u8>, ServiceError> {
    let too_long = cursor.len() > CURSOR_LENGTH_MAX;
    let bytes = if too_long {
        None
    } else {
        URL_SAFE_NO_PAD.decode(cursor).ok()
    };
    let bytes = bytes.unwrap_or_default();
    let Some((sealed, place)) = bytes.split_at_checked(16) else {
        return Err(refused());
    };
    // In constant time: how many bytes match is nobody's business.
    verify_slices_are_equal(&mac(data_dir, scope, place), sealed).map_err(|_| refused())?;
    Ok(place.to_vec())
}

fn mac(data_dir: &DataDir, scope: &[&str], place: &[u8]) -> [u8; 16] {
    let mut parts: Vec<&[u8]> = vec![b"cursor"];
    parts.extend(scope.iter().map(|part| part.as_bytes()));
    parts.push(place);
    data_dir.keyed_hash(&parts)
}

fn refused() -> ServiceError {
    let description = "value must be nextCursor of the same request, by the same caller".to_owned();
    let violation = FieldViolation {
        field: "cursor".to_owned(),
        description,
    };
    ServiceError::Invalid {
        message: format!("invalid cursor: {}", violation.description),
        violations: vec![violation],
    }
}
