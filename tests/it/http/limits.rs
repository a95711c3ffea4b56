//! What a client may not do: send too much, too slowly, too many at once.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Method;
use profile::transport::api::Call;
use profile_tests::caller::Caller;
use profile_tests::http_client::{HttpAnswer, HttpClient, answer, try_answer};
use profile_tests::outcome::{Failure, frame, frames, from_web_text, web_trailers};
use serde_json::json;

use super::cases::Case;
use super::raw::Raw;
use super::table::{differences, judged};
use super::world::{Who, World};

/// Half of a change by `who`, of whose body one byte is sent and three are missing.
pub(crate) fn half_a_read(world: &World) -> String {
    let bearer = world.bearer(Who::Owner);
    format!(
        "POST /management/v1/users/gigi/changes/_search HTTP/1.1\r\nHost: zoo\r\n\
         Authorization: {bearer}\r\nContent-Length: 2\r\n\r\n{{"
    )
}

fn whole_read(world: &World) -> String {
    half_a_read(world) + "}"
}

/// The status of gRPC or gRPC-Web, wherever it stands.
fn grpc_failure(answer: &HttpAnswer, body: &[u8]) -> Failure {
    let mut headers = answer.headers.clone();
    headers.extend(answer.trailers.clone());
    for (flag, frame) in frames(body) {
        assert_eq!(flag, 0x80, "no message");
        headers.extend(web_trailers(&frame));
    }
    Failure::from_grpc(&headers).expect("an error")
}

#[tokio::test]
async fn a_body_over_64_kib_is_refused_everywhere() {
    const TEXT: &str = "the body is longer than 65536 bytes";
    let world = World::start().await;
    for length in [65_537, 1_000_000] {
        let long = "x".repeat(length);
        let body = json!({"firstName": "A", "lastName": "B", "displayName": long});
        let too_long = |failure: &Failure| {
            assert_eq!((failure.code, &*failure.message), (3, TEXT), "{length}");
        };
        let authorization = world.bearer(Who::User("mia"));
        for client in [&world.transports.http1, &world.transports.http2] {
            let request = client.request(Method::PUT, "/auth/v1/users/me/profile");
            let request = request.header("authorization", &authorization);
            // A client that still writes when the connection closes may not see the answer.
            if let Ok(answer) = try_answer(request.body(body.to_string())).await {
                assert_eq!(answer.status, 400);
                too_long(&Failure::from_json(&answer.json()));
            }
            let request = client.request(Method::POST, &Call::V2UpdateHumanUser.rpc_path());
            let request = request.header("content-type", "application/json");
            if let Ok(answer) = try_answer(request.body(body.to_string())).await {
                assert_eq!(answer.status, 400);
                too_long(&Failure::from_connect(&answer.json()));
            }
            // On a connection of its own: the old one may be just closing.
            let anew = HttpClient::http1(world.service.http());
            assert_eq!(anew.get("/debug/healthz").await.status, 200);
        }
        let message = frame(&vec![0; length]);
        let path = Call::UpdateMyProfile.rpc_path();
        let post = |client: &HttpClient, content_type: &str| {
            let request = client.request(Method::POST, &path);
            let request = request.header("authorization", &authorization);
            request.header("content-type", content_type)
        };
        let http2 = &world.transports.http2;
        let refused = answer(post(http2, "application/grpc").body(message.clone())).await;
        too_long(&grpc_failure(&refused, &refused.body));
        let web = post(http2, "application/grpc-web").body(message.clone());
        let refused = answer(web).await;
        too_long(&grpc_failure(&refused, &refused.body));
        let text = post(http2, "application/grpc-web-text").body(STANDARD.encode(&message));
        let refused = answer(text).await;
        too_long(&grpc_failure(&refused, &from_web_text(&refused.body)));
    }
    let nats = Caller::connect(
        &world.server,
        &world.service,
        &profile_tests::caller::Identity::user("mia", "zoo"),
    )
    .await;
    let long = json!({"displayName": "x".repeat(65_536)});
    assert_eq!(nats.call("me.update", long).await.refused(400), TEXT);
    judged(&differences(&world, &[Case::of(Call::UpdateMyProfile)]).await);
}

#[tokio::test]
async fn the_longest_body_is_taken() {
    let world = World::start().await;
    let path = "/auth/v1/users/me/profile";
    let start = r#"{"firstName": "A", "lastName": "B", "displayName": "C", "unknown": ""#;
    let body = format!("{start}{}\"}}", "x".repeat(65_536 - start.len() - 2));
    assert_eq!(body.len(), 65_536);
    let request = world.transports.http1.request(Method::PUT, path);
    let request = request.header("authorization", world.bearer(Who::User("mia")));
    answer(request.body(body)).await.ok();
}

