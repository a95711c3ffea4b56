//! A real nats-server that fails in every way, under the real process with load on it.
//!
//! `FAULTS=N` sets the number of faults, `SEED=N` replays a schedule, `ONLY=StreamDeleted` has one kind.

mod canary;
mod check;
mod client;
mod consumer;
mod faults;
mod observe;
mod shutdown;
mod slow_consumer;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::time::Instant;

use faults::Fault;
use world::World;

const FAULTS_DEFAULT: usize = 12;
const FAULTS_BETWEEN_WORDS: usize = 20;
/// In a long run. Beyond the relay's longest wait between two looks.
const AWAY_MS_MAX: u64 = 12_000;
/// Commands of each client between two faults.
const COMMANDS_BETWEEN: u64 = 5;

/// The longest times of one kind of fault.
#[derive(Debug, Default)]
struct Longest {
    times: u32,
    happening: Duration,
    until_served: Duration,
    until_in_stream: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_happens_to_the_bus_loses_repeats_or_forges_an_event() {
    let faults = number("FAULTS").map_or(FAULTS_DEFAULT, |faults| faults as usize);
    let seed = seed();
    eprintln!("{faults} faults, SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::start(rng.next_u64()).await;
    if faults > FAULTS_DEFAULT {
        world.away_ms_max = AWAY_MS_MAX;
    }
    let mut longest: BTreeMap<Fault, Longest> = BTreeMap::new();
    for (number, fault) in schedule(&mut rng, faults).into_iter().enumerate() {
        if number > 0 && number.is_multiple_of(FAULTS_BETWEEN_WORDS) {
            eprintln!("{number} faults are over");
        }
        let of_kind = longest.entry(fault).or_default();
        one(&mut world, fault, of_kind)
            .await
            .unwrap_or_else(|broken| {
                let log = world.service.log();
                panic!("fault {number} ({fault:?}) of SEED={seed}: {broken}\n{log}")
            });
    }
    let commits = world
        .finish()
        .await
        .unwrap_or_else(|broken| panic!("after all faults of SEED={seed}: {broken}"));
    world
        .a_skipped_event_is_noticed()
        .await
        .unwrap_or_else(|broken| panic!("SEED={seed}: {broken}"));
    for (fault, longest) in &longest {
        eprintln!("{fault:?}: {longest:?}");
    }
    eprintln!("{} slow consumers were closed", world.slow_consumers_closed);
    let known = world.consumer.known();
    eprintln!(
        "{commits} commits; {:?}; {:?}; the consumer saw {} again and replayed {}",
        world.board.read().tallies,
        world.proxy.counts(),
        known.again,
        known.replayed
    );
    let times = |fault| longest.get(&fault).map_or(0, |it| it.times);
    let cuts = times(Fault::CutBeforeAck);
    assert!(world.proxy.counts().acks_withheld >= u64::from(cuts));
    // On a slow machine a single one may keep up with what little there is.
    assert!(world.slow_consumers_closed >= times(Fault::SlowConsumer) / 2);
}

/// One fault, from a service that is well to a service that is well.
async fn one(world: &mut World, fault: Fault, longest: &mut Longest) -> Result<(), String> {
    world.settled(COMMANDS_BETWEEN).await?;
    let start = Instant::now();
    fault.happen(world).await?;
    let happened = Instant::now();
    world.settled(1).await?;
    let served = happened.elapsed();
    let in_stream = world.verify().await?;
    longest.times += 1;
    longest.happening = longest.happening.max(happened - start);
    longest.until_served = longest.until_served.max(served);
    longest.until_in_stream = longest.until_in_stream.max(in_stream);
    Ok(())
}

/// Every kind once before any comes again.
fn schedule(rng: &mut ChaCha8Rng, faults: usize) -> Vec<Fault> {
    let mut schedule = Vec::new();
    let only = std::env::var("ONLY").unwrap_or_default();
    while schedule.len() < faults {
        let mut deck = Fault::ALL.to_vec();
        deck.retain(|fault| only.is_empty() || format!("{fault:?}") == only);
        assert!(!deck.is_empty(), "ONLY={only} is no fault");
        while !deck.is_empty() {
            let chosen = rng.next_u32() as usize % deck.len();
            schedule.push(deck.swap_remove(chosen));
        }
    }
    schedule.truncate(faults);
    schedule
}

/// `SEED`, or a random one.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    number("SEED").unwrap_or_else(|| RandomState::new().hash_one(()))
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number")))
}
