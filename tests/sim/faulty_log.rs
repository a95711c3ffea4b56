//! A commit log that fails by the seed: refuses, conflicts, writes and then reports failure, and dies
//! with its process inside an append.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use profile::clock::Clock;
use profile::commit_log::memory::MemoryLog;
use profile::commit_log::{
    AppendError, Commit, CommitLog, CommitObserver, CompactError, CompactionReport, NotWritten,
    ReadError, ReadLimits, Retention,
};
use profile_messages::Position;
use profile_messages::record::Record;
use tokio::sync::watch;

use crate::dice::Dice;
use crate::planted::Plant;

/// Out of 100 reads; only the relay reads through the port.
const READ_FAILS_PERCENT: u32 = 3;

#[derive(Debug)]
pub(crate) struct FaultyLog {
    inner: MemoryLog,
    observer: Arc<dyn CommitObserver>,
    faults: Mutex<Faults>,
    dead: watch::Sender<bool>,
    plant: Plant,
}

#[derive(Debug)]
struct Faults {
    dice: Dice,
    healed: bool,
    /// The process dies inside this append, counted from now.
    dies_at: Option<u32>,
    /// Longest time of an append; the appends of that time are one group.
    group_us_max: u32,
    /// In the order in which they came: what a group would hold.
    waiting: Vec<(u64, Commit)>,
    appends: u64,
}

/// What becomes of an append.
enum Fate {
    Dies { kept: bool },
    Meets(u32),
}

impl FaultyLog {
    /// An append takes up to `group_us_max` microseconds, none if 0.
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        observer: Arc<dyn CommitObserver>,
        dice: Dice,
        group_us_max: u32,
        plant: Plant,
    ) -> FaultyLog {
        let faults = Faults {
            dice,
            healed: false,
            dies_at: None,
            group_us_max,
            waiting: Vec::new(),
            appends: 0,
        };
        FaultyLog {
            inner: MemoryLog::observed(clock, Arc::clone(&observer)),
            observer,
            faults: Mutex::new(faults),
            dead: watch::Sender::new(false),
            plant,
        }
    }

    /// From now on it does what it should.
    pub(crate) fn heal(&self) {
        let mut faults = self.faults.lock().unwrap();
        faults.healed = true;
        faults.dies_at = None;
    }

    /// The process dies inside the append number `appends` from now on.
    pub(crate) fn die_at(&self, appends: u32) {
        let mut faults = self.faults.lock().unwrap();
        if !faults.healed {
            faults.dies_at = Some(appends);
        }
    }

    /// Returns once the process has died inside an append.
    pub(crate) async fn died(&self) {
        let _ = self.dead.subscribe().wait_for(|dead| *dead).await;
    }

    /// The next process opens the log.
    pub(crate) fn open_again(&self) {
        let mut faults = self.faults.lock().unwrap();
        faults.waiting.clear();
        faults.dies_at = None;
        self.dead.send_replace(false);
    }

    /// The log without its faults: what a start reads.
    pub(crate) fn on_disk(&self) -> &dyn CommitLog {
        &self.inner
    }

    /// Everything after `after`, as it is on disk.
    pub(crate) async fn records_after(&self, after: Position) -> Vec<Arc<Record>> {
        let limits = ReadLimits {
            records_max: usize::MAX,
            bytes_max: usize::MAX,
        };
        self.inner.read_after(after, limits).await.unwrap()
    }

    /// What the planted bug makes of a commit.
    fn planted(&self, mut commit: Commit) -> Commit {
        match self.plant {
            Plant::NoVersionCheck => {
                commit.expected = self.observer.head(&commit.user).unwrap();
            }
            Plant::KeyNotWithCommit => commit.key = None,
            Plant::Nothing
            | Plant::ForgetsAcknowledged
            | Plant::AppliesBeforeAppending
            | Plant::RelaySkipsAnEvent
            | Plant::ConsumerForgets
            | Plant::NeverAsksForTheNewest
            | Plant::Overtakes => {}
        }
        commit
    }

    /// Waits as long as its group takes.
    async fn in_group(&self, commit: &Commit) -> u64 {
        let (number, wait_us) = {
            let mut faults = self.faults.lock().unwrap();
            faults.appends += 1;
            let number = faults.appends;
            if faults.group_us_max == 0 {
                return number;
            }
            faults.waiting.push((number, commit.clone()));
            let bound = faults.group_us_max;
            (number, faults.dice.below(bound))
        };
        crate::clock::pass(std::time::Duration::from_micros(u64::from(wait_us))).await;
        number
    }

    fn no_longer_waits(&self, number: u64) {
        let mut faults = self.faults.lock().unwrap();
        faults.waiting.retain(|(other, _)| *other != number);
    }

    fn fate(&self) -> Fate {
        let mut faults = self.faults.lock().unwrap();
        if faults.healed {
            return Fate::Meets(100);
        }
        if let Some(appends) = faults.dies_at.as_mut() {
            *appends = appends.saturating_sub(1);
            if *appends == 0 {
                let kept = faults.dice.percent(50);
                return Fate::Dies { kept };
            }
        }
        Fate::Meets(faults.dice.below(100))
    }

    /// The group of this append is lost or kept as a whole; nobody is told.
    async fn die(&self, commit: Commit, number: u64, kept: bool) -> ! {
        self.no_longer_waits(number);
        let mut group = std::mem::take(&mut self.faults.lock().unwrap().waiting);
        group.push((number, commit));
        group.sort_by_key(|(number, _)| *number);
        if kept {
            for (_, commit) in group {
                let _ = self.inner.append(self.planted(commit)).await;
            }
        }
        self.dead.send_replace(true);
        std::future::pending().await
    }
}

