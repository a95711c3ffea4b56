//! Histories of one user, recorded by several clients under faults, are checked for an order that
//! explains every answer.
//!
//! `HISTORIES=N` and `OPS=N` set their number and length, `SEED=N` replays the faults and what the
//! clients ask for.

mod checker;
mod client;
mod faults;
mod generated;
mod known;
mod model;
mod plan;
mod world;

use std::collections::BTreeMap;
use std::fs;

use checker::{Bounds, Verdict, check};
use client::Planted;
use model::{Operation, Outcome, Told};
use world::{Batch, World};

const HISTORIES_DEFAULT: usize = 4;
const OPERATIONS_DEFAULT: u64 = 300;
const HISTORIES_AT_ONCE: usize = 8;

#[test]
fn every_history_has_an_order_that_explains_it() {
    let histories = number("HISTORIES").map_or(HISTORIES_DEFAULT, |count| count as usize);
    let seed = seed();
    explained(World::new(seed), histories, seed);
}

#[test]
fn every_history_over_three_nodes_has_an_order_that_explains_it() {
    let histories = number("HISTORIES").map_or(HISTORIES_DEFAULT / 2, |count| count as usize);
    let seed = seed();
    explained(World::of_nodes(seed), histories, seed);
}

fn explained(mut world: World, histories: usize, seed: u64) {
    let operations = number("OPS").unwrap_or(OPERATIONS_DEFAULT);
    eprintln!("{histories} histories of {operations} operations, SEED={seed}");
    let (mut checked, mut tally) = (0, BTreeMap::new());
    while checked < histories {
        let batch = Batch {
            histories: HISTORIES_AT_ONCE.min(histories - checked),
            operations,
            planted: None,
        };
        for (history, told) in world.record(batch) {
            let verdict = check(&history, &told, Bounds::default());
            if verdict != Verdict::Linearizable {
                let file = kept(&history, &told);
                panic!("history {checked} of SEED={seed}, kept in {file}: {verdict:?}");
            }
            checked += 1;
            count(&history, &mut tally);
        }
        eprintln!("{checked} of {histories} histories");
    }
    eprintln!("SEED={seed}: {tally:?}");
    let open = tally.get("open").copied().unwrap_or_default();
    assert!(open > 0, "the faults left no operation open");
}

#[test]
fn a_client_that_is_served_stale_reads_is_found() {
    found(Planted::StaleRead);
}

#[test]
fn a_client_whose_acknowledged_updates_are_lost_is_found() {
    found(Planted::LostUpdate);
}

/// Every one of these histories is broken.
fn found(bug: Planted) {
    let batch = Batch {
        histories: 2,
        operations: OPERATIONS_DEFAULT,
        planted: Some(bug),
    };
    for (history, told) in World::new(seed()).record(batch) {
        let verdict = check(&history, &told, Bounds::default());
        assert!(matches!(verdict, Verdict::Refuted(_)), "{verdict:?}");
        eprintln!("{bug:?}: {verdict:?}");
    }
}

/// Writes a history down for a look at it; returns where.
fn kept(history: &[Operation], told: &Told) -> String {
    let test = std::env::current_exe().expect("a test knows its own file");
    let target = test.ancestors().nth(3).expect("target/<profile>/deps");
    let file = target.join("linearizability.txt");
    let mut lines: Vec<_> = history.iter().collect();
    lines.sort_by_key(|operation| operation.called_ns);
    let lines = lines.iter().map(|operation| format!("{operation:?}\n"));
    let told = told.iter().map(|change| format!("{change:?}\n"));
    fs::write(&file, lines.chain(told).collect::<String>()).expect("it can be written");
    file.display().to_string()
}

/// How many operations came to what.
fn count(history: &[Operation], tally: &mut BTreeMap<&'static str, u64>) {
    for operation in history {
        let name = match &operation.outcome {
            Outcome::Maybe => "open",
            Outcome::Known { output, .. } => output.name(),
        };
        *tally.entry(name).or_default() += 1;
    }
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