/// Megabytes of zeros in a few kilobytes.
#[tokio::test]
async fn a_message_that_unpacks_to_more_than_64_kib_is_refused() {
    let world = World::start().await;
    for megabytes in [1, 32] {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&vec![0; megabytes << 20]).unwrap();
        let mut body = frame(&packed.finish().unwrap());
        body[0] = 1;
        assert!(body.len() < 65_536);
        for (client, content_type) in [
            (&world.transports.http2, "application/grpc"),
            (&world.transports.http1, "application/grpc-web+proto"),
        ] {
            let request = client.request(Method::POST, &Call::UpdateMyProfile.rpc_path());
            let request = request
                .header("content-type", content_type)
                .header("grpc-encoding", "gzip")
                .header("authorization", world.bearer(Who::User("mia")));
            let refused = answer(request.body(body.clone())).await;
            let failure = grpc_failure(&refused, &refused.body);
            assert!([3, 8, 11].contains(&failure.code), "{failure:?}");
        }
    }
    judged(&differences(&world, &[Case::of(Call::UpdateMyProfile)]).await);
}

#[tokio::test]
async fn a_client_that_does_not_go_on_is_cut_off() {
    let bounds = "header_read_ms_max = 200\nbody_read_ms_max = 200\nidle_ms_max = 1000\n";
    let world = World::start_with(bounds).await;
    let address = world.service.http();
    let connect = || Raw::connect(address);

    let mut slow_headers = connect().await;
    slow_headers
        .send("GET /debug/healthz HTTP/1.1\r\nHost:")
        .await;
    let said = slow_headers.until_closed().await;
    assert!(
        !said.starts_with(b"HTTP/1.1 2"),
        "{:?}",
        String::from_utf8_lossy(&said)
    );

    let mut slow_body = connect().await;
    slow_body.send(half_a_read(&world)).await;
    let late = slow_body.answer().await;
    assert_eq!((late.status, &late.json()["code"]), (408, &json!(4)));
    slow_body.until_closed().await;

    let mut silent = connect().await;
    assert_eq!(silent.until_closed().await, b"");

    let mut idle = connect().await;
    idle.send(whole_read(&world)).await;
    idle.answer().await.ok();
    assert_eq!(idle.until_closed().await, b"");
    let mut preface_only = connect().await;
    preface_only.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    preface_only.until_closed().await;
    assert_eq!(
        world.transports.http1.get("/debug/healthz").await.status,
        200
    );
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let world = World::start().await;
    let refused = |head: String| async {
        let mut raw = Raw::connect(world.service.http()).await;
        raw.send(head).await;
        let said = raw.until_closed().await;
        String::from_utf8_lossy(&said).into_owned()
    };
    let start = "GET /debug/healthz HTTP/1.1\r\nHost: zoo\r\n";
    let many = refused(format!("{start}{}\r\n", "a: b\r\n".repeat(200))).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    // Closed with bytes unread, the connection may be reset before the answer is read.
    let long = refused(format!("{start}a: {}\r\n\r\n", "x".repeat(60_000))).await;
    assert!(
        long.is_empty() || long.starts_with("HTTP/1.1 431"),
        "{long}"
    );
}

#[tokio::test]
async fn more_connections_than_there_may_be_wait() {
    let world = World::start_with("connections_max = 2\n").await;
    let address = world.service.http();
    let mut first = Raw::connect(address).await;
    let mut second = Raw::connect(address).await;
    for raw in [&mut first, &mut second] {
        raw.send(whole_read(&world)).await;
        raw.answer().await.ok();
    }
    let mut third = Raw::connect(address).await;
    third.send(whole_read(&world)).await;
    for _ in 0..20 {
        first.send(whole_read(&world)).await;
        first.answer().await.ok();
    }
    assert!(third.is_silent(), "it was served beside two others");
    drop(second);
    third.answer().await.ok();
}

#[tokio::test]
async fn more_requests_than_there_may_be_at_once_are_told_to_come_again() {
    let world = World::start_with("in_flight_requests_max = 1\n").await;
    let mut held = Raw::connect(world.service.http()).await;
    held.send(half_a_read(&world)).await;
    let refused = refused_for_want_of_a_place(&world).await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    let failure = Failure::from_json(&refused.json());
    assert_eq!(
        (failure.code, &*failure.message),
        (8, "too many requests: requests in flight")
    );
    assert_eq!(failure.retry.as_deref(), Some("safe"));
    let request = world
        .transports
        .http2
        .request(Method::POST, &Call::V2GetUserById.rpc_path());
    let request = request.header("content-type", "application/grpc");
    let grpc = answer(request.body(frame(b""))).await;
    assert_eq!(grpc_failure(&grpc, b"").code, 8);
    assert_eq!(grpc.header("retry-after"), Some("1"));
    // What is no call needs no place.
    assert_eq!(
        world.transports.http1.get("/debug/healthz").await.status,
        200
    );
    held.send("}").await;
    held.answer().await.ok();
    held.send(whole_read(&world)).await;
    held.answer().await.ok();
}

/// Asks until the half-sent request has taken the only place.
pub(crate) async fn refused_for_want_of_a_place(world: &World) -> HttpAnswer {
    loop {
        let answer = world.transports.http1.get("/v2/users/gigi").await;
        match answer.status {
            401 => {}
            429 => return answer,
            status => panic!("{status}"),
        }
    }
}
