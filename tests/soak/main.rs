//! Mixed load for a long time, with faults: nothing acknowledged is lost, nothing grows for ever.
//!
//! `MINUTES=N` sets how long (a few seconds without it), `RATE=N` the requests in a second, `DOCS=1`
//! writes the pictures into docs/. The samples are in target/soak/samples.csv.

mod chart;
mod faults;
mod readers;
mod sample;
mod tally;
mod worker;
mod world;

use std::fs;
use std::path::Path;
use std::time::Duration;

use faults::Fault;
use profile_tests::repository;
use sample::{Sample, rss_median_bytes};
use tokio::time::{Instant, MissedTickBehavior, interval};
use world::World;

const SECONDS_DEFAULT: u64 = 12;
const RATE_DEFAULT: u64 = 400;
const FAULT_EVERY: Duration = Duration::from_secs(60);
/// In a short run there are some faults too.
const FAULTS_MIN: u32 = 6;
const TOKEN_EVERY: Duration = Duration::from_secs(600);
/// What has not filled up after that long is not judged for its growth.
const JUDGED_FROM: Duration = Duration::from_secs(600);
const GROWTH_PERCENT_MAX: u64 = 10;

#[test]
fn a_long_mixed_load_with_faults_loses_nothing_and_does_not_grow() {
    let minutes = number("MINUTES");
    let seconds = minutes.map_or(SECONDS_DEFAULT, |minutes| minutes * 60);
    let (rate, seed) = (
        number("RATE").unwrap_or(RATE_DEFAULT),
        number("SEED").unwrap_or(1),
    );
    let length = Duration::from_secs(seconds);
    eprintln!("{seconds} s of {rate} requests a second, SEED={seed}");
    let mut world = World::new(minutes.is_none());
    let started = world.runtime.block_on(async { Instant::now() });
    let mut load = world.load(seed, rate, started + length);
    let samples = run(&mut world, started, length);
    let users = world.join(&mut load);
    Fault::KillService.happen(&mut world);
    world.renew_token();
    let passes = world.check(&users, load);
    write(&samples);
    report(&world, &samples, users.len());
    let passes = passes.unwrap_or_else(|broken| panic!("{broken}"));
    eprintln!("replay read the whole log {passes} times");
    let [second, last] = [1, 3].map(|quarter| rss_median_bytes(&samples, quarter));
    let grown_max = second + second * GROWTH_PERCENT_MAX / 100;
    assert!(
        length < JUDGED_FROM || last <= grown_max,
        "resident memory: {second} bytes in the second quarter, {last} in the last"
    );
    assert!(world.service.stop().success(), "{}", world.service.log());
}

/// Samples once a second, and lets faults happen, until the time is over.
fn run(world: &mut World, started: Instant, length: Duration) -> Vec<Sample> {
    let fault_every = FAULT_EVERY.min(length / (FAULTS_MIN + 1));
    let (mut next_fault, mut next_token) = (fault_every, TOKEN_EVERY);
    let (mut samples, mut faults) = (Vec::new(), 0);
    let mut ticks = world
        .runtime
        .block_on(async { interval(Duration::from_secs(1)) });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        world.runtime.block_on(ticks.tick());
        let elapsed = started.elapsed();
        if elapsed >= length {
            return samples;
        }
        if elapsed >= next_token {
            world.renew_token();
            next_token += TOKEN_EVERY;
        }
        if elapsed >= next_fault {
            // By the second quarter, which memory is judged from, everything is to be full again.
            let fault = Fault::of_turn(faults, elapsed < length / 8);
            world.tally.fault(fault.name());
            fault.happen(world);
            faults += 1;
            next_fault += fault_every;
        }
        samples.push(world.sample(elapsed.as_secs_f64(), faults as u64));
    }
}

fn write(samples: &[Sample]) {
    let test = std::env::current_exe().expect("a test knows its own file");
    let target = test.ancestors().nth(3).expect("target/<profile>/deps");
    let folder = target.join("soak");
    fs::create_dir_all(&folder).expect("the folder can be made");
    fs::write(folder.join("samples.csv"), sample::csv(samples)).expect("the samples");
    let pictures = sample::pictures(samples);
    let write_into = |folder: &Path| {
        for (name, svg) in &pictures {
            fs::write(folder.join(name), svg).expect("a picture");
        }
    };
    write_into(&folder);
    if std::env::var_os("DOCS").is_some() {
        let docs = repository::file("docs");
        fs::create_dir_all(&docs).expect("the folder can be made");
        write_into(&docs);
    }
}

fn report(world: &World, samples: &[Sample], users: usize) {
    let counts = world.tally.counts();
    eprintln!(
        "{users} users, {} answers: {:?}",
        counts.answers(),
        counts.answers
    );
    eprintln!(
        "{} failed attempts: {:?}",
        counts.failures(),
        counts.failures
    );
    eprintln!("longest time without an answer: {:?}", counts.pauses);
    let mib = |quarter| rss_median_bytes(samples, quarter) / 1_048_576;
    eprintln!(
        "resident memory by quarter, median: {:?} MiB",
        [0, 1, 2, 3].map(mib)
    );
    let lag = samples.iter().filter_map(|sample| sample.lag_events).max();
    eprintln!(
        "lag of the relay, most: {lag:?} events; last: {:?}",
        samples.last()
    );
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number")))
}
