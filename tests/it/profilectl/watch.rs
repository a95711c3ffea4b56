//! `profilectl watch`: its filters, and what it does where the stream no longer holds what is asked for.

use std::process::Output;

use async_nats::{ConnectOptions, jetstream};
use profile_messages::subject::EVENT_STREAM;
use profile_tests::caller::{Caller, Identity, new_user, token};
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use profile_tests::service::Service;
use serde_json::{Value, json};

use super::{command_of, text};

struct World {
    server: NatsServer,
    service: Service,
    owner: Caller,
}

impl World {
    /// Gigi with five versions, and Hugo with two; ten is the last that the stream has of anything.
    async fn start() -> World {
        let server = NatsServer::start(ServerOptions {
            extra_users: "{ user: operator, password: password-of-operator }".to_owned(),
            ..ServerOptions::default()
        });
        let service = Service::start(&server, "");
        let owner = Caller::connect(&server, &service, &Identity::owner("zoo")).await;
        for user in ["gigi", "hugo"] {
            owner.call("create", new_user(user)).await.ok();
        }
        for change in [
            json!({"userId": "gigi", "nickName": "Gi"}),
            json!({"userId": "gigi", "gender": "GENDER_FEMALE", "preferredLanguage": "de"}),
            json!({"userId": "hugo", "nickName": "Hu"}),
            json!({"userId": "gigi", "nickName": "Giraffe", "lastName": "G"}),
            json!({"userId": "gigi", "displayName": "Gigi the Great"}),
        ] {
            owner.call("patch", change).await.ok();
        }
        owner.call("remove", json!({"userId": "hugo"})).await.ok();
        let world = World {
            server,
            service,
            owner,
        };
        let all = world.watch("IAM_OWNER", &["--all", "--count", "8"]);
        assert_eq!(all.lines.len(), 8);
        world
    }

    fn watch(&self, role: &str, options: &[&str]) -> Watched {
        let mut identity = Identity::owner("zoo");
        identity.roles = vec![(role.to_owned(), "zoo".to_owned())];
        let token = token(&self.service, &identity);
        let mut command = command_of(NatsUser::Consumer, &self.server, &token);
        command
            .args(["watch", "--json", "--timeout", "5s"])
            .args(options);
        Watched::of(command.output().expect("profilectl can be started"))
    }

    /// The stream forgets its first events, as it does when it is full.
    async fn forget_before(&self, sequence: u64) {
        let options = ConnectOptions::with_user_and_password(
            "operator".to_owned(),
            "password-of-operator".to_owned(),
        );
        let jetstream = jetstream::new(self.server.connect_with(options).await);
        let stream = jetstream
            .get_stream(EVENT_STREAM)
            .await
            .expect("the stream");
        stream
            .purge()
            .sequence(sequence)
            .await
            .expect("may do anything");
    }
}

struct Watched {
    lines: Vec<Value>,
    said: String,
}

impl Watched {
    fn of(output: Output) -> Watched {
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        let line = |line: &str| serde_json::from_str(line).expect("an event");
        Watched {
            lines: text(&output.stdout).lines().map(line).collect(),
            said,
        }
    }

    /// `<user> <version>` of each.
    fn told(&self) -> Vec<String> {
        let told = |event: &Value| {
            let user = event["subject"].as_str().expect("a user");
            format!("{user} {}", event["userversion"])
        };
        self.lines.iter().map(told).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_every_filter_holds_is_printed() {
    let world = World::start().await;
    let told = |options: &[&str]| world.watch("IAM_OWNER", options).told();
    assert_eq!(
        told(&["--all", "--type", "created,removed", "--count", "3"]),
        ["gigi 1", "hugo 1", "hugo 3"]
    );
    assert_eq!(
        told(&[
            "--all",
            "--type",
            "changed",
            "--field",
            "nick-name",
            "--count",
            "3"
        ]),
        ["gigi 2", "hugo 2", "gigi 4"]
    );
    assert_eq!(
        told(&[
            "gigi",
            "--all",
            "--field",
            "gender,last-name",
            "--count",
            "3"
        ]),
        ["gigi 1", "gigi 3", "gigi 4"]
    );
    assert_eq!(
        told(&[
            "gigi",
            "--org",
            "zoo",
            "--from-version",
            "3",
            "--count",
            "3"
        ]),
        ["gigi 3", "gigi 4", "gigi 5"]
    );
    let all = world.watch("IAM_OWNER", &["gigi", "--all", "--count", "5"]);
    let fourth = all.lines[3]["time"].as_str().expect("a time").to_owned();
    assert_eq!(
        told(&["gigi", "--since", &fourth, "--count", "2"]),
        ["gigi 4", "gigi 5"]
    );
    assert_eq!(told(&["gigi", "--since", "1h", "--count", "5"]).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stream_no_longer_holds_comes_from_the_log_and_nothing_twice() {
    let world = World::start().await;
    let began = world.watch("IAM_OWNER", &["--all", "--count", "1"]);
    let began = began.lines[0]["time"].as_str().expect("a time").to_owned();
    // Hugo's change and Gigi's fourth version are the first that stay, at 5 and 6.
    world.forget_before(5).await;
    for options in [
        &["gigi", "--from-version", "1"][..],
        &["gigi", "--from-position", "1"],
        &["gigi", "--since", &began],
    ] {
        let watched = world.watch("IAM_OWNER", &[options, &["--count", "5"]].concat());
        let all = ["gigi 1", "gigi 2", "gigi 3", "gigi 4", "gigi 5"];
        assert_eq!(watched.told(), all, "{options:?}");
        assert!(watched.said.contains("reading the log"), "{}", watched.said);
    }
    let held = world.watch(
        "IAM_OWNER",
        &["gigi", "--from-version", "4", "--count", "2"],
    );
    assert_eq!(held.told(), ["gigi 4", "gigi 5"]);
    assert!(!held.said.contains("reading the log"), "{}", held.said);

    // The stream has nothing left at all: then what comes live goes on after the log.
    world.forget_before(9).await;
    let everything = world.watch(
        "IAM_OWNER",
        &["gigi", "--from-version", "2", "--count", "4"],
    );
    assert_eq!(everything.told(), ["gigi 2", "gigi 3", "gigi 4", "gigi 5"]);
    let change = json!({"userId": "gigi", "nickName": "Newest"});
    world.owner.call("patch", change).await.ok();
    let on = world.watch(
        "IAM_OWNER",
        &["gigi", "--from-version", "5", "--count", "2"],
    );
    assert_eq!(on.told(), ["gigi 5", "gigi 6"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_said_and_the_rest_is_printed() {
    let world = World::start().await;
    world.forget_before(5).await;
    let watched = world.watch(
        "ORG_OWNER",
        &["gigi", "--from-version", "1", "--count", "2"],
    );
    assert_eq!(watched.told(), ["gigi 4", "gigi 5"]);
    let said = &watched.said;
    assert!(said.contains("the log cannot be read"), "{said}");
    assert!(said.contains("versions 1 to 3 are missing"), "{said}");
}
