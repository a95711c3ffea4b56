//! Planted bugs: a simulation that does not catch them proves nothing. And what a simulation that never
//! met anything would prove: nothing either.

use crate::planted::Plant;
use crate::{ROUNDS, STEPS, every, service_world, world};

/// What was said of each of 40 seeds on which the planted bug was caught.
fn caught(plant: Plant) -> Vec<String> {
    let said = every(0..40, |seed| Ok(world::run(seed, STEPS, plant).err()));
    said.into_iter().flatten().collect()
}

fn caught_in_the_service(plant: Plant) -> Vec<String> {
    let said = every(0..20, |seed| {
        Ok(service_world::run(seed, ROUNDS, plant).err())
    });
    said.into_iter().flatten().collect()
}

#[track_caller]
fn all_say(caught: &[String], promise: &str) {
    let others: Vec<_> = caught.iter().filter(|it| !it.contains(promise)).collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn a_log_that_forgets_an_acknowledged_commit_is_caught() {
    assert!(caught(Plant::ForgetsAcknowledged).len() >= 30);
    assert!(caught_in_the_service(Plant::ForgetsAcknowledged).len() >= 10);
}

#[test]
fn a_log_without_a_version_check_is_caught() {
    assert!(caught(Plant::NoVersionCheck).len() >= 30);
}

#[test]
fn a_key_that_is_not_stored_with_its_commit_is_caught() {
    assert!(caught(Plant::KeyNotWithCommit).len() >= 30);
    assert!(caught_in_the_service(Plant::KeyNotWithCommit).len() >= 15);
}

#[test]
fn a_node_that_refuses_by_what_it_knows_is_caught() {
    let plant = Plant::NeverAsksForTheNewest;
    let said = every(0..40, |seed| {
        Ok(world::run_on_several_nodes(seed, STEPS, plant).err())
    });
    let caught: Vec<_> = said.into_iter().flatten().collect();
    assert!(caught.len() >= 30, "{caught:#?}");
}

#[test]
fn an_entity_that_applies_before_it_appends_is_caught() {
    assert!(caught(Plant::AppliesBeforeAppending).len() >= 30);
}

/// By the consumer, which misses the event.
#[test]
fn a_relay_that_skips_an_event_is_caught() {
    let caught = caught(Plant::RelaySkipsAnEvent);
    assert!(caught.len() >= 30, "{caught:#?}");
    all_say(&caught, "I5: ");
}

/// So duplicates do come, and only the table keeps them out.
#[test]
fn a_consumer_without_its_table_is_caught() {
    let caught = caught(Plant::ConsumerForgets);
    assert!(caught.len() >= 30, "{caught:#?}");
    all_say(&caught, "I5: ");
}

#[test]
fn commands_that_overtake_each_other_are_caught() {
    let caught = caught_in_the_service(Plant::Overtakes);
    assert!(caught.len() >= 15, "{caught:#?}");
    all_say(&caught, "order of entry");
}

/// Each fault that the simulation is for happens, and each way out is taken.
#[test]
fn the_simulation_meets_what_it_is_for() {
    let reports = every(0..40, |seed| world::run(seed, STEPS, Plant::Nothing));
    let seen = reports.into_iter().reduce(world::Report::and).unwrap();
    let world::Report {
        trace: _,
        commits,
        kept_at_death,
        lost_at_death,
        unknown,
        repeated,
        refused,
        behind,
        removed,
        relay_starts,
        delivered,
        delivered_new,
    } = seen;
    let often = [commits, unknown, repeated, refused, relay_starts];
    assert!(often.iter().all(|count| *count >= 200), "{seen:#?}");
    let seldom = [kept_at_death, lost_at_death, removed];
    assert!(seldom.iter().all(|count| *count >= 40), "{seen:#?}");
    assert!(delivered * 100 >= delivered_new * 110, "{seen:#?}");
    assert_eq!(behind, 0, "of nodes that share a view");
    let several = every(0..40, |seed| {
        world::run_on_several_nodes(seed, STEPS, Plant::Nothing)
    });
    let several = several.into_iter().reduce(world::Report::and).unwrap();
    assert!(several.behind >= 1_000, "{several:#?}");
}

#[test]
fn the_simulated_service_meets_what_it_is_for() {
    let reports = every(0..20, |seed| {
        service_world::run(seed, ROUNDS, Plant::Nothing)
    });
    let seen = reports.into_iter().reduce(service_world::Report::and);
    let seen = seen.unwrap();
    let counts = seen.counts;
    let often = [counts.done, counts.refused, counts.overloaded, seen.commits];
    assert!(often.iter().all(|count| *count >= 400), "{seen:#?}");
    let seldom = [counts.unknown, seen.passivations, seen.deaths];
    assert!(seldom.iter().all(|count| *count >= 20), "{seen:#?}");
}