#[async_trait]
impl CommitLog for FaultyLog {
    async fn append(&self, commit: Commit) -> Result<Arc<Record>, AppendError> {
        let number = self.in_group(&commit).await;
        if *self.dead.borrow() {
            return std::future::pending().await;
        }
        let draw = match self.fate() {
            Fate::Dies { kept } => self.die(commit, number, kept).await,
            Fate::Meets(draw) => draw,
        };
        self.no_longer_waits(number);
        let commit = self.planted(commit);
        match draw {
            0..4 => Err(AppendError::NotWritten(NotWritten::QueueFull)),
            4 => Err(AppendError::NotWritten(NotWritten::HeadUnknown)),
            5..8 => Err(AppendError::NotWritten(NotWritten::DiskFull)),
            8..13 => {
                self.inner.append(commit).await?;
                Err(AppendError::MaybeWritten("written, then failed".to_owned()))
            }
            13..16 => Err(AppendError::MaybeWritten(
                "failed before the write".to_owned(),
            )),
            16..18 => {
                let head = self.observer.head(&commit.user).unwrap();
                Err(AppendError::Conflict { head })
            }
            18..21 if self.plant == Plant::ForgetsAcknowledged => {
                Ok(Arc::new(commit.into_record(self.durable().borrow().next())))
            }
            _ => self.inner.append(commit).await,
        }
    }

    async fn read_after(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        let fails = {
            let mut faults = self.faults.lock().unwrap();
            !faults.healed && faults.dice.percent(READ_FAILS_PERCENT)
        };
        if fails {
            return Err(ReadError::Io("not now".to_owned()));
        }
        self.inner.read_after(after, limits).await
    }

    async fn read_one(&self, position: Position) -> Result<Option<Arc<Record>>, ReadError> {
        self.inner.read_one(position).await
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.inner.durable()
    }

    fn failed(&self) -> watch::Receiver<Option<String>> {
        self.inner.failed()
    }

    async fn compact(
        &self,
        until: Position,
        retention: Arc<dyn Retention>,
    ) -> Result<CompactionReport, CompactError> {
        self.inner.compact(until, retention).await
    }

    fn dropped_through(&self) -> Position {
        self.inner.dropped_through()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
