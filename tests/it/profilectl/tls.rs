//! `profilectl` on a bus with TLS, with certificates that are checked in (`tests/data/tls/README.md`).

use std::path::PathBuf;
use std::process::Output;

use profile_tests::caller::{Identity, token};
use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::repository;
use profile_tests::service::Service;

use super::{command, text};

const CREATE: [&str; 9] = [
    "create",
    "--user-id=gigi",
    "--user-name=gigi",
    "--first-name=Gigi",
    "--last-name=Giraffe",
    "--email=gigi@zoo.example",
    "--timeout=2s",
    "--idempotency-key=once",
    "--json",
];

fn data(name: &str) -> String {
    let file: PathBuf = repository::root().join("tests/data/tls").join(name);
    file.display().to_string()
}

fn options(names: &[(&str, &str)]) -> Vec<String> {
    let option = |(name, file): &(&str, &str)| format!("--{name}={}", data(file));
    names.iter().map(option).collect()
}

/// A bus that shows a certificate and wants to see one.
fn server() -> NatsServer {
    let tls = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        data("server.pem"),
        data("server-key.pem"),
        data("ca.pem"),
    );
    NatsServer::start(ServerOptions {
        extra_config: tls,
        ..ServerOptions::default()
    })
}

#[tokio::test]
async fn a_certificate_of_a_known_authority_opens_the_bus_and_nothing_else_does() {
    let server = server();
    let nats = format!(
        "tls = {{ ca_file = \"{}\", cert_file = \"{}\", key_file = \"{}\" }}",
        data("ca.pem"),
        data("client.pem"),
        data("client-key.pem"),
    );
    let mut service = Service::prepared_at(&server.url(), &nats, "");
    service.start_again();
    let token = token(&service, &Identity::owner("zoo"));
    let run = |files: &[(&str, &str)]| -> Output {
        let mut command = command(&server, &token);
        command.args(CREATE).args(options(files));
        command.output().expect("profilectl can be started")
    };
    let ours = [
        ("ca-file", "ca.pem"),
        ("cert-file", "client.pem"),
        ("key-file", "client-key.pem"),
    ];
    let [ca, cert, key] = ours;

    let strange = [
        ("cert-file", "stranger.pem"),
        ("key-file", "stranger-key.pem"),
    ];
    let [strange_cert, strange_key] = strange;
    for files in [
        &[][..],
        &[ca][..],
        &[cert, key][..],
        &[ca, strange_cert, strange_key][..],
        &[("ca-file", "stranger.pem"), cert, key][..],
    ] {
        let refused = run(files);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(10), "{files:?}: {said}");
    }
    let missing = run(&[("ca-file", "nothing.pem")]);
    assert_eq!(missing.status.code(), Some(2), "{}", text(&missing.stderr));

    let created = run(&ours);
    assert!(created.status.success(), "{}", text(&created.stderr));
    assert!(text(&created.stdout).contains("\"userId\":\"gigi\""));
}

#[tokio::test]
async fn whoever_names_an_authority_is_not_talked_out_of_tls() {
    let server = NatsServer::start(ServerOptions::default());
    let service = Service::start(&server, "");
    let token = token(&service, &Identity::owner("zoo"));
    let mut command = command(&server, &token);
    command.args(CREATE).args(options(&[("ca-file", "ca.pem")]));
    let refused = command.output().expect("profilectl can be started");
    assert_eq!(refused.status.code(), Some(10), "{}", text(&refused.stderr));
}
