//! Faults that no configuration of a nats-server makes: an old version, a wrong clock, a line without TLS.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::service::Service;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{prepared, private, wrong};

#[tokio::test]
async fn an_ingress_user_without_its_inbox_is_found() {
    let server = NatsServer::start(ServerOptions {
        without_permission: Some("_INBOX_profile_ingress.>".to_owned()),
        ..ServerOptions::default()
    });
    assert_eq!(wrong(&prepared(&server, ""), None), ["ingress-inbox"]);
}

#[tokio::test]
async fn a_bus_beyond_this_machine_without_tls_is_found() {
    let server = NatsServer::start(ServerOptions::default());
    // The same server, by an address that means any interface.
    let url = server.url().replace("127.0.0.1", "0.0.0.0");
    let service = private(Service::prepared_at(&url, "", ""));
    assert_eq!(wrong(&service, None), ["nats-tls"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_too_old_for_the_event_stream_is_found() {
    let server = NatsServer::start(ServerOptions::default());
    let real = server.url().replace("nats://", "");
    let old = aged(real).await;
    let service = private(Service::prepared_at(&format!("nats://{old}"), "", ""));
    let found = tokio::task::spawn_blocking(move || wrong(&service, None));
    // Its JetStream is too old as well.
    assert_eq!(
        found.await.expect("no panic"),
        ["nats-version", "jetstream"]
    );
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_found_and_what_is_not_told_is_unchecked() {
    let server = NatsServer::start(ServerOptions::default());
    let service = prepared(&server, "");
    let slow = monitor(
        r#"{"now": "2020-01-01T00:00:00Z"}"#,
        r#"{"config": {"sync_always": true}}"#,
    );
    assert_eq!(wrong(&service, Some(&slow)), ["clock"]);
    let silent = monitor(r#"{"now": "today"}"#, "{}");
    assert_eq!(wrong(&service, Some(&silent)), [""; 0]);
    let findings = service.doctor(Some(&silent));
    let unchecked: Vec<_> = findings
        .iter()
        .filter(|it| it["severity"] == "unchecked")
        .map(|it| it["check"].as_str().expect("a name"))
        .collect();
    assert_eq!(unchecked, ["clock", "sync-interval"]);
}

/// A line to the server at `real` on which it says that it is of release 2.9.
async fn aged(real: String) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let real = real.clone();
            tokio::spawn(async move {
                let server = TcpStream::connect(real).await.expect("the server is there");
                let mut server = tokio::io::BufReader::new(server);
                let mut info = String::new();
                server.read_line(&mut info).await.expect("INFO");
                let (head, tail) = info.split_once("\"version\":\"").expect("a version");
                let (_, tail) = tail.split_once('"').expect("its end");
                let aged = format!("{head}\"version\":\"2.9.25\"{tail}");
                client
                    .write_all(aged.as_bytes())
                    .await
                    .expect("the client reads");
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    address
}

/// What passes for a nats-server's monitoring; ends with the test process.
fn monitor(varz: &'static str, jsz: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut lines = BufReader::new(stream.try_clone().expect("the same")).lines();
            let asked = lines.next().expect("a request").expect("text");
            // To the empty line: closing with unread bytes would reset the connection.
            lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
            let body = if asked.starts_with("GET /varz ") {
                varz
            } else {
                jsz
            };
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .expect("the doctor reads");
        }
    });
    format!("http://{address}")
}
