//! Three services on three real nats-servers with the commit log in a stream of three copies: killed, frozen,
//! restarted and cut from each other under load.
//!
//! `FAULTS=N` sets the number of faults and gives each server a host of its own (a network namespace, which
//! needs root), `SEED=N` replays a schedule, `ONLY=CutLeader` has one kind. `FORMER_PROFILED=` and
//! `FORMER_NATS_SERVER=` are programs of former releases: all begin with them and are upgraded first of all.

mod faults;
mod nodes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use profile_tests::nats_cluster::NatsCluster;
use profile_tests::promises::world::{number, seed};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use faults::Fault;
use nodes::Nodes;

/// Writes go on within this time of a quorum.
const SERVED_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn nothing_that_happens_to_the_cluster_loses_or_repeats_a_change() {
    let (faults, seed) = (number("FAULTS"), seed());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let former = Former::from_env();
    let (runtime, servers) = match faults {
        None => NatsCluster::start(),
        Some(_) => NatsCluster::start_on_hosts(former.nats_server.clone())
            .unwrap_or_else(|why| panic!("no hosts for the servers, which needs root: {why}")),
    };
    let mut schedule = match faults {
        None => Fault::SHORT.to_vec(),
        Some(faults) => shuffled(&mut rng, faults as usize),
    };
    if former != Former::default() {
        schedule.insert(0, Fault::Upgrade);
    }
    eprintln!("{} faults, SEED={seed}", schedule.len());
    let mut nodes = Nodes::start(runtime, servers, rng.next_u64(), former.profiled);
    let mut longest: BTreeMap<Fault, Duration> = BTreeMap::new();
    for (number, fault) in schedule.into_iter().enumerate() {
        let served = nodes.live_through(fault, number).unwrap_or_else(|broken| {
            panic!(
                "fault {number} ({fault:?}) of SEED={seed}: {broken}\n{}",
                nodes.log()
            )
        });
        let of_kind = longest.entry(fault).or_default();
        *of_kind = served.max(*of_kind);
    }
    let changes = nodes
        .world
        .check_all()
        .unwrap_or_else(|broken| panic!("after all faults of SEED={seed}: {broken}"));
    assert_eq!(changes, nodes.world.heard.acked.len());
    eprintln!("{changes} changes, longest until served: {longest:?}");
    // Of a short run beside other tests the machine would be judged.
    for (fault, longest) in longest.into_iter().filter(|_| faults.is_some()) {
        // A follower that hears nothing of a leader that hears it may call elections one after the other.
        let within = match fault == Fault::CutOneWay {
            true => 3 * SERVED_WITHIN,
            false => SERVED_WITHIN,
        };
        assert!(longest <= within, "{fault:?}: {longest:?}, SEED={seed}");
    }
}

/// What a cluster is upgraded from; the present release where none is named.
#[derive(Debug, Default, PartialEq, Eq)]
struct Former {
    profiled: Option<PathBuf>,
    nats_server: Option<PathBuf>,
}

impl Former {
    fn from_env() -> Former {
        let program = |name: &str| {
            let path = std::env::var_os(name).filter(|path| !path.is_empty())?;
            let path = PathBuf::from(path);
            assert!(
                path.is_absolute() && path.exists(),
                "{name} is an absolute path of a program"
            );
            Some(path)
        };
        Former {
            profiled: program("FORMER_PROFILED"),
            nats_server: program("FORMER_NATS_SERVER"),
        }
    }
}

/// Every kind once before any comes again.
fn shuffled(rng: &mut ChaCha8Rng, faults: usize) -> Vec<Fault> {
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut schedule = Vec::new();
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
