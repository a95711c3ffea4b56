//! Without a collector, by configuration or by accident.

use std::net::TcpListener;
use std::time::Duration;

use profile_tests::http_client::HttpClient;
use serde_json::json;
use tokio::time::timeout;

use super::{CALLER, STATE, TRACE, World, header, parent};
use crate::edge::WAIT_MAX;

const MONITORING: &str = "[monitoring]\nlisten = \"127.0.0.1:0\"\n";
/// The service waits three seconds for a collector at its end; the rest is what an end takes.
const END_MAX: Duration = Duration::from_secs(8);

#[tokio::test]
async fn without_a_collector_the_callers_context_reaches_the_event_as_it_came() {
    let mut world = World::start("").await;
    let sent = format!("00-{TRACE}-{CALLER}-01");
    let headers = [("traceparent", sent.as_str()), ("tracestate", STATE)];
    let answered = world.put("a", &headers).await;
    answered.ok();
    assert_eq!(answered.header("traceresponse"), None);
    let event = world.event().await;
    assert_eq!(header(&event.headers, "traceparent"), Some(sent.as_str()));
    assert_eq!(header(&event.headers, "tracestate"), Some(STATE));

    let traced = world.owner.with("traceparent", &parent(7, 0));
    let body = json!({"userId": "gigi", "nickName": "b"});
    traced.call("patch", body).await.ok();
    let event = world.event().await;
    assert_eq!(
        header(&event.headers, "traceparent"),
        Some(parent(7, 0).as_str())
    );
    assert_eq!(header(&event.headers, "tracestate"), None);

    for bad in [
        "",
        "1",
        "00-0-0-01",
        &sent.to_uppercase(),
        &sent.replace("00-", "ff-"),
    ] {
        let bad = [("traceparent", bad), ("tracestate", STATE)];
        world
            .put(&format!("not {}", bad[0].1.len()), &bad)
            .await
            .ok();
        world.put("c", &[]).await.ok();
        for _ in 0..2 {
            let event = world.event().await;
            assert_eq!(header(&event.headers, "traceparent"), None, "{bad:?}");
            assert_eq!(header(&event.headers, "tracestate"), None, "{bad:?}");
        }
    }
}

#[tokio::test]
async fn a_collector_that_is_away_fails_no_request_and_is_named_once() {
    // Nobody listens there: the port was free a moment ago.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let section = format!(
        "{MONITORING}[traces]\notlp_endpoint = \"http://{closed}\"\nqueue_spans_max = 16\n"
    );
    let mut world = World::start(&section).await;
    let failed = async {
        let mut number = 0;
        while failed_batches(&world).await < 2.0 {
            number += 1;
            world.put(&format!("n{number}"), &[]).await.ok();
        }
    };
    timeout(WAIT_MAX, failed).await.expect("batches fail");
    let ended = world.service.stop_within(END_MAX);
    assert!(ended.expect("it ends").success());
    let log = world.service.log();
    assert_eq!(log.matches("takes no traces").count(), 1, "{log}");
    assert!(log.contains("\"level\":\"WARN\""), "{log}");
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_neither_requests_nor_the_end() {
    // The kernel takes the connections, and nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let section = format!("[traces]\notlp_endpoint = \"http://{address}\"\nqueue_spans_max = 16\n");
    let mut world = World::start(&section).await;
    for number in 0..100 {
        world.put(&format!("n{number}"), &[]).await.ok();
    }
    let ended = world.service.stop_within(END_MAX);
    assert!(ended.expect("it ends").success());
    let log = world.service.log();
    assert!(
        log.contains("the last traces may not have been sent"),
        "{log}"
    );
}

async fn failed_batches(world: &World) -> f64 {
    let port = world.service.monitoring();
    let metrics = HttpClient::http1(port).get("/metrics").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    let series = "profile_trace_batches_total{result=\"failed\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.expect("the series is there").parse().unwrap()
}
