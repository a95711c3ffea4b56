//! The real process on a damaged data directory: one file is cut, flipped, zeroed, copied or deleted,
//! anywhere. Either the service refuses, and says what is damaged and what to do, or it tells what was
//! true before.
//!
//! `DAMAGES=N` sets the number of cases, `SEED=N` the seed of the first; each next one has the next seed,
//! so `DAMAGES=1 SEED=N` replays one.
//!
//! One thing may be lost, as the design says: the newest commit, when its frame is the last of the log,
//! the process was killed before the next frame or the idle frame covered it, and the damage hits that
//! frame. To whom it was acknowledged, that is a lost commit all the same; so the case is precise about
//! it, and counts it.

mod canary;
mod damage;
mod frames;
mod observe;
mod world;

use damage::Damage;
use world::{Ending, Outcome, World};

const DAMAGES_DEFAULT: u64 = 20;

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
