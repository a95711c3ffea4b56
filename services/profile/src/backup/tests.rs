//! Backups of a log on a simulated disk, and what becomes of them.

mod broken;
mod compaction;
mod tail;

use std::path::PathBuf;

use futures::executor::block_on;
use profile_messages::Position;
use profile_messages::record::Record;

use super::*;
use crate::clock::SystemClock;
use crate::commit_log::conformance::{HeadsInMemory, commit, user};
use crate::commit_log::file::{FileLog, FileLogOptions};
use crate::commit_log::{CommitLog, CommitObserver, ReadLimits};
use crate::data_dir::{DataDir, DataDirError};
use crate::file_system::simulated::{Fault, SimulatedDisk};

const DATA: &str = "/srv/data";
const BACKED_UP: &str = "/srv/backup";
const RESTORED: &str = "/srv/restored";
const EVENT_BYTES: usize = 300;
const EVERYTHING: ReadLimits = ReadLimits {
    records_max: usize::MAX,
    bytes_max: usize::MAX,
};

/// A disk, and a log of small segments on it.
struct World {
    disk: SimulatedDisk,
    around: Surroundings,
}

struct Opened {
    dir: DataDir,
    log: FileLog,
    heads: Arc<HeadsInMemory>,
}

impl World {
    fn new(seed: u64) -> World {
        let disk = SimulatedDisk::new(seed);
        World {
            around: Surroundings {
                files: Arc::new(disk.clone()),
                clock: Arc::new(SystemClock::default()),
                cover_wait_max: Duration::from_secs(10),
            },
            disk,
        }
    }

    fn dir(&self, path: &str) -> Result<DataDir, DataDirError> {
        let (files, clock) = (self.around.files.clone(), self.around.clock.clone());
        DataDir::open(files, Path::new(path), clock)
    }

    fn open(&self, path: &str) -> Opened {
        self.open_with(path, FileLogOptions::default().idle_after)
    }

    fn open_with(&self, path: &str, idle_after: Duration) -> Opened {
        let dir = self.dir(path).unwrap();
        let heads = Arc::new(HeadsInMemory::default());
        let options = FileLogOptions {
            segment_bytes: 16 * 1024,
            idle_after,
            ..FileLogOptions::default()
        };
        let log = FileLog::open(options, &dir, heads.clone()).unwrap();
        let opened = Opened { dir, log, heads };
        opened.heads.committed(&opened.all());
        opened
    }

    fn backup(&self) -> Result<Manifest, BackupError> {
        backup(&self.around, Path::new(DATA), Path::new(BACKED_UP))
    }

    fn restore(&self) -> Result<Restored, BackupError> {
        block_on(restore(&self.around, &wanted(), None))
    }
}

impl Opened {
    fn all(&self) -> Vec<Arc<Record>> {
        block_on(self.log.read_after(Position::NONE, EVERYTHING)).unwrap()
    }

    fn append(&self, number: u64) -> Arc<Record> {
        let head = self.heads.head(&user(number)).unwrap();
        block_on(self.log.append(commit(&user(number), head, EVENT_BYTES))).unwrap()
    }
}

/// Ends the threads of a test also when it fails.
struct Stop<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

fn wanted() -> Restore {
    Restore {
        from: PathBuf::from(BACKED_UP),
        data: PathBuf::from(RESTORED),
        gap: Gap::Refused,
        epoch: None,
    }
}

#[test]
fn a_backup_restores_to_the_same_log_in_the_next_epoch() {
    let world = World::new(1);
    let source = world.open(DATA);
    for number in 0..100 {
        source.append(number % 7);
    }
    let manifest = world.backup().unwrap();
    assert_eq!(
        (manifest.end, manifest.records, manifest.first),
        (100, 100, 1)
    );
    source.append(1);
    let restored = world.restore().unwrap();
    assert_eq!((restored.epoch, restored.end), (2, Position(100)));
    let copy = world.open(RESTORED);
    assert_eq!(copy.all()[..], source.all()[..100]);
    assert_eq!(copy.dir.epoch(), 2);
    assert_eq!(copy.dir.store_id(), source.dir.store_id());
    assert_eq!(copy.dir.secret(), source.dir.secret());
    assert_eq!(copy.append(3).position, Position(101));
    drop(copy);
    assert_eq!(world.open(RESTORED).all().len(), 101);
}

#[test]
fn a_log_without_a_commit_is_backed_up_and_restored() {
    let world = World::new(2);
    drop(world.open(DATA));
    assert_eq!(world.backup().unwrap().records, 0);
    world.restore().unwrap();
    assert_eq!(world.open(RESTORED).append(1).position, Position(1));
}

/// Each start after an unclean end goes on in a new segment, and leaves frames behind that nobody reads.
#[test]
fn a_backup_of_a_log_that_was_killed_often_is_the_log() {
    let world = World::new(3);
    for number in 0..20 {
        let source = world.open(DATA);
        source.append(number);
        source.append(number);
        world.disk.kill_process();
    }
    let source = world.open(DATA);
    assert_eq!(world.backup().unwrap().end, 40);
    world.restore().unwrap();
    assert_eq!(world.open(RESTORED).all(), source.all());
}

#[test]
fn what_was_acknowledged_before_the_backup_began_is_in_it_whatever_the_writer_does() {
    let world = World::new(4);
    let source = world.open(DATA);
    let acknowledged = std::sync::atomic::AtomicU64::new(0);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(order) {
                let record = source.append(acknowledged.load(order) % 5);
                acknowledged.store(record.position.0, order);
            }
        });
        let _stop = Stop(&stop);
        for number in 0..12 {
            let before = acknowledged.load(order);
            let to = PathBuf::from(format!("{BACKED_UP}-{number}"));
            let manifest = backup(&world.around, Path::new(DATA), &to).unwrap();
            assert!(manifest.end >= before, "{manifest:?} {before}");
            assert_eq!(manifest.records, manifest.end);
        }
    });
    let all = source.all();
    for number in 0..12 {
        let wanted = Restore {
            from: PathBuf::from(format!("{BACKED_UP}-{number}")),
            data: PathBuf::from(format!("{RESTORED}-{number}")),
            ..wanted()
        };
        let restored = block_on(restore(&world.around, &wanted, None)).unwrap();
        let copy = world.open(wanted.data.to_str().unwrap()).all();
        assert_eq!(copy.len() as u64, restored.end.0);
        assert_eq!(copy[..], all[..copy.len()]);
    }
}

#[test]
fn what_nothing_calls_durable_is_waited_for_and_then_refused() {
    let mut world = World::new(5);
    world.around.cover_wait_max = Duration::ZERO;
    let source = world.open_with(DATA, Duration::from_secs(3600));
    source.append(1);
    source.append(1);
    let error = world.backup().unwrap_err();
    let BackupError::NotCovered { position, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(position, Position(2));
    drop(source);
    assert_eq!(world.backup().unwrap().end, 2, "the clean stop covers all");
}

#[test]
fn a_given_epoch_must_be_above_those_that_were_used() {
    let world = World::new(6);
    world.open(DATA).append(1);
    world.backup().unwrap();
    let with = |epoch| Restore {
        epoch: Some(epoch),
        ..wanted()
    };
    let error = block_on(restore(&world.around, &with(1), None)).unwrap_err();
    assert!(matches!(
        error,
        BackupError::EpochUsed { given: 1, used: 1 }
    ));
    block_on(restore(&world.around, &with(7), None)).unwrap();
    assert_eq!(world.dir(RESTORED).unwrap().epoch(), 7);
}
