//! SIGTERM: what was begun is answered, nothing new is taken.

use std::time::Duration;

use profile_tests::service::Signal;
use tokio::net::TcpStream;

use super::limits::{half_a_read, refused_for_want_of_a_place};
use super::raw::Raw;
use super::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_work_is_answered_after_sigterm() {
    let mut world = World::start_with("in_flight_requests_max = 1\n").await;
    let address = world.service.http();
    let mut idle = Raw::connect(address).await;
    idle.send("GET /debug/healthz HTTP/1.1\r\nHost: zoo\r\n\r\n")
        .await;
    assert_eq!(idle.answer().await.status, 200);
    let mut held = Raw::connect(address).await;
    held.send(half_a_read(&world)).await;
    // Refused: so the half-sent one has its place.
    refused_for_want_of_a_place(&world).await;

    world.service.signal(Signal::TERM);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        idle.until_closed().await,
        b"",
        "an idle connection is closed"
    );
    let ended = world.service.ended_within(Duration::from_millis(500));
    assert!(ended.is_none(), "it waits for what was begun");
    held.send("}").await;
    let answer = held.answer().await;
    let body = answer.ok();
    assert_eq!(body["result"][0]["sequence"], "1", "{body}");
    held.until_closed().await;
    assert!(world.service.ended().success());
    assert!(
        world.service.log().contains("\"http_drained\":true"),
        "{}",
        world.service.log()
    );
}
