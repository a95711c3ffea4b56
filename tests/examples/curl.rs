//! The scripts for curl, and what they print.

use profile_tests::repository;
use serde_json::Value;
use tokio::process::Command;

use crate::running::{Printed, run};
use crate::world::World;

async fn script(world: &World, name: &str, arguments: &[&str]) -> Printed {
    let file = repository::file("examples/curl").join(name);
    let mut command = Command::new(file);
    world.set_environment(&mut command);
    run(command.args(arguments)).await
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_made_changed_and_read_with_curl() {
    let world = World::start().await;
    for _ in 0..2 {
        let created = script(&world, "create.sh", &["mia"]).await;
        assert_eq!(json(created.ok())["userId"], "mia");
        assert_eq!(world.changes("mia").await, 1);
    }
    for _ in 0..2 {
        let updated = script(&world, "update.sh", &["mia", "key-1"]).await;
        assert_eq!(json(updated.ok())["details"]["sequence"], "2");
        assert_eq!(world.changes("mia").await, 2);
    }
    let read = script(&world, "get.sh", &["mia"]).await;
    assert_eq!(json(read.ok())["profile"]["displayName"], "Mia M");
    assert_eq!(json(read.ok())["details"]["sequence"], "2");
    let unknown = script(&world, "get.sh", &["nobody"]).await;
    assert!(!unknown.status.success(), "{unknown:?}");
    assert_eq!(json(&unknown.stdout)["code"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_own_profile_is_changed_and_read_with_curl() {
    let world = World::start().await;
    world.create("operator").await;
    let printed = script(&world, "my-profile.sh", &["Mimi"]).await;
    let (changed, read) = printed.ok().split_once('\n').expect("two answers");
    assert_eq!(json(changed)["details"]["sequence"], "2");
    assert_eq!(json(read)["profile"]["displayName"], "Mimi");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_rule_is_told_to_curl_at_once() {
    let world = World::start().await;
    world.create("mia").await;
    let printed = script(&world, "validation-error.sh", &["mia"]).await;
    let (body, status) = printed.ok().trim_end().rsplit_once('\n').expect("a status");
    assert_eq!(status, "400");
    let body = json(body);
    let details = body["details"].as_array().expect("details");
    let violations = details
        .iter()
        .find_map(|it| it["fieldViolations"].as_array());
    let fields = violations.into_iter().flatten().map(|it| &it["field"]);
    assert_eq!(fields.collect::<Vec<_>>(), ["firstName", "lastName"]);
    assert_eq!(world.changes("mia").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_for_one_version_the_second_is_refused() {
    let world = World::start().await;
    world.create("mia").await;
    let printed = script(&world, "if-match.sh", &["mia", "Mimi", "Mi"]).await;
    let expected = "If-Match: \"1\": 200, ETag: \"2\"\nIf-Match: \"1\": 412, ETag: \"2\"\n";
    assert_eq!(printed.ok(), expected);
    assert_eq!(world.read("mia").await["profile"]["nickName"], "Mimi");
}
