//! Planted bugs: a check that lets them pass proves nothing.

use crate::check::{Event, Log, Message, Settled};

fn event(user: &str, version: u64, removes: bool) -> Event {
    let key = match removes {
        true => String::new(),
        false => format!("{user}-{version}"),
    };
    Event {
        id: format!("{user}/1.{version}"),
        user: user.to_owned(),
        version,
        removes,
        digest: version,
        key,
    }
}

fn settled(event: &Event) -> Settled {
    Settled {
        user: event.user.clone(),
        key: event.key.clone(),
        version: event.version,
        removes: event.removes,
    }
}

/// Ann has three changes, bob was made and removed, and `replay` tells only of the removal.
struct Story {
    told: Vec<(u64, Event)>,
    settled: Vec<Settled>,
    stream: Vec<Message>,
}

fn whole() -> Story {
    let of_ann = |version| event("ann", version, false);
    let all = [
        of_ann(1),
        event("bob", 1, false),
        of_ann(2),
        event("bob", 2, true),
        of_ann(3),
    ];
    let placed = || (1..).zip(all.clone());
    Story {
        told: placed().filter(|(position, _)| *position != 2).collect(),
        settled: all.iter().map(settled).collect(),
        stream: placed()
            .map(|(sequence, event)| Message {
                sequence,
                event: Some(event),
            })
            .collect(),
    }
}

fn verdict(plant: impl FnOnce(&mut Story)) -> Result<(), String> {
    let mut story = whole();
    plant(&mut story);
    let mut log = Log::default();
    for (position, event) in story.told {
        log.insert(position, event)?;
    }
    log.holds(&story.settled)?;
    log.equals(&story.stream, 1, 5)
}

#[track_caller]
fn caught(promise: &str, plant: impl FnOnce(&mut Story)) {
    let said = verdict(plant).unwrap_err();
    assert!(said.starts_with(promise), "{said}");
}

#[test]
fn a_whole_story_passes_also_with_a_withheld_event() {
    verdict(|_| {}).unwrap();
    verdict(|story| story.stream[1].event = None).unwrap();
    verdict(|story| drop(story.stream.remove(1))).unwrap();
}

#[test]
fn a_lost_or_altered_change_is_caught() {
    caught("I1", |story| {
        story.told.pop();
    });
    caught("I1", |story| story.settled[2].key = "another".to_owned());
    caught("I1", |story| story.settled[0].version = 9);
}

#[test]
fn a_key_done_twice_and_a_gap_are_caught() {
    caught("I2", |story| story.told[1].1.key = "ann-1".to_owned());
    caught("I3", |story| {
        story.told.remove(1);
    });
}

#[test]
fn a_stream_that_is_not_the_log_is_caught() {
    caught("I5", |story| {
        story.stream.remove(2);
    });
    caught("I5", |story| {
        story.stream.pop();
    });
    caught("I5", |story| {
        story.stream.remove(0);
    });
    caught("I5", |story| {
        let twin = story.stream[4].clone();
        story.stream.push(Message {
            sequence: 6,
            ..twin
        });
    });
    caught("I5", |story| {
        let (one, other) = (story.stream[0].event.clone(), story.stream[2].event.clone());
        (story.stream[0].event, story.stream[2].event) = (other, one);
    });
    caught("I5", |story| {
        let forged = story.stream[4].event.as_mut().unwrap();
        forged.digest = 77;
    });
    // Nothing of a user who is there may be withheld, and no removal at all.
    caught("I5", |story| story.stream[0].event = None);
    caught("I5", |story| story.stream[3].event = None);
}
