//! `profilectl revert`, and somebody who changes the profile while it runs.

use async_nats::{Client, Message};
use futures::StreamExt;
use profile_tests::caller::{Caller, Identity, new_user, token};
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use profile_tests::service::Service;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_blocking;

use super::{command, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_does_not_overwrite_what_somebody_changed_while_it_ran() {
    let bus = NatsServer::start(ServerOptions::default());
    let service = Service::start(&bus, "");
    let identity = Identity::owner("zoo");
    let owner = Caller::connect(&bus, &service, &identity).await;
    owner.call("create", new_user("gigi")).await.ok();
    let patch = |nick_name: &str| json!({"userId": "gigi", "nickName": nick_name});
    owner.call("patch", patch("Gi")).await.ok();

    // profilectl speaks to a bus of its own, on which every request passes through our hands.
    let between = NatsServer::start(ServerOptions::open());
    let front = between.connect_open().await;
    let back = bus.connect(NatsUser::Requester).await;
    let (seen, mut requests) = unbounded_channel();
    let meanwhile = owner.clone();
    let subscription = front.subscribe("profile.v1.>").await.expect("an open bus");
    front.flush().await.expect("an open bus");
    tokio::spawn(async move {
        let mut subscription = subscription;
        while let Some(request) = subscription.next().await {
            // The profile was read by now, and the replacement is under way.
            if request.subject.ends_with(".update") {
                meanwhile.call("patch", patch("Gigi the Great")).await.ok();
            }
            pass_on(request, &front, &back, &seen).await;
        }
    });

    let token = token(&service, &identity);
    let mut revert = command(&between, &token);
    revert.args(["revert", "gigi", "--to-version", "1"]);
    let reverted = spawn_blocking(move || revert.output())
        .await
        .expect("no panic");
    let reverted = reverted.expect("profilectl can be started");
    let said = text(&reverted.stderr);
    assert_eq!(reverted.status.code(), Some(8), "{said}");
    assert!(
        said.contains("somebody changed the profile meanwhile"),
        "{said}"
    );
    assert!(said.contains("current version: 3"), "{said}");
    assert_eq!(expected_version(&mut requests).as_deref(), Some("2"));
    let user = owner.call("get", json!({"userId": "gigi"})).await.ok();
    assert_eq!(user["profile"]["nickName"], "Gigi the Great");
    assert_eq!(user["details"]["sequence"], "3");
}

async fn pass_on(request: Message, front: &Client, back: &Client, seen: &UnboundedSender<Message>) {
    let headers = request.headers.clone().unwrap_or_default();
    let answer = back
        .request_with_headers(request.subject.clone(), headers, request.payload.clone())
        .await
        .expect("the service answers");
    let reply = request.reply.clone().expect("a request");
    seen.send(request).expect("the test listens");
    let headers = answer.headers.unwrap_or_default();
    let sent = front.publish_with_headers(reply, headers, answer.payload);
    sent.await.expect("an open bus");
}

/// Of the replacement, which is the last request.
fn expected_version(requests: &mut UnboundedReceiver<Message>) -> Option<String> {
    let mut last = None;
    while let Ok(request) = requests.try_recv() {
        last = Some(request);
    }
    let last = last.expect("there were requests");
    assert!(last.subject.ends_with(".update"), "{}", last.subject);
    let headers = last.headers?;
    headers
        .get("Profile-Expected-Version")
        .map(|version| version.as_str().to_owned())
}
