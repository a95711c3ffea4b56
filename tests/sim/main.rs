//! Seeded simulation: the parts of the service in one thread with paused time, over ports that fail.
//!
//! Two levels share load, faulty log, relay, consumer and checks. [`world`]: bare entities, no actor.
//! [`service_world`]: the same load through `ProfileService`, gateway and actors, many requests at once.
//!
//! `SEEDS=10000 make sim` runs more seeds, `SEED=42 make sim` replays one.

mod canary;
mod checks;
mod clock;
mod consumer;
mod dice;
mod downstream;
mod faulty_log;
mod ledger;
mod load;
mod memory;
mod orders;
mod planted;
mod process;
mod requests;
mod service_checks;
mod service_world;
mod slots;
mod stream;
mod trace;
mod world;

use planted::Plant;
use world::run;

const SEEDS_DEFAULT: u64 = 200;
const STEPS: usize = 250;
const SERVICE_SEEDS_DEFAULT: u64 = 20;
const ROUNDS: u32 = 40;

/// The seeds to run: `SEED` alone, or so many as the variable `count_name` says.
fn seeds(count_name: &str, count_default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number(count_name).unwrap_or(count_default),
    }
}

fn require(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

#[test]
fn every_promise_holds_on_a_faulty_log() {
    for seed in seeds("SEEDS", SEEDS_DEFAULT) {
        if let Err(broken) = run(seed, STEPS, Plant::Nothing) {
            panic!("seed {seed}: {broken}; replay with: make sim SEED={seed}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..24 {
        let first = run(seed, STEPS, Plant::Nothing).unwrap();
        assert_eq!(run(seed, STEPS, Plant::Nothing).unwrap(), first, "{seed}");
        let other = run(seed + 100, STEPS, Plant::Nothing).unwrap();
        assert_ne!(other, first, "{seed}");
    }
}

#[test]
fn every_promise_holds_through_gateway_and_actors() {
    let mut sum = (0, 0, 0, 0);
    for seed in seeds("SERVICE_SEEDS", SERVICE_SEEDS_DEFAULT) {
        match service_world::run(seed, ROUNDS, Plant::Nothing) {
            Ok(report) => {
                sum.0 += report.counts.done;
                sum.1 += report.counts.overloaded;
                sum.2 += report.passivations;
                sum.3 += report.deaths;
            }
            Err(broken) => panic!("seed {seed}: {broken}; replay with: make sim SEED={seed}"),
        }
    }
    println!("{sum:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace_through_gateway_and_actors() {
    let trace = |seed| {
        service_world::run(seed, ROUNDS, Plant::Nothing)
            .unwrap()
            .trace
    };
    for seed in 0..20 {
        let first = trace(seed);
        assert_eq!(trace(seed), first, "{seed}");
        assert_ne!(trace(seed + 100), first, "{seed}");
    }
}
