//! The requesters before a service that the test plays: an answer that is lost, one that says that nobody knows,
//! and a change by somebody else in between.

use async_nats::{Client, HeaderMap, Message, Subscriber};
use futures::StreamExt;
use profile_tests::nats_server::{NatsServer, ServerOptions};
use serde_json::{Value, json};

use crate::language::{Language, Program};
use crate::running::run;
use crate::world::set_connections;

#[tokio::test(flavor = "multi_thread")]
async fn a_requester_repeats_with_the_same_key_and_decides_again_with_another() {
    let server = NatsServer::start(ServerOptions::open());
    let client = server.connect_open().await;
    for language in Language::all() {
        let requests = client
            .subscribe("profile.v1.>")
            .await
            .expect("a connection");
        client.flush().await.expect("a connection");
        let command = language.command(Program::Requester);
        let mut command = command.expect("every language has one");
        set_connections(&mut command, &server);
        command.env("PROFILE_TOKEN", "token").args(["mia", "Mimi"]);
        let (printed, ()) = tokio::join!(run(&mut command), play(&client, requests));
        let expected = "created mia, version 1\nrenamed mia, version 2 to 3\n";
        assert_eq!(printed.ok(), expected, "{language:?}");
        assert!(printed.stderr.contains("create"), "{printed:?}");
    }
}

async fn play(client: &Client, mut requests: Subscriber) {
    let mut next = async |operation: &str| {
        let request = requests.next().await.expect("a request");
        let subject = request.subject.as_str();
        assert_eq!(subject, format!("profile.v1.{operation}"));
        assert_eq!(header(&request, "Authorization"), "Bearer token");
        request
    };
    // The first is not answered at all, the second by somebody who does not know what became of it.
    let lost = next("create").await;
    let unknown = next("create").await;
    answer(
        client,
        &unknown,
        Some((2, "OUTCOME_UNKNOWN", "same-key")),
        0,
    )
    .await;
    let third = next("create").await;
    for repeated in [&unknown, &third] {
        assert_eq!(key(repeated), key(&lost));
        assert_eq!(repeated.payload, lost.payload);
    }
    answer(client, &third, None, 1).await;

    answer(client, &next("get").await, None, 1).await;
    let late = next("patch").await;
    assert_eq!(header(&late, "Profile-Expected-Version"), "1");
    answer(client, &late, Some((10, "ABORTED", "no")), 0).await;
    answer(client, &next("get").await, None, 2).await;
    let again = next("patch").await;
    assert_eq!(header(&again, "Profile-Expected-Version"), "2");
    assert_ne!(key(&again), key(&late));
    answer(client, &again, None, 3).await;
}

/// A success with this version, or an error of this code, reason and advice.
async fn answer(client: &Client, to: &Message, error: Option<(i32, &str, &str)>, version: u64) {
    let details = json!({"sequence": version.to_string(), "resourceOwner": "zoo"});
    let mut headers = HeaderMap::new();
    let body: Value = match error {
        None => json!({
            "userId": "mia",
            "userName": "mia",
            "details": details,
            "profile": {},
            "email": {"email": "mia@zoo.example"},
        }),
        Some((code, reason, retry)) => {
            headers.insert("Nats-Service-Error-Code", "500");
            json!({"code": code, "message": "refused", "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": reason, "domain": "profile-service", "metadata": {"retry": retry},
            }]})
        }
    };
    let reply = to.reply.clone().expect("a request has a reply subject");
    let sent = client.publish_with_headers(reply, headers, body.to_string().into());
    sent.await.expect("a connection");
    client.flush().await.expect("a connection");
}

fn key(request: &Message) -> &str {
    header(request, "Idempotency-Key")
}

fn header<'a>(request: &'a Message, name: &str) -> &'a str {
    let headers = request.headers.as_ref();
    let value = headers.and_then(|headers| headers.get(name));
    value.unwrap_or_else(|| panic!("no {name}")).as_str()
}
