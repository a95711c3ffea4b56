//! What each operation has done: atomics, since every request writes here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use profile_messages::error::ErrorCode;
use profile_messages::subject::Operation;

/// One slot for each operation of the contract.
#[derive(Debug, Default)]
pub struct EndpointStats {
    slots: [Slot; Operation::ALL.len()],
}

#[derive(Debug, Default)]
struct Slot {
    requests: AtomicU64,
    errors: AtomicU64,
    nanoseconds: AtomicU64,
    /// 0, or 1 + the place in `ErrorCode::ALL`.
    last_error: AtomicU64,
}

/// The numbers of one operation at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointNumbers {
    pub requests: u64,
    pub errors: u64,
    /// From receipt to the written answer, all requests together.
    pub processing_time: Duration,
    /// `<HTTP status>:<name of the code>`: no values. Empty when there was no error.
    pub last_error: String,
}

impl EndpointStats {
    pub(in crate::transport) fn record(
        &self,
        operation: Operation,
        error: Option<ErrorCode>,
        took: Duration,
    ) {
        let Some(slot) = self.slots.get(operation as usize) else {
            return;
        };
        slot.requests.fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        slot.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        if let Some(error) = error {
            slot.errors.fetch_add(1, Ordering::Relaxed);
            slot.last_error.store(place(error), Ordering::Relaxed);
        }
    }

    pub fn read(&self, operation: Operation) -> EndpointNumbers {
        let Some(slot) = self.slots.get(operation as usize) else {
            return EndpointNumbers::default();
        };
        EndpointNumbers {
            requests: slot.requests.load(Ordering::Relaxed),
            errors: slot.errors.load(Ordering::Relaxed),
            processing_time: Duration::from_nanos(slot.nanoseconds.load(Ordering::Relaxed)),
            last_error: text(slot.last_error.load(Ordering::Relaxed)),
        }
    }
}

fn place(error: ErrorCode) -> u64 {
    let place = ErrorCode::ALL.iter().position(|&code| code == error);
    place.map_or(0, |place| place as u64 + 1)
}

fn text(place: u64) -> String {
    ErrorCode::ALL
        .into_iter()
        .find(|&code| self::place(code) == place)
        .map(|code| format!("{}:{}", code.http(), code.name()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_counts_for_itself() {
        let stats = EndpointStats::default();
        for (times, operation) in Operation::ALL.into_iter().enumerate() {
            for _ in 0..times {
                stats.record(operation, None, Duration::from_nanos(5));
            }
        }
        for (times, operation) in Operation::ALL.into_iter().enumerate() {
            let numbers = stats.read(operation);
            assert_eq!(numbers.requests, times as u64, "{operation:?}");
            assert_eq!(numbers.processing_time.as_nanos(), 5 * times as u128);
            assert_eq!((numbers.errors, numbers.last_error), (0, String::new()));
        }
    }

    #[test]
    fn the_last_error_is_its_number_and_its_name() {
        let stats = EndpointStats::default();
        for code in ErrorCode::ALL {
            stats.record(Operation::Get, Some(code), Duration::ZERO);
            let expected = format!("{}:{}", code.http(), code.name());
            assert_eq!(stats.read(Operation::Get).last_error, expected);
        }
        stats.record(Operation::Get, None, Duration::ZERO);
        assert_eq!(stats.read(Operation::Get).last_error, "500:INTERNAL");
        assert_eq!(stats.read(Operation::Get).errors, 13);
    }
}
