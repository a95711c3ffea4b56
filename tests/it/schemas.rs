//! The JSON Schemas against the types that really read and write the bodies, and against what the running
//! service sends; and the documents that it serves.

use futures::StreamExt as _;
use jsonschema::Validator;
use profile_messages::event::CONTENT_TYPE;
use profile_messages::schema;
use profile_messages::subject::{EVENTS, Operation};
use profile_tests::caller::{Caller, Identity, new_user};
use profile_tests::http_client::HttpClient;
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use profile_tests::service::Service;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::edge::WAIT_MAX;

fn validator(schema: &str) -> Validator {
    jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap()
}

fn is_request(operation: Operation, body: &Value) -> bool {
    validator(&schema::request(operation)).is_valid(body)
}

#[test]
fn example_requests_validate() {
    let names = json!({"firstName": "A", "lastName": "B", "displayName": "A B"});
    let create = json!({"userName": "a", "profile": names, "email": {"email": "a@b.c"}});
    for operation in Operation::ALL {
        let body = match operation {
            Operation::Create => create.clone(),
            Operation::Update => json!({"firstName": "A", "lastName": "B"}),
            Operation::MeUpdate => names.clone(),
            Operation::Patch | Operation::MePatch => json!({"nickName": null, "gender": 1}),
            Operation::MeGet | Operation::Get => json!({"minVersion": "7"}),
            Operation::MeHistory | Operation::History => json!({"limit": 10}),
            Operation::List => json!({"prefix": "a", "limit": "10"}),
            Operation::Replay => json!({"after": "0"}),
            Operation::Remove => json!({"userId": "u"}),
        };
        assert!(is_request(operation, &body), "{operation:?}");
    }
}

#[test]
fn bodies_over_a_limit_or_of_a_wrong_type_do_not() {
    let long = "x".repeat(201);
    for (operation, body) in [
        (Operation::Create, json!({"userName": "a"})),
        (
            Operation::MeUpdate,
            json!({"firstName": "A", "lastName": "B"}),
        ),
        (Operation::Patch, json!({"displayName": long})),
        (Operation::Patch, json!({"firstName": null})),
        (Operation::Get, json!({"minVersion": "x"})),
        (Operation::List, json!({"limit": 1001})),
        (Operation::Remove, json!([])),
    ] {
        assert!(!is_request(operation, &body), "{operation:?} {body}");
    }
}

#[tokio::test]
async fn every_published_event_is_of_the_event_schema_whatever_it_carries() {
    let event = validator(schema::EVENT);
    let document: Value = serde_json::from_str(schema::ASYNCAPI).unwrap();
    let headers = &document["components"]["schemas"]["eventHeaders"];
    let headers = validator(&headers.to_string());
    for payload in ["names", "changed", "full"] {
        let server = NatsServer::start(ServerOptions::default());
        let service = Service::start(&server, &format!("[events]\npayload = \"{payload}\"\n"));
        let consumer = server.connect(NatsUser::Consumer).await;
        let mut events = consumer.subscribe(EVENTS).await.unwrap();
        consumer.flush().await.unwrap();
        let owner = Caller::connect(&server, &service, &Identity::owner("zoo")).await;
        owner.call("create", new_user("u")).await.ok();
        let patch = json!({"nickName": "Gi", "preferredLanguage": "de"});
        owner.call("user.u.patch", patch).await.ok();
        owner.call("user.u.remove", json!({})).await.ok();
        for kind in ["created", "changed", "removed"] {
            let message = timeout(WAIT_MAX, events.next()).await.unwrap().unwrap();
            let told = || String::from_utf8_lossy(&message.payload).into_owned();
            assert_eq!(
                message.subject.as_str(),
                format!("profile-event.v1.zoo.u.{kind}")
            );
            let body: Value = serde_json::from_slice(&message.payload).unwrap();
            let judged = event.validate(&body).map_err(|error| error.to_string());
            assert_eq!(judged, Ok(()), "{payload}: {}", told());
            let sent = message.headers.as_ref().unwrap();
            let sent: Map<String, Value> = sent
                .iter()
                .map(|(name, values)| (name.to_string(), json!(values[0].as_str())))
                .collect();
            assert_eq!(sent["Content-Type"], CONTENT_TYPE);
            assert!(headers.is_valid(&Value::Object(sent)), "{payload} {kind}");
        }
    }
}

#[tokio::test]
async fn every_answer_of_the_service_is_of_its_schema_errors_too() {
    let server = NatsServer::start(ServerOptions::default());
    let service = Service::start(&server, "");
    let owner = Caller::connect(&server, &service, &Identity::owner("zoo")).await;
    let own = Caller::connect(&server, &service, &Identity::user("mia", "zoo")).await;
    let names = json!({"firstName": "M", "lastName": "M", "displayName": "M"});
    let auditor = Identity {
        roles: vec![("IAM_OWNER_VIEWER".to_owned(), "zoo".to_owned())],
        ..Identity::user("auditor", "zoo")
    };
    let auditor = Caller::connect(&server, &service, &auditor).await;
    for operation in Operation::ALL {
        let (caller, body) = match operation {
            Operation::Create => (&owner, new_user("mia")),
            Operation::Update => (
                &owner,
                json!({"userId": "mia", "firstName": "A", "lastName": "B"}),
            ),
            Operation::Patch => (&owner, json!({"userId": "mia", "nickName": "Mimi"})),
            Operation::MeUpdate => (&own, names.clone()),
            Operation::MePatch => (&own, json!({"nickName": "Mi"})),
            Operation::MeGet | Operation::MeHistory => (&own, json!({})),
            Operation::Get | Operation::History | Operation::Remove => {
                (&owner, json!({"userId": "mia"}))
            }
            Operation::List => (&owner, json!({})),
            Operation::Replay => (&auditor, json!({})),
        };
        let answer = caller.call(operation.name(), body).await.ok();
        let judged = validator(&schema::response(operation))
            .validate(&answer)
            .map_err(|it| it.to_string());
        assert_eq!(judged, Ok(()), "{operation:?}: {answer}");
        let stranger = owner.with("Authorization", "Bearer nonsense");
        let refused = stranger.call(operation.name(), json!({})).await;
        assert_eq!(refused.status, Some(401), "{operation:?}");
        assert!(
            validator(schema::ERROR).is_valid(&refused.body),
            "{}",
            refused.body
        );
    }
    let refused = owner.call("update", json!({"userId": "mia"})).await;
    assert_eq!(refused.status, Some(400));
    assert!(
        validator(schema::ERROR).is_valid(&refused.body),
        "{}",
        refused.body
    );
}

#[tokio::test]
async fn the_documents_are_served_without_a_token_and_the_page_under_a_strict_policy() {
    let server = NatsServer::start(ServerOptions::default());
    let service = Service::start(&server, "[http]\nlisten = \"127.0.0.1:0\"\n");
    let client = HttpClient::http1(service.http());
    for (path, content_type, text) in [
        ("/openapi.json", "application/json", schema::OPENAPI),
        ("/asyncapi.json", "application/json", schema::ASYNCAPI),
        ("/docs", "text/html; charset=utf-8", schema::PAGE),
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert!(answer.body == text, "{path} is not the checked-in file");
    }
    let page = client.get("/docs").await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
}
