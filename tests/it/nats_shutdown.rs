//! Restarts under load: nothing that was read is lost, and what was not is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, Request, RequestErrorKind};
use profile::transport::nats::{DrainReport, NatsEdge};
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use tokio::task::JoinSet;

use crate::edge::{FakeFunnel, ask, ask_until_answered, options, start};

const RESTARTS: u64 = 20;
const REQUESTERS: usize = 4;
const CONCURRENT_PER_REQUESTER: usize = 8;
const REQUESTS_BETWEEN_RESTARTS: u64 = 500;
/// The server does not count them after it, async-nats does.
const REQUESTS_BEFORE_RECONNECT: u64 = 300;
const DRAIN_BOUND: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(3);

/// What one requester heard.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    answers: u64,
    nobody_there: u64,
    nothing: u64,
}

async fn keep_asking(client: Client, stop: Arc<AtomicBool>, pause: Option<Duration>) -> Heard {
    let mut heard = Heard::default();
    let mut ticks = pause.map(tokio::time::interval);
    while !stop.load(Ordering::Relaxed) {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let request = Request::new().timeout(Some(SILENCE));
        match client
            .send_request("profile.v1.user.u-1.get", request)
            .await
        {
            Ok(_) => heard.answers += 1,
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                heard.nobody_there += 1;
            }
            Err(error) if error.kind() == RequestErrorKind::TimedOut => heard.nothing += 1,
            Err(error) => panic!("{error}"),
        }
    }
    heard
}

async fn load(server: &NatsServer, stop: &Arc<AtomicBool>) -> JoinSet<Heard> {
    let mut requesters = JoinSet::new();
    for _ in 0..REQUESTERS {
        let client = server.connect(NatsUser::Requester).await;
        for _ in 0..CONCURRENT_PER_REQUESTER {
            requesters.spawn(keep_asking(client.clone(), Arc::clone(stop), None));
        }
    }
    requesters
}

/// Each of the requesters asks once in `pause`.
async fn low_load(server: &NatsServer, stop: &Arc<AtomicBool>, pause: Duration) -> JoinSet<Heard> {
    let mut requesters = JoinSet::new();
    for _ in 0..REQUESTERS {
        let client = server.connect(NatsUser::Requester).await;
        requesters.spawn(keep_asking(client, Arc::clone(stop), Some(pause)));
    }
    requesters
}

/// What all edges and all requesters counted.
struct Outcome {
    reports: Vec<DrainReport>,
    answers: u64,
    nobody_there: u64,
    nothing: u64,
}

impl Outcome {
    fn sum(&self, of: impl Fn(&DrainReport) -> u64) -> u64 {
        self.reports.iter().map(of).sum()
    }
}

/// Ends `edge`: the next one is started before or after.
async fn replace(
    server: &NatsServer,
    edge: NatsEdge,
    funnel: &Arc<FakeFunnel>,
    (overlapping, bound): (bool, Duration),
) -> (NatsEdge, DrainReport) {
    if overlapping {
        let next = start(options(server), funnel).await;
        (next, edge.drain(bound).await)
    } else {
        let report = edge.drain(bound).await;
        (start(options(server), funnel).await, report)
    }
}

/// Restarts the edge under load and holds what it says against what the requesters heard.
async fn restart_under_load(restarts: u64, bound: Duration) -> Outcome {
    let server = NatsServer::start(ServerOptions::default());
    let funnel = FakeFunnel::new(1);
    let mut edge = start(options(&server), &funnel).await;
    let stop = Arc::new(AtomicBool::new(false));
    let requesters = load(&server, &stop).await;
    let mut reports = Vec::new();
    for restart in 0..restarts {
        funnel
            .called(REQUESTS_BETWEEN_RESTARTS * (restart + 1))
            .await;
        let how = (restart % 2 == 0, bound);
        let (next, report) = replace(&server, edge, &funnel, how).await;
        edge = next;
        reports.push(report);
    }
    stop.store(true, Ordering::Relaxed);
    let heard = requesters.join_all().await;
    reports.push(edge.drain(DRAIN_BOUND).await);
    let outcome = Outcome {
        reports,
        answers: heard.iter().map(|heard| heard.answers).sum(),
        nobody_there: heard.iter().map(|heard| heard.nobody_there).sum(),
        nothing: heard.iter().map(|heard| heard.nothing).sum(),
    };
    for report in &outcome.reports {
        assert_eq!(report.read, report.answered + report.refused, "{report:?}");
        assert!(report.flushed, "{report:?}");
    }
    let answered = outcome.sum(|report| report.answered + report.refused);
    assert_eq!(outcome.answers, answered, "every answer arrived");
    let unread = outcome.sum(|report| report.unread_unknown);
    assert_eq!(outcome.nothing, unread, "what was not read is known");
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_under_load_lose_nothing() {
    let outcome = restart_under_load(RESTARTS, DRAIN_BOUND).await;
    let unread = outcome.sum(|report| report.unread_unknown);
    assert_eq!(unread, 0, "the server stopped when the edge did");
    assert_eq!(outcome.sum(|report| report.refused), 0);
    assert!(
        outcome.nobody_there > 0,
        "there were moments without an edge"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_runs_out_of_time_still_answers_for_all_that_it_read() {
    restart_under_load(3, Duration::from_millis(20)).await;
}

/// One life of an edge: its server goes and comes back, requests come, the edge drains.
async fn drain_after_a_reconnect(server: &mut NatsServer, pause: Option<Duration>) {
    let funnel = FakeFunnel::new(1);
    let edge = start(options(server), &funnel).await;
    let early = server.connect(NatsUser::Requester).await;
    for _ in 0..REQUESTS_BEFORE_RECONNECT {
        ask(&early, "profile.v1.user.u-1.get", "").await;
    }
    server.restart();
    ask_until_answered(&server.connect(NatsUser::Requester).await).await;
    assert_eq!(edge.counters().disconnects.get(), 2, "both connections");
    let before = edge.counters().answered.get();
    let stop = Arc::new(AtomicBool::new(false));
    let (requesters, requests) = match pause {
        None => (load(server, &stop).await, REQUESTS_BETWEEN_RESTARTS),
        Some(pause) => (low_load(server, &stop, pause).await, 10),
    };
    funnel.called(before + requests).await;
    let report = edge.drain(DRAIN_BOUND).await;
    stop.store(true, Ordering::Relaxed);
    let heard = requesters.join_all().await;
    let sum = |of: fn(&Heard) -> u64| heard.iter().map(of).sum::<u64>();
    assert_eq!(sum(|heard| heard.nothing), 0, "{report:?}");
    assert_eq!(sum(|heard| heard.answers), report.answered - before);
    assert_eq!((report.unanswered, report.refused), (0, 0), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_loses_nothing_also_after_a_reconnect() {
    let mut server = NatsServer::start(ServerOptions::default());
    for _ in 0..5 {
        drain_after_a_reconnect(&mut server, None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_with_few_requests_loses_nothing_also_after_a_reconnect() {
    let mut server = NatsServer::start(ServerOptions::default());
    // 5 and 20 requests in a second: the pause of one is longer than the drain calls idle.
    for pause_ms in [800, 800, 200, 200, 200] {
        drain_after_a_reconnect(&mut server, Some(Duration::from_millis(pause_ms))).await;
    }
}
