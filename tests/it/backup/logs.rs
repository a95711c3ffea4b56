//! A data directory looked into without a service.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use profile::clock::SystemClock;
use profile::commit_log::file::{FileLog, FileLogOptions};
use profile::commit_log::memory::HeadsInMemory;
use profile::commit_log::{CommitLog, ReadLimits};
use profile::data_dir::DataDir;
use profile::file_system::RealFiles;
use profile_messages::Position;
use profile_messages::record::Record;

use super::load::Acked;

/// Everything in the log of a directory that no process uses.
pub(super) fn records(data: &Path) -> Vec<Arc<Record>> {
    let clock = Arc::new(SystemClock::default());
    let dir = DataDir::open(Arc::new(RealFiles), data, clock).expect("a data directory");
    let observer = Arc::new(HeadsInMemory::default());
    let options = FileLogOptions {
        segment_bytes: 1024 * 1024,
        ..FileLogOptions::default()
    };
    let log = FileLog::open(options, &dir, observer).expect("a log");
    let all = ReadLimits {
        records_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    let read = log.read_after(Position::NONE, all);
    futures::executor::block_on(read).expect("a readable log")
}

/// Positions and versions count up; each record names the one before it of the same user.
pub(super) fn assert_without_gaps(records: &[Arc<Record>]) {
    let mut heads = BTreeMap::new();
    for (record, position) in records.iter().zip(1..) {
        assert_eq!(record.position, Position(position));
        let before = heads.insert(record.user.clone(), (record.position, record.version));
        let (previous, version) = before.unwrap_or_default();
        assert_eq!(
            (record.previous, record.version),
            (previous, version.next())
        );
    }
}

pub(super) fn assert_holds(records: &[Arc<Record>], acked: &Acked) {
    for (user, version) in acked {
        let is_it = |it: &&Arc<Record>| it.user.as_str() == user && it.version.0 == *version;
        assert!(records.iter().any(|it| is_it(&it)), "{user} {version}");
    }
}
