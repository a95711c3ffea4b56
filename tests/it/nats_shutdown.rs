//! Restarts under load: nothing that was read is lost, and what was not is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, Request, RequestErrorKind};
use profile::transport::nats::{DrainReport, NatsEdge};
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use tokio::task::JoinSet;

use crate::edge::{FakeFunnel, options, start};

const RESTARTS: usize = 20;
const REQUESTERS: usize = 4;
const CONCURRENT_PER_REQUESTER: usize = 8;
const REQUESTS_BETWEEN_RESTARTS: u64 = 500;
const DRAIN_BOUND: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(5);

/// What one requester heard.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    answers: u64,
    nobody_there: u64,
    nothing: u64,
}

async fn keep_asking(client: Client, stop: Arc<AtomicBool>) -> Heard {
    let mut heard = Heard::default();
    while !stop.load(Ordering::Relaxed) {
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
            requesters.spawn(keep_asking(client.clone(), Arc::clone(stop)));
        }
    }
    requesters
}

/// Ends `edge`: the next one is started before or after.
async fn replace(
    server: &NatsServer,
    edge: NatsEdge,
    funnel: &Arc<FakeFunnel>,
    overlapping: bool,
) -> (NatsEdge, DrainReport) {
    if overlapping {
        let next = start(options(server), funnel).await;
        (next, edge.drain(DRAIN_BOUND).await)
    } else {
        let report = edge.drain(DRAIN_BOUND).await;
        (start(options(server), funnel).await, report)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_under_load_lose_nothing_that_was_read() {
    let server = NatsServer::start(ServerOptions::default());
    let funnel = FakeFunnel::new(1);
    let mut edge = start(options(&server), &funnel).await;
    let stop = Arc::new(AtomicBool::new(false));
    let requesters = load(&server, &stop).await;

    let mut reports = Vec::new();
    for restart in 0..RESTARTS {
        let wanted = REQUESTS_BETWEEN_RESTARTS * (restart as u64 + 1);
        funnel.called(wanted).await;
        let (next, report) = replace(&server, edge, &funnel, restart % 2 == 0).await;
        edge = next;
        reports.push(report);
    }
    stop.store(true, Ordering::Relaxed);
    let heard = requesters.join_all().await;
    reports.push(edge.drain(DRAIN_BOUND).await);

    for report in &reports {
        assert_eq!(report.read, report.answered + report.refused, "{report:?}");
        assert!(report.flushed, "{report:?}");
    }
    let answered: u64 = reports
        .iter()
        .map(|report| report.answered + report.refused)
        .sum();
    let unread: u64 = reports.iter().map(|report| report.unread_unknown).sum();
    let answers: u64 = heard.iter().map(|heard| heard.answers).sum();
    let nothing: u64 = heard.iter().map(|heard| heard.nothing).sum();
    let nobody_there: u64 = heard.iter().map(|heard| heard.nobody_there).sum();
    println!("{answers} answers, {nobody_there} 503, {nothing} unread ({unread} reported)");
    assert_eq!(answers, answered, "every answer arrived");
    assert!(
        nothing <= unread,
        "{nothing} lost, {unread} known to be unread"
    );
    assert!(nobody_there > 0, "there were moments without an edge");
}
