//! The relay against a model of the stream, with seeded faults: crashes, lost and doubled
//! acknowledgements, lost tails, wiped streams, forged messages, and messages that come back after they
//! were erased. A checker looks at every message as it is stored, and at the whole at the end.

mod erasure;
mod model;
mod world;

use std::time::Duration;

use profile_messages::Position;

use super::message::EventMessage;
use super::reconcile::Refusal;
use super::stream::EventStream;
use super::{RelayHandle, RelayState};
use model::{Faults, Ledger};
use world::{SETTLE, World};

const SEEDS: u64 = 60;

async fn caught_up(world: &World, relay: &RelayHandle) {
    let end = *world.log.durable.borrow();
    let mut status = relay.watch();
    let done = status.wait_for(|status| status.state == RelayState::Running && status.acked == end);
    let waited = tokio::time::timeout(Duration::from_secs(600), done).await;
    assert!(
        waited.is_ok(),
        "{:?}, the log ends at {end}",
        relay.status()
    );
}

/// One life of a store, from the seed: batches of commits, each with a fault around it.
async fn live(seed: u64, faults: Faults) {
    let mut world = World::new(seed, faults);
    let mut relay = world.start().await;
    for _ in 0..12 {
        world.commit(1..40);
        for _ in 0..world.random(30) {
            tokio::task::yield_now().await;
        }
        match world.random(11) {
            0 | 1 => {
                drop(relay);
                relay = world.start().await;
            }
            2 => {
                relay.stop().await;
                world.lose_cursor();
                relay = world.start().await;
            }
            3 => {
                let messages = world.random(30);
                world.model.lose_tail(messages);
            }
            4 => world.model.wipe(),
            5 => world.model.purge(),
            6 => world.remove_somebody(),
            7 => world.model.bring_back(SETTLE),
            8 => {
                let seconds = world.random(2 * SETTLE.as_secs());
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            _ => caught_up(&world, &relay).await,
        }
    }
    // The last commits show what was done to the stream while the relay was idle; those of removed users
    // come to nothing.
    world.commit(10..11);
    world.model.heal();
    caught_up(&world, &relay).await;
    assert_eq!(relay.status().lag_events, 0, "seed {seed}");
    assert_eq!(relay.status().lag_bytes, 0, "seed {seed}");
    erasure::quiet(&world, &relay).await;
    relay.stop().await;
    let nothing = Vec::<String>::new();
    assert_eq!(world.check(), nothing, "seed {seed}");
    assert_eq!(
        world.check_erased(Position(u64::MAX)),
        nothing,
        "seed {seed}"
    );
}

#[tokio::test(start_paused = true)]
async fn every_event_gets_there_in_order_whatever_the_stream_does() {
    for seed in 0..SEEDS {
        live(seed, Faults::default()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_faults_nothing_is_sent_twice() {
    let mut world = World::new(7, Faults::none());
    let relay = world.start().await;
    for _ in 0..5 {
        world.commit(100..101);
        caught_up(&world, &relay).await;
    }
    relay.stop().await;
    assert_eq!(world.model.received(), 500);
    let relay = world.start().await;
    caught_up(&world, &relay).await;
    assert_eq!(world.model.received(), 500);
    assert_eq!(world.check(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_forged_message_stops_the_relay_with_its_sequence() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, Faults::none());
        let relay = world.start().await;
        world.commit(1..40);
        caught_up(&world, &relay).await;
        let forged = world.forge();
        world.commit(1..40);
        let mut status = relay.watch();
        let stopped = |state: &RelayState| matches!(state, RelayState::Stopped(_));
        let status = status.wait_for(|it| stopped(&it.state)).await.unwrap();
        let RelayState::Stopped(Refusal::Forged { sequence, .. }) = status.state else {
            panic!("seed {seed}: {status:?}");
        };
        assert_eq!(sequence, forged, "seed {seed}");
        assert!(status.acked < Position(forged));
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_users_events_are_withheld_in_a_refill_but_removed_is_not() {
    let mut world = World::new(3, Faults::none());
    let relay = world.start().await;
    world.commit(60..61);
    world.remove_somebody();
    caught_up(&world, &relay).await;
    world.model.wipe();
    world.commit(1..2);
    caught_up(&world, &relay).await;
    relay.stop().await;
    assert_eq!(world.check(), Vec::<String>::new());
    let withheld = world
        .model
        .stored()
        .values()
        .filter(|it| it.withheld)
        .count();
    let earlier = world
        .log
        .records()
        .iter()
        .filter(|it| world.is_withheld(it))
        .count();
    assert!(withheld > 0);
    assert_eq!(withheld, earlier);
}

#[tokio::test(start_paused = true)]
async fn what_the_log_compacted_away_has_placeholders_in_a_refill() {
    let mut world = World::new(4, Faults::none());
    let relay = world.start().await;
    world.commit(600..601);
    caught_up(&world, &relay).await;
    relay.stop().await;
    world.model.lose_tail(500);
    world.log.compact(Position(400));
    let relay = world.start().await;
    caught_up(&world, &relay).await;
    relay.stop().await;
    assert_eq!(world.check(), Vec::<String>::new());
    let stored = world.model.stored();
    let place = |position| &stored[&position];
    assert_eq!(*place(400), EventMessage::compacted(Position(400)));
    assert!(!place(100).withheld && !place(401).withheld);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_settled_while_the_stream_is_filled_again() {
    let mut world = World::new(8, Faults::none());
    let relay = world.start().await;
    world.commit(600..601);
    caught_up(&world, &relay).await;
    let mut settled = relay.watch_settled();
    let _ = settled.wait_for(|it| *it == Some(Position(600))).await;
    world.model.lose_tail(500);
    world.commit(1..2);
    let refills = |state: &RelayState| *state == RelayState::Refilling;
    let _ = relay.watch().wait_for(|it| refills(&it.state)).await;
    assert_eq!(*settled.borrow(), None);
    caught_up(&world, &relay).await;
    let end = *world.log.durable.borrow();
    let all = settled.wait_for(|it| *it == Some(end));
    let in_time = tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .is_ok();
    assert!(in_time, "{:?}", relay.status());
    relay.stop().await;
    assert_eq!(*settled.borrow(), None);
}

/// A relay without the chain, to see that the checker sees.
async fn naive(world: &World, skip: Option<u64>) {
    let mut last = world.model.inspect().await.unwrap().unwrap().last;
    for record in world.log.records() {
        if record.position.0 <= last || Some(record.position.0) == skip {
            continue;
        }
        let ack = world
            .model
            .publish(EventMessage::event(&record), last)
            .await;
        // Trusts any ack, a duplicate's too.
        if let Ok(ack) = ack.unwrap().await {
            last = ack.sequence.max(last);
        }
    }
}

#[tokio::test]
async fn the_checker_sees_a_skipped_event() {
    for skip in [None, Some(17)] {
        let mut world = World::new(5, Faults::none());
        world.model.create(1).await.unwrap();
        world.commit(40..41);
        naive(&world, skip).await;
        assert_eq!(world.check().is_empty(), skip.is_none());
    }
}

#[tokio::test]
async fn the_checker_sees_a_trusted_duplicate() {
    for remembers in [false, true] {
        let mut world = World::new(5, Faults::none());
        world.model.create(1).await.unwrap();
        world.commit(40..41);
        naive(&world, None).await;
        world.model.lose_tail(20);
        if remembers {
            world.model.remember_ids_elsewhere();
        }
        naive(&world, None).await;
        assert_eq!(world.check().is_empty(), !remembers);
    }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_elsewhere_is_no_acknowledgement() {
    let mut world = World::new(6, Faults::none());
    let relay = world.start().await;
    world.commit(40..41);
    caught_up(&world, &relay).await;
    world.model.lose_tail(20);
    world.model.remember_ids_elsewhere();
    world.commit(1..2);
    let mut status = relay.watch();
    let waits = |state: &RelayState| matches!(state, RelayState::Waiting(_));
    let waiting = status.wait_for(|it| waits(&it.state)).await.unwrap();
    assert_eq!(waiting.acked, Position(20));
    drop(waiting);
    world.model.forget_ids();
    caught_up(&world, &relay).await;
    assert_eq!(world.check(), Vec::<String>::new());
}

#[test]
fn the_ledger_sees_a_sequence_that_means_another_event() {
    let mut world = World::new(5, Faults::none());
    world.commit(3..4);
    let records = world.log.records();
    let mut ledger = Ledger::default();
    ledger.store(1, &EventMessage::event(&records[0]));
    ledger.store(1, &EventMessage::withheld(&records[0]));
    assert!(ledger.complaints.is_empty());
    ledger.store(1, &EventMessage::event(&records[1]));
    assert_eq!(ledger.complaints.len(), 1);
}
