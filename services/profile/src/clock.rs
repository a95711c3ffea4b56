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

/// A clock that stands still until it is told to move, with ids that count.
#[cfg(any(test, feature = "testkit"))]
#[derive(Debug)]
pub struct ManualClock {
    started: Instant,
    started_at: Timestamp,
    elapsed_micros: std::sync::atomic::AtomicU64,
    ids: std::sync::atomic::AtomicU64,
}

#[cfg(any(test, feature = "testkit"))]
impl ManualClock {
    #[allow(clippy::disallowed_methods)] // an Instant comes from nowhere else
    pub fn new(now: Timestamp) -> ManualClock {
        ManualClock {
            started: Instant::now(),
            started_at: now,
            elapsed_micros: Default::default(),
            ids: Default::default(),
        }
    }

    /// Moves wall time and monotonic time.
    pub fn advance(&self, by: std::time::Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        let order = std::sync::atomic::Ordering::SeqCst;
        self.elapsed_micros.fetch_add(micros, order);
    }

    fn elapsed_micros(&self) -> u64 {
        let order = std::sync::atomic::Ordering::SeqCst;
        self.elapsed_micros.load(order)
    }
}

#[cfg(any(test, feature = "testkit"))]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.elapsed_micros()).unwrap_or(i64::MAX);
        Timestamp(self.started_at.0.saturating_add(elapsed))
    }

    fn monotonic(&self) -> Instant {
        self.started + std::time::Duration::from_micros(self.elapsed_micros())
    }

    fn random_id(&self) -> String {
        let order = std::sync::atomic::Ordering::SeqCst;
        format!("{:032x}", self.ids.fetch_add(1, order) + 1)
    }
}
