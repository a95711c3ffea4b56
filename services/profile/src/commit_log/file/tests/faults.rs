use super::*;
use crate::clock::ManualClock;
use crate::file_system::simulated::Fault;

fn assert_closed(log: &mut Steps) {
    let refused = AppendError::NotWritten(NotWritten::Closed);
    assert_eq!(log.append(70, 10), Err(refused));
}

#[test]
fn an_error_once_the_write_has_begun_is_maybe_written_and_the_end() {
    for (calls_ahead, fault) in [
        (1, Fault::Error),
        (1, Fault::ShortWrite),
        (1, Fault::NoSpace),
        (2, Fault::Error),
    ] {
        let disk = SimulatedDisk::new(1);
        let mut log = Steps::open(&disk).unwrap();
        let before = log.append(1, 10).unwrap();
        disk.fail_at(calls_ahead, fault);
        let fresh = commit(&user(2), Default::default(), 10);
        let outcomes = log.group(vec![fresh.clone(), fresh]);
        assert!(matches!(outcomes[0], Err(AppendError::MaybeWritten(_))));
        let refused = AppendError::NotWritten(NotWritten::Closed);
        assert_eq!(
            outcomes[1],
            Err(refused),
            "no conflict with what may not be"
        );
        assert!(log.writer.failed.borrow().is_some());
        let calls = disk.calls();
        assert_closed(&mut log);
        log.writer.write_idle();
        log.writer.close();
        assert_eq!(disk.calls(), calls, "a sync is never retried");
        assert_eq!(log.all().unwrap(), [before]);
    }
}

#[test]
fn a_failed_log_says_so_and_takes_nothing_more() {
    let disk = SimulatedDisk::new(1);
    let observer = Arc::new(HeadsInMemory::default());
    let log = FileLog::open(small(), &open_dir(&disk), observer).unwrap();
    disk.fail_at(2, Fault::Error);
    let append = |number| {
        let commit = commit(&user(number), Default::default(), 10);
        futures::executor::block_on(log.append(commit)).unwrap_err()
    };
    assert!(matches!(append(1), AppendError::MaybeWritten(_)));
    assert!(log.failed().borrow().is_some());
    futures::executor::block_on(log.close());
    assert_eq!(append(2), AppendError::NotWritten(NotWritten::Closed));
}

/// A log whose disk is full: with its clock, and what it took before.
fn on_full_disk(
    disk: &SimulatedDisk,
    prepare_next: PrepareNext,
) -> (Steps, Arc<ManualClock>, Vec<Arc<Record>>) {
    let clock = Arc::new(ManualClock::new(profile_messages::Timestamp(0)));
    let dir = DataDir::open(Arc::new(disk.clone()), Path::new(DATA), clock.clone()).unwrap();
    let options = FileLogOptions {
        prepare_next,
        ..small()
    };
    let mut log = Steps::open_with(&dir, FrameCodec::new(dir.frame_magic()), options).unwrap();
    disk.set_capacity(Some(40 * 1024));
    let outcomes: Vec<_> = (0..40).map(|n| log.append(n, 900)).collect();
    let written: Vec<_> = outcomes.iter().flatten().cloned().collect();
    assert!((10..40).contains(&written.len()));
    assert!(outcomes[written.len()..].iter().all(|o| *o == full()));
    (log, clock, written)
}

fn full() -> Result<Arc<Record>, AppendError> {
    Err(AppendError::NotWritten(NotWritten::DiskFull))
}

const PAUSE: Duration = Duration::from_millis(next_segment::FULL_DISK_PAUSE_MS);

#[test]
fn a_full_disk_refuses_commits_and_goes_on_when_there_is_space() {
    let disk = SimulatedDisk::new(1);
    let (mut log, clock, written) = on_full_disk(&disk, PrepareNext::WhenNeeded);
    assert!(!log.writer.has_failed());
    assert_eq!(log.all().unwrap(), written, "reads go on");
    clock.advance(PAUSE);
    assert_eq!(log.append(60, 900), full());
    disk.set_capacity(None);
    clock.advance(PAUSE);
    let next = log.append(60, 900).unwrap();
    assert_eq!(next.position.0, written.len() as u64 + 1);
}

