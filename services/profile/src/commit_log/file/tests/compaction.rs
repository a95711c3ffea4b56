use super::*;
use crate::commit_log::Fate;
use crate::file_system::simulated::Fault;

const NOTHING_ERASED: &[u64] = &[];

fn names(disk: &SimulatedDisk) -> Vec<String> {
    disk.list(&Path::new(DATA).join(LOG)).unwrap()
}

fn log_bytes(disk: &SimulatedDisk) -> u64 {
    let lengths = names(disk).into_iter().map(|name| {
        let path = Path::new(DATA).join(LOG).join(name);
        disk.open(&path).unwrap().len().unwrap()
    });
    lengths.sum()
}

/// 40 commits of 5 users in about 5 segments.
fn filled(disk: &SimulatedDisk) -> (Steps, Vec<Arc<Record>>) {
    let mut log = Steps::open(disk).unwrap();
    let all = (0..40).map(|n| log.append(n % 5, 900).unwrap()).collect();
    (log, all)
}

fn kept(all: &[Arc<Record>], retention: &KeepNewest) -> Vec<Arc<Record>> {
    let kept = all.iter().filter(|it| retention.fate(it) == Ok(Fate::Keep));
    kept.cloned().collect()
}

#[test]
fn garbage_is_dropped_and_small_neighbours_become_one_segment() {
    let disk = SimulatedDisk::new(1);
    let (mut log, all) = filled(&disk);
    let before = (names(&disk).len(), log_bytes(&disk));
    let retention = log.keep_newest(1, NOTHING_ERASED);
    let report = log.compact(log.durable(), &retention).unwrap();
    assert_eq!(names(&disk).len(), 2, "one compacted, one that is written");
    assert_eq!(names(&disk)[0], segment::file_name(Position(1)));
    assert_eq!(report.segments_before as usize, before.0 - 1);
    assert_eq!(report.segments_after, 1);
    assert_eq!(
        report.bytes_before - report.bytes_after,
        before.1 - log_bytes(&disk)
    );
    let left = log.all().unwrap();
    assert_eq!(report.records_superseded as usize, all.len() - left.len());
    assert!(left.len() < 15, "{}", left.len());
    // Nothing is left to do.
    let calls = disk.calls();
    let again = log.compact(log.durable(), &retention).unwrap();
    assert_eq!((again.segments_before, disk.calls()), (0, calls));
}

#[test]
fn a_segment_with_little_garbage_is_not_written_anew() {
    let disk = SimulatedDisk::new(1);
    let mut log = Steps::open(&disk).unwrap();
    // One user changes once in each segment, the others never.
    let user_of = |n: u64| if n.is_multiple_of(8) { 0 } else { n };
    let all: Vec<_> = (0..40)
        .map(|n| log.append(user_of(n), 900).unwrap())
        .collect();
    let calls = disk.calls();
    let retention = log.keep_newest(1, NOTHING_ERASED);
    assert_eq!(kept(&all, &retention).len(), 36);
    let report = log.compact(log.durable(), &retention).unwrap();
    assert_eq!((report.segments_before, disk.calls()), (0, calls));
    assert_eq!(log.all().unwrap(), all);
}

#[test]
fn a_half_empty_segment_of_an_unclean_stop_gives_its_zeros_back() {
    let disk = SimulatedDisk::new(1);
    let mut all = Vec::new();
    for round in 0..6 {
        let mut log = Steps::open(&disk).unwrap();
        all.push(log.append(round, 50).unwrap());
        all.push(log.append(round, 50).unwrap());
    }
    let before = log_bytes(&disk);
    let mut log = Steps::open(&disk).unwrap();
    let retention = log.keep_newest(u64::MAX, NOTHING_ERASED);
    log.compact(log.durable(), &retention).unwrap();
    assert_eq!(log.all().unwrap(), all);
    assert!(log_bytes(&disk) < before / 2);
}

#[test]
fn erased_records_leave_the_segment_that_is_written_too() {
    let disk = SimulatedDisk::new(1);
    let mut log = Steps::open(&disk).unwrap();
    let all: Vec<_> = (0..6).map(|n| log.append(n % 2, 100).unwrap()).collect();
    let retention = log.keep_newest(u64::MAX, &[1]);
    let report = log.compact(log.durable(), &retention).unwrap();
    assert_eq!(report.records_erased, 2);
    assert_eq!(log.all().unwrap(), kept(&all, &retention));
    assert_eq!(log.writer.reader.dropped_through(), Position::NONE);
    assert!(!is_on_disk(&disk, b"actor user-1 1"));
    assert_eq!(log.append(1, 10).unwrap().position, Position(7));
}

