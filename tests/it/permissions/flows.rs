//! What must work, end to end: a command with its answer, discovery, an event with its ack.

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::{self, stream};
use futures::FutureExt;

use super::*;

#[tokio::test]
async fn a_command_is_taken_by_the_ingress_and_answered_by_the_egress() {
    let server = NatsServer::start(ServerOptions::default());
    let mut ingress = server.connect_with_events(Ingress).await;
    let queue = "q".to_owned();
    let mut commands = ingress
        .client
        .queue_subscribe("profile.v1.>", queue)
        .await
        .unwrap();
    settle(&mut ingress).await;

    let egress = server.connect(Egress).await;
    let requester = server.connect(Requester).await;
    let answering = async {
        let command = timeout(WAIT_MAX, commands.next()).await.unwrap().unwrap();
        egress
            .publish(command.reply.unwrap(), "done".into())
            .await
            .unwrap();
    };
    let asking = requester.request("profile.v1.user.user1.update", "{}".into());
    let (answer, ()) = futures::join!(asking, answering);
    assert_eq!(answer.unwrap().payload, "done");
}

#[tokio::test]
async fn discovery_is_heard_by_the_ingress_and_answered_by_the_egress() {
    let server = NatsServer::start(ServerOptions::default());
    let mut ingress = server.connect_with_events(Ingress).await;
    let egress = server.connect(Egress).await;
    let mut pings = ingress.client.subscribe("$SRV.PING").await.unwrap();
    settle(&mut ingress).await;

    let requester = server.connect(Requester).await;
    let answering = async {
        let ping = timeout(WAIT_MAX, pings.next()).await.unwrap().unwrap();
        egress
            .publish(ping.reply.unwrap(), "pong".into())
            .await
            .unwrap();
    };
    let (answer, ()) = futures::join!(requester.request("$SRV.PING", "".into()), answering);
    assert_eq!(answer.unwrap().payload, "pong");
}

/// The two forms of `$JS.ACK` subjects: servers from 2.14 on know both, and the default will change.
#[tokio::test]
async fn an_event_is_stored_consumed_and_acknowledged() {
    let version = consume_one_event("").await;
    if version >= (2, 14) {
        for form in ["true", "false"] {
            consume_one_event(&format!("feature_flags {{ js_ack_fc_v2: {form} }}")).await;
        }
    }
}

async fn consume_one_event(extra_config: &str) -> (u32, u32) {
    let options = ServerOptions {
        extra_config: extra_config.to_owned(),
        ..Default::default()
    };
    let server = NatsServer::start(options);
    let egress = jetstream::new(server.connect(Egress).await);
    let stream = egress.create_stream(events_stream()).await.unwrap();
    let subject = "profile-event.v1.org1.user1.changed";
    egress
        .publish(subject, "event".into())
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!(stream.get_raw_message(1).await.unwrap().payload, "event");

    let consumer = jetstream::new(server.connect(Consumer).await);
    let stream_of_consumer = consumer.get_stream("PROFILE_EVENTS").await.unwrap();
    let durable = pull::Config {
        durable_name: Some("reader".to_owned()),
        ..Default::default()
    };
    let mut durable = stream_of_consumer.create_consumer(durable).await.unwrap();
    let mut messages = durable.messages().await.unwrap();
    let message = timeout(WAIT_MAX, messages.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(message.payload, "event");
    message.double_ack().await.unwrap();
    assert_eq!(durable.info().await.unwrap().num_ack_pending, 0);

    // Erasing a removed user's event is the service's alone.
    assert!(stream.delete_message(1).await.unwrap());
    server.version()
}

/// A push consumer makes the server itself publish: it must not reach the events either.
#[tokio::test]
async fn a_consumer_cannot_have_the_server_forge_an_event() {
    let server = NatsServer::start(ServerOptions::default());
    let egress = jetstream::new(server.connect(Egress).await);
    egress.create_stream(events_stream()).await.unwrap();
    let forger = jetstream::consumer::push::Config {
        durable_name: Some("forger".to_owned()),
        deliver_subject: "profile-event.v1.org1.user2.removed".to_owned(),
        ..Default::default()
    };
    let consumer = jetstream::new(server.connect(Consumer).await);
    let stream = consumer.get_stream("PROFILE_EVENTS").await.unwrap();
    assert!(stream.create_consumer(forger).await.is_err());
}

#[tokio::test]
async fn an_event_reaches_a_plain_subscriber_and_no_requester() {
    let server = NatsServer::start(ServerOptions::default());
    let mut spy = server.connect_with_events(Requester).await;
    let mut overheard = spy.client.subscribe("profile-event.v1.>").await.unwrap();
    assert!(next_denial(&mut spy).await.contains("profile-event.v1.>"));
    let mut consumer = server.connect_with_events(Consumer).await;
    let mut events = consumer
        .client
        .subscribe("profile-event.v1.org1.>")
        .await
        .unwrap();
    settle(&mut consumer).await;

    let egress = server.connect(Egress).await;
    egress
        .publish("profile-event.v1.org1.user1.created", "event".into())
        .await
        .unwrap();
    let event = timeout(WAIT_MAX, events.next()).await.unwrap().unwrap();
    assert_eq!(event.payload, "event");
    assert!(overheard.next().now_or_never().is_none());
}

pub(super) fn events_stream() -> stream::Config {
    stream::Config {
        name: "PROFILE_EVENTS".to_owned(),
        subjects: vec!["profile-event.v1.>".to_owned()],
        allow_direct: true,
        ..Default::default()
    }
}
