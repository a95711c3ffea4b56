//! `profilectl doctor` against planted faults: each is found by its name, and a sound installation has none.

mod planted;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::service::Service;
use serde_json::{Value, json};

/// Names of what is wrong; what could not be looked at is not.
fn wrong(service: &Service, nats_monitor: Option<&str>) -> Vec<String> {
    let findings = service.doctor(nats_monitor);
    for finding in &findings {
        let mend = finding["mend"].as_str().unwrap_or_default();
        assert!(mend.len() > 10, "no advice: {finding}");
    }
    let wrong = findings.iter().filter(|it| it["severity"] != "unchecked");
    wrong
        .map(|it| it["check"].as_str().expect("a name").to_owned())
        .collect()
}

/// As an operator keeps it: only the owner reads it.
fn private(service: Service) -> Service {
    let file = service.folder().join("profiled.toml");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("our own file");
    service
}

fn prepared(server: &NatsServer, extra: &str) -> Service {
    private(Service::prepared(server, extra))
}

/// With this text of the configuration replaced.
fn altered(service: Service, text: &str, instead: &str) -> Service {
    let file = service.folder().join("profiled.toml");
    let config = fs::read_to_string(&file).expect("our own file");
    assert!(config.contains(text), "{text} is in the configuration");
    fs::write(&file, config.replace(text, instead)).expect("our own file");
    service
}

#[tokio::test]
async fn a_sound_installation_has_nothing_wrong_running_or_not() {
    let server = NatsServer::start(ServerOptions::default());
    let mut service = prepared(&server, "");
    let monitor = server.monitoring_url();
    assert_eq!(wrong(&service, Some(&monitor)), [""; 0]);
    service.start_again();
    assert_eq!(wrong(&service, Some(&monitor)), [""; 0]);
    let unchecked = service.doctor(None);
    assert_eq!(unchecked.len(), 2, "{unchecked:?}");
    assert!(unchecked.iter().all(|it| it["severity"] == "unchecked"));
}

#[tokio::test]
async fn what_is_wrong_with_the_configuration_is_found() {
    let server = NatsServer::start(ServerOptions::default());
    let unknown = prepared(&server, "[log]\nsegment_byte = 1\n");
    assert_eq!(wrong(&unknown, None), ["config"]);
    let nobody = private(Service::prepared_without_issuer(&server));
    assert_eq!(wrong(&nobody, None), ["config"]);
    let keyless = prepared(&server, "");
    fs::remove_file(keyless.folder().join("keys").join("jwks.json")).expect("the key set");
    assert_eq!(wrong(&keyless, None), ["token-keys"]);
    let insecure = altered(
        prepared(&server, ""),
        "data_dir",
        "dev_insecure = true\ndata_dir",
    );
    assert_eq!(wrong(&insecure, None), ["dev-keys"]);
    let open = prepared(
        &server,
        "[http]\nlisten = \"0.0.0.0:8080\"\n[monitoring]\nlisten = \"0.0.0.0:9464\"\n",
    );
    assert_eq!(wrong(&open, None), ["http-tls", "monitoring-exposed"]);
    let public = Service::prepared(&server, "");
    let file = public.folder().join("profiled.toml");
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("our own file");
    assert_eq!(wrong(&public, None), ["config-file-access"]);
}

#[tokio::test]
async fn what_is_wrong_with_the_data_directory_is_found() {
    let server = NatsServer::start(ServerOptions::default());
    let mut service = prepared(&server, "");
    service.start_again();
    assert!(service.stop().success());
    let data = service.data_dir();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("our own folder");
    assert_eq!(wrong(&service, None), ["data-dir-access"]);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("our own folder");
    fs::write(data.join("STORE"), "not a store").expect("our own folder");
    let found = wrong(&service, None);
    assert!(found.contains(&"data-dir-store".to_owned()), "{found:?}");
    fs::remove_dir_all(&data).expect("our own folder");
    fs::write(&data, "a file").expect("our own folder");
    let found = wrong(&service, None);
    assert!(found.contains(&"data-dir".to_owned()), "{found:?}");
}

#[tokio::test]
async fn what_is_wrong_with_the_bus_is_found() {
    let mut server = NatsServer::start(ServerOptions::default());
    let service = prepared(&server, "");
    let other = altered(prepared(&server, ""), "password-of-ingress", "another-one");
    assert_eq!(wrong(&other, None), ["nats-login"]);
    server.stop();
    assert_eq!(wrong(&service, None), ["nats-reach"]);

    let without_jetstream = NatsServer::start(ServerOptions {
        extra_config: "jetstream: disabled".to_owned(),
        ..ServerOptions::default()
    });
    assert_eq!(
        wrong(&prepared(&without_jetstream, ""), None),
        ["jetstream"]
    );

    let nowhere = NatsServer::start(ServerOptions {
        replaced: vec![("profile.v1.> q", "orders.> q".to_owned())],
        ..ServerOptions::default()
    });
    assert_eq!(wrong(&prepared(&nowhere, ""), None), ["ingress-requests"]);

    let mute = NatsServer::start(ServerOptions {
        without_permission: Some("_R_.>".to_owned()),
        ..ServerOptions::default()
    });
    assert_eq!(wrong(&prepared(&mute, ""), None), ["egress-answers"]);

    let generous = NatsServer::start(ServerOptions::open());
    let found = wrong(&prepared(&generous, ""), None);
    assert_eq!(found, ["ingress-too-much", "egress-too-much"]);
}

#[tokio::test]
async fn what_is_wrong_with_the_event_stream_is_found() {
    let server = NatsServer::start(ServerOptions::default());
    let _first = Service::start(&server, "");
    assert_eq!(wrong(&prepared(&server, ""), None), ["event-stream-owner"]);

    let server = NatsServer::start(ServerOptions {
        replaced: vec![("sync_interval: \"1s\"", String::new())],
        ..ServerOptions::default()
    });
    let service = private(Service::start(&server, ""));
    assert_eq!(
        wrong(&service, Some(&server.monitoring_url())),
        ["sync-interval"]
    );
    assert_eq!(
        wrong(&service, Some("http://127.0.0.1:1")),
        ["nats-monitor"]
    );
    keep_for_ever(&server).await;
    assert_eq!(wrong(&service, None), ["event-stream-delete"]);
}

/// Makes the stream one from which nothing can be deleted.
async fn keep_for_ever(server: &NatsServer) {
    let egress = server
        .connect(profile_tests::nats_server::NatsUser::Egress)
        .await;
    let ask = async |call: &str, body: Value| -> Value {
        let subject = format!("$JS.API.STREAM.{call}.PROFILE_EVENTS");
        let answer = egress
            .request(subject, body.to_string().into())
            .await
            .expect("JetStream");
        serde_json::from_slice(&answer.payload).expect("JSON")
    };
    let mut config = ask("INFO", json!({})).await["config"].take();
    config["deny_delete"] = json!(true);
    let updated = ask("UPDATE", config).await;
    assert_eq!(updated["config"]["deny_delete"], true, "{updated}");
}