fn is_on_disk(disk: &SimulatedDisk, sought: &[u8]) -> bool {
    names(disk).into_iter().any(|name| {
        let path = Path::new(DATA).join(LOG).join(name);
        let bytes = crate::file_system::read_whole(disk, &path, usize::MAX).unwrap();
        bytes.windows(sought.len()).any(|window| window == sought)
    })
}

#[test]
fn erased_records_leave_the_segment_that_is_written_although_commits_come_before_it_is_sealed() {
    let disk = SimulatedDisk::new(1);
    let mut log = Steps::open(&disk).unwrap();
    let mut all: Vec<_> = (0..6).map(|n| log.append(n % 2, 100).unwrap()).collect();
    let until = log.durable();
    let retention = log.keep_newest(3, &[1]);
    let expected = kept(&all, &retention);
    let Steps {
        writer, compactor, ..
    } = &mut log;
    let mut later = Vec::new();
    let mut roll = || {
        for version in 0..4 {
            let head = retention.heads.head(&user(7)).unwrap();
            assert_eq!(head.version.0, version);
            let (mut queue, answers) = queue_of(vec![commit(&user(7), head, 10)]);
            writer.write_group(&mut queue);
            later.extend(answers.into_iter().map(|it| answer_of(it).unwrap()));
        }
        writer.roll()
    };
    let report = compactor.pass(until, &retention, &mut roll).unwrap();
    assert_eq!(report.records_erased, 2);
    all = expected.into_iter().chain(later).collect();
    assert_eq!(
        log.all().unwrap(),
        all,
        "nothing after the bound is asked for"
    );
}

#[test]
fn a_log_that_ends_with_a_compacted_segment_goes_on_behind_it() {
    let disk = SimulatedDisk::new(1);
    let (mut log, all) = filled(&disk);
    let retention = log.keep_newest(1, &[0, 1]);
    log.compact(log.durable(), &retention).unwrap();
    let last = names(&disk).pop().unwrap();
    let left = log.all().unwrap();
    drop(log);
    // As a restore makes it: the segment that is written is not there yet.
    disk.remove(&Path::new(DATA).join(LOG).join(last)).unwrap();
    let mut log = Steps::open(&disk).unwrap();
    assert_eq!(log.durable(), Position(all.len() as u64));
    assert_eq!(log.all().unwrap(), left);
    let next = log.append(3, 10).unwrap();
    assert_eq!(next.position.0, all.len() as u64 + 1);
    log.writer.close();
    drop(log);
    let log = Steps::open(&disk).unwrap();
    assert_eq!(log.all().unwrap().last(), Some(&next));
}

#[test]
fn a_start_deletes_what_a_compacted_segment_supersedes() {
    let disk = SimulatedDisk::new(1);
    let (mut log, _) = filled(&disk);
    let old = names(&disk);
    let retention = log.keep_newest(1, NOTHING_ERASED);
    // Created, written, synced, renamed, the name synced; then the power goes.
    let mut calls_ahead = 0;
    loop {
        calls_ahead += 1;
        assert!(calls_ahead < 100, "the first removal was not found");
        disk.fail_at(calls_ahead, Fault::Error);
        let outcome = log.compact(log.durable(), &retention);
        disk.forget_faults();
        if log.writer.reader.sealed().len() == 1 && outcome.is_err() {
            break;
        }
    }
    let left = log.all().unwrap();
    drop(log);
    assert!(names(&disk).len() > 2);
    disk.kill_process();
    let log = Steps::open(&disk).unwrap();
    assert_eq!(log.all().unwrap(), left);
    assert!(names(&disk).len() < old.len());
}

#[test]
fn a_segment_between_two_compacted_ones_that_is_missing_is_noticed() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = filled(&disk);
    let second = names(&disk)[1].clone();
    let third = names(&disk)[2].clone();
    drop(log);
    let mut log = Steps::open(&disk).unwrap();
    let until = Position(third[..20].parse::<u64>().unwrap() - 1);
    let retention = log.keep_newest(1, NOTHING_ERASED);
    log.compact(until, &retention).unwrap();
    drop(log);
    assert!(!names(&disk).contains(&second));
    disk.remove(&Path::new(DATA).join(LOG).join(third)).unwrap();
    let error = Steps::open(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::SegmentMissing { .. }), "{error}");
}

