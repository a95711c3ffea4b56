//! The real process on a damaged data directory: one file is cut, flipped, zeroed, copied or deleted,
//! anywhere. Either the service refuses to start, and says what is damaged and what to do, or it tells
//! what was true before. A full segment of the log is not read at a start: there, each answer that needs
//! what is damaged is refused (503) and the process logs which segment to restore; no answer is wrong.
//!
//! `DAMAGES=N` sets the number of cases, `SEED=N` the seed of the first; each next one has the next seed,
//! so `DAMAGES=1 SEED=N` replays one.
//!
//! One thing may be lost, as the design says: the newest commit, when the process was killed before the
//! next frame or the idle frame covered its group, neither the event stream nor the current view had got
//! it yet, and the damage hits nothing but that group's frame. It was acknowledged, so it is counted.

mod canary;
mod damage;
mod frames;
mod observe;
mod world;

use damage::Damage;
use world::{Ending, Outcome, World};

const DAMAGES_DEFAULT: u64 = 20;
/// At least one case in so many is served as if nothing had happened: about a third strike the view, which
/// is made again.
const SERVED_OF: u64 = 5;
/// With few cases chance decides more: half of that is enough, and of fewer still nothing is required.
const MANY_CASES: u64 = 100;
const SOME_CASES: u64 = 20;

#[test]
fn a_damaged_data_directory_is_refused_with_advice_or_serves_what_was_true() {
    let (damages, seed) = (number("DAMAGES").unwrap_or(DAMAGES_DEFAULT), seed());
    eprintln!("{damages} cases, SEED={seed}");
    let endings = [Ending::Clean, Ending::Killed, Ending::KilledUnrelayed];
    let mut worlds = endings.map(World::build);
    let (mut served, mut refused, mut reads_refused, mut lost) = (0, 0, 0, 0);
    for seed in seed..seed.saturating_add(damages) {
        let world = &mut worlds[[0, 1, 1, 2][(seed % 4) as usize]];
        let damage = Damage::draw(seed, world);
        let outcome = world.suffer(&damage);
        let outcome = outcome.unwrap_or_else(|wrong| panic!("SEED={seed}, {damage}: {wrong}"));
        eprintln!("SEED={seed} {:?} {damage}: {outcome}", world.ending());
        match outcome {
            Outcome::Served => served += 1,
            Outcome::Refused(_) => refused += 1,
            Outcome::ReadsRefused(_) => reads_refused += 1,
            Outcome::NewestLost => lost += 1,
        }
    }
    eprintln!(
        "{served} served, {refused} refused to start, {reads_refused} refused some reads, {lost} lost the newest commit"
    );
    let served_min = match damages {
        MANY_CASES.. => damages / SERVED_OF,
        SOME_CASES.. => damages / SERVED_OF / 2,
        _ => 0,
    };
    assert!(
        served >= served_min,
        "SEED={seed}: only {served} were served"
    );
}

/// `SEED`, or a random one.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    number("SEED").unwrap_or_else(|| RandomState::new().hash_one(()) >> 16)
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}
