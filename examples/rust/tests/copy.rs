//! The copy without a service: what a consumer must get right, whatever comes how often in which order.

use std::collections::BTreeMap;
use std::path::PathBuf;

use profile_examples::copy::{Known, ProfileCopy};
use profile_messages::event::{CloudEvent, EventKind};
use serde_json::json;

fn copy() -> ProfileCopy {
    ProfileCopy::open(PathBuf::from("/nowhere/copy.json")).expect("no file is an empty copy")
}

fn event(kind: EventKind, epoch: u32, version: u64, display_name: &str) -> CloudEvent {
    serde_json::from_value(json!({
        "specversion": "1.0",
        "id": format!("mia/{epoch}.{version}"),
        "source": "/profile/s",
        "type": kind.type_name(),
        "subject": "mia",
        "time": "2026-11-22T08:55:36.156333Z",
        "datacontenttype": "application/json",
        "userversion": version,
        "data": {
            "userId": "mia", "orgId": "zoo", "changed": ["displayName"], "values": {"displayName": display_name},
        },
    }))
    .expect("an event")
}

fn display_name(copy: &ProfileCopy) -> Option<&str> {
    let profile = copy.users()["mia"].profile.as_ref()?;
    profile["displayName"].as_str()
}

#[test]
fn an_event_that_comes_again_changes_nothing() {
    let mut copy = copy();
    let (first, second) = (
        event(EventKind::Created, 1, 1, "Mia"),
        event(EventKind::Changed, 1, 2, "Mimi"),
    );
    copy.apply(&first, 10);
    copy.apply(&second, 11);
    copy.apply(&first, 10);
    assert_eq!(display_name(&copy), Some("Mimi"));
    assert_eq!((copy.users()["mia"].version, copy.position()), (2, 11));
}

#[test]
fn an_event_of_a_later_epoch_is_newer_whatever_its_version() {
    let mut copy = copy();
    copy.apply(&event(EventKind::Changed, 1, 9, "Mia"), 10);
    copy.apply(&event(EventKind::Changed, 2, 8, "Mimi"), 11);
    assert_eq!(display_name(&copy), Some("Mimi"));
}

#[test]
fn a_gap_shows_before_a_change_and_not_before_a_removal() {
    let mut copy = copy();
    copy.apply(&event(EventKind::Created, 1, 1, "Mia"), 10);
    let changed = |version| event(EventKind::Changed, 1, version, "Mimi");
    assert!(!copy.misses_one_before(&changed(2), 11));
    assert!(copy.misses_one_before(&changed(3), 12));
    assert!(!copy.misses_one_before(&event(EventKind::Removed, 1, 3, ""), 12));
}

#[test]
fn a_removed_user_has_no_profile() {
    let mut copy = copy();
    copy.apply(&event(EventKind::Created, 1, 1, "Mia"), 10);
    copy.apply(&event(EventKind::Removed, 1, 5, ""), 11);
    assert_eq!(
        (copy.users()["mia"].version, display_name(&copy)),
        (5, None)
    );
}

#[test]
fn who_is_not_listed_is_removed_and_older_events_are_passed_over() {
    let mut copy = copy();
    copy.apply(&event(EventKind::Created, 1, 1, "Mia"), 10);
    let gigi = Known {
        epoch: 0,
        version: 4,
        profile: Some(serde_json::Map::new()),
    };
    copy.replace(BTreeMap::from([("gigi".to_owned(), gigi)]), 20);
    copy.apply(&event(EventKind::Changed, 1, 2, "Mimi"), 15);
    assert_eq!(display_name(&copy), None);
    assert_eq!((copy.users()["gigi"].epoch, copy.position()), (1, 20));
}
