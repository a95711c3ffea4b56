//! Discovery as tools see it: the answers validate against the schemas of ADR-32 and count.

use async_nats::Client;
use futures::StreamExt;
use jsonschema::Validator;
use profile_messages::subject::Operation;
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use serde_json::Value;
use tokio::time::timeout;

use crate::edge::{FakeFunnel, UNKNOWN, WAIT_MAX, ask, json, options, start};

fn validator(verb: &str) -> Validator {
    let schema = match verb {
        "PING" => include_str!("../data/micro/ping_response.json"),
        "INFO" => include_str!("../data/micro/info_response.json"),
        _ => include_str!("../data/micro/stats_response.json"),
    };
    jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap()
}

async fn discover(client: &Client, verb: &str, tail: &str) -> Value {
    let answer = json(&ask(client, &format!("$SRV.{verb}{tail}"), "").await);
    let errors: Vec<String> = validator(verb)
        .iter_errors(&answer)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{verb}: {errors:?}");
    answer
}

#[tokio::test]
async fn all_nine_subjects_answer_what_the_schemas_ask_for() {
    let server = NatsServer::start(ServerOptions::default());
    let _edge = start(options(&server), &FakeFunnel::new(1)).await;
    let requester = server.connect(NatsUser::Requester).await;
    let id = discover(&requester, "PING", "").await["id"].clone();
    let own = format!(".profile.{}", id.as_str().unwrap());
    for verb in ["PING", "INFO", "STATS"] {
        for tail in ["", ".profile", &own] {
            let answer = discover(&requester, verb, tail).await;
            assert_eq!(answer["id"], id, "{verb}{tail}");
            assert_eq!(answer["metadata"]["store"], "s-1", "{verb}{tail}");
        }
    }
}

#[tokio::test]
async fn every_instance_answers() {
    let server = NatsServer::start(ServerOptions::default());
    let _one = start(options(&server), &FakeFunnel::new(1)).await;
    let _two = start(options(&server), &FakeFunnel::new(1)).await;
    let requester = server.connect(NatsUser::Requester).await;
    let inbox = requester.new_inbox();
    let answers = requester.subscribe(inbox.clone()).await.unwrap();
    let ping = requester.publish_with_reply("$SRV.PING.profile", inbox, "".into());
    ping.await.unwrap();
    let both: Vec<_> = timeout(WAIT_MAX, answers.take(2).collect()).await.unwrap();
    assert_ne!(json(&both[0])["id"], json(&both[1])["id"]);
}

#[tokio::test]
async fn an_endpoint_is_an_operation_with_a_subject_that_can_be_called_as_it_stands() {
    let server = NatsServer::start(ServerOptions::default());
    let _edge = start(options(&server), &FakeFunnel::new(1)).await;
    let requester = server.connect(NatsUser::Requester).await;
    let info = discover(&requester, "INFO", "").await;
    let endpoints = info["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), Operation::ALL.len());
    for (endpoint, operation) in endpoints.iter().zip(Operation::ALL) {
        let subject = endpoint["subject"].as_str().unwrap();
        assert_eq!(subject, operation.subject());
        assert_eq!(endpoint["queue_group"], "q");
        let metadata = &endpoint["metadata"];
        let per_user = metadata["subject.user"].as_str();
        assert_eq!(per_user.is_some(), operation.has_user_form(), "{subject}");
        for schema in ["schema.request", "schema.response"] {
            let schema: Value = serde_json::from_str(metadata[schema].as_str().unwrap()).unwrap();
            jsonschema::validator_for(&schema).unwrap();
        }
        // The answer is what the announced schema says.
        let schema = metadata["schema.response"].as_str().unwrap();
        let answer = json(&ask(&requester, subject, "").await);
        let schema: Value = serde_json::from_str(schema).unwrap();
        assert!(
            jsonschema::is_valid(&schema, &answer),
            "{subject}: {answer}"
        );
    }
}

#[tokio::test]
async fn the_numbers_count_requests_errors_and_time() {
    let server = NatsServer::start(ServerOptions::default());
    let edge = start(options(&server), &FakeFunnel::new(1)).await;
    let requester = server.connect(NatsUser::Requester).await;
    for user in ["u-1", "u-2", UNKNOWN] {
        ask(&requester, &format!("profile.v1.user.{user}.get"), "").await;
    }
    let stats = discover(&requester, "STATS", ".profile").await;
    let of = |name: &str| {
        let endpoints = stats["endpoints"].as_array().unwrap();
        endpoints
            .iter()
            .find(|one| one["name"] == name)
            .unwrap()
            .clone()
    };
    let get = of("get");
    assert_eq!(
        (&get["num_requests"], &get["num_errors"]),
        (&3.into(), &1.into())
    );
    assert_eq!(get["last_error"], "404:NOT_FOUND");
    let time = get["processing_time"].as_u64().unwrap();
    assert!(time > 0);
    assert_eq!(get["average_processing_time"], time / 3);
    assert_eq!(of("me-update")["num_requests"], 0);
    assert_eq!(edge.counters().discovery_read.get(), 1);
}

#[tokio::test]
async fn discovery_obeys_the_reply_rule_and_the_prefix() {
    let server = NatsServer::start(ServerOptions::open());
    let mut options = options(&server);
    options.micro.prefix = "team-a.srv".to_owned();
    let edge = start(options, &FakeFunnel::new(1)).await;
    let client = server.connect_open().await;
    let mut events = client.subscribe("profile-event.>").await.unwrap();
    for reply in ["profile-event.v1.o.u.changed", "$JS.API.INFO"] {
        let request = client.publish_with_reply("team-a.srv.PING", reply, "".into());
        request.await.unwrap();
    }
    client.publish("team-a.srv.PING", "".into()).await.unwrap();
    let answer = ask(&client, "team-a.srv.PING.profile", "").await;
    assert_eq!(json(&answer)["name"], "profile");
    client
        .publish("profile-event.fence", "".into())
        .await
        .unwrap();
    let first = timeout(WAIT_MAX, events.next()).await.unwrap().unwrap();
    assert_eq!(first.subject.as_str(), "profile-event.fence");
    assert_eq!(edge.counters().discovery_dropped.get(), 3);
}

#[tokio::test]
async fn a_drained_instance_is_not_found() {
    let server = NatsServer::start(ServerOptions::default());
    let edge = start(options(&server), &FakeFunnel::new(1)).await;
    let requester = server.connect(NatsUser::Requester).await;
    discover(&requester, "PING", "").await;
    edge.drain(WAIT_MAX).await;
    for subject in ["$SRV.PING", "profile.v1.get"] {
        let error = requester.request(subject, "".into()).await.unwrap_err();
        assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders);
    }
}
