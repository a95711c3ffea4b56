//! Time and randomness, taken as parameters everywhere else so that tests choose them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use profile_messages::Timestamp;

/// Wall time for what is stored, monotonic time for deadlines, random ids.
pub trait Clock: Send + Sync + std::fmt::Debug {
    fn now(&self) -> Timestamp;

    fn monotonic(&self) -> Instant;

    /// 128 random bits in lower-case hex.
    fn random_id(&self) -> String;
}

/// The system's clock and random source.
#[derive(Debug, Default)]
pub struct SystemClock {
    random: SystemRandom,
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that asks the system
    fn now(&self) -> Timestamp {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
    }

    #[allow(clippy::disallowed_methods)] // the one place that asks the system
    fn monotonic(&self) -> Instant {
        Instant::now()
    }

    fn random_id(&self) -> String {
        let mut bytes = [0; 16];
        // aws-lc aborts the process itself when the system has no random source.
        let _ = self.random.fill(&mut bytes);
        hex(&bytes)
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
