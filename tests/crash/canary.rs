//! Planted bugs: a check that lets them pass proves nothing.

use std::collections::BTreeSet;

use profile_tests::promises::check::{self, Acked, Change, SeenEvent, Told, Users};

/// Two users with three changes each, all acknowledged, all in the stream.
struct Story {
    acked: Vec<Acked>,
    refused: BTreeSet<String>,
    users: Users,
    events: Vec<SeenEvent>,
}

fn whole() -> Story {
    let (mut acked, mut users, mut events) = (Vec::new(), Users::new(), Vec::new());
    for user in ["ann", "bob"] {
        let change = |version| Change {
            version,
            at: format!("2026-01-01T00:00:0{version}Z"),
            key: format!("{user}-key-{version}"),
        };
        let history: Vec<_> = (1..=3).map(change).collect();
        for Change { version, at, key } in history.clone() {
            let (at, key) = (at.clone(), key.clone());
            acked.push(Acked {
                user: user.to_owned(),
                key,
                version,
                at,
            });
        }
        events.extend(history.iter().map(|change| SeenEvent {
            id: format!("{user}/1.{}", change.version),
            user: user.to_owned(),
            change: change.clone(),
        }));
        let current = history.last().cloned();
        users.insert(user.to_owned(), Told { history, current });
    }
    Story {
        acked,
        refused: BTreeSet::new(),
        users,
        events,
    }
}

/// What the checks say of the story after `plant`.
fn verdict(plant: impl FnOnce(&mut Story)) -> Result<(), String> {
    let mut story = whole();
    plant(&mut story);
    check::users(&story.acked, &story.refused, &story.users)?;
    check::events(&story.events, &story.users)
}

fn ann(story: &mut Story) -> &mut Told {
    story.users.get_mut("ann").unwrap()
}

#[track_caller]
fn caught(promise: &str, plant: impl FnOnce(&mut Story)) {
    let said = verdict(plant).unwrap_err();
    assert!(said.starts_with(promise), "{said}");
}

#[test]
fn a_whole_story_passes_also_with_repetitions_and_with_events_sent_twice() {
    verdict(|_| {}).unwrap();
    verdict(|story| story.acked.push(story.acked[1].clone())).unwrap();
    verdict(|story| story.events.push(story.events[0].clone())).unwrap();
}

#[test]
fn a_lost_acknowledged_change_is_caught() {
    caught("I1", |story| {
        let ann = ann(story);
        ann.history.pop();
        ann.current = ann.history.last().cloned();
    });
    caught("I1", |story| {
        story.acked[1].at = "2026-01-01T00:00:09Z".to_owned();
    });
}

#[test]
fn a_key_that_changed_a_user_twice_is_caught() {
    caught("I2", |story| {
        let ann = ann(story);
        ann.history[2].key = ann.history[1].key.clone();
        ann.current = ann.history.last().cloned();
    });
}

#[test]
fn a_repetition_with_another_answer_is_caught() {
    caught("I2", |story| {
        let mut again = story.acked[0].clone();
        again.version = 2;
        story.acked.push(again);
    });
}

#[test]
fn a_gap_a_fork_and_time_that_goes_back_are_caught() {
    caught("I3", |story| {
        ann(story).history.remove(1);
    });
    caught("I3", |story| {
        let twin = ann(story).history[1].clone();
        ann(story).history.insert(1, twin);
    });
    caught("I3", |story| {
        ann(story).history[1].at = "2026-01-01T00:00:00Z".to_owned();
    });
}

#[test]
fn a_view_that_is_not_the_newest_change_is_caught() {
    caught("get of ann", |story| {
        let ann = ann(story);
        ann.current = Some(ann.history[1].clone());
    });
    caught("get of ann", |story| ann(story).current = None);
}

#[test]
fn a_refused_or_unknown_command_that_is_done_is_caught() {
    caught("I6", |story| {
        story.refused.insert("ann-key-2".to_owned());
    });
    caught("ann-key-2 was never", |story| {
        story.acked.remove(1);
    });
}

#[test]
fn an_event_that_is_missing_out_of_order_forged_or_altered_is_caught() {
    caught("I5", |story| {
        story.events.remove(1);
    });
    caught("I5", |story| {
        story.events.pop();
    });
    caught("I5", |story| story.events.swap(0, 1));
    caught("I5", |story| {
        let mut forged = story.events[2].clone();
        (forged.id, forged.change.version) = ("ann/1.4".to_owned(), 4);
        story.events.push(forged);
    });
    caught("I5", |story| {
        let mut stranger = story.events[0].clone();
        (stranger.id, stranger.user) = ("eve/1.1".to_owned(), "eve".to_owned());
        story.events.push(stranger);
    });
    caught("I5", |story| {
        let mut twin = story.events[0].clone();
        twin.change.key = "another".to_owned();
        story.events.push(twin);
    });
}
