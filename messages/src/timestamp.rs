//! Time as it is stored and sent: microseconds since 1970, written as RFC 3339.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// # Errors
    /// When `text` is not an RFC 3339 time.
    pub fn parse(text: &str) -> Result<Timestamp, time::error::Parse> {
        let nanos = OffsetDateTime::parse(text, &Rfc3339)?.unix_timestamp_nanos();
        Ok(Timestamp(i64::try_from(nanos / 1_000).unwrap_or(i64::MAX)))
    }
}

/// As protobuf JSON writes a Timestamp: `Z`, and 0, 3 or 6 fractional digits.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1_000_000);
        let micros = self.0.rem_euclid(1_000_000);
        let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (date, clock) = (at.date(), at.time());
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        write!(f, "{year:04}-{month:02}-{day:02}T")?;
        write!(
            f,
            "{:02}:{:02}:{:02}",
            clock.hour(),
            clock.minute(),
            clock.second()
        )?;
        match micros {
            0 => f.write_str("Z"),
            _ if micros % 1_000 == 0 => write!(f, ".{:03}Z", micros / 1_000),
            _ => write!(f, ".{micros:06}Z"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_zero_groups_are_dropped() {
        let text = |micros| Timestamp(micros).to_string();
        assert_eq!(text(1_757_062_536_156_333), "2025-09-05T08:55:36.156333Z");
        assert_eq!(text(1_757_062_536_156_000), "2025-09-05T08:55:36.156Z");
        assert_eq!(text(1_757_062_536_000_000), "2025-09-05T08:55:36Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn what_is_written_reads_back() {
        for micros in [0, -1, 1, 1_757_062_536_156_333, 253_402_300_799_999_999] {
            assert_eq!(
                Timestamp::parse(&Timestamp(micros).to_string()).unwrap().0,
                micros
            );
        }
    }
}
