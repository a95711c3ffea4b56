//! `profilectl`, the program itself, against the real service.

mod export;
mod import;
mod revert;
mod tls;
mod watch;

use std::process::{Command, Output};

use profile_tests::caller::{Caller, Identity, new_user, token};
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use profile_tests::service::{Service, binary};
use serde_json::json;

#[tokio::test]
async fn revert_makes_the_profile_what_it_was_and_diff_shows_how_it_came_about() {
    let server = NatsServer::start(ServerOptions::default());
    let service = Service::start(&server, "");
    let identity = Identity::owner("zoo");
    let owner = Caller::connect(&server, &service, &identity).await;
    owner.call("create", new_user("gigi")).await.ok();
    let changes = [
        json!({"userId": "gigi", "nickName": "Gi", "gender": "GENDER_FEMALE"}),
        json!({"userId": "gigi", "nickName": null, "preferredLanguage": "de"}),
        json!({"userId": "gigi", "firstName": "Zoë", "gender": null}),
    ];
    let mut profiles = Vec::new();
    for change in changes {
        owner.call("patch", change).await.ok();
        let user = owner.call("get", json!({"userId": "gigi"})).await.ok();
        profiles.push(user["profile"].clone());
    }
    let token = token(&service, &identity);
    let run = |arguments: &[&str]| profilectl(&server, &token, arguments);

    let diff = run(&["history", "gigi", "--diff"]);
    let diff = text(&diff.stdout);
    let newest = "changed by owner-of-zoo\n  - firstName: \"Gigi\"\n  + firstName: \"Zoë\"\n";
    assert!(diff.contains(newest), "{diff}");

    for (to_version, profile) in [("2", &profiles[0]), ("4", &profiles[2])] {
        let reverted = run(&["revert", "gigi", "--to-version", to_version]);
        assert!(reverted.status.success(), "{}", text(&reverted.stderr));
        let user = owner.call("get", json!({"userId": "gigi"})).await.ok();
        assert_eq!(&user["profile"], profile, "version {to_version}");
    }
    let refused = run(&["revert", "gigi", "--to-version", "6"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
}

fn profilectl(server: &NatsServer, token: &str, arguments: &[&str]) -> Output {
    command(server, token)
        .args(arguments)
        .output()
        .expect("profilectl can be started")
}

fn command(server: &NatsServer, token: &str) -> Command {
    command_of(NatsUser::Requester, server, token)
}

fn command_of(user: NatsUser, server: &NatsServer, token: &str) -> Command {
    let mut command = Command::new(binary("profilectl"));
    command
        .env_clear()
        .env("NATS_URL", server.url())
        .env("PROFILECTL_NATS_USER", user.name())
        .env("PROFILECTL_NATS_PASSWORD", user.password())
        .env("PROFILE_TOKEN", token)
        .args(["--inbox-prefix", user.inbox_prefix()]);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
