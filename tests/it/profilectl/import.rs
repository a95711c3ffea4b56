//! `profilectl import`, killed and run again, against a service that is killed too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use async_nats::Subscriber;
use futures::StreamExt;
use profile_tests::caller::{Caller, Identity, token};
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use profile_tests::service::Service;
use profile_tests::temp_dir::TempDir;
use serde_json::{Value, json};

use super::{command, text};

const USERS_DEFAULT: usize = 2_000;
/// An import that ends too early sends no more events.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// In the results, the first line says whose they are.
const HEAD_LINES: usize = 1;

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_goes_on_where_it_stopped_and_does_no_line_twice() {
    let users = std::env::var("IMPORT_USERS").map_or(USERS_DEFAULT, |number| {
        number.parse().expect("IMPORT_USERS is a number")
    });
    let server = NatsServer::start(ServerOptions::default());
    let mut service = Service::start(&server, "");
    let identity = Identity::owner("zoo");
    let token = token(&service, &identity);
    let folder = TempDir::create();
    let input = folder.join("users.ndjson");
    fs::write(&input, lines(users).join("\n")).expect("a folder of our own");
    let results = folder.join("users.ndjson.results");
    let run = Run {
        server: &server,
        token: &token,
        input: &input,
    };
    let mut created = Created::of(&server).await;

    for fifth in 1..=2 {
        let mut import = run.start();
        created.until(users * fifth / 5).await;
        import.kill().expect("our own child");
        import.wait().expect("our own child");
        let told = fs::read_to_string(&results).expect("results");
        assert!(told.lines().count() < HEAD_LINES + users, "it was over");
    }
    let import = run.start();
    created.until(users * 3 / 5).await;
    service.kill();
    service.start_again();
    let ended = import.wait_with_output().expect("our own child");
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended.stderr));
    let words = text(&ended.stderr);
    assert!(words.contains("goes on after line"), "{words}");

    every_line_has_its_result(&results, users);
    let owner = Caller::connect(&server, &service, &identity).await;
    let listed = everyone(&owner).await;
    let expected = (0..users).map(|number| (id(number), "1".to_owned()));
    assert_eq!(listed, expected.collect::<BTreeSet<_>>());

    let whole = fs::read_to_string(&results).expect("results");
    fs::write(&results, format!("{whole}{{\"line\":")).expect("a folder of our own");
    let again = run.ended();
    assert_eq!(again.status.code(), Some(1));
    let after = fs::read_to_string(&results).expect("results");
    assert_eq!(after, whole, "a run with nothing to do changes nothing");

    let another = super::token(&service, &Identity::owner("farm"));
    let refused = Run {
        token: &another,
        ..run
    };
    let refused = refused.ended();
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("by another caller"));
}

/// Among the users a line without an id, one that breaks a rule, a blank one and one that is no JSON.
fn lines(users: usize) -> Vec<String> {
    let user = |id: &str, first_name: &str| {
        json!({
            "userId": id, "userName": id,
            "profile": {"firstName": first_name, "lastName": "Giraffe"},
            "email": {"email": format!("{id}@zoo.example"), "isEmailVerified": true},
        })
        .to_string()
    };
    let mut lines: Vec<_> = (0..users).map(|number| user(&id(number), "Gigi")).collect();
    let mut nobody: Value = serde_json::from_str(&lines[0]).expect("a line");
    nobody.as_object_mut().expect("an object").remove("userId");
    lines.insert(users / 2, nobody.to_string());
    lines.push(user("long", &"x".repeat(201)));
    lines.push(String::new());
    lines.push("{".to_owned());
    lines
}

fn id(number: usize) -> String {
    format!("u{number}")
}

fn every_line_has_its_result(results: &Path, users: usize) {
    let told = fs::read_to_string(results).expect("results");
    assert!(
        !told.contains("Giraffe"),
        "a value of a profile is in the results"
    );
    let told: Vec<Value> = told
        .lines()
        .skip(HEAD_LINES)
        .map(|line| serde_json::from_str(line).expect("a result"))
        .collect();
    assert_eq!(told.len(), lines(users).len());
    for (index, result) in told.iter().enumerate() {
        assert_eq!(result["line"], index + 1);
    }
    let with = |status| told.iter().filter(move |result| result["status"] == status);
    assert_eq!(with("created").count() + with("existed").count(), users);
    assert_eq!(with("blank").count(), 1);
    let failed: Vec<_> = with("failed").map(|result| &result["line"]).collect();
    let expected = [users / 2 + 1, users + 2, users + 4].map(|line| json!(line));
    assert_eq!(failed, expected.iter().collect::<Vec<_>>());
    assert_eq!(told[users + 1]["fields"], json!(["profile.firstName"]));
}

/// Id and version of everybody in the organization.
async fn everyone(owner: &Caller) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    let mut cursor = Value::Null;
    loop {
        let page = owner
            .call("list", json!({"limit": 1000, "cursor": cursor}))
            .await
            .ok();
        for user in page["users"].as_array().expect("users") {
            let word = |value: &Value| value.as_str().expect("a text").to_owned();
            let user = (word(&user["userId"]), word(&user["details"]["sequence"]));
            assert!(all.insert(user), "listed twice");
        }
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            return all;
        }
    }
}

/// How many users the events tell of.
struct Created {
    events: Subscriber,
    seen: usize,
}

impl Created {
    async fn of(server: &NatsServer) -> Created {
        let client = server.connect(NatsUser::Consumer).await;
        let events = client.subscribe("profile-event.v1.zoo.*.created").await;
        let events = events.expect("a consumer may subscribe");
        client.flush().await.expect("a connection");
        Created { events, seen: 0 }
    }

    async fn until(&mut self, enough: usize) {
        while self.seen < enough {
            let event = tokio::time::timeout(SILENCE_MAX, self.events.next()).await;
            event.expect("the import goes on").expect("an event");
            self.seen += 1;
        }
    }
}

struct Run<'a> {
    server: &'a NatsServer,
    token: &'a str,
    input: &'a PathBuf,
}

impl Run<'_> {
    fn start(&self) -> Child {
        let mut command = command(self.server, self.token);
        let command = command.args(["--timeout", "2s", "import"]).arg(self.input);
        let command = command.stderr(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().expect("profilectl can be started")
    }

    fn ended(&self) -> Output {
        self.start().wait_with_output().expect("our own child")
    }
}