#[test]
fn no_single_error_during_a_compaction_fails_the_log_or_loses_anything() {
    for fault in [Fault::Error, Fault::ShortWrite, Fault::NoSpace] {
        let mut at = 0;
        loop {
            at += 1;
            let disk = SimulatedDisk::new(at);
            let (mut log, all) = filled(&disk);
            let retention = log.keep_newest(2, &[4]);
            let expected = kept(&all, &retention);
            let calls = disk.calls();
            disk.fail_at(at, fault);
            let outcome = log.compact(log.durable(), &retention);
            let was_met = disk.calls() >= calls + at;
            disk.forget_faults();
            assert!(!log.writer.has_failed(), "call {at}, {fault:?}");
            let read = log.all().unwrap();
            assert!(expected.iter().all(|it| read.contains(it)), "call {at}");
            let full = Err(AppendError::NotWritten(NotWritten::DiskFull));
            let mut next = log.append(77, 900);
            if fault == Fault::NoSpace && next == full {
                // Rightly so: the next segment is needed, and the disk was full a moment ago.
                drop(log);
                log = Steps::open(&disk).unwrap();
                next = log.append(77, 900);
            }
            let next = next.unwrap();
            if at % 3 == 0 {
                disk.power_cut();
                drop(log);
                log = Steps::open(&disk).unwrap();
            }
            let retention = log.keep_newest(2, &[4]);
            log.compact(log.durable(), &retention).unwrap();
            disk.power_cut();
            drop(log);
            let log = Steps::open(&disk).unwrap();
            let read = log.all().unwrap();
            assert!(expected.iter().all(|it| read.contains(it)), "call {at}");
            assert_eq!(read.last(), Some(&next));
            let is_erased = |it: &&Arc<Record>| retention.fate(it) == Ok(Fate::Erased);
            assert_eq!(read.iter().find(is_erased), None, "call {at}, {fault:?}");
            if !was_met {
                assert!(outcome.is_ok() && at > 10);
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_ends_a_compaction_as_such() {
    let disk = SimulatedDisk::new(1);
    let (mut log, all) = filled(&disk);
    disk.set_capacity(Some(log_bytes(&disk)));
    let retention = log.keep_newest(6, NOTHING_ERASED);
    assert_eq!(
        log.compact(log.durable(), &retention),
        Err(CompactError::DiskFull)
    );
    assert_eq!(log.all().unwrap(), all);
    assert!(!names(&disk).contains(&segment::COMPACTED.to_owned()));
}

/// Waits in the first question until the test lets it go.
#[derive(Debug)]
struct Waits {
    asked: Mutex<std::sync::mpsc::Sender<()>>,
    go_on: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Retention for Waits {
    fn fate(&self, _: &Record) -> Result<Fate, String> {
        let _ = self.asked.lock().unwrap().send(());
        let _ = self.go_on.lock().unwrap().recv();
        Ok(Fate::Keep)
    }
}

#[test]
fn there_is_one_compaction_at_a_time_and_a_stop_ends_it() {
    let disk = SimulatedDisk::new(1);
    let observer = Arc::new(HeadsInMemory::default());
    let log = FileLog::open(small(), &open_dir(&disk), Arc::clone(&observer) as _).unwrap();
    for number in 0..30 {
        let commit = commit(&user(number), Default::default(), 900);
        futures::executor::block_on(log.append(commit)).unwrap();
    }
    let (asked, was_asked) = std::sync::mpsc::channel();
    let (let_go, go_on) = std::sync::mpsc::channel();
    let waits = Arc::new(Waits {
        asked: Mutex::new(asked),
        go_on: Mutex::new(go_on),
    });
    let everything = Position(u64::MAX);
    let compact = || futures::executor::block_on(log.compact(everything, Arc::clone(&waits) as _));
    let first = std::thread::scope(|scope| {
        let first = scope.spawn(compact);
        was_asked.recv().unwrap();
        assert_eq!(compact(), Err(CompactError::Busy));
        assert!(log.compaction.stop().is_some());
        drop(let_go);
        first.join().unwrap()
    });
    assert_eq!(first, Err(CompactError::Closed));
    assert_eq!(compact(), Err(CompactError::Closed));
    assert_eq!(*log.failed().borrow(), None);
}
