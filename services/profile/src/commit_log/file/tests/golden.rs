//! Data directories of the formats 1 and 2 (with a compacted segment), checked in. `UPDATE_GOLDEN=1` writes it anew: only for a format that
//! was never released.

use std::time::Instant;

use profile_messages::Timestamp;

use super::*;
use crate::file_system::read_whole;

const FILES: [&str; 2] = ["STORE", "log/00000000000000000001.seg"];
const FILES_2: [&str; 3] = [
    "STORE",
    "log/00000000000000000001.seg",
    "log/00000000000000000011.seg",
];

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

fn golden(format: u32, name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    root.join(format!("data-format-{format}")).join(name)
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

/// Two segments of five commits each, of which the newest of each of three users is kept, and a new one.
fn write_golden_2(disk: &SimulatedDisk) -> Vec<Arc<Record>> {
    let clock = Arc::new(CountingClock::default());
    let dir = DataDir::open(Arc::new(disk.clone()), Path::new(DATA), clock).unwrap();
    let codec = FrameCodec::new(dir.frame_magic());
    let mut log = Steps::open_with(&dir, codec, options()).unwrap();
    let mut all = Vec::new();
    for number in [1, 2, 1, 3, 1, 2, 1, 2, 1, 3] {
        all.push(log.append(number, 450).unwrap());
    }
    let retention = log.keep_newest(1, &[2]);
    log.compact(log.durable(), &retention).unwrap();
    log.writer.close();
    let left = log.all().unwrap();
    let positions: Vec<u64> = left.iter().map(|record| record.position.0).collect();
    assert_eq!(positions, [8, 9, 10]);
    assert_eq!(log.writer.reader.dropped_through(), Position(7));
    left
}

fn assert_bytes(disk: &SimulatedDisk, format: u32, files: &[&str]) {
    for name in files {
        let written = read_whole(disk, &Path::new(DATA).join(name), usize::MAX).unwrap();
        let path = golden(format, name);
        if std::env::var("UPDATE_GOLDEN").is_ok() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &written).unwrap();
        }
        assert!(std::fs::read(&path).unwrap() == written, "{format} {name}");
    }
}

fn disk_of(format: u32, files: &[&str]) -> SimulatedDisk {
    let disk = SimulatedDisk::new(2);
    make_dirs(&disk, &Path::new(DATA).join(LOG)).unwrap();
    for name in files {
        let file = disk.create(&Path::new(DATA).join(name)).unwrap();
        let bytes = std::fs::read(golden(format, name)).unwrap();
        file.write_at(&bytes, 0).unwrap();
    }
    disk
}

#[test]
fn the_bytes_of_a_data_directory_are_those_of_the_format() {
    let disk = SimulatedDisk::new(1);
    write_golden(&disk);
    assert_bytes(&disk, 1, &FILES);
    let disk = SimulatedDisk::new(1);
    write_golden_2(&disk);
    assert_bytes(&disk, 2, &FILES_2);
}

#[test]
fn a_data_directory_of_format_1_opens_and_goes_on() {
    let expected = write_golden(&SimulatedDisk::new(1));
    let disk = disk_of(1, &FILES);
    let mut log = Steps::open(&disk).unwrap();
    assert_eq!(log.all().unwrap(), expected);
    let next = log.append(2, 10).unwrap();
    assert_eq!((next.position, next.version.0), (Position(6), 3));
}

#[test]
fn a_data_directory_with_a_compacted_segment_opens_and_goes_on() {
    let expected = write_golden_2(&SimulatedDisk::new(1));
    let disk = disk_of(2, &FILES_2);
    let mut log = Steps::open(&disk).unwrap();
    assert_eq!(log.all().unwrap(), expected);
    assert_eq!(log.writer.reader.dropped_through(), Position(7));
    let next = log.append(2, 10).unwrap();
    assert_eq!((next.position, next.version.0), (Position(11), 4));
}
