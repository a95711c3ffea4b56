//! The end of a process whose bus is away: bounded in time, and in memory before it.

use std::fs;
use std::process::ExitStatus;
use std::time::Duration;

use profile_tests::fault_proxy::{FaultProxy, Role, Weather};
use profile_tests::nats_server::{NatsServer, NatsUser};
use profile_tests::service::Service;
use tokio::time::{Instant, interval};

use crate::world::{blocking, connect, prepared, server_options};

/// The drain's bound and a few round trips that nobody answers.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// Without a request in work there is nothing to wait for but those round trips.
const STOPPED_IDLE_WITHIN: Duration = Duration::from_secs(15);
/// More than every queue on the way takes together.
const REQUESTS: u64 = 12_000;
const REQUESTS_AT_ONCE: u64 = 500;
const GROWTH_KIB_MAX: u64 = 64 * 1024;
const SEEN_WITHIN: Duration = Duration::from_secs(20);

fn stopped(service: &mut Service, bound: Duration) -> (ExitStatus, Duration) {
    let start = Instant::now();
    let ended = blocking(|| service.stop_within(bound));
    let status = ended.unwrap_or_else(|| panic!("it hangs at its end:\n{}", service.log()));
    (status, start.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_ends_in_order_while_its_bus_is_away() {
    let mut server = NatsServer::start(server_options());
    let proxy = FaultProxy::start(server.address()).await;
    let mut service = prepared(&proxy, "");
    blocking(|| service.start_again());
    server.pause();
    let (status, frozen) = stopped(&mut service, STOPPED_IDLE_WITHIN);
    assert!(status.success(), "{}", service.log());
    server.resume();
    blocking(|| service.start_again());
    blocking(|| server.kill());
    let (status, killed) = stopped(&mut service, STOPPED_IDLE_WITHIN);
    assert!(status.success(), "{}", service.log());
    eprintln!("ended {frozen:?} after SIGTERM with a frozen server, {killed:?} with none");
}

/// The service as it is over NATS, with one request in work at a time.
async fn flooded(server: &NatsServer) {
    let client = connect(server, NatsUser::Requester).await;
    let inbox = client.new_inbox();
    for number in 0..REQUESTS {
        // Without a token: each is answered with an error at once.
        let reply = format!("{inbox}.{number}");
        let sent = client.publish_with_reply("profile.v1.get", reply, "{}".into());
        sent.await.expect("the server takes requests");
        if number % REQUESTS_AT_ONCE == 0 {
            // A round trip: the requests before it are with the server.
            let _ = client.request("$SRV.PING.nobody", "".into()).await;
        }
    }
    client.flush().await.expect("the server takes requests");
}

fn memory_kib(service: &Service) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", service.pid()));
    let status = status.expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let digits = line.and_then(|line| line.split_whitespace().nth(1));
    digits.expect("a size").parse().expect("a number")
}

async fn until_logged(service: &Service, text: &str) {
    let start = Instant::now();
    let mut look = interval(Duration::from_millis(20));
    while !service.log().contains(text) {
        look.tick().await;
        assert!(
            start.elapsed() < SEEN_WITHIN,
            "no {text}:\n{}",
            service.log()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_answers_cannot_leave_neither_grows_nor_hangs() {
    let server = NatsServer::start(server_options());
    let proxy = FaultProxy::start(server.address()).await;
    let mut service = prepared(&proxy, "in_flight_requests_max = 1\n");
    blocking(|| service.start_again());
    let away = Weather {
        held_to_server: true,
        held_to_service: true,
        ..Weather::default()
    };
    proxy.set(&[Role::Egress, Role::Relay], away);
    proxy.cut(&[Role::Egress, Role::Relay]);
    until_logged(&service, "nats connection lost").await;
    let before = memory_kib(&service);
    flooded(&server).await;
    let grown = memory_kib(&service).saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB for {REQUESTS} answers");
    let (status, took) = stopped(&mut service, STOPPED_WITHIN);
    assert!(status.success(), "{}", service.log());
    eprintln!("{grown} KiB more with {REQUESTS} answers that cannot leave; ended after {took:?}");
}
