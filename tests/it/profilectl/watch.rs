//! `profilectl watch`: its filters, and what it does where the stream no longer holds what is asked for.

use std::process::Output;
use std::time::Duration;

use async_nats::{ConnectOptions, jetstream};
use profile_messages::subject::EVENT_STREAM;
use profile_tests::caller::{Caller, Identity, new_user, token};
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use profile_tests::service::Service;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use super::{command_of, text};

const SILENCE_MAX: Duration = Duration::from_secs(30);

struct World {
    server: NatsServer,
    service: Service,
    owner: Caller,
}

impl World {
    /// Eight events: five versions of Gigi, and three of Hugo, who is removed with the last.
    async fn start() -> World {
        let server = NatsServer::start(ServerOptions {
            extra_users: "{ user: operator, password: password-of-operator }".to_owned(),
            // Hugo's events stay to be watched: without it they are erased while they are being read.
            without_permission: Some("$JS.API.STREAM.MSG.DELETE.PROFILE_EVENTS".to_owned()),
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
        let all = world.watch("IAM_OWNER", &["--all", "--count", "8"]).await;
        assert_eq!(all.lines.len(), 8);
        world
    }

    /// A watch that waits for an event which does not come fails.
    async fn watch(&self, role: &str, options: &[&str]) -> Watched {
        let mut identity = Identity::owner("zoo");
        identity.roles = vec![(role.to_owned(), "zoo".to_owned())];
        let token = token(&self.service, &identity);
        let mut command = command_of(NatsUser::Consumer, &self.server, &token);
        command
            .args(["watch", "--json", "--timeout", "5s"])
            .args(options);
        let mut command = Command::from(command);
        let ended = timeout(SILENCE_MAX, command.kill_on_drop(true).output()).await;
        let ended = ended.unwrap_or_else(|_| panic!("{options:?}: it waits for more"));
        Watched::of(ended.expect("profilectl can be started"))
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
    for (options, expected) in [
        (
            "--all --type created,removed --count 3",
            &["gigi 1", "hugo 1", "hugo 3"][..],
        ),
        (
            "--all --type changed --field nick-name --count 3",
            &["gigi 2", "hugo 2", "gigi 4"],
        ),
        (
            "gigi --all --field gender,last-name --count 3",
            &["gigi 1", "gigi 3", "gigi 4"],
        ),
        (
            "gigi --org zoo --from-version 3 --count 3",
            &["gigi 3", "gigi 4", "gigi 5"],
        ),
        ("gigi --since 1h --count 2", &["gigi 1", "gigi 2"]),
    ] {
        let options: Vec<_> = options.split(' ').collect();
        let watched = world.watch("IAM_OWNER", &options).await;
        assert_eq!(watched.told(), expected, "{options:?}");
    }
    let all = ["gigi", "--all", "--count", "5"];
    let all = world.watch("IAM_OWNER", &all).await;
    let fourth = all.lines[3]["time"].as_str().expect("a time");
    let since = ["gigi", "--since", fourth, "--count", "2"];
    let since = world.watch("IAM_OWNER", &since).await;
    assert_eq!(since.told(), ["gigi 4", "gigi 5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stream_no_longer_holds_comes_from_the_log_and_nothing_twice() {
    let world = World::start().await;
    let began = world.watch("IAM_OWNER", &["--all", "--count", "1"]).await;
    let began = began.lines[0]["time"].as_str().expect("a time").to_owned();
    // Hugo's change and Gigi's fourth version are the first that stay, at 5 and 6.
    world.forget_before(5).await;
    for options in [
        &["gigi", "--from-version", "1"][..],
        &["gigi", "--from-position", "1"],
        &["gigi", "--since", &began],
    ] {
        let watched = world
            .watch("IAM_OWNER", &[options, &["--count", "5"]].concat())
            .await;
        let all = ["gigi 1", "gigi 2", "gigi 3", "gigi 4", "gigi 5"];
        assert_eq!(watched.told(), all, "{options:?}");
        assert!(watched.said.contains("reading the log"), "{}", watched.said);
    }
    let held = world
        .watch(
            "IAM_OWNER",
            &["gigi", "--from-version", "4", "--count", "2"],
        )
        .await;
    assert_eq!(held.told(), ["gigi 4", "gigi 5"]);
    assert!(!held.said.contains("reading the log"), "{}", held.said);

    // The stream has nothing left at all: then what comes live goes on after the log.
    world.forget_before(9).await;
    let everything = world
        .watch(
            "IAM_OWNER",
            &["gigi", "--from-version", "2", "--count", "4"],
        )
        .await;
    assert_eq!(everything.told(), ["gigi 2", "gigi 3", "gigi 4", "gigi 5"]);
    let change = json!({"userId": "gigi", "nickName": "Newest"});
    world.owner.call("patch", change).await.ok();
    let on = world
        .watch(
            "IAM_OWNER",
            &["gigi", "--from-version", "5", "--count", "2"],
        )
        .await;
    assert_eq!(on.told(), ["gigi 5", "gigi 6"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_said_and_the_rest_is_printed() {
    let world = World::start().await;
    world.forget_before(5).await;
    let watched = world
        .watch(
            "ORG_OWNER",
            &["gigi", "--from-version", "1", "--count", "2"],
        )
        .await;
    assert_eq!(watched.told(), ["gigi 4", "gigi 5"]);
    let said = &watched.said;
    assert!(said.contains("the log cannot be read"), "{said}");
    assert!(said.contains("versions 1 to 3 are missing"), "{said}");
}
