//! `config/nats-consumer-of-one-org.conf`: a reader that never sees another organization's events.

use std::fs;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, Context};
use profile_tests::nats_server::NatsUser::ConsumerOrg1;
use profile_tests::repository;
use serde_json::{Value, json};

use super::flows::events_stream;
use super::*;

const NAME: &str = "consumer_org1";
const CREATE: &str = "$JS.API.CONSUMER.CREATE.PROFILE_EVENTS.consumer_org1.profile-event.v1.org1.>";

const CONSUMER_ORG1: &[(Attempt, Verdict)] = &[
    (Subscribe("profile-event.v1.org1.>"), Allowed),
    (Subscribe("_INBOX.consumer_org1.x"), Allowed),
    (Publish("profile.v1.replay"), Allowed),
    (Publish(CREATE), Allowed),
    (
        Publish("$JS.API.CONSUMER.INFO.PROFILE_EVENTS.consumer_org1"),
        Allowed,
    ),
    (
        Publish("$JS.API.CONSUMER.MSG.NEXT.PROFILE_EVENTS.consumer_org1"),
        Allowed,
    ),
    (
        Publish("$JS.ACK.PROFILE_EVENTS.consumer_org1.1.1.1.1.0"),
        Allowed,
    ),
    (
        Publish("$JS.ACK._.ACCOUNT.PROFILE_EVENTS.consumer_org1.1.1.1.1.0"),
        Allowed,
    ),
    (Subscribe("profile-event.v1.>"), Denied),
    (Subscribe("profile-event.v1.*.*.changed"), Denied),
    (Subscribe("profile-event.v1.org2.>"), Denied),
    (Subscribe("_INBOX.consumer.x"), Denied),
    (Subscribe("_INBOX.>"), Denied),
    (
        Publish("$JS.API.CONSUMER.MSG.NEXT.PROFILE_EVENTS.reader"),
        Denied,
    ),
    (
        Publish("$JS.API.CONSUMER.INFO.PROFILE_EVENTS.reader"),
        Denied,
    ),
    (Publish("$JS.ACK.PROFILE_EVENTS.reader.1.1.1.1.0"), Denied),
    (
        Publish("$JS.ACK._.ACCOUNT.PROFILE_EVENTS.reader.1.1.1.1.0"),
        Denied,
    ),
    (Publish("$JS.API.CONSUMER.CREATE.PROFILE_EVENTS"), Denied),
    (
        Publish("$JS.API.CONSUMER.CREATE.PROFILE_EVENTS.consumer_org1"),
        Denied,
    ),
    (
        Publish("$JS.API.CONSUMER.CREATE.PROFILE_EVENTS.reader.profile-event.v1.org1.>"),
        Denied,
    ),
    (
        Publish("$JS.API.CONSUMER.CREATE.PROFILE_EVENTS.consumer_org1.profile-event.v1.>"),
        Denied,
    ),
    (
        Publish("$JS.API.CONSUMER.DURABLE.CREATE.PROFILE_EVENTS.consumer_org1"),
        Denied,
    ),
    (Publish("$JS.API.CONSUMER.NAMES.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.CONSUMER.LIST.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.STREAM.INFO.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.STREAM.MSG.GET.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.DIRECT.GET.PROFILE_EVENTS"), Denied),
    (Publish("profile.v1.update"), Denied),
    (Publish("profile-event.v1.org1.user1.changed"), Denied),
];

fn start_with_example() -> NatsServer {
    let file = repository::file("config/nats-consumer-of-one-org.conf");
    NatsServer::start(ServerOptions {
        extra_users: fs::read_to_string(file).expect("the example"),
        ..ServerOptions::default()
    })
}

#[tokio::test]
async fn a_reader_of_one_organization_may_do_what_it_needs_and_nothing_else() {
    let server = start_with_example();
    let mut connection = server.connect_with_events(ConsumerOrg1).await;
    for (attempt, expected) in CONSUMER_ORG1 {
        let verdict = verdict(&mut connection, *attempt).await;
        assert_eq!(verdict, *expected, "{attempt:?}");
    }
}

