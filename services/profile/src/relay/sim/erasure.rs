//! Removed users' events are taken out of the stream, and stay out.

use std::time::Duration;

use profile_messages::Position;
use profile_messages::event::EventKind;
use profile_messages::subject;

use super::super::reconcile::Refusal;
use super::super::stream::EventStream;
use super::super::{RelayHandle, RelayState};
use super::model::Faults;
use super::world::{SETTLE, World};
use super::{SEEDS, caught_up};

/// Waits until everything that was removed is erased for good: a bound, not a guess.
pub(super) async fn quiet(world: &World, relay: &RelayHandle) {
    let removed = world.log.records().into_iter();
    let removed = removed.filter(|it| it.kind == EventKind::Removed);
    let last = removed.map(|it| it.position).max().unwrap_or_default();
    let mut erased = relay.watch_erased();
    let done = async { erased.wait_for(|through| *through >= last).await.is_ok() };
    let waited = tokio::time::timeout(SETTLE * 20, done).await;
    assert_eq!(waited, Ok(true), "{:?}, {last}", relay.status());
    // What came back from before the mark is looked for without moving it.
    tokio::time::sleep(SETTLE * 5).await;
}

/// A store with a stream that holds everything, and some users removed.
async fn with_removals(seed: u64) -> (World, RelayHandle) {
    let mut world = World::new(seed, Faults::none());
    let relay = world.start().await;
    world.commit(200..201);
    // Before anybody is removed: else their events are withheld from the start.
    caught_up(&world, &relay).await;
    for _ in 0..5 {
        world.remove_somebody();
        world.commit(1..20);
    }
    caught_up(&world, &relay).await;
    (world, relay)
}

