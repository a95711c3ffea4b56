mod compaction;
mod damage;
mod faults;
mod golden;
mod power_cuts;

use tokio::sync::oneshot::Receiver;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::commit_log::conformance::{
    HeadsInMemory, KeepNewest, Reopen, Subject, commit, every_law_holds, user,
};
use crate::file_system::simulated::SimulatedDisk;
use crate::file_system::{FileSystem, RealFiles};

const DATA: &str = "/data";
const EVERYTHING: ReadLimits = ReadLimits {
    records_max: usize::MAX,
    bytes_max: usize::MAX,
};

type Outcome = Receiver<Result<Arc<Record>, AppendError>>;

fn small() -> FileLogOptions {
    FileLogOptions {
        segment_bytes: 16 * 1024,
        prepare_next: PrepareNext::WhenNeeded,
        ..FileLogOptions::default()
    }
}

fn open_dir(disk: &SimulatedDisk) -> DataDir {
    let clock = Arc::new(SystemClock::default());
    DataDir::open(Arc::new(disk.clone()), Path::new(DATA), clock).unwrap()
}

fn segment_path(first: u64) -> PathBuf {
    Path::new(DATA)
        .join(LOG)
        .join(segment::file_name(Position(first)))
}

/// A log without its thread: each call is one step of the writer.
struct Steps {
    writer: Writer,
    compactor: Compactor,
    observer: Arc<HeadsInMemory>,
}

impl Steps {
    fn open(disk: &SimulatedDisk) -> Result<Steps, OpenError> {
        let dir = open_dir(disk);
        Steps::open_with(&dir, FrameCodec::new(dir.frame_magic()), small())
    }

    fn open_with(
        dir: &DataDir,
        codec: FrameCodec,
        options: FileLogOptions,
    ) -> Result<Steps, OpenError> {
        let observer = Arc::new(HeadsInMemory::default());
        let writer = open_writer(options, dir, codec, observer.clone())?;
        if let Ok(records) = writer.reader.read_after(Position::NONE, EVERYTHING) {
            observer.committed(&records);
        }
        let compactor = Compactor::new(&writer);
        Ok(Steps {
            writer,
            compactor,
            observer,
        })
    }

    fn group(&mut self, commits: Vec<Commit>) -> Vec<Result<Arc<Record>, AppendError>> {
        let (mut queue, answers) = queue_of(commits);
        while !queue.is_empty() {
            self.writer.write_group(&mut queue);
        }
        answers.into_iter().map(answer_of).collect()
    }

    fn append(&mut self, number: u64, event_bytes: usize) -> Result<Arc<Record>, AppendError> {
        let head = self.observer.head(&user(number)).unwrap();
        let commit = commit(&user(number), head, event_bytes);
        self.group(vec![commit]).pop().unwrap()
    }

    fn compact(
        &mut self,
        until: Position,
        retention: &dyn Retention,
    ) -> Result<CompactionReport, CompactError> {
        let (compactor, writer) = (&self.compactor, &mut self.writer);
        compactor.pass(until, retention, &mut || writer.roll())
    }

    fn keep_newest(&self, versions: u64, erased: &[u64]) -> KeepNewest {
        KeepNewest {
            heads: Arc::clone(&self.observer),
            versions,
            erased: erased.iter().map(|number| user(*number)).collect(),
        }
    }

    fn durable(&self) -> Position {
        *self.writer.durable.borrow()
    }

    fn all(&self) -> Result<Vec<Arc<Record>>, ReadError> {
        self.writer.reader.read_after(Position::NONE, EVERYTHING)
    }
}

fn queue_of(commits: Vec<Commit>) -> (VecDeque<Pending>, Vec<Outcome>) {
    let pending = |commit| {
        let (answer, outcome) = answers::expected_here();
        (Pending { commit, answer }, outcome)
    };
    commits.into_iter().map(pending).unzip()
}

fn answer_of(mut outcome: Outcome) -> Result<Arc<Record>, AppendError> {
    outcome.try_recv().unwrap()
}

fn subject(fs: Arc<dyn FileSystem>, path: PathBuf, options: FileLogOptions) -> Subject {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let observer = Arc::new(HeadsInMemory::default());
    let dir = DataDir::open(fs.clone(), &path, clock.clone()).unwrap();
    let log = FileLog::open(options, &dir, observer.clone()).unwrap();
    let records = log.reader.read_after(Position::NONE, EVERYTHING).unwrap();
    observer.committed(&records);
    let reopen: Reopen = Box::new(move || Box::pin(async move { subject(fs, path, options) }));
    Subject {
        log: Arc::new(log),
        observer,
        clock,
        reopen: Some(reopen),
    }
}

/// Large enough for the largest record, so that its bound is the one that is met.
fn medium(prepare_next: PrepareNext) -> FileLogOptions {
    FileLogOptions {
        segment_bytes: 300 * 1024,
        prepare_next,
        ..FileLogOptions::default()
    }
}

