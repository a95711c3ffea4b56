//! Who may do what on the bus: every line of `config/nats-server.conf`, tried on a real server.
//!
//! A verdict needs no waiting time: behind each attempt the same connection does something that is
//! surely denied, and the server reports denials in order. So the first one reported is either the
//! attempt's or the fence's.

use std::time::Duration;

use async_nats::{Event, ServerError};
use futures::StreamExt;
use profile_tests::nats_server::NatsUser::{Consumer, Egress, Ingress, Requester};
use profile_tests::nats_server::{Connection, NatsServer, NatsUser, ServerOptions};
use tokio::time::timeout;

mod flows;
mod nkeys;
mod one_org;

const WAIT_MAX: Duration = Duration::from_secs(10);
const FENCE: &str = "fence.that.nobody.may.publish";

#[derive(Clone, Copy, Debug)]
enum Attempt {
    Publish(&'static str),
    Subscribe(&'static str),
    /// Subject and queue group.
    Join(&'static str, &'static str),
}
use Attempt::{Join, Publish, Subscribe};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Allowed,
    Denied,
}
use Verdict::{Allowed, Denied};

/// Takes commands.
const INGRESS: &[(Attempt, Verdict)] = &[
    (Join("profile.v1.>", "q"), Allowed),
    (Join("profile.v1.update", "q"), Allowed),
    (Join("profile.v1.me.update", "q"), Allowed),
    (Join("profile.v1.user.*.update", "q"), Allowed),
    (Subscribe("$SRV.PING"), Allowed),
    (Subscribe("$SRV.INFO.profile"), Allowed),
    (Subscribe("$SRV.STATS.profile.id1"), Allowed),
    (Subscribe("_INBOX_profile_ingress.x"), Allowed),
    // Round trips to the server.
    (Publish("_INBOX_profile_ingress.x"), Allowed),
    // Out of the queue every instance would do every command.
    (Subscribe("profile.v1.>"), Denied),
    (Subscribe("profile.v1.update"), Denied),
    (Join("profile.v1.>", "other"), Denied),
    (Subscribe("profile-event.v1.>"), Denied),
    (Subscribe("_INBOX.>"), Denied),
    (Subscribe("_INBOX.requester.x"), Denied),
    (Subscribe("_INBOX_profile_egress.x"), Denied),
    (Subscribe(">"), Denied),
    (Publish("profile-event.v1.org1.user1.changed"), Denied),
    (Publish("profile.v1.update"), Denied),
    // Nothing to answer has come in on this connection.
    (Publish("_INBOX.requester.x"), Denied),
    (Publish("$JS.API.STREAM.INFO.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.STREAM.DELETE.PROFILE_EVENTS"), Denied),
    (Publish("$SRV.PING"), Denied),
];

/// Answers commands, publishes events.
const EGRESS: &[(Attempt, Verdict)] = &[
    (Publish("_INBOX.requester.x"), Allowed),
    (Publish("_R_.x"), Allowed),
    (Publish("profile-event.v1.org1.user1.created"), Allowed),
    (Publish("profile-event.v1.org1.user1.changed"), Allowed),
    (Publish("profile-event.v1.org1.user1.removed"), Allowed),
    (Publish("$JS.API.INFO"), Allowed),
    (Publish("$JS.API.STREAM.INFO.PROFILE_EVENTS"), Allowed),
    (Publish("$JS.API.STREAM.CREATE.PROFILE_EVENTS"), Allowed),
    (Publish("$JS.API.STREAM.UPDATE.PROFILE_EVENTS"), Allowed),
    (Publish("$JS.API.STREAM.MSG.GET.PROFILE_EVENTS"), Allowed),
    (Publish("$JS.API.STREAM.MSG.DELETE.PROFILE_EVENTS"), Allowed),
    (Publish("$JS.API.DIRECT.GET.PROFILE_EVENTS"), Allowed),
    (
        Publish("$JS.API.DIRECT.GET.PROFILE_EVENTS.profile-event.v1.o.u.changed"),
        Allowed,
    ),
    // Several nodes.
    (Publish("profile-log.0.user1"), Allowed),
    (Publish("$JS.API.STREAM.INFO.PROFILE_LOG_0"), Allowed),
    (Publish("$JS.API.STREAM.CREATE.PROFILE_LOG_0"), Allowed),
    (Publish("$JS.API.STREAM.UPDATE.PROFILE_LOG_0"), Allowed),
    (Publish("$JS.API.STREAM.MSG.GET.PROFILE_LOG_0"), Allowed),
    (Publish("$JS.API.STREAM.MSG.DELETE.PROFILE_LOG_0"), Allowed),
    (Publish("$JS.API.CONSUMER.CREATE.PROFILE_LOG_0"), Allowed),
    (Publish("$JS.API.CONSUMER.CREATE.PROFILE_LOG_0.c"), Allowed),
    (
        Publish("$JS.API.CONSUMER.MSG.NEXT.PROFILE_LOG_0.c"),
        Allowed,
    ),
    (Publish("$JS.API.CONSUMER.DELETE.PROFILE_LOG_0.c"), Allowed),
    (Publish("profile-cluster.store"), Allowed),
    (Publish("$JS.API.STREAM.INFO.PROFILE_CLUSTER"), Allowed),
    (Publish("$JS.API.STREAM.CREATE.PROFILE_CLUSTER"), Allowed),
    (Publish("$JS.API.STREAM.MSG.GET.PROFILE_CLUSTER"), Allowed),
    (Publish("$JS.API.STREAM.DELETE.PROFILE_LOG_0"), Denied),
    (Publish("$JS.API.STREAM.PURGE.PROFILE_LOG_0"), Denied),
    (Publish("$JS.API.STREAM.MSG.DELETE.PROFILE_CLUSTER"), Denied),
    (Subscribe("profile-log.>"), Denied),
    (Subscribe("profile-cluster.>"), Denied),
    (Subscribe("_INBOX_profile_egress.x"), Allowed),
    (Subscribe("profile.v1.>"), Denied),
    (Join("profile.v1.>", "q"), Denied),
    (Subscribe("profile-event.v1.>"), Denied),
    (Subscribe("$SRV.PING"), Denied),
    (Subscribe("_INBOX.>"), Denied),
    (Subscribe("_INBOX_profile_ingress.x"), Denied),
    (Subscribe(">"), Denied),
    (Publish("profile.v1.update"), Denied),
    (Publish("$JS.API.STREAM.DELETE.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.STREAM.PURGE.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.STREAM.CREATE.OTHER"), Denied),
    (Publish("$JS.API.STREAM.UPDATE.OTHER"), Denied),
    (Publish("$JS.API.STREAM.MSG.GET.OTHER"), Denied),
    (Publish("$JS.API.STREAM.MSG.DELETE.OTHER"), Denied),
    (Publish("$JS.API.CONSUMER.CREATE.PROFILE_EVENTS"), Denied),
    (Publish("$JS.ACK.PROFILE_EVENTS.c.1.1.1.1.0"), Denied),
    (Publish("_INBOX_profile_ingress.x"), Denied),
];

/// Sends commands and queries.
const REQUESTER: &[(Attempt, Verdict)] = &[
    (Publish("profile-log.0.user1"), Denied),
    (Publish("profile-cluster.store"), Denied),
    (Subscribe("profile-log.>"), Denied),
    (Publish("$JS.API.STREAM.MSG.GET.PROFILE_LOG_0"), Denied),
    (Publish("$JS.API.STREAM.MSG.GET.PROFILE_CLUSTER"), Denied),
    (Publish("profile.v1.create"), Allowed),
    (Publish("profile.v1.user.user1.update"), Allowed),
    (Publish("profile.v1.me.get"), Allowed),
    (Publish("$SRV.PING"), Allowed),
    (Publish("$SRV.INFO.profile"), Allowed),
    (Subscribe("_INBOX.requester.x"), Allowed),
    (Subscribe("_INBOX.requester.>"), Allowed),
    (Subscribe("_INBOX.>"), Denied),
    (Subscribe("_INBOX.*.*"), Denied),
    (Subscribe("_INBOX.consumer.x"), Denied),
    (Subscribe("_INBOX.other_requester.x"), Denied),
    (Subscribe("profile.v1.>"), Denied),
    (Join("profile.v1.>", "q"), Denied),
    (Join("profile.v1.update", "q"), Denied),
    (Subscribe("profile-event.v1.>"), Denied),
    (Subscribe("$SRV.PING"), Denied),
    (Subscribe(">"), Denied),
    (Publish("profile-event.v1.org1.user1.changed"), Denied),
    (Publish("_INBOX.consumer.x"), Denied),
    (Publish("$JS.API.INFO"), Denied),
    (Publish("$JS.API.STREAM.INFO.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.STREAM.DELETE.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.STREAM.MSG.DELETE.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.STREAM.CREATE.OTHER"), Denied),
];

/// Reads events.
const CONSUMER: &[(Attempt, Verdict)] = &[
    (Subscribe("profile-log.>"), Denied),
    (Publish("$JS.API.STREAM.MSG.GET.PROFILE_LOG_0"), Denied),
    (Publish("$JS.API.CONSUMER.CREATE.PROFILE_LOG_0.c"), Denied),
    (Publish("$JS.API.STREAM.MSG.GET.PROFILE_CLUSTER"), Denied),
    (Subscribe("profile-event.v1.>"), Allowed),
    (Subscribe("profile-event.v1.org1.*.changed"), Allowed),
    (Subscribe("_INBOX.consumer.x"), Allowed),
    (Publish("profile.v1.replay"), Allowed),
    (Publish("_INBOX.consumer.x"), Allowed),
    (Publish("_INBOX.requester.x"), Denied),
    (Publish("$JS.API.STREAM.INFO.PROFILE_EVENTS"), Allowed),
    (Publish("$JS.API.CONSUMER.CREATE.PROFILE_EVENTS"), Allowed),
    (Publish("$JS.API.CONSUMER.CREATE.PROFILE_EVENTS.c"), Allowed),
    (
        Publish("$JS.API.CONSUMER.CREATE.PROFILE_EVENTS.c.profile-event.v1.o.>"),
        Allowed,
    ),
    (
        Publish("$JS.API.CONSUMER.DURABLE.CREATE.PROFILE_EVENTS.c"),
        Allowed,
    ),
    (Publish("$JS.API.CONSUMER.INFO.PROFILE_EVENTS.c"), Allowed),
    (
        Publish("$JS.API.CONSUMER.MSG.NEXT.PROFILE_EVENTS.c"),
        Allowed,
    ),
    (Publish("$JS.ACK.PROFILE_EVENTS.c.1.1.1.1.0"), Allowed),
    (
        Publish("$JS.ACK._.ACCOUNT.PROFILE_EVENTS.c.1.1.1.1.0"),
        Allowed,
    ),
    (Publish("profile-event.v1.org1.user1.changed"), Denied),
    (Publish("profile.v1.update"), Denied),
    (Publish("profile.v1.user.user1.remove"), Denied),
    (Publish("$JS.API.STREAM.DELETE.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.STREAM.PURGE.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.STREAM.UPDATE.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.STREAM.MSG.DELETE.PROFILE_EVENTS"), Denied),
    (Publish("$JS.API.STREAM.CREATE.OTHER"), Denied),
    (Publish("$JS.API.CONSUMER.DELETE.PROFILE_EVENTS.c"), Denied),
    (Publish("$JS.API.CONSUMER.CREATE.OTHER.c"), Denied),
    (Publish("$JS.ACK.OTHER.c.1.1.1.1.0"), Denied),
    (Publish("$JS.ACK._.ACCOUNT.OTHER.c.1.1.1.1.0"), Denied),
    (Subscribe("profile.v1.>"), Denied),
    (Join("profile.v1.>", "q"), Denied),
    (Subscribe("_INBOX.>"), Denied),
    (Subscribe("_INBOX.requester.x"), Denied),
    (Subscribe("_INBOX_profile_egress.x"), Denied),
    (Subscribe(">"), Denied),
];

#[tokio::test]
async fn every_user_may_do_what_it_needs_and_nothing_else() {
    let server = NatsServer::start(ServerOptions::default());
    let mut wrong = Vec::new();
    for (user, cases) in [
        (Ingress, INGRESS),
        (Egress, EGRESS),
        (Requester, REQUESTER),
        (Consumer, CONSUMER),
    ] {
        let mut connection = server.connect_with_events(user).await;
        for (attempt, expected) in cases {
            if verdict(&mut connection, *attempt).await != *expected {
                wrong.push(format!("{user:?} {attempt:?} is not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn nobody_connects_without_the_right_password() {
    let server = NatsServer::start(ServerOptions::default());
    for user in NatsUser::ALL {
        let impostor = async_nats::ConnectOptions::with_user_and_password(
            user.name().to_owned(),
            "guessed".to_owned(),
        );
        assert!(impostor.connect(server.url()).await.is_err(), "{user:?}");
    }
    assert!(async_nats::connect(server.url()).await.is_err());
}

/// What the server says to `attempt`.
async fn verdict(connection: &mut Connection, attempt: Attempt) -> Verdict {
    let client = &connection.client;
    match attempt {
        Publish(subject) => client.publish(subject, "x".into()).await.unwrap(),
        Subscribe(subject) => drop(client.subscribe(subject).await.unwrap()),
        Join(subject, queue) => {
            drop(
                client
                    .queue_subscribe(subject, queue.to_owned())
                    .await
                    .unwrap(),
            );
        }
    }
    client.publish(FENCE, "x".into()).await.unwrap();
    let denied = next_denial(connection).await;
    if denied.contains(FENCE) {
        return Allowed;
    }
    assert!(
        denied.contains(&wording(attempt)),
        "{attempt:?} was answered by: {denied}"
    );
    assert!(next_denial(connection).await.contains(FENCE));
    Denied
}

/// Returns when the server has done everything that was asked of it before on this connection.
async fn settle(connection: &mut Connection) {
    connection.client.publish(FENCE, "x".into()).await.unwrap();
    assert!(next_denial(connection).await.contains(FENCE));
}

/// How nats-server words the denial of `attempt`.
fn wording(attempt: Attempt) -> String {
    match attempt {
        Publish(subject) => format!("Permissions Violation for Publish to \"{subject}\""),
        Subscribe(subject) => format!("Permissions Violation for Subscription to \"{subject}\""),
        Join(subject, queue) => {
            format!(
                "Permissions Violation for Subscription to \"{subject}\" using queue \"{queue}\""
            )
        }
    }
}

/// The next denial that the server reports on this connection.
async fn next_denial(connection: &mut Connection) -> String {
    loop {
        let event = timeout(WAIT_MAX, connection.events.recv()).await;
        let event = event
            .expect("the server reports in time")
            .expect("the connection is open");
        if let Event::ServerError(ServerError::Other(text)) = event {
            return text;
        }
        assert_eq!(event, Event::Connected);
    }
}
