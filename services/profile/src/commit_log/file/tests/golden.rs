//! A data directory of format 1, checked in. `UPDATE_GOLDEN=1` writes it anew: only for a format that
//! was never released.

use std::time::Instant;

use profile_messages::Timestamp;

use super::*;
use crate::file_system::read_whole;

const FILES: [&str; 2] = ["STORE", "log/00000000000000000001.seg"];

/// Ids that count up, so that the same bytes are written each time.
#[derive(Debug, Default)]
struct CountingClock {
    ids: std::sync::atomic::AtomicU64,
    system: SystemClock,
}

impl Clock for CountingClock {
    fn now(&self) -> Timestamp {
        self.system.now()
    }

    fn monotonic(&self) -> Instant {
        self.system.monotonic()
    }

    fn random_id(&self) -> String {
        let id = self.ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        format!("{id:032x}")
    }
}

fn golden(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/data-format-1");
    root.join(name)
}

fn options() -> FileLogOptions {
    FileLogOptions {
        segment_bytes: 8 * 1024,
        ..small()
    }
}

/// Two groups, an idle frame, a group, and a clean stop.
fn write_golden(disk: &SimulatedDisk) -> Vec<Arc<Record>> {
    let clock = Arc::new(CountingClock::default());
    let dir = DataDir::open(Arc::new(disk.clone()), Path::new(DATA), clock).unwrap();
    let codec = FrameCodec::new(dir.frame_magic());
    let mut log = Steps::open_with(&dir, codec, options()).unwrap();
    let group = |numbers: [u64; 2]| {
        let commits = numbers.map(|number| commit(&user(number), Default::default(), 100));
        commits.to_vec()
    };
    let mut outcomes = log.group(group([1, 2]));
    outcomes.extend(log.group(group([3, 4])));
    log.writer.write_idle();
    outcomes.push(log.append(2, 50));
    log.writer.close();
    outcomes.into_iter().map(Result::unwrap).collect()
}

#[test]
fn the_bytes_of_a_data_directory_are_those_of_the_format() {
    let disk = SimulatedDisk::new(1);
    write_golden(&disk);
    for name in FILES {
        let written = read_whole(&disk, &Path::new(DATA).join(name), usize::MAX).unwrap();
        if std::env::var("UPDATE_GOLDEN").is_ok() {
            std::fs::create_dir_all(golden(name).parent().unwrap()).unwrap();
            std::fs::write(golden(name), &written).unwrap();
        }
        assert!(std::fs::read(golden(name)).unwrap() == written, "{name}");
    }
}

#[test]
fn a_data_directory_of_format_1_opens_and_goes_on() {
    let expected = write_golden(&SimulatedDisk::new(1));
    let disk = SimulatedDisk::new(2);
    make_dirs(&disk, &Path::new(DATA).join(LOG)).unwrap();
    for name in FILES {
        let file = disk.create(&Path::new(DATA).join(name)).unwrap();
        let bytes = std::fs::read(golden(name)).unwrap();
        file.write_at(&bytes, 0).unwrap();
    }
    let mut log = Steps::open(&disk).unwrap();
    assert_eq!(log.all().unwrap(), expected);
    let next = log.append(2, 10).unwrap();
    assert_eq!((next.position, next.version.0), (Position(6), 3));
}
