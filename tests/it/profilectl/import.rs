//! `profilectl import`, killed and run again, against a service that is killed too.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
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
use tokio::time::Instant;

use super::{command, text};

const USERS_DEFAULT: usize = 3_000;
/// An import that ends too early sends no more events.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// In the results, the first line says whose they are.
const HEAD_LINES: usize = 1;
/// One without an id, one that breaks a rule, a blank one and one that is no JSON.
const OTHER_LINES: usize = 4;

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
    write_input(&input, users);
    let results = folder.join("users.ndjson.results");
    let run = Run {
        server: &server,
        token: &token,
        input: &input,
    };
    let mut created = Created::of(&server).await;
    let begun = Instant::now();

    // The import is killed, and killed beside the service, and the service alone.
    for tenth in 1..=6 {
        let mut import = run.start();
        created.until(users * tenth / 10).await;
        if tenth % 3 == 0 {
            service.kill();
        }
        import.kill().expect("our own child");
        import.wait().expect("our own child");
        if tenth % 3 == 0 {
            service.start_again();
        }
        assert!(
            lines_of(&results).count() < HEAD_LINES + users + OTHER_LINES,
            "it was over"
        );
    }
    let import = run.start();
    created.until(users * 7 / 10).await;
    service.kill();
    service.start_again();
    let ended = import.wait_with_output().expect("our own child");
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended.stderr));
    let words = text(&ended.stderr);
    assert!(words.contains("goes on after line"), "{words}");
    let seconds = begun.elapsed().as_secs_f64();
    println!("{users} users in {seconds:.1} s, with 6 kills of the import and 3 of the service");

    every_line_has_its_result(&results, users);
    let owner = Caller::connect(&server, &service, &identity).await;
    everybody_is_there_once_as_the_line_says(&owner, users).await;
    a_run_with_nothing_to_do_changes_nothing(&run, &results);

    let another = super::token(&service, &Identity::owner("farm"));
    let refused = Run {
        token: &another,
        ..run
    };
    let refused = refused.ended();
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("by another caller"));
}

fn a_run_with_nothing_to_do_changes_nothing(run: &Run<'_>, results: &Path) {
    let whole = fs::read(results).expect("results");
    fs::write(results, [whole.as_slice(), b"{\"line\":"].concat()).expect("a folder of our own");
    let again = run.ended();
    assert_eq!(again.status.code(), Some(1));
    assert!(fs::read(results).expect("results") == whole);
}

/// The body of `create` of a user, different from those of others.
fn user(number: usize) -> Value {
    let id = id(number);
    let mut user = json!({
        "userId": id, "userName": format!("name-{number}"),
        "profile": {"firstName": format!("Gigi{}", number % 7), "lastName": format!("Giraffe {number}")},
        "email": {"email": format!("{id}@zoo.example"), "isEmailVerified": true},
    });
    if number.is_multiple_of(3) {
        user["profile"]["nickName"] = format!("Nick {number}").into();
        user["profile"]["gender"] = "GENDER_DIVERSE".into();
    }
    user
}

fn write_input(input: &Path, users: usize) {
    let mut file = BufWriter::new(File::create(input).expect("a folder of our own"));
    let mut line = |line: &str| writeln!(file, "{line}").expect("a folder of our own");
    for number in 0..users {
        if number == users / 2 {
            let mut nobody = user(0);
            nobody.as_object_mut().expect("an object").remove("userId");
            line(&nobody.to_string());
        }
        line(&user(number).to_string());
    }
    let mut long = user(users);
    long["profile"]["firstName"] = "x".repeat(201).into();
    line(&long.to_string());
    line("");
    line("{");
}

fn id(number: usize) -> String {
    format!("u{number}")
}

fn lines_of(file: &Path) -> impl Iterator<Item = String> {
    let lines = BufReader::new(File::open(file).expect("results")).lines();
    lines.map(|line| line.expect("text"))
}

fn every_line_has_its_result(results: &Path, users: usize) {
    let (mut there, mut blank, mut failed) = (0, 0, Vec::new());
    let mut last = 0;
    for (index, line) in lines_of(results).skip(HEAD_LINES).enumerate() {
        assert!(!line.contains("Giraffe"), "a value of a profile: {line}");
        let result: Value = serde_json::from_str(&line).expect("a result");
        last = index + 1;
        assert_eq!(result["line"], last);
        match result["status"].as_str() {
            Some("created" | "existed") => there += 1,
            Some("blank") => blank += 1,
            _ => failed.push(result),
        }
    }
    assert_eq!(last, users + OTHER_LINES);
    assert_eq!((there, blank), (users, 1));
    let lines: Vec<_> = failed.iter().map(|result| &result["line"]).collect();
    let expected = [users / 2 + 1, users + 2, users + 4].map(|line| json!(line));
    assert_eq!(lines, expected.iter().collect::<Vec<_>>());
    assert_eq!(failed[1]["fields"], json!(["profile.firstName"]));
}

/// Each in version 1: no line was done twice.
async fn everybody_is_there_once_as_the_line_says(owner: &Caller, users: usize) {
    let mut is_there = vec![false; users];
    let mut cursor = Value::Null;
    loop {
        let page = owner
            .call("list", json!({"limit": 1000, "cursor": cursor}))
            .await
            .ok();
        for listed in page["users"].as_array().expect("users") {
            let id = listed["userId"].as_str().expect("an id");
            let number: usize = id[1..].parse().expect("a number");
            assert!(!is_there[number], "{id} is listed twice");
            is_there[number] = true;
            assert_eq!(listed["details"]["sequence"], "1", "{id}");
            is_as_the_line_says(listed, user(number));
        }
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert!(is_there.iter().all(|is_there| *is_there));
}

fn is_as_the_line_says(listed: &Value, mut line: Value) {
    let profile = &mut line["profile"];
    let name = |part: &str| profile[part].as_str().expect("a name").to_owned();
    profile["displayName"] = format!("{} {}", name("firstName"), name("lastName")).into();
    profile["preferredLanguage"] = listed["profile"]["preferredLanguage"].clone();
    for part in ["userName", "profile", "email"] {
        assert_eq!(listed[part], line[part]);
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
