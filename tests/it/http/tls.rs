//! TLS on the port, with certificates that are checked in (`tests/data/tls/README.md`).

use std::fs;
use std::path::PathBuf;

use http::Method;
use profile::transport::api::Call;
use profile_tests::http_client::{HttpClient, answer, try_answer};
use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::outcome::frame;
use profile_tests::repository;
use profile_tests::service::Service;
use reqwest::{Certificate, Client, ClientBuilder, Identity};

use super::world::LISTEN;

fn data(name: &str) -> PathBuf {
    repository::root().join("tests/data/tls").join(name)
}

fn read(name: &str) -> Vec<u8> {
    fs::read(data(name)).expect("test data")
}

fn tls(more: &str) -> String {
    let (certificate, key) = (data("server.pem"), data("server-key.pem"));
    let (certificate, key) = (certificate.display(), key.display());
    format!("{LISTEN}[http.tls]\ncert_file = \"{certificate}\"\nkey_file = \"{key}\"\n{more}")
}

/// Trusts the authority of the test data and nothing else.
fn trusting() -> ClientBuilder {
    let authority = Certificate::from_pem(&read("ca.pem")).unwrap();
    Client::builder().no_proxy().tls_certs_only([authority])
}

fn over(service: &Service, client: ClientBuilder) -> HttpClient {
    let base = format!("https://{}", service.http());
    HttpClient::over(base, client.build().unwrap())
}

#[tokio::test]
async fn both_versions_of_http_are_served_over_tls_and_nothing_in_clear() {
    let server = NatsServer::start(ServerOptions::default());
    let service = Service::start(&server, &tls(""));
    let http1 = over(&service, trusting().http1_only());
    assert_eq!(http1.get("/debug/healthz").await.status, 200);
    // By ALPN: gRPC needs HTTP/2.
    let http2 = over(&service, trusting());
    let request = http2.request(Method::POST, &Call::GetMyProfile.rpc_path());
    let request = request.header("content-type", "application/grpc");
    let refused = answer(request.body(frame(b""))).await;
    assert_eq!(refused.headers["grpc-status"], "16");

    let clear = HttpClient::http1(service.http());
    assert!(
        try_answer(clear.request(Method::GET, "/debug/healthz"))
            .await
            .is_err()
    );
    let distrusting = over(&service, Client::builder().no_proxy());
    assert!(
        try_answer(distrusting.request(Method::GET, "/debug/healthz"))
            .await
            .is_err()
    );
    // Nothing of that stops it.
    assert_eq!(http1.get("/debug/ready").await.status, 200);
}

#[tokio::test]
async fn a_client_without_a_certificate_of_the_authority_is_refused_where_one_is_required() {
    let server = NatsServer::start(ServerOptions::default());
    let authority = format!("client_ca_file = \"{}\"\n", data("ca.pem").display());
    let service = Service::start(&server, &tls(&authority));
    let pair = |name: &str| {
        let pem = [
            read(&format!("{name}.pem")),
            read(&format!("{name}-key.pem")),
        ]
        .concat();
        Identity::from_pem(&pem).unwrap()
    };
    let known = over(&service, trusting().identity(pair("client")));
    assert_eq!(known.get("/debug/healthz").await.status, 200);
    let none = over(&service, trusting());
    assert!(
        try_answer(none.request(Method::GET, "/debug/healthz"))
            .await
            .is_err()
    );
    let stranger = over(&service, trusting().identity(pair("stranger")));
    assert!(
        try_answer(stranger.request(Method::GET, "/debug/healthz"))
            .await
            .is_err()
    );
}

#[test]
fn certificates_that_cannot_be_used_stop_the_start_by_name() {
    for (certificate, key) in [
        ("no-such-file.pem", "server-key.pem"),
        ("server-key.pem", "server-key.pem"),
        ("server.pem", "client-key.pem"),
    ] {
        let (certificate, key) = (data(certificate), data(key));
        let (certificate, key) = (certificate.display(), key.display());
        let tls = format!("[http.tls]\ncert_file = \"{certificate}\"\nkey_file = \"{key}\"\n");
        // Each with a bus of its own: the stream of another store would stop it as well.
        let server = NatsServer::start(ServerOptions::default());
        let mut service = Service::prepared(&server, &format!("{LISTEN}{tls}"));
        assert!(!service.start_and_end().success(), "{certificate} {key}");
        let log = service.log();
        assert!(log.contains(".pem") || log.contains("http.tls"), "{log}");
        assert!(!log.contains("PRIVATE KEY"), "{log}");
    }
}
