//! Seeded loops of lives and deaths. Replay one with `SEED=<n>`; more with `POWERCUTS=<n>`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;
use crate::file_system::simulated::{Fault, Lie, Seeded};

/// The system as it is, or with a planted fault that the check must find.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    Right,
    AcknowledgesBeforeTheSync,
    ForgetsToSyncNames,
    BelievesTornFrames,
}

const LIVES: u64 = 3;

#[derive(Debug)]
struct Case {
    disk: SimulatedDisk,
    random: Seeded,
    variant: Variant,
    /// What was acknowledged, or was read after a recovery.
    known: Vec<Arc<Record>>,
    /// The group whose outcome was left open.
    open_group: Vec<Record>,
}

/// How often the power was cut, unless something was found.
fn run_case(seed: u64, variant: Variant) -> Result<u64, String> {
    let disk = SimulatedDisk::new(seed);
    // The store file is made before the lies begin: the canaries are about the log.
    drop(open_dir(&disk));
    match variant {
        Variant::Right | Variant::BelievesTornFrames => {}
        Variant::AcknowledgesBeforeTheSync => disk.lie(Lie::FileSyncs),
        Variant::ForgetsToSyncNames => disk.lie(Lie::DirSyncs),
    }
    let mut case = Case {
        disk,
        random: Seeded::new(seed ^ 0x5eed),
        variant,
        known: Vec::new(),
        open_group: Vec::new(),
    };
    for _ in 0..LIVES {
        case.live()?;
        case.die();
        case.check()?;
    }
    Ok(case.disk.power_cuts())
}

impl Case {
    fn open(&self) -> Result<Steps, String> {
        let clock = Arc::new(SystemClock::default());
        let fs = Arc::new(self.disk.clone());
        let dir = DataDir::open(fs, Path::new(DATA), clock).map_err(|e| e.to_string())?;
        let mut codec = FrameCodec::new(dir.frame_magic());
        codec.believes_torn_frames = self.variant == Variant::BelievesTornFrames;
        Steps::open_with(&dir, codec, small()).map_err(|e| e.to_string())
    }

    /// Opens the log, works, and ends at a random call on the disk, or of its own accord.
    fn live(&mut self) -> Result<(), String> {
        let dies = self.random.percent(85);
        if dies {
            let calls_max = self.random.one_of([12, 60, 150]);
            let calls = 1 + self.random.below(calls_max);
            self.disk.fail_at(calls, Fault::PowerOff);
        }
        let mut log = match self.open() {
            Ok(log) => log,
            Err(_) if dies => return Ok(()),
            Err(error) => return Err(error),
        };
        for _ in 0..30 {
            match self.random.below(10) {
                0 => log.writer.write_idle(),
                1 => {
                    log.writer.close();
                    drop(log);
                    log = match self.open() {
                        Ok(log) => log,
                        Err(_) if dies => return Ok(()),
                        Err(error) => return Err(error),
                    };
                }
                _ => self.append_group(&mut log),
            }
            if log.writer.has_failed() {
                break;
            }
        }
        Ok(())
    }

    fn append_group(&mut self, log: &mut Steps) {
        let size = 1 + self.random.below(5);
        let mut users: Vec<u64> = (0..size).map(|_| self.random.below(8)).collect();
        users.sort_unstable();
        users.dedup();
        let commits: Vec<Commit> = users
            .into_iter()
            .map(|number| {
                let head = log.observer.head(&user(number)).unwrap();
                let bytes = self.random.one_of([10, 300, 1_500, 2_500]);
                commit(&user(number), head, bytes)
            })
            .collect();
        for (outcome, commit) in log.group(commits.clone()).into_iter().zip(commits) {
            match outcome {
                Ok(record) => self.known.push(record),
                Err(AppendError::MaybeWritten(_)) => {
                    let before = self.known.len() + self.open_group.len();
                    let position = Position(before as u64 + 1);
                    self.open_group.push(commit.into_record(position));
                }
                Err(AppendError::NotWritten(NotWritten::Closed)) => {}
                Err(error) => panic!("not to be expected here: {error}"),
            }
        }
    }

    fn die(&mut self) {
        match self.random.below(3) {
            0 => self.disk.kill_process(),
            1 => self.disk.power_cut(),
            _ => {
                // The machine goes down while the next process is still starting.
                self.disk.kill_process();
                let calls = 1 + self.random.below(14);
                self.disk.fail_at(calls, Fault::PowerOff);
                drop(self.open());
                self.disk.power_cut();
            }
        }
    }

    /// Everything acknowledged is there, and beyond it the group in flight as a whole, or nothing.
    fn check(&mut self) -> Result<(), String> {
        let log = self.open()?;
        let read = log.all().map_err(|e| e.to_string())?;
        for (at, record) in (1..).zip(&read) {
            if record.position != Position(at) {
                return Err(format!("position {} at place {at}", record.position));
            }
        }
        if read.len() < self.known.len() {
            let (left, of) = (read.len(), self.known.len());
            return Err(format!("only {left} of {of} acknowledged commits are left"));
        }
        let (old, new) = read.split_at(self.known.len());
        if old != self.known {
            return Err("an acknowledged commit is another one now".to_owned());
        }
        let whole = new.iter().map(Arc::as_ref).eq(&self.open_group);
        if !new.is_empty() && !whole {
            return Err("a commit that nobody made, or half a group".to_owned());
        }
        self.known = read;
        self.open_group.clear();
        drop(log);
        // What was read is durable: it must survive this too.
        match self.random.below(3) {
            0 => self.disk.power_cut(),
            _ => self.disk.kill_process(),
        }
        Ok(())
    }
}

fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_power_cut_loses_an_acknowledged_commit_or_shows_half_a_group() {
    let cases = number_from_env("POWERCUTS")
        .unwrap_or(3_000)
        .div_ceil(LIVES);
    let seeds = number_from_env("SEED").map_or(0..cases, |seed| seed..seed + 1);
    // Each seed is a world of its own: the cores share them out.
    let (next, cuts) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < seeds.end) {
            match run_case(seed, Variant::Right) {
                Ok(cuts_now) => cuts.fetch_add(cuts_now, Relaxed),
                Err(text) => panic!("SEED={seed}: {text}"),
            };
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let lives = LIVES * (seeds.end - seeds.start);
    eprintln!("{lives} lives, {} power cuts", cuts.into_inner());
}

#[test]
fn the_check_catches_a_log_that_acknowledges_before_the_sync() {
    assert_caught(Variant::AcknowledgesBeforeTheSync);
}

#[test]
fn the_check_catches_a_log_that_forgets_to_sync_the_names() {
    assert_caught(Variant::ForgetsToSyncNames);
}

#[test]
fn the_check_catches_a_recovery_that_believes_a_torn_frame() {
    assert_caught(Variant::BelievesTornFrames);
}

fn assert_caught(variant: Variant) {
    let caught = (0..500).filter(|seed| run_case(*seed, variant).is_err());
    assert_ne!(caught.take(1).count(), 0, "{variant:?} was not noticed");
}

#[test]
fn the_same_seed_gives_the_same_life() {
    let trace = |seed| {
        let outcome = run_case(seed, Variant::BelievesTornFrames);
        outcome.err()
    };
    for seed in 0..40 {
        assert_eq!(trace(seed), trace(seed));
    }
}
