//! What the service looks at before it takes requests, and how its health is told.

use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::service::Service;

#[tokio::test]
async fn a_second_store_on_the_same_bus_is_refused_by_name() {
    let server = NatsServer::start(ServerOptions::default());
    let first = Service::start(&server, "");
    let mut second = Service::prepared(&server, "");
    assert!(!second.start_and_end().success());
    let log = second.log();
    assert!(log.contains("belongs to the store"), "{log}");
    assert!(log.contains("would fork users"), "{log}");
    // Any instance answers the discovery subject: health asks for its own.
    assert!(first.is_healthy());
    assert!(!second.is_healthy(), "only the first one runs");
}

#[tokio::test]
async fn health_is_refused_where_no_service_has_run_and_after_its_end() {
    let server = NatsServer::start(ServerOptions::default());
    let mut service = Service::prepared(&server, "");
    assert!(!service.is_healthy());
    service.start_again();
    assert!(service.is_healthy());
    assert!(service.stop().success());
    assert!(!service.is_healthy());
}

#[tokio::test]
async fn a_server_without_jetstream_ends_the_service_with_advice() {
    let server = NatsServer::start(ServerOptions {
        extra_config: "jetstream: disabled".to_owned(),
        ..ServerOptions::default()
    });
    let mut service = Service::prepared(&server, "");
    assert!(!service.start_and_end().success());
    let log = service.log();
    assert!(log.contains("enable it (`jetstream {}`"), "{log}");
}

/// It is no reason to end: the operator may give nats-server more room meanwhile.
#[tokio::test]
async fn a_server_without_room_for_the_event_stream_is_waited_for_with_advice() {
    let sync = "sync_interval: \"1s\"";
    let server = NatsServer::start(ServerOptions {
        replaced: vec![(sync, format!("{sync}\n  max_file_store: 200MB"))],
        ..ServerOptions::default()
    });
    let mut service = Service::prepared(&server, "");
    service.start_until_logged("not taking requests yet");
    assert!(service.stop().success());
    let log = service.log();
    let advice =
        "relay.max_bytes = 268435456 does not fit into what nats-server may store: make it smaller";
    assert!(log.contains(advice), "{log}");
}

/// The second store must not join the queue group while nobody can tell whose stream it is.
#[tokio::test]
async fn a_service_that_cannot_look_at_the_stream_takes_no_requests() {
    let server = NatsServer::start(ServerOptions {
        // The egress user may not look: to the service that is silence.
        without_permission: Some("$JS.API.STREAM.INFO.PROFILE_EVENTS".to_owned()),
        ..ServerOptions::default()
    });
    let mut service = Service::prepared(&server, "");
    service.start_until_logged("not taking requests yet");
    assert!(service.stop().success());
    let log = service.log();
    assert!(!log.contains("\"message\":\"ready\""), "{log}");
    assert!(log.contains("no answer in time"), "{log}");
}
