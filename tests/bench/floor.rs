//! The disk's own speed: one write and one fdatasync after another, as the commit log does them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use tokio::time::Instant;

use hdrhistogram::Histogram;
use profile_tests::temp_dir::TempDir;

use crate::load::Measured;

/// About a commit of one update.
const RECORD_BYTES: usize = 1_024;
const FILE_BYTES: usize = 64 << 20;

/// Syncs for `lasting`, over a file whose space is taken and written already.
pub(crate) fn fdatasync(lasting: Duration) -> Measured {
    let folder = TempDir::create();
    let file = File::create(folder.join("floor")).expect("a file");
    let zeros = vec![0; 1 << 20];
    for part in 0..FILE_BYTES / zeros.len() {
        file.write_all_at(&zeros, (part * zeros.len()) as u64)
            .expect("space");
    }
    file.sync_all().expect("a sync");
    let record = [7; RECORD_BYTES];
    let mut latency = Histogram::new(3).expect("bounds that fit");
    let began = Instant::now();
    let mut at = 0;
    while began.elapsed() < lasting {
        let asked = Instant::now();
        file.write_all_at(&record, at as u64).expect("a write");
        file.sync_data().expect("a sync");
        latency.saturating_record(asked.elapsed().as_micros() as u64);
        at = (at + RECORD_BYTES) % (FILE_BYTES - RECORD_BYTES);
    }
    Measured {
        per_second: latency.len() as f64 / began.elapsed().as_secs_f64(),
        latency,
        failures: 0,
        first_failure: None,
    }
}