#[test]
fn the_file_log_keeps_every_law_without_a_runtime() {
    let fresh = || {
        let disk = Arc::new(SimulatedDisk::new(1));
        subject(disk, DATA.into(), medium(PrepareNext::WhenNeeded))
    };
    futures::executor::block_on(every_law_holds(&|| Box::pin(async move { fresh() })));
}

#[tokio::test]
async fn the_file_log_keeps_every_law_on_real_files() {
    let root = std::env::temp_dir().join(SystemClock::default().random_id());
    let fresh = || {
        let path = root.join(SystemClock::default().random_id());
        let options = FileLogOptions {
            segment_bytes: 24 * 1024,
            ..medium(PrepareNext::Ahead)
        };
        subject(Arc::new(RealFiles), path, options)
    };
    every_law_holds(&|| {
        let fresh = fresh();
        Box::pin(async move { fresh })
    })
    .await;
    std::fs::remove_dir_all(&root).unwrap();
}

#[test]
fn after_a_clean_stop_writing_goes_on_in_the_same_segment() {
    let disk = SimulatedDisk::new(1);
    let names = || disk.list(&Path::new(DATA).join(LOG)).unwrap();
    for round in 1..=4 {
        let mut log = Steps::open(&disk).unwrap();
        assert_eq!(log.append(1, 10).unwrap().position, Position(round));
        log.writer.close();
        drop(log);
        assert_eq!(names(), [segment::file_name(Position(1))]);
    }
}

#[test]
fn after_a_crash_a_new_segment_takes_over_what_was_not_called_durable() {
    let disk = SimulatedDisk::new(1);
    let mut log = Steps::open(&disk).unwrap();
    let written: Vec<_> = (0..3).map(|n| log.append(n, 10).unwrap()).collect();
    drop(log);
    let log = Steps::open(&disk).unwrap();
    assert_eq!(log.all().unwrap(), written);
    let names = disk.list(&Path::new(DATA).join(LOG)).unwrap();
    let [one, three] = [1, 3].map(|first| segment::file_name(Position(first)));
    assert_eq!(names, [one, three], "position 2 was called durable by 3");
    // What lies behind in the old segment is superseded: damage there changes nothing.
    let superseded = disk.open(&segment_path(1)).unwrap().len().unwrap();
    for offset in (6 * 1024..superseded as usize).step_by(100) {
        disk.damage(&segment_path(1), offset, 0xff);
    }
    drop(log);
    assert_eq!(Steps::open(&disk).unwrap().all().unwrap(), written);
}

#[test]
fn a_group_is_one_frame_and_one_sync() {
    let disk = SimulatedDisk::new(1);
    let mut log = Steps::open(&disk).unwrap();
    let before = disk.calls();
    let commits = (0..20).map(|number| commit(&user(number), Default::default(), 10));
    let outcomes = log.group(commits.collect());
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(disk.calls() - before, 2, "a write and a sync");
}

#[test]
fn commits_of_one_user_follow_each_other_in_one_group() {
    let disk = SimulatedDisk::new(1);
    let mut log = Steps::open(&disk).unwrap();
    let head = |n| super::super::Head {
        version: profile_messages::Version(n),
        position: Position(n),
    };
    let commits = [0, 1, 1, 2].map(|n| commit(&user(1), head(n), 10));
    let outcomes = log.group(commits.to_vec());
    let positions: Vec<_> = outcomes.iter().flatten().map(|r| r.position.0).collect();
    assert_eq!(positions, [1, 2, 3]);
    assert_eq!(outcomes[2], Err(AppendError::Conflict { head: head(2) }));
}

#[test]
fn commits_that_do_not_fit_one_frame_go_into_the_next() {
    let disk = SimulatedDisk::new(1);
    let mut log = Steps::open(&disk).unwrap();
    let commits = (0..40).map(|number| commit(&user(number), Default::default(), 900));
    let outcomes = log.group(commits.collect());
    let positions: Vec<_> = outcomes.iter().flatten().map(|r| r.position.0).collect();
    assert_eq!(positions, (1..=40).collect::<Vec<_>>());
    assert_eq!(log.all().unwrap().len(), 40);
}

#[test]
fn what_is_given_from_memory_is_what_the_files_hold() {
    let disk = SimulatedDisk::new(1);
    let mut log = Steps::open(&disk).unwrap();
    for number in 0..60 {
        log.append(number % 7, 1 + (number as usize * 37) % 400)
            .unwrap();
    }
    let reader = &log.writer.reader;
    let mut given = 0;
    for after in (0..=60).map(Position) {
        for bytes_max in [0, 700, 1_500, 5_000, usize::MAX] {
            for records_max in [1, 7, usize::MAX] {
                let limits = ReadLimits {
                    records_max,
                    bytes_max,
                };
                let Some(recent) = reader.read_recent(after, limits) else {
                    continue;
                };
                let read = reader.read_after(after, limits).unwrap();
                assert_eq!(recent, read, "after {after}, {limits:?}");
                given += 1;
            }
        }
    }
    assert!(given > 100, "{given}");
}

/// Blocks the writer in the question for a head until the test lets it go.
#[derive(Debug)]
struct Gate {
    entered: Mutex<std::sync::mpsc::Sender<()>>,
    leave: Mutex<GateReceiver>,
}

