//! Errors of single calls: nothing is said to be done that is not, and a failed fsync is the end.

use std::ops::Range;

use profile_tests::promises::world::{World, number, seed};

use crate::life::{End, Ended, Life, is_of_the_log};
use crate::shim::Power;

const CASES_DEFAULT: u64 = 20;
const CASES_PER_WORLD: u64 = 25;
/// Each kind of error, on any file below the data directory, and on the log alone.
const FAULTS: &[&str] = &[
    "eio:write:data/*:",
    "eio:sync*:data/*:",
    "torn:write:data/*:",
    "short:write:data/*:/",
    "enospc:write:data/*:",
    "eio:sync:data/log/*:",
    "eio:[clru]*:data/*:",
    "eio:read:data/*:",
    "short:read:data/*:/",
];

/// Of every kind there are so many calls in most lives. A life that ends before its 160th rename or its 190th
/// read has met no error, and that says nothing about the pattern.
const COMMON_CALLS_MAX: u64 = 70;

/// How often a kind of error was armed, and how often it came due.
#[derive(Clone, Copy, Default)]
struct Tally {
    armed: u64,
    due: u64,
}

impl Tally {
    fn count(&mut self, is_due: bool) {
        self.armed += 1;
        self.due += u64::from(is_due);
    }
}

/// Of one kind: at the calls that most lives have, and at the later ones.
#[derive(Clone, Copy, Default)]
struct Tallies {
    common: Tally,
    later: Tally,
}

/// `CALLS=N`: every kind of error at each of the first N calls; else some of them. `CASES=A-B`: of these
/// only those from number A on and before number B.
#[test]
fn no_error_of_the_disk_loses_what_was_acknowledged() {
    let seed = seed();
    let faults = FAULTS.len() as u64;
    let calls_max = number("CALLS");
    let cases = calls_max.map_or(CASES_DEFAULT, |calls| calls * faults);
    let Range { start, end } = chosen().unwrap_or(0..cases);
    eprintln!("errors {start} to {end} of {cases}, SEED={seed}");
    let mut tallies = [Tallies::default(); FAULTS.len()];
    for first in (start..end).step_by(CASES_PER_WORLD as usize) {
        let mut world = World::prepared(seed.wrapping_add(first), "");
        for case in first..end.min(first + CASES_PER_WORLD) {
            let call = match calls_max {
                Some(_) => 1 + case / faults,
                // The second case of a world is in a start too.
                None => 1 + world.below(if case % 3 == 0 { 20 } else { COMMON_CALLS_MAX }),
            };
            let kind = (case % faults) as usize;
            let (is_due, told) = fail_once(&mut world, FAULTS[kind], call)
                .unwrap_or_else(|broken| panic!("case {case} of SEED={seed}: {broken}"));
            if call <= COMMON_CALLS_MAX {
                tallies[kind].common.count(is_due);
            } else {
                tallies[kind].later.count(is_due);
            }
            eprintln!("case {case}: {told}");
        }
        world.service.start_again();
        let changes = world.check_all();
        changes.unwrap_or_else(|broken| panic!("cases from {first} of SEED={seed}: {broken}"));
    }
    for (fault, Tallies { common, later }) in FAULTS.iter().zip(tallies) {
        let (
            Tally { armed, due },
            Tally {
                armed: of,
                due: late,
            },
        ) = (common, later);
        eprintln!("{fault} came due {due} times of {armed}, and {late} of {of} at later calls");
        // A pattern that fits nothing any more tests nothing. Of one or two, chance may let none come.
        let due_min = if armed > 2 { armed.div_ceil(4) } else { 0 };
        assert!(
            due >= due_min,
            "SEED={seed}: {fault} came due {due} times of {armed}"
        );
    }
}

/// `CASES` as a range. It replays what a run found if A is a multiple of [`CASES_PER_WORLD`].
fn chosen() -> Option<Range<u64>> {
    let text = std::env::var("CASES").ok()?;
    let (start, end) = text.split_once('-')?;
    Some(start.parse().expect("a number")..end.parse().expect("a number"))
}

/// Whether the error came due, and a line on it.
fn fail_once(world: &mut World, fault: &str, call: u64) -> Result<(bool, String), String> {
    // A process that ends in order after the error loses its power on top.
    let (power, end) = match world.below(3) {
        0 => (Power::MayFail, End::StoppedAfterFault),
        1 => (Power::Stays, End::StoppedAfterFault),
        _ => (Power::Stays, End::KilledAfterFault),
    };
    let cut = match power {
        Power::MayFail => " cut:exit:*:1",
        Power::Stays => "",
    };
    let life = Life {
        rules: format!("{fault}{call}{cut}"),
        seed: world.below(u64::MAX),
        power,
        end,
    };
    let ended = life.live(world)?;
    an_error_of_the_log_is_the_end(&ended)
        .map_err(|why| format!("{life:?}: {why}\n{}", ended.log))?;
    match world.below(2) {
        0 => assert!(world.service.stop().success(), "{}", world.service.log()),
        _ => world.service.kill(),
    }
    let how = if ended.got_ready {
        "ready before its end"
    } else {
        "never ready"
    };
    let retried = ended
        .log
        .lines()
        .find(|line| line.starts_with("disk: sync again"));
    let retried = retried.unwrap_or_default();
    let fault = ended.fault();
    let told = fault.unwrap_or("no error");
    let line = format!("{told}, {}, {how} {retried}", ended.status);
    Ok((fault.is_some(), line))
}

fn an_error_of_the_log_is_the_end(ended: &Ended) -> Result<(), String> {
    let again = |line: &&str| {
        let file = line.strip_prefix("disk: sync again after a failed sync: ");
        file.is_some_and(|file| file.starts_with("data/log") || file.starts_with("data/STORE"))
    };
    if let Some(line) = ended.log.lines().find(again) {
        return Err(line.to_owned());
    }
    // It may have been told to stop, or killed, while it was about to end by itself: it has seen that the
    // log failed, and its exit says so.
    let is_noticed = ended.log.contains("the commit log has failed") && !ended.status.success();
    let is_the_end = ended.ended_by_itself || is_noticed || ended.killed_before_fault;
    if ended.fault().is_some_and(is_of_the_log) && !is_the_end {
        return Err("it went on after an error of the log".to_owned());
    }
    Ok(())
}