fn assert_all_erased(world: &World) {
    assert_eq!(world.check(), Vec::<String>::new());
    let left = world.check_erased(Position(u64::MAX));
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_removed_users_events_go_at_once_and_the_mark_moves_after_the_settle_time() {
    let (world, relay) = with_removals(1).await;
    tokio::time::sleep(SETTLE / 2).await;
    assert_all_erased(&world);
    assert_eq!(*relay.watch_erased().borrow(), Position::NONE);
    quiet(&world, &relay).await;
    relay.stop().await;
    assert!(world.erased_through().await > Position::NONE);
}

#[tokio::test(start_paused = true)]
async fn events_whose_commits_the_log_has_forgotten_go_too() {
    let mut world = World::new(1, Faults::none());
    let relay = world.start().await;
    world.commit(200..201);
    caught_up(&world, &relay).await;
    world.log.compact(Position(150));
    world.remove_somebody();
    caught_up(&world, &relay).await;
    quiet(&world, &relay).await;
    assert_all_erased(&world);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_brings_back_within_the_settle_time_is_erased_again() {
    let (world, relay) = with_removals(2).await;
    tokio::time::sleep(SETTLE * 3 / 4).await;
    world.model.bring_back(SETTLE);
    assert!(!world.check_erased(Position(u64::MAX)).is_empty());
    // Found by the second look, which was no last one therefore.
    tokio::time::sleep(SETTLE / 2).await;
    assert_all_erased(&world);
    assert_eq!(*relay.watch_erased().borrow(), Position::NONE);
    world.model.bring_back(SETTLE);
    quiet(&world, &relay).await;
    assert_all_erased(&world);
}

/// One life in which many are removed, and the server brings back what it may.
async fn live(seed: u64) {
    let mut world = World::new(seed, Faults::default());
    let mut relay = world.start().await;
    world.commit(100..200);
    caught_up(&world, &relay).await;
    for _ in 0..15 {
        match world.random(7) {
            0 | 1 => {
                world.remove_somebody();
                world.commit(1..10);
            }
            2 | 3 => {
                let seconds = world.random(SETTLE.as_secs());
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            4 => world.model.bring_back(SETTLE),
            5 => {
                drop(relay);
                relay = world.start().await;
            }
            _ => {
                let messages = world.random(20) * world.random(2);
                world.model.lose_tail(messages);
            }
        }
    }
    // Many, since those of removed users come to nothing.
    world.commit(20..21);
    world.model.heal();
    caught_up(&world, &relay).await;
    world.model.bring_back(SETTLE);
    quiet(&world, &relay).await;
    relay.stop().await;
    let nothing = Vec::<String>::new();
    assert_eq!(world.check(), nothing, "seed {seed}");
    let left = world.check_erased(Position(u64::MAX));
    assert_eq!(left, nothing, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn whatever_a_server_brings_back_nothing_of_a_removed_user_stays() {
    for seed in 0..SEEDS {
        live(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_the_second_look_costs_a_look() {
    let (mut world, relay) = with_removals(3).await;
    tokio::time::sleep(SETTLE / 2).await;
    drop(relay);
    world.model.bring_back(SETTLE);
    let relay = world.start().await;
    caught_up(&world, &relay).await;
    quiet(&world, &relay).await;
    assert_all_erased(&world);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_put_back_to_an_older_state_is_looked_at_once_more() {
    for crashes in [false, true] {
        let (mut world, mut relay) = with_removals(4).await;
        quiet(&world, &relay).await;
        let through = world.erased_through().await;
        // As from a backup of the server: older than any settle time, and without the tail.
        world.model.bring_back(Duration::MAX);
        world.model.lose_tail(3);
        assert!(!world.check_erased(through).is_empty());
        world.commit(1..2);
        caught_up(&world, &relay).await;
        if crashes {
            drop(relay);
            relay = world.start().await;
        }
        quiet(&world, &relay).await;
        assert_all_erased(&world);
        assert!(world.erased_through().await >= through);
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_is_newer_than_the_cursor_keeps_events_withheld() {
    let (mut world, relay) = with_removals(5).await;
    quiet(&world, &relay).await;
    relay.stop().await;
    world.lose_cursor();
    world.model.lose_tail(150);
    let relay = world.start().await;
    caught_up(&world, &relay).await;
    let left = world.check_erased(world.erased_through().await);
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_refuses_deletes_holds_nothing_else_up() {
    let mut world = World::new(6, Faults::none());
    world.model.deny_deletes(true);
    let relay = world.start().await;
    world.commit(200..201);
    caught_up(&world, &relay).await;
    world.remove_somebody();
    caught_up(&world, &relay).await;
    tokio::time::sleep(SETTLE * 3).await;
    world.commit(100..101);
    caught_up(&world, &relay).await;
    assert_eq!(*relay.watch_erased().borrow(), Position::NONE);
    assert!(!world.check_erased(Position(u64::MAX)).is_empty());
    world.model.deny_deletes(false);
    quiet(&world, &relay).await;
    assert_all_erased(&world);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_gone_while_nothing_is_published_is_made_again() {
    let (world, relay) = with_removals(7).await;
    world.model.wipe();
    quiet(&world, &relay).await;
    assert_eq!(world.model.ends().last, world.log.durable.borrow().0);
    assert_all_erased(&world);
}

#[tokio::test(start_paused = true)]
async fn a_mark_ahead_of_the_log_is_refused() {
    let (world, relay) = with_removals(8).await;
    quiet(&world, &relay).await;
    relay.stop().await;
    let mut older = World::new(8, Faults::none());
    older.take_mark_of(&world);
    older.commit(10..11);
    let relay = older.start().await;
    let mut status = relay.watch();
    let is_refused =
        |state: &RelayState| matches!(state, RelayState::Stopped(Refusal::ErasedAhead { .. }));
    let stopped = async { status.wait_for(|it| is_refused(&it.state)).await.is_ok() };
    let waited = tokio::time::timeout(Duration::from_secs(60), stopped).await;
    assert_eq!(waited, Ok(true), "{:?}", relay.status());
}

/// An eraser that trusts one look.
async fn hasty(world: &World) -> Position {
    let records = world.log.records();
    for record in records.iter().filter(|it| it.kind == EventKind::Removed) {
        for kind in [EventKind::Created, EventKind::Changed] {
            let subject = subject::event(&record.org, &record.user, kind);
            while let Some((sequence, _)) = world.model.find(&subject, 1).await.unwrap() {
                world.model.erase(sequence).await.unwrap();
            }
        }
    }
    records.last().unwrap().position
}

#[tokio::test(start_paused = true)]
async fn the_checker_sees_a_mark_that_moved_before_the_second_look() {
    let mut world = World::new(9, Faults::none());
    let relay = world.start().await;
    world.commit(200..201);
    caught_up(&world, &relay).await;
    relay.stop().await;
    world.remove_somebody();
    let through = hasty(&world).await;
    assert_eq!(world.check_erased(through), Vec::<String>::new());
    tokio::time::sleep(SETTLE / 2).await;
    world.model.bring_back(SETTLE);
    assert!(!world.check_erased(through).is_empty());
}