#[test]
fn a_full_disk_is_left_alone_for_a_while() {
    for prepare_next in [PrepareNext::WhenNeeded, PrepareNext::Ahead] {
        let disk = SimulatedDisk::new(1);
        let (mut log, clock, _) = on_full_disk(&disk, prepare_next);
        let calls = disk.calls();
        clock.advance(PAUSE - Duration::from_micros(1));
        (0..10).for_each(|_| assert_eq!(log.append(60, 900), full()));
        assert_eq!(disk.calls(), calls, "{prepare_next:?}");
    }
}

#[test]
fn on_a_full_disk_the_writer_does_not_wait_for_the_next_attempt() {
    let disk = SimulatedDisk::new(1);
    let (mut log, clock, written) = on_full_disk(&disk, PrepareNext::Ahead);
    disk.set_capacity(None);
    clock.advance(PAUSE);
    assert_eq!(log.append(60, 900), full(), "the thread has only begun");
    let next = loop {
        match log.append(60, 900) {
            Ok(next) => break next,
            refused => assert_eq!(refused, full()),
        }
        std::thread::yield_now();
    };
    assert_eq!(next.position.0, written.len() as u64 + 1);
}

#[test]
fn a_start_on_a_full_disk_reads_and_saves_what_it_must() {
    let disk = SimulatedDisk::new(1);
    let mut log = Steps::open(&disk).unwrap();
    let written: Vec<_> = (0..3).map(|n| log.append(n, 100).unwrap()).collect();
    drop(log);
    // Room for the group to take over, not for a segment ahead.
    disk.set_capacity(Some(24 * 1024));
    for _ in 0..3 {
        let mut log = Steps::open(&disk).unwrap();
        assert_eq!(log.all().unwrap(), written);
        let full = AppendError::NotWritten(NotWritten::DiskFull);
        assert_eq!(log.append(60, 100), Err(full));
        disk.kill_process();
    }
    disk.set_capacity(None);
    let mut log = Steps::open(&disk).unwrap();
    assert_eq!(log.append(60, 100).unwrap().position, Position(4));
}

#[test]
fn any_single_error_loses_nothing_that_was_acknowledged() {
    for at in 1..120 {
        for fault in [Fault::Error, Fault::ShortWrite, Fault::NoSpace] {
            let disk = SimulatedDisk::new(at);
            drop(open_dir(&disk));
            disk.fail_at(at, fault);
            let mut acknowledged = Vec::new();
            let clock = Arc::new(SystemClock::default());
            let dir = DataDir::open(Arc::new(disk.clone()), Path::new(DATA), clock);
            let opened = dir.ok().and_then(|dir| {
                let codec = FrameCodec::new(dir.frame_magic());
                Steps::open_with(&dir, codec, small()).ok()
            });
            if let Some(mut log) = opened {
                acknowledged.extend((0..40).flat_map(|n| log.append(n, 900)));
                log.writer.close();
            }
            disk.forget_faults();
            disk.power_cut();
            let log = Steps::open(&disk).unwrap();
            let read = log.all().unwrap();
            assert!(read.starts_with(&acknowledged), "call {at}, {fault:?}");
        }
    }
}

/// Found by the power cuts, `SEED=1432`.
#[test]
fn what_follows_a_closed_frame_whose_sync_failed_is_not_lost() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed);
        let mut log = Steps::open(&disk).unwrap();
        log.append(1, 10).unwrap();
        disk.fail_at(2, Fault::Error);
        log.writer.close();
        assert!(log.writer.has_failed());
        drop(log);
        let mut log = Steps::open(&disk).unwrap();
        log.append(2, 10).unwrap();
        disk.power_cut();
        drop(log);
        assert_eq!(Steps::open(&disk).unwrap().all().unwrap().len(), 2);
    }
}
