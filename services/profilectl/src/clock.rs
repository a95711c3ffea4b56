//! The time and the randomness of the command line client: the one place that asks the system.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::failure::Failure;

/// Seconds since 1970.
#[allow(clippy::disallowed_methods)] // the one place that asks the system
pub(crate) fn now_s() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.unwrap_or_default().as_secs()
}

/// An idempotency key: 128 random bits in lower-case hex.
///
/// # Errors
/// When the system has no random source.
pub(crate) fn random_key() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failure::other("no random bytes: give an --idempotency-key"))?;
    Ok(profilectl::hex(&bytes))
}
