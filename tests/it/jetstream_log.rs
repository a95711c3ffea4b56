//! The commit log in JetStream against a real nats-server, behind a proxy where the line is to fail.

mod bench;
mod entities;
mod moving;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use profile::commit_log::conformance::{Subject, commit, every_law_holds, user};
use profile::commit_log::jetstream::OpenError;
use profile::commit_log::{AppendError, CommitLog, Head, NotWritten};
use profile_messages::Position;
use profile_tests::fault_proxy::{Direction, Role, Weather};
use profile_tests::nats_server::{NatsServer, ServerOptions};

use bench::{Bench, Node, old_server};

#[tokio::test(flavor = "multi_thread")]
async fn the_log_in_jetstream_keeps_every_law() {
    let bench = Bench::open().await;
    let (url, partitions) = (bench.server.url(), AtomicU16::new(1));
    every_law_holds(&|| subject(url.clone(), partitions.fetch_add(1, Ordering::Relaxed))).await;
}

fn subject(url: String, partition: u16) -> BoxFuture<'static, Subject> {
    Box::pin(async move {
        let node = Node::open(&url, partition).await.unwrap();
        Subject {
            log: node.log,
            observer: node.heads,
            clock: node.clock,
            reopen: Some(Box::new(move || subject(url, partition))),
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_that_append_to_one_user_each_commit_has_one_winner_and_both_see_it() {
    let bench = Bench::open().await;
    let (one, two) = (bench.node().await, bench.node().await);
    for round in 1..=20 {
        let head = one.head(1);
        assert_eq!(head, two.head(1));
        let commits = [&one, &two].map(|node| node.log.append(commit(&user(1), head, 50)));
        let outcomes = join_all(commits).await;
        let won: Vec<_> = outcomes.iter().flatten().collect();
        assert_eq!(won.len(), 1, "round {round}: {outcomes:?}");
        let head = Head::after(won[0]);
        let lost = outcomes.iter().find_map(|outcome| outcome.as_ref().err());
        assert_eq!(lost, Some(&AppendError::Conflict { head }));
        for node in [&one, &two] {
            node.log.see_newest(Some(&user(1))).await.unwrap();
            assert_eq!(node.head(1), head);
        }
    }
    assert_eq!(one.all().await, two.all().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_stale_head_meets_the_fence_and_knows_the_new_head() {
    let bench = Bench::open().await;
    let behind = Node::without_tail(&bench.server.url(), 0).await;
    let ahead = bench.node().await;
    let mut newest = None;
    for number in [1, 2, 1, 3] {
        newest = Some(ahead.append(number).await);
    }
    assert_eq!(behind.head(1), Head::default());
    let outcome = behind
        .log
        .append(commit(&user(1), Head::default(), 9))
        .await;
    let head = ahead.head(1);
    assert_eq!(outcome, Err(AppendError::Conflict { head }));
    assert_eq!(behind.head(1), head, "the observer was told before");
    behind.log.see_newest(None).await.unwrap();
    assert_eq!(*behind.log.durable().borrow(), newest.unwrap().position);
    assert_eq!(behind.append(3).await.position, Position(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_commits_comes_to_the_other_by_itself() {
    let bench = Bench::open().await;
    let (one, two) = (bench.node().await, bench.node().await);
    for number in 0..40 {
        one.append(number % 7).await;
    }
    let mut durable = two.log.durable();
    let arrived = durable.wait_for(|position| *position == Position(40));
    tokio::time::timeout(bench::WAIT, arrived)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(two.all().await, one.all().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_answer_is_lost_is_found_by_itself_and_written_once() {
    let bench = Bench::open().await;
    let proxy = bench.proxy().await;
    let node = Node::open(&proxy.url(), 0).await.unwrap();
    for round in 1..=5 {
        proxy.cut_before_ack(1);
        let record = node.append(1).await;
        assert_eq!(record.version.0, round);
        assert_eq!(proxy.counts().acks_withheld, round, "the answer was lost");
    }
    assert_eq!(node.all().await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_no_success_when_another_commit_stands_there() {
    let bench = Bench::open().await;
    let proxy = bench.proxy().await;
    let held = Node::open(&proxy.url(), 0).await.unwrap();
    let free = bench.node().await;
    // What the held node sends does not arrive before the other one's commit.
    proxy.set(&[Role::Log], Weather::held(Direction::ToServer));
    let append = held.log.append(commit(&user(1), Head::default(), 20));
    let other = async {
        let first = free.append(1).await;
        proxy.set(&[Role::Log], Weather::default());
        first
    };
    let (outcome, first) = futures::future::join(append, other).await;
    let head = Head::after(&first);
    assert_eq!(outcome, Err(AppendError::Conflict { head }));
    assert_eq!(held.all().await, [first]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_server_an_append_ends_in_time_as_certainly_not_written() {
    let mut bench = Bench::open().await;
    let node = bench.node().await;
    node.append(1).await;
    bench.server.stop();
    let head = node.head(1);
    let append = node.log.append(commit(&user(1), head, 20));
    let outcome = tokio::time::timeout(Duration::from_secs(10), append).await;
    let refused = AppendError::NotWritten(NotWritten::Unreachable);
    assert_eq!(outcome.unwrap(), Err(refused));
    bench.server.start_again();
    node.until_appended(1).await;
    assert_eq!(node.all().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_never_answered_is_maybe_written() {
    let bench = Bench::open().await;
    let proxy = bench.proxy().await;
    let node = Node::open(&proxy.url(), 0).await.unwrap();
    node.append(1).await;
    proxy.set(&[Role::Log], Weather::held(Direction::ToService));
    let outcome = node.log.append(commit(&user(1), node.head(1), 20)).await;
    assert!(
        matches!(outcome, Err(AppendError::MaybeWritten(_))),
        "{outcome:?}"
    );
    proxy.set(&[Role::Log], Weather::default());
    // It was: the next append on the old head is told so.
    let other = bench.node().await;
    assert_eq!(other.all().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_go_on_over_restarts_of_the_server_and_nothing_is_lost() {
    let mut bench = Bench::open().await;
    let (one, two) = (bench.node().await, bench.node().await);
    for round in 0..3 {
        for node in [&one, &two] {
            for number in 0..5 {
                node.until_appended(number).await;
            }
        }
        if round == 1 {
            bench.server.kill();
            bench.server.start_again();
        } else {
            bench.server.restart();
        }
    }
    for node in [&one, &two] {
        node.until_appended(9).await;
    }
    two.log.see_newest(None).await.unwrap();
    one.log.see_newest(None).await.unwrap();
    let all = one.all().await;
    assert_eq!(all, two.all().await);
    bench::assert_whole(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lost_what_was_acknowledged_stops_the_log() {
    let mut bench = Bench::open().await;
    let node = bench.node().await;
    for _ in 0..3 {
        node.append(1).await;
    }
    let other = bench.made_anew().await;
    other.append(2).await;
    let mut failed = node.log.failed();
    let told = failed.wait_for(Option::is_some);
    let told = tokio::time::timeout(bench::WAIT, told)
        .await
        .unwrap()
        .unwrap()
        .clone();
    assert!(told.unwrap().contains("commit 3 was acknowledged"));
    let outcome = node.log.append(commit(&user(7), Head::default(), 9)).await;
    assert_eq!(outcome, Err(AppendError::NotWritten(NotWritten::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_made_anew_stops_the_log_however_long_it_has_become() {
    let mut bench = Bench::open().await;
    let node = bench.node().await;
    for _ in 0..3 {
        node.append(1).await;
    }
    let other = bench.made_anew().await;
    for _ in 0..6 {
        other.append(2).await;
    }
    let mut failed = node.log.failed();
    let told = failed.wait_for(Option::is_some);
    let told = tokio::time::timeout(bench::WAIT, told).await.unwrap();
    let told = told.unwrap().clone().unwrap();
    assert!(told.contains("was acknowledged"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_stores_stream_and_an_old_server_are_refused() {
    let bench = Bench::open().await;
    bench.node().await;
    let refused = Node::open_as(&bench.server.url(), 0, "s-2")
        .await
        .unwrap_err();
    assert!(matches!(refused, OpenError::OtherStore { .. }), "{refused}");
    let refused = Node::open(&old_server("2.11.9").await, 0)
        .await
        .unwrap_err();
    let advice = refused.to_string();
    assert!(matches!(refused, OpenError::TooOld { .. }), "{advice}");
    assert!(advice.contains("2.12 or newer"), "{advice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_knows_what_one_of_them_dropped() {
    let bench = Bench::open().await;
    let (one, two) = (bench.node().await, bench.node().await);
    for _ in 0..6 {
        one.append(1).await;
    }
    two.log.see_newest(None).await.unwrap();
    let retention = profile::commit_log::conformance::KeepNewest {
        heads: Arc::clone(&one.heads),
        versions: 2,
        erased: Default::default(),
    };
    one.log
        .compact(Position(6), Arc::new(retention))
        .await
        .unwrap();
    let late = bench.node().await;
    for node in [&one, &two, &late] {
        let read = node
            .log
            .read_after(Position::NONE, bench::ALL)
            .await
            .unwrap();
        let left: Vec<u64> = read.iter().map(|record| record.position.0).collect();
        if node.log.dropped_through() == Position(4) {
            assert!(left.ends_with(&[5, 6]), "{left:?}");
        } else {
            assert_eq!(left, [1, 2, 3, 4, 5, 6], "what is told is whole");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_tests_is_new_enough() {
    let server = NatsServer::start(ServerOptions::open());
    assert!(server.version() >= (2, 12));
}
