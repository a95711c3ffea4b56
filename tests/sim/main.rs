//! Seeded simulation of entities on a faulty commit log: one thread, no actor, no socket, no sleep.
//!
//! `SEEDS=10000 cargo test -p profile-tests --test sim` runs more seeds, `SEED=42` replays one.

mod canary;
mod checks;
mod clock;
mod faulty_log;
mod world;

use world::{Plant, run};

const SEEDS_DEFAULT: u64 = 200;
const STEPS: usize = 250;

fn seeds() -> Vec<u64> {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    match number("SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SEEDS").unwrap_or(SEEDS_DEFAULT)).collect(),
    }
}

#[test]
fn every_promise_holds_on_a_faulty_log() {
    for seed in seeds() {
        if let Err(broken) = run(seed, STEPS, Plant::Nothing) {
            panic!("seed {seed}: {broken}; replay with SEED={seed} make sim");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 2, 3] {
        let first = run(seed, STEPS, Plant::Nothing).unwrap();
        assert_eq!(run(seed, STEPS, Plant::Nothing).unwrap(), first);
        assert_ne!(run(seed + 100, STEPS, Plant::Nothing).unwrap(), first);
    }
}
