//! Planted bugs: a simulation that does not catch them proves nothing.

use crate::STEPS;
use crate::world::{Plant, run};

/// The seeds on which the planted bug was caught, out of 40.
fn caught(plant: Plant) -> usize {
    (0..40)
        .filter(|seed| run(*seed, STEPS, plant).is_err())
        .count()
}

#[test]
fn a_log_that_forgets_an_acknowledged_commit_is_caught() {
    assert!(caught(Plant::ForgetsAcknowledged) >= 30);
}

#[test]
fn a_log_without_a_version_check_is_caught() {
    assert!(caught(Plant::NoVersionCheck) >= 30);
}

#[test]
fn a_key_that_is_not_stored_with_its_commit_is_caught() {
    assert!(caught(Plant::KeyNotWithCommit) >= 30);
}