type GateReceiver = std::sync::mpsc::Receiver<()>;

impl CommitObserver for Gate {
    fn head(&self, _: &profile_messages::UserId) -> Result<super::super::Head, String> {
        self.entered.lock().unwrap().send(()).unwrap();
        self.leave
            .lock()
            .unwrap()
            .recv()
            .map_err(|e| e.to_string())?;
        Ok(super::super::Head::default())
    }

    fn committed(&self, _: &[Arc<Record>]) {}
}

#[test]
fn one_commit_more_than_the_queue_holds_is_refused() {
    let disk = SimulatedDisk::new(1);
    let (entered, has_entered) = std::sync::mpsc::channel();
    let (let_go, leave) = std::sync::mpsc::channel();
    let gate = Gate {
        entered: Mutex::new(entered),
        leave: Mutex::new(leave),
    };
    let options = FileLogOptions {
        queue_commits_max: 2,
        ..small()
    };
    let log = FileLog::open(options, &open_dir(&disk), Arc::new(gate)).unwrap();
    let send = |number| {
        let (mut queue, mut outcomes) =
            queue_of(vec![commit(&user(number), Default::default(), 10)]);
        let sent = log.send(queue.pop_front().unwrap());
        sent.map(|()| outcomes.pop().unwrap())
    };
    let first = send(1).unwrap();
    has_entered.recv().unwrap();
    let queued = [send(2).unwrap(), send(3).unwrap()];
    assert_eq!(send(4).unwrap_err(), NotWritten::QueueFull);
    (0..3).for_each(|_| let_go.send(()).unwrap());
    for outcome in [first].into_iter().chain(queued) {
        outcome.blocking_recv().unwrap().unwrap();
    }
}

/// Heads in memory, and how often they were asked for.
#[derive(Debug, Default)]
struct Asked {
    heads: HeadsInMemory,
    asked: Mutex<Vec<profile_messages::UserId>>,
}

impl CommitObserver for Asked {
    fn head(&self, user: &profile_messages::UserId) -> Result<super::super::Head, String> {
        self.asked.lock().unwrap().push(user.clone());
        self.heads.head(user)
    }

    fn committed(&self, group: &[Arc<Record>]) {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        assert!(group.iter().all(|record| asked.contains(&record.user)));
        self.heads.committed(group);
    }
}

#[test]
fn the_observer_is_asked_for_the_head_of_each_user_of_a_group_before_it() {
    let disk = SimulatedDisk::new(1);
    let log = FileLog::open(small(), &open_dir(&disk), Arc::new(Asked::default())).unwrap();
    let mut head = super::super::Head::default();
    for position in 1..=3 {
        let append = log.append(commit(&user(1), head, 10));
        let record = futures::executor::block_on(append).unwrap();
        head = super::super::Head::after(&record);
        assert_eq!(head.position, Position(position));
    }
}

/// Reads each record of the log while it hears of it.
#[derive(Debug, Default)]
struct Reading {
    heads: HeadsInMemory,
    reader: std::sync::OnceLock<Arc<Reader>>,
    found: Mutex<Vec<Arc<Record>>>,
}

impl CommitObserver for Reading {
    fn head(&self, user: &profile_messages::UserId) -> Result<super::super::Head, String> {
        self.heads.head(user)
    }

    fn committed(&self, group: &[Arc<Record>]) {
        let reader = self.reader.get().unwrap();
        let read = group
            .iter()
            .flat_map(|it| reader.read_one(it.position).unwrap());
        self.found.lock().unwrap().extend(read);
        self.heads.committed(group);
    }
}

/// A reader that learns of a commit from the view asks for its record before `durable` has moved.
#[test]
fn what_the_observer_hears_of_can_be_read() {
    let observer = Arc::new(Reading::default());
    let dir = open_dir(&SimulatedDisk::new(1));
    let log = FileLog::open(small(), &dir, Arc::clone(&observer) as _).unwrap();
    observer.reader.set(Arc::clone(&log.reader)).unwrap();
    for number in 1..=3 {
        let append = log.append(commit(&user(number), Default::default(), 10));
        let record = futures::executor::block_on(append).unwrap();
        assert_eq!(observer.found.lock().unwrap().pop(), Some(record));
    }
}

#[test]
fn a_head_that_cannot_be_read_refuses_the_commit() {
    let disk = SimulatedDisk::new(1);
    let (entered, _has_entered) = std::sync::mpsc::channel();
    let (let_go, leave) = std::sync::mpsc::channel();
    drop(let_go);
    let gate = Gate {
        entered: Mutex::new(entered),
        leave: Mutex::new(leave),
    };
    let log = FileLog::open(small(), &open_dir(&disk), Arc::new(gate)).unwrap();
    let append = log.append(commit(&user(1), Default::default(), 10));
    let outcome = futures::executor::block_on(append);
    let refused = AppendError::NotWritten(NotWritten::HeadUnknown);
    assert_eq!(outcome, Err(refused));
}
