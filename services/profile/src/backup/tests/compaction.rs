//! Backups beside a compaction.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use super::*;
use crate::commit_log::{Fate, Retention};

const BACKUPS: u64 = 10;
/// Every so many records one is kept.
const KEPT_EVERY: u64 = 7;

/// Throws most records away by their position.
#[derive(Debug)]
struct Sparse;

impl Retention for Sparse {
    fn fate(&self, record: &Record) -> Result<Fate, String> {
        Ok(match record.position.0 % KEPT_EVERY {
            0 => Fate::Keep,
            _ => Fate::Superseded,
        })
    }
}

#[test]
fn a_compacted_log_is_backed_up_and_restored() {
    let world = World::new(1);
    let source = world.open(DATA);
    for number in 0..200 {
        source.append(number % 5);
    }
    let report = block_on(source.log.compact(Position(150), Arc::new(Sparse))).unwrap();
    let manifest = world.backup().unwrap();
    assert_eq!(manifest.end, 200);
    assert!(manifest.records < 180, "{report:?} {manifest:?}");
    world.restore().unwrap();
    let copy = world.open(RESTORED);
    assert_eq!(copy.all(), source.all());
    assert_eq!(copy.log.dropped_through(), source.log.dropped_through());
}

#[test]
fn a_backup_beside_commits_and_a_compaction_holds_everything_that_is_kept() {
    let world = World::new(2);
    let source = world.open(DATA);
    let (acknowledged, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let compacted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                let record = source.append(acknowledged.load(SeqCst) % 5);
                acknowledged.store(record.position.0, SeqCst);
            }
        });
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                let until = Position(acknowledged.load(SeqCst));
                block_on(source.log.compact(until, Arc::new(Sparse))).unwrap();
                compacted.fetch_add(1, SeqCst);
            }
        });
        let _stop = Stop(&stop);
        for number in 0..BACKUPS {
            let (before, passes) = (acknowledged.load(SeqCst), compacted.load(SeqCst));
            while acknowledged.load(SeqCst) < before + 100 || compacted.load(SeqCst) == passes {
                std::thread::yield_now();
            }
            let before = acknowledged.load(SeqCst);
            let to = PathBuf::from(format!("{BACKED_UP}-{number}"));
            let manifest = backup(&world.around, Path::new(DATA), &to).unwrap();
            assert!(manifest.end >= before, "{manifest:?} {before}");
        }
    });
    for number in 0..BACKUPS {
        let wanted = Restore {
            from: PathBuf::from(format!("{BACKED_UP}-{number}")),
            data: PathBuf::from(format!("{RESTORED}-{number}")),
            ..wanted()
        };
        let restored = block_on(restore(&world.around, &wanted, None)).unwrap();
        let copy = world.open(wanted.data.to_str().unwrap());
        assert_eq!(*copy.log.durable().borrow(), restored.end);
        let all: Vec<u64> = copy.all().iter().map(|record| record.position.0).collect();
        assert!(all.is_sorted());
        let kept = (1..=restored.end.0).filter(|position| position % KEPT_EVERY == 0);
        let dropped = copy.log.dropped_through().0;
        for position in kept.chain(dropped + 1..=restored.end.0) {
            assert!(all.binary_search(&position).is_ok(), "{number}: {position}");
        }
    }
}

/// Keeps what is the newest record of its user by now.
#[derive(Debug)]
struct Newest(Arc<HeadsInMemory>);

impl Retention for Newest {
    fn fate(&self, record: &Record) -> Result<Fate, String> {
        let head = self.0.head(&record.user).map_err(|it| it.to_string())?;
        Ok(match head.position == record.position {
            true => Fate::Keep,
            false => Fate::Superseded,
        })
    }
}

/// The second pass leaves the header as it was, and judges by records that the first look has not seen.
#[test]
fn a_user_whose_records_a_second_pass_drops_during_the_copy_is_in_it_with_newer_ones() {
    const USERS: u64 = 20;
    let world = World::new(3);
    let source = world.open(DATA);
    (0..USERS)
        .chain([99; 200])
        .for_each(|number| drop(source.append(number)));
    let pass = || {
        let newest = Arc::new(Newest(source.heads.clone()));
        block_on(source.log.compact(Position(150), newest)).unwrap()
    };
    pass();
    let store = read_store(world.around.files.as_ref(), Path::new(DATA))
        .unwrap()
        .unwrap();
    let of = |dir| LogFiles::new(world.around.files.clone(), Path::new(dir), &store);
    let (files, target) = (of(DATA), of(BACKED_UP));
    make_dirs(&world.disk, target.dir()).unwrap();
    let look = copy::covered(&world.around, &files, copy::look(&files).unwrap()).unwrap();
    (0..USERS).for_each(|number| drop(source.append(number)));
    assert!(pass().records_superseded >= USERS);
    let through = copy::copy(&world.around, (&files, &target), look).unwrap();
    let mut users = std::collections::BTreeSet::new();
    let mut see = |record: Record| {
        users.insert(record.user);
        Ok(())
    };
    verify::verify(&target, through, &mut see).unwrap();
    assert_eq!(users.len() as u64, USERS + 1, "through {through}");
}
