//! Removed users' events in a real stream: what is left of them, in the server's files too.

use std::time::Duration;

use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::Config;
use futures::StreamExt;
use profile::relay::RelayHandle;
use profile_messages::Position;
use profile_messages::event::EventKind;
use profile_messages::subject::EVENT_STREAM;
use profile_tests::raw_bytes::files_with;

use super::bench::{Bench, name_of};

const WAIT: Duration = Duration::from_secs(60);

async fn erased(relay: &RelayHandle, through: Position) {
    let mut erased = relay.watch_erased();
    let done = async { erased.wait_for(|erased| *erased >= through).await.is_ok() };
    let waited = tokio::time::timeout(WAIT, done).await;
    assert_eq!(waited, Ok(true), "{:?}", relay.status());
}

async fn removal_of(bench: &Bench, user: &str) -> Position {
    let records = bench.records().await;
    let removed = records
        .iter()
        .find(|it| it.user.as_str() == user && it.kind == EventKind::Removed);
    removed.unwrap().position
}

/// Sequences that a consumer gets who reads everything from the start; a gap that it does not expect
/// would be an error.
async fn consumed(bench: &Bench) -> Vec<u64> {
    let stream = bench.stream().await;
    let last = stream.get_info().await.unwrap().state.last_sequence;
    let consumer = stream.create_consumer(OrderedConfig::default()).await;
    let mut messages = consumer.unwrap().messages().await.unwrap();
    let mut sequences = Vec::new();
    while sequences.last() != Some(&last) {
        let next = tokio::time::timeout(WAIT, messages.next()).await;
        let message = next.unwrap().unwrap().unwrap();
        sequences.push(message.info().unwrap().stream_sequence);
    }
    sequences
}

/// Of `user` only `removed` is left, in the server's files too; nothing of anybody else is missing.
async fn assert_only_it_is_gone(bench: &Bench, user: &str) {
    let store = bench.server.store();
    let left = files_with(&store, &[&name_of(user)]);
    assert!(left.is_empty(), "{left:?}");
    assert!(!files_with(&store, &[&name_of("u-2")]).is_empty());
    assert_only_it_is_unreadable(bench, user).await;
}

/// The same for whoever reads the stream.
async fn assert_only_it_is_unreadable(bench: &Bench, user: &str) {
    let records = bench.records().await;
    let kept = records
        .iter()
        .filter(|it| it.user.as_str() != user || it.kind == EventKind::Removed);
    let kept: Vec<_> = kept.map(|it| it.position.0).collect();
    assert!(kept.len() < records.len());
    assert_eq!(consumed(bench).await, kept);
}

#[tokio::test]
async fn the_servers_files_hold_nothing_of_a_removed_user_but_that_it_was_removed() {
    let mut bench = Bench::open().await;
    let relay = bench.start().await;
    bench.commit(60).await;
    bench.caught_up(&relay).await;
    assert!(!files_with(&bench.server.store(), &[&name_of("u-1")]).is_empty());
    bench.commit_as("u-1", EventKind::Removed).await;
    bench.commit_as("u-2", EventKind::Changed).await;
    bench.caught_up(&relay).await;
    let removal = removal_of(&bench, "u-1").await;
    erased(&relay, removal).await;
    assert_only_it_is_gone(&bench, "u-1").await;
    let removed = bench.stream().await.get_raw_message(removal.0).await;
    let subject = removed.unwrap().subject;
    assert_eq!(subject.as_str(), "profile-event.v1.zoo.u-1.removed");
    // The next process finds a stream with holes that is its own all the same.
    relay.stop().await;
    bench.lose_cursor();
    let relay = bench.start().await;
    bench.commit_as("u-2", EventKind::Changed).await;
    bench.caught_up(&relay).await;
    assert_only_it_is_gone(&bench, "u-1").await;
}

#[tokio::test]
async fn a_server_killed_while_events_are_erased_ends_without_them() {
    let mut bench = Bench::open().await;
    let relay = bench.start().await;
    bench.commit(300).await;
    bench.caught_up(&relay).await;
    bench.commit_as("u-1", EventKind::Removed).await;
    bench.caught_up(&relay).await;
    let end = removal_of(&bench, "u-1").await;
    for _ in 0..3 {
        bench.server.kill();
        bench.server.start_again();
        bench.commit_as("u-2", EventKind::Changed).await;
        bench.caught_up(&relay).await;
    }
    erased(&relay, end).await;
    // nats-server 2.15 marks a message first and then writes its block again. Killed in between, it keeps
    // the bytes of that one message, which nobody can read, until the next delete in the same block.
    assert_only_it_is_unreadable(&bench, "u-1").await;
}

#[tokio::test]
async fn a_relay_that_ends_while_events_are_erased_goes_on_with_it() {
    let mut bench = Bench::open().await;
    let mut relay = bench.start().await;
    bench.commit(90).await;
    bench.caught_up(&relay).await;
    bench.commit_as("u-1", EventKind::Removed).await;
    bench.caught_up(&relay).await;
    let end = removal_of(&bench, "u-1").await;
    for _ in 0..3 {
        drop(relay);
        relay = bench.start().await;
        bench.commit_as("u-2", EventKind::Changed).await;
        bench.caught_up(&relay).await;
    }
    erased(&relay, end).await;
    assert_only_it_is_gone(&bench, "u-1").await;
}

#[tokio::test]
async fn a_stream_that_refuses_deletes_is_served_and_its_successor_is_erased() {
    let mut bench = Bench::open().await;
    let theirs = Config {
        name: EVENT_STREAM.to_owned(),
        subjects: vec!["profile-event.v1.>".to_owned()],
        deny_delete: true,
        ..Config::default()
    };
    bench.jetstream.create_stream(theirs).await.unwrap();
    let relay = bench.start().await;
    bench.commit(30).await;
    bench.caught_up(&relay).await;
    bench.commit_as("u-1", EventKind::Removed).await;
    bench.commit_as("u-2", EventKind::Changed).await;
    bench.caught_up(&relay).await;
    let end = removal_of(&bench, "u-1").await;
    assert_eq!(*relay.watch_erased().borrow(), Position::NONE);
    // The advice of the log line.
    bench.jetstream.delete_stream(EVENT_STREAM).await.unwrap();
    bench.commit_as("u-2", EventKind::Changed).await;
    bench.caught_up(&relay).await;
    erased(&relay, end).await;
    let left = files_with(&bench.server.store(), &[&name_of("u-1")]);
    assert!(left.is_empty(), "{left:?}");
}
