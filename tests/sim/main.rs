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
mod node_log;
mod nodes;
mod orders;
mod planted;
mod process;
mod requests;
mod scenarios;
mod service_checks;
mod service_world;
mod slots;
mod stream;
mod trace;
mod world;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;

use planted::Plant;

const SEEDS_DEFAULT: u64 = 200;
const STEPS: usize = 250;
const SERVICE_SEEDS_DEFAULT: u64 = 20;
const ROUNDS: u32 = 40;

/// The seeds to run: `SEED` alone, or so many as the variable `count_name` says.
fn seeds(count_name: &str, count_default: u64) -> Range<u64> {
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

/// Runs every seed, on as many threads as there are; a world never leaves its thread.
///
/// # Panics
/// With the lowest seed that breaks a promise, and how to see it again.
fn every<T: Send>(seeds: Range<u64>, run: impl Fn(u64) -> Result<T, String> + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    println!("seeds {seeds:?} on {threads} threads");
    let (left, ended) = (Mutex::new(seeds), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some(seed) = left.lock().unwrap().next() else {
                        return;
                    };
                    let result = run(seed);
                    if result.is_err() {
                        // No later one is begun; an earlier one may still fail.
                        *left.lock().unwrap() = 0..0;
                    }
                    ended.lock().unwrap().push((seed, result));
                }
            });
        }
    });
    let mut ended = ended.into_inner().unwrap();
    ended.sort_by_key(|(seed, _)| *seed);
    let checked = ended.into_iter().map(|(seed, result)| match result {
        Ok(report) => report,
        Err(broken) => panic!("seed {seed}: {broken}; replay with: make sim SEED={seed}"),
    });
    checked.collect()
}

fn require(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

#[test]
fn every_promise_holds_on_a_faulty_log() {
    let seeds = seeds("SEEDS", SEEDS_DEFAULT);
    let reports = every(seeds, |seed| world::run(seed, STEPS, Plant::Nothing));
    let sum = reports.into_iter().reduce(world::Report::and);
    println!("{sum:#?}");
}

#[test]
fn every_promise_holds_on_several_nodes_with_views_of_their_own() {
    let seeds = seeds("SEEDS", SEEDS_DEFAULT);
    let reports = every(seeds, |seed| {
        world::run_on_several_nodes(seed, STEPS, Plant::Nothing)
    });
    let sum = reports.into_iter().reduce(world::Report::and);
    println!("{sum:#?}");
}

#[test]
fn every_promise_holds_through_gateway_and_actors() {
    let seeds = seeds("SERVICE_SEEDS", SERVICE_SEEDS_DEFAULT);
    let reports = every(seeds, |seed| {
        service_world::run(seed, ROUNDS, Plant::Nothing)
    });
    let sum = reports.into_iter().reduce(service_world::Report::and);
    println!("{sum:#?}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for run in [world::run, world::run_on_several_nodes] {
        let trace = |seed| run(seed, STEPS, Plant::Nothing).map(|report| report.trace);
        every(0..24, |seed| {
            let first = trace(seed)?;
            require(trace(seed)? == first, || "another trace".to_owned())?;
            require(trace(seed + 100)? != first, || "no trace at all".to_owned())
        });
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_through_gateway_and_actors() {
    let run = |seed| service_world::run(seed, ROUNDS, Plant::Nothing);
    let trace = |seed| run(seed).map(|report| report.trace);
    every(0..20, |seed| {
        let first = trace(seed)?;
        require(trace(seed)? == first, || "another trace".to_owned())?;
        require(trace(seed + 100)? != first, || "no trace at all".to_owned())
    });
}
