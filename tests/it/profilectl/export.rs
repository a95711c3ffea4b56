//! `profilectl export`, killed and run again, and what `import` makes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use profile_tests::caller::{Caller, Identity, new_user, token};
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use profile_tests::service::Service;
use profile_tests::temp_dir::TempDir;
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

use super::{command_of, text};

const USERS: usize = 60;
const LOOK: Duration = Duration::from_millis(2);
const SILENCE_MAX: Duration = Duration::from_secs(30);

struct World {
    server: NatsServer,
    service: Service,
    caller: Caller,
    token: String,
}

impl World {
    async fn start(role: &str, server: NatsServer) -> World {
        let service = Service::start(&server, "");
        let mut identity = Identity::owner("zoo");
        identity.roles = vec![(role.to_owned(), "zoo".to_owned())];
        World {
            caller: Caller::connect(&server, &service, &identity).await,
            token: token(&service, &identity),
            server,
            service,
        }
    }

    async fn with_users(role: &str) -> World {
        let world = World::start(role, NatsServer::start(ServerOptions::default())).await;
        for number in 0..USERS {
            let mut user = new_user(&id(number));
            user["profile"]["displayName"] = format!("Animal {number:03}").into();
            if number % 2 == 0 {
                user["profile"]["nickName"] = "Ni\u{e9} \"x\"".into();
                user["profile"]["preferredLanguage"] = "de-CH".into();
                user["profile"]["gender"] = "GENDER_DIVERSE".into();
                user["phone"] = json!({"phone": "+41446681800", "isPhoneVerified": true});
            }
            world.caller.call("create", user).await.ok();
        }
        world
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = command_of(NatsUser::Requester, &self.server, &self.token);
        command
            .args(arguments)
            .output()
            .expect("profilectl can be started")
    }

    /// An export that is killed when it has told of a page.
    async fn killed(&self, file: &Path) {
        let mut command = command_of(NatsUser::Requester, &self.server, &self.token);
        command.args(["export", "--limit", "1"]).arg(file);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut export = command.spawn().expect("profilectl can be started");
        let progress = file.with_extension("ndjson.progress");
        let before = lines(&progress);
        let told = async {
            let mut look = interval(LOOK);
            while lines(&progress) < before + 3 {
                look.tick().await;
            }
        };
        timeout(SILENCE_MAX, told)
            .await
            .expect("the export goes on");
        export.kill().expect("our own child");
        export.wait().expect("our own child");
        assert!(!file.exists(), "it was over");
    }

    /// The users as `list` has them, by id.
    async fn listed(&self) -> BTreeMap<String, Value> {
        let page = self.caller.call("list", json!({"limit": 1000})).await.ok();
        let users = page["users"].as_array().expect("users").iter();
        let user = |user: &Value| {
            let mut user = user.clone();
            user.as_object_mut().expect("a user").remove("details");
            (user["userId"].as_str().expect("an id").to_owned(), user)
        };
        users.map(user).collect()
    }
}

fn id(number: usize) -> String {
    format!("u{number}")
}

fn lines(file: &Path) -> usize {
    fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

/// The users in a file, by id.
fn exported(file: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(file).expect("the export");
    let mut users = BTreeMap::new();
    for line in text.lines() {
        let user: Value = serde_json::from_str(line).expect("a line is JSON");
        let id = user["userId"].as_str().expect("an id").to_owned();
        assert!(users.insert(id, user).is_none(), "twice: {line}");
    }
    users
}

#[tokio::test(flavor = "multi_thread")]
async fn what_export_writes_import_makes_again_also_when_it_was_killed() {
    let mut world = World::with_users("ORG_OWNER").await;
    let folder = TempDir::create();
    let file = folder.join("users.ndjson");
    world.killed(&file).await;
    world.killed(&file).await;
    world.service.kill();
    world.service.start_again();
    let path = file.to_str().expect("a path");
    let ended = world.run(&["export", path, "--progress", "--users", "60"]);
    let said = text(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert!(said.contains("goes on after"), "{said}");
    assert!(said.contains("60 users are in"), "{said}");
    let progress = said.lines().find(|line| line.contains(" a second, "));
    assert!(
        progress.is_some_and(|line| line.ends_with(" left")),
        "{said}"
    );
    assert_eq!(exported(&file), world.listed().await);
    let left: Vec<_> = fs::read_dir(folder.path()).expect("our folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");

    let again = world.run(&["export", path]);
    assert_eq!(again.status.code(), Some(2), "{}", text(&again.stderr));

    let other = World::start("ORG_OWNER", NatsServer::start(ServerOptions::default())).await;
    let imported = other.run(&["import", path]);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    assert_eq!(other.listed().await, exported(&file));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_renamed_created_or_removed_meanwhile_is_in_it_once_or_not_at_all() {
    let world = World::with_users("IAM_OWNER").await;
    let folder = TempDir::create();
    let file = folder.join("users.ndjson");
    world.killed(&file).await;
    let rename = |number: usize, name: &str| json!({"userId": id(number), "displayName": name});
    // From behind the place that was reached to before it, and the other way round.
    world
        .caller
        .call("patch", rename(USERS - 1, "Aaa"))
        .await
        .ok();
    world.caller.call("patch", rename(0, "Zzz")).await.ok();
    world
        .caller
        .call("remove", json!({"userId": id(1)}))
        .await
        .ok();
    let mut late = new_user("late");
    late["profile"]["displayName"] = "Aab".into();
    world.caller.call("create", late).await.ok();

    let listed_only = folder.join("listed.ndjson");
    for what in ["part", "progress"] {
        let from = file.with_extension(format!("ndjson.{what}"));
        let to = listed_only.with_extension(format!("ndjson.{what}"));
        fs::copy(from, to).expect("our folder");
    }
    let ended = world.run(&["export", file.to_str().expect("a path")]);
    let said = text(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert!(said.contains("4 users were changed meanwhile"), "{said}");
    assert_eq!(exported(&file), world.listed().await);

    let path = listed_only.to_str().expect("a path");
    let ended = world.run(&["export", path, "--as-listed"]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let text = fs::read_to_string(&listed_only).expect("the export");
    assert_eq!(text.matches("\"userId\":\"u0\"").count(), 2, "listed twice");
    assert!(!text.contains(&id(USERS - 1)), "listed on no page");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_permission_to_tell_who_was_changed_it_says_so() {
    let world = World::with_users("ORG_OWNER").await;
    let folder = TempDir::create();
    let file = folder.join("users.ndjson");
    world.killed(&file).await;
    world.caller.call("create", new_user("late")).await.ok();
    let path = file.to_str().expect("a path");
    let ended = world.run(&["export", path]);
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended.stderr));
    assert!(text(&ended.stderr).contains("events.read"));
    assert!(!file.exists());

    // Nothing is asked again for that.
    let ended = world.run(&["export", path, "--as-listed"]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    assert!(text(&ended.stderr).contains(&format!("{} users are in", USERS + 1)));
    let listed = world.run(&["export", "-"]);
    assert_eq!(
        text(&listed.stdout),
        fs::read_to_string(&file).expect("the export")
    );
}
