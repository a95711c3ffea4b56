//! Planted bugs: a simulation that does not catch them proves nothing.

use crate::STEPS;
use crate::planted::Plant;
use crate::world::run;

/// What was said of each of 40 seeds on which the planted bug was caught.
fn caught(plant: Plant) -> Vec<String> {
    let seeds = 0..40;
    seeds
        .filter_map(|seed| run(seed, STEPS, plant).err())
        .collect()
}

#[test]
fn a_log_that_forgets_an_acknowledged_commit_is_caught() {
    assert!(caught(Plant::ForgetsAcknowledged).len() >= 30);
}

#[test]
fn a_log_without_a_version_check_is_caught() {
    assert!(caught(Plant::NoVersionCheck).len() >= 30);
}

#[test]
fn a_key_that_is_not_stored_with_its_commit_is_caught() {
    assert!(caught(Plant::KeyNotWithCommit).len() >= 30);
}

#[test]
fn an_entity_that_applies_before_it_appends_is_caught() {
    assert!(caught(Plant::AppliesBeforeAppending).len() >= 30);
}

/// By the consumer, which misses the event.
#[test]
fn a_relay_that_skips_an_event_is_caught() {
    let caught = caught(Plant::RelaySkipsAnEvent);
    assert!(caught.len() >= 30, "{caught:?}");
    let by_consumer = |said: &&String| said.contains("I5: ");
    assert_eq!(caught.iter().filter(by_consumer).count(), caught.len());
}
