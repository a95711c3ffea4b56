//! Requests and answers of the NATS edge, on a real server with the shipped permissions.

use std::time::Duration;

use async_nats::HeaderMap;
use futures::StreamExt;
use profile::transport::nats::{NatsEdge, StartError};
use profile_messages::UserId;
use profile_messages::subject::Operation;
use profile_tests::fault_proxy::{FaultProxy, Role, Weather};
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::edge::{
    FakeFunnel, HELD, PANICS, UNKNOWN, WAIT_MAX, ask, ask_until_answered, ask_with, error_of, json,
    options, start,
};

/// What the fake funnel says it was asked.
fn said(answer: &async_nats::Message) -> String {
    assert_eq!(error_of(answer), None, "{answer:?}");
    let body = json(answer);
    let said = body.get("userId").or(body.get("nextCursor"));
    said.and_then(|said| said.as_str())
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn every_operation_is_answered_in_both_forms() {
    let server = NatsServer::start(ServerOptions::default());
    let edge = start(options(&server), &FakeFunnel::new(1)).await;
    let requester = server.connect(NatsUser::Requester).await;
    let user = UserId::parse("u-1").unwrap();
    for operation in Operation::ALL {
        let name = operation.name();
        let answer = ask(&requester, &operation.subject(), r#"{"userId":"u-2"}"#).await;
        let named = operation.has_user_form() || operation == Operation::Create;
        if operation == Operation::Replay {
            assert_eq!(json(&answer)["end"], true);
        } else {
            let user = if named { "u-2" } else { "" };
            assert_eq!(said(&answer), format!("{name} {user}"));
        }
        if let Some(subject) = operation.user_subject(&user) {
            let answer = ask(&requester, &subject, "").await;
            assert_eq!(said(&answer), format!("{name} u-1"));
            let other = ask(&requester, &subject, r#"{"userId":"u-2"}"#).await;
            assert_eq!(error_of(&other).unwrap().0, "400", "{subject}");
        }
    }
    let report = edge.drain(WAIT_MAX).await;
    assert_eq!((report.read, report.answered), (22, 22));
    assert!(report.flushed);
}

#[tokio::test]
async fn headers_reach_the_funnel_whatever_their_letter_case() {
    let server = NatsServer::start(ServerOptions::default());
    let _edge = start(options(&server), &FakeFunnel::new(1)).await;
    let requester = server.connect(NatsUser::Requester).await;
    let mut headers = HeaderMap::new();
    headers.insert("PROFILE-ORG", "o-1");
    let answer = ask_with(&requester, "profile.v1.me.get", headers, "").await;
    assert_eq!(json(&answer)["details"]["resourceOwner"], "o-1");
}

#[tokio::test]
async fn errors_have_headers_and_a_status_body() {
    let server = NatsServer::start(ServerOptions::default());
    let edge = start(options(&server), &FakeFunnel::new(1)).await;
    let requester = server.connect(NatsUser::Requester).await;

    let subject = format!("profile.v1.user.{UNKNOWN}.get");
    let (number, text, code) = error_of(&ask(&requester, &subject, "").await).unwrap();
    let expected = ("404", "User could not be found (QUERY-HNhb3)", 5);
    assert_eq!((number.as_str(), text.as_str(), code), expected);

    let unknown = ask(&requester, "profile.v1.nothing", "").await;
    assert_eq!(error_of(&unknown).unwrap().0, "501");
    assert_eq!(edge.counters().unknown_subjects.get(), 1);

    let broken = ask(&requester, "profile.v1.get", r#"{"userId":7}"#).await;
    assert_eq!(error_of(&broken).unwrap().2, 3);

    let mut headers = HeaderMap::new();
    headers.insert("Profile-Deadline-Ms", "soon");
    headers.insert("Idempotency-Key", "two words");
    let refused = ask_with(&requester, "profile.v1.get", headers, "").await;
    assert_eq!(error_of(&refused).unwrap().2, 3);
    let violations = json(&refused)["details"][0]["fieldViolations"].clone();
    assert_eq!(violations.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_panic_behind_the_edge_is_answered_as_internal_and_ends_nothing() {
    let server = NatsServer::start(ServerOptions::default());
    let edge = start(options(&server), &FakeFunnel::new(1)).await;
    let requester = server.connect(NatsUser::Requester).await;
    for subject in ["profile.v1.update", "profile.v1.get"] {
        let body = format!(r#"{{"userId":"{PANICS}"}}"#);
        let answer = ask(&requester, subject, &body).await;
        assert_eq!(error_of(&answer).unwrap().2, 13);
    }
    assert_eq!(edge.counters().panics.get(), 2);
    let answer = ask(&requester, "profile.v1.user.u-1.get", "").await;
    assert_eq!(said(&answer), "get u-1");
}

#[tokio::test]
async fn over_the_bound_the_answer_is_immediate() {
    let server = NatsServer::start(ServerOptions::default());
    let funnel = FakeFunnel::new(1);
    let mut options = options(&server);
    options.in_flight_requests_max = 1;
    let edge = start(options, &funnel).await;
    let requester = server.connect(NatsUser::Requester).await;
    let subject = format!("profile.v1.user.{HELD}.get");
    let held = tokio::spawn({
        let (requester, subject) = (requester.clone(), subject.clone());
        async move { ask(&requester, &subject, "").await }
    });
    funnel.called(1).await;
    for _ in 0..50 {
        let refused = ask(&requester, "profile.v1.user.u-1.get", "").await;
        assert_eq!(error_of(&refused).unwrap().0, "429");
    }
    funnel.gate.add_permits(1);
    assert_eq!(said(&held.await.unwrap()), format!("get {HELD}"));
    let report = edge.drain(WAIT_MAX).await;
    let counted = (report.read, report.answered, report.refused);
    assert_eq!(counted, (51, 1, 50));
}

#[tokio::test]
async fn a_request_larger_than_any_may_be_is_refused_before_it_waits() {
    let server = NatsServer::start(ServerOptions::default());
    let funnel = FakeFunnel::new(1);
    let edge = start(options(&server), &funnel).await;
    let requester = server.connect(NatsUser::Requester).await;
    let body = " ".repeat(64 * 1024 + 1);
    let answer = ask(&requester, "profile.v1.get", &body).await;
    let (number, text, _) = error_of(&answer).unwrap();
    assert_eq!(number, "400");
    assert_eq!(text, "the body is longer than 65536 bytes");

    let mut headers = HeaderMap::new();
    headers.insert("X-Padding", "x".repeat(32 * 1024));
    let answer = ask_with(&requester, "profile.v1.get", headers, "").await;
    let (number, text, _) = error_of(&answer).unwrap();
    assert_eq!(number, "400");
    assert!(text.contains("longer than 32768 bytes"), "{text}");

    let mut headers = HeaderMap::new();
    headers.insert("X-Padding", "x".repeat(31 * 1024));
    let body = format!("{}{{}}", " ".repeat(64 * 1024 - 2));
    let answer = ask_with(&requester, "profile.v1.get", headers, &body).await;
    assert_eq!(error_of(&answer), None);
    let report = edge.drain(WAIT_MAX).await;
    assert_eq!((report.refused, report.answered), (2, 1));
}

#[tokio::test]
async fn an_answer_over_the_largest_message_is_an_error_not_silence() {
    let server = NatsServer::start(ServerOptions {
        extra_config: "max_payload: 8KB".to_owned(),
        ..ServerOptions::default()
    });
    let _edge = start(options(&server), &FakeFunnel::new(100)).await;
    let requester = server.connect(NatsUser::Requester).await;
    let answer = ask(&requester, "profile.v1.list", "").await;
    assert_eq!(error_of(&answer).unwrap().2, 3);
}

#[tokio::test]
async fn replies_go_to_inboxes_only() {
    // Open: the server would let the edge publish anywhere.
    let server = NatsServer::start(ServerOptions::open());
    let edge = start(options(&server), &FakeFunnel::new(1)).await;
    let requester = server.connect_open().await;
    let forbidden = [
        "$JS.API.STREAM.DELETE.PROFILE_EVENTS",
        "profile.v1.remove",
        "profile-event.v1.o.u.changed",
        "_INBOX_profile_egress.x",
        "orders.new",
    ];
    let mut watched = Vec::new();
    for subject in [
        "$JS.API.>",
        "profile-event.>",
        "_INBOX_profile_egress.x",
        "orders.>",
    ] {
        watched.push(requester.subscribe(subject).await.unwrap());
    }
    for reply in forbidden {
        let request = requester.publish_with_reply("profile.v1.get", reply, "".into());
        request.await.unwrap();
    }
    requester
        .publish("profile.v1.get", "".into())
        .await
        .unwrap();
    // Behind them on the same connection, so answered after they were seen.
    ask(&requester, "profile.v1.get", "").await;
    let report = edge.drain(WAIT_MAX).await;
    assert_eq!((report.dropped, report.answered), (6, 1));
    // Everything that the edge published is out, and this connection has seen it.
    requester.publish("orders.fence", "".into()).await.unwrap();
    let orders = watched.pop().unwrap();
    let mut all = futures::stream::select_all(watched.into_iter().chain([orders]));
    let seen = timeout(WAIT_MAX, all.next()).await.unwrap().unwrap();
    assert_eq!(seen.subject.as_str(), "orders.fence");
}

#[tokio::test]
async fn a_bus_that_does_not_let_the_service_work_is_an_error_at_start() {
    let server = NatsServer::start(ServerOptions::default());
    let clock = || std::sync::Arc::new(profile::clock::SystemClock::default());
    let mut swapped = options(&server);
    std::mem::swap(&mut swapped.ingress, &mut swapped.egress);
    let refused = NatsEdge::start(swapped, FakeFunnel::new(1), clock()).await;
    assert!(matches!(refused, Err(StartError::Unconfirmed { .. })));

    let mut shared = options(&server);
    shared.egress.inbox_prefix = "_INBOX".to_owned();
    let refused = NatsEdge::start(shared, FakeFunnel::new(1), clock()).await;
    assert!(matches!(refused, Err(StartError::SharedInbox(_))));
}

#[tokio::test]
async fn a_start_whose_connection_is_lost_while_it_is_confirmed_goes_on() {
    let server = NatsServer::start(ServerOptions::default());
    let proxy = FaultProxy::start(server.address()).await;
    // Slow enough that the subscriptions are there before the round trip behind them is over.
    let slow = Weather {
        latency: Duration::from_millis(50),
        ..Weather::default()
    };
    proxy.set(&[Role::Ingress], slow);
    let mut options = options(&server);
    options.servers = vec![proxy.url()];
    let funnel = FakeFunnel::new(1);
    let cut = async {
        subscribed(&server, "profile ingress").await;
        proxy.set(&[Role::Ingress], Weather::default());
        assert_eq!(proxy.cut(&[Role::Ingress]), 1);
    };
    let (edge, ()) = futures::join!(start(options, &funnel), cut);
    let requester = server.connect(NatsUser::Requester).await;
    ask(&requester, "profile.v1.get", r#"{"userId":"u-1"}"#).await;
    assert!(edge.drain(WAIT_MAX).await.flushed);
}

/// Until the server knows a subscription of the connection of this name.
async fn subscribed(server: &NatsServer, name: &str) {
    let connections = format!("{}/connz", server.monitoring_url());
    let is_there = async {
        loop {
            let answer = reqwest::get(&connections).await.unwrap();
            let answer: serde_json::Value = answer.json().await.unwrap();
            let mut all = answer["connections"].as_array().unwrap().iter();
            if all.any(|one| one["name"] == name && one["subscriptions"].as_u64() > Some(0)) {
                return;
            }
        }
    };
    timeout(WAIT_MAX, is_there).await.unwrap();
}

#[tokio::test]
async fn a_drain_waits_for_requests_in_flight_within_its_bound() {
    let server = NatsServer::start(ServerOptions::default());
    let requester = server.connect(NatsUser::Requester).await;
    let subject = format!("profile.v1.user.{HELD}.get");

    let funnel = FakeFunnel::new(1);
    let edge = start(options(&server), &funnel).await;
    let held = tokio::spawn({
        let (requester, subject) = (requester.clone(), subject.clone());
        async move { ask(&requester, &subject, "").await }
    });
    funnel.called(1).await;
    let drain = tokio::spawn(edge.drain(WAIT_MAX));
    funnel.gate.add_permits(1);
    assert_eq!(said(&held.await.unwrap()), format!("get {HELD}"));
    let report = drain.await.unwrap();
    assert_eq!((report.answered, report.unanswered), (1, 0));

    let edge = start(options(&server), &funnel).await;
    let inbox = requester.new_inbox();
    let request = requester.publish_with_reply(subject, inbox, "".into());
    request.await.unwrap();
    funnel.called(2).await;
    let report = edge.drain(Duration::from_millis(200)).await;
    assert_eq!((report.answered, report.unanswered), (0, 1));
}

#[tokio::test]
async fn the_edge_is_back_after_the_server_was_away_and_still_drains() {
    let mut server = NatsServer::start(ServerOptions::default());
    let edge = start(options(&server), &FakeFunnel::new(1)).await;
    server.restart();
    let requester = server.connect(NatsUser::Requester).await;
    let answer = timeout(WAIT_MAX, ask_until_answered(&requester)).await;
    assert_eq!(said(&answer.unwrap()), "get u-1");
    assert!(edge.is_connected());
    assert_eq!(edge.counters().disconnects.get(), 2);
    let report = edge.drain(WAIT_MAX).await;
    assert_eq!((report.read, report.answered, report.unanswered), (1, 1, 0));
    assert!(report.flushed);
    let gone = requester.request("profile.v1.get", "".into()).await;
    assert!(gone.is_err());
}

/// Publishes a request with these header bytes; returns when the server has routed it.
async fn publish_raw(server: &NatsServer, header: &[u8]) {
    let url = server.url();
    let address = url.strip_prefix("nats://").unwrap();
    let mut socket = BufReader::new(TcpStream::connect(address).await.unwrap());
    let length = header.len();
    let mut bytes = b"CONNECT {\"verbose\":false,\"headers\":true}\r\n".to_vec();
    bytes.extend(format!("HPUB profile.v1.get _INBOX.raw {length} {length}\r\n").bytes());
    bytes.extend(header);
    bytes.extend(b"\r\nPING\r\n");
    socket.write_all(&bytes).await.unwrap();
    let mut line = String::new();
    while line != "PONG\r\n" {
        line.clear();
        assert_ne!(socket.read_line(&mut line).await.unwrap(), 0);
    }
}

/// The server passes header bytes on as they are; async-nats takes what it cannot read for a broken
/// connection. What was under way on it is lost, the edge is not.
#[tokio::test]
async fn header_bytes_that_are_no_text_cost_a_reconnect_and_not_the_edge() {
    let server = NatsServer::start(ServerOptions::open());
    let edge = start(options(&server), &FakeFunnel::new(1)).await;
    let requester = server.connect_open().await;
    publish_raw(&server, b"NATS/1.0\r\nProfile-Org: \xff\xfe\r\n\r\n").await;
    let answer = timeout(WAIT_MAX, ask_until_answered(&requester)).await;
    assert_eq!(said(&answer.unwrap()), "get u-1");
    assert_eq!(edge.counters().disconnects.get(), 1);
}