/// Events of two organizations in turn, and a durable of another user that reads all of them.
async fn two_organizations(server: &NatsServer) -> Context {
    let egress = jetstream::new(server.connect(Egress).await);
    egress.create_stream(events_stream()).await.unwrap();
    for n in 0..5 {
        for org in ["org1", "org2"] {
            let subject = format!("profile-event.v1.{org}.user{n}.created");
            let sent = egress.publish(subject, org.into()).await.unwrap();
            sent.await.unwrap();
        }
    }
    let consumer = jetstream::new(server.connect(Consumer).await);
    let stream = consumer.get_stream("PROFILE_EVENTS").await.unwrap();
    let reader = pull::Config {
        durable_name: Some("reader".to_owned()),
        ..Default::default()
    };
    stream.create_consumer(reader).await.unwrap();
    egress
}

#[tokio::test]
async fn a_reader_of_one_organization_gets_its_events_and_no_others() {
    let server = start_with_example();
    two_organizations(&server).await;
    let jetstream = jetstream::new(server.connect(ConsumerOrg1).await);
    let stream = jetstream
        .get_stream_no_info("PROFILE_EVENTS")
        .await
        .unwrap();
    let config = pull::Config {
        durable_name: Some(NAME.to_owned()),
        filter_subject: "profile-event.v1.org1.>".to_owned(),
        ack_policy: AckPolicy::Explicit,
        ..Default::default()
    };
    let mut durable = stream.create_consumer(config).await.unwrap();
    let mut messages = durable.messages().await.unwrap();
    for n in 0..5 {
        let message = timeout(WAIT_MAX, messages.next()).await.unwrap();
        let message = message.unwrap().unwrap();
        let subject = format!("profile-event.v1.org1.user{n}.created");
        assert_eq!(message.subject.as_str(), subject);
        message.double_ack().await.unwrap();
    }
    let info = durable.info().await.unwrap();
    assert_eq!((info.num_pending, info.num_ack_pending), (0, 0));
}

/// The subject is allowed, the body asks for more: the server holds the two against each other.
#[tokio::test]
async fn a_body_cannot_widen_what_the_subject_allows() {
    let server = start_with_example();
    two_organizations(&server).await;
    let client = server.connect(ConsumerOrg1).await;
    let ours = "profile-event.v1.org1.>";
    for config in [
        json!({ "filter_subject": "profile-event.v1.>" }),
        json!({ "filter_subjects": [ours, "profile-event.v1.org2.>"] }),
        json!({ "filter_subject": ours, "filter_subjects": [ours, "profile-event.v1.org2.>"] }),
        json!({}),
        json!({ "filter_subject": ours, "name": "reader", "durable_name": "reader" }),
    ] {
        let mut config = config;
        config["ack_policy"] = json!("explicit");
        if config["name"].is_null() {
            config["name"] = json!(NAME);
            config["durable_name"] = json!(NAME);
        }
        let body = json!({ "stream_name": "PROFILE_EVENTS", "config": config });
        let answer = client.request(CREATE, body.to_string().into());
        let answer = timeout(WAIT_MAX, answer).await.unwrap().unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(answer["error"].is_object(), "{config} gave {answer}");
    }
}

/// What the example must not have: the wildcard for the name gave away everybody's events.
#[tokio::test]
async fn another_readers_messages_cannot_be_asked_for() {
    let server = start_with_example();
    two_organizations(&server).await;
    let mut connection = server.connect_with_events(ConsumerOrg1).await;
    let mut inbox = connection
        .client
        .subscribe("_INBOX.consumer_org1.stolen")
        .await
        .unwrap();
    let next = "$JS.API.CONSUMER.MSG.NEXT.PROFILE_EVENTS.reader";
    let sent =
        connection
            .client
            .publish_with_reply(next, "_INBOX.consumer_org1.stolen", "5".into());
    sent.await.unwrap();
    assert!(next_denial(&mut connection).await.contains("MSG.NEXT"));
    settle(&mut connection).await;
    assert!(futures::FutureExt::now_or_never(inbox.next()).is_none());
}
