//! Removed means gone: after a while no file of the service or of nats-server holds a byte of a removed
//! user's profile, and everything else is as it was.

use std::path::PathBuf;
use std::time::Duration;

use profile_tests::caller::{Caller, Identity};
use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::raw_bytes::files_with;
use profile_tests::service::Service;
use serde_json::{Value, json};

/// Small segments and short times. Whoever is removed is gone after two passes and a settle time.
const SHORT: &str = "[compaction]\ninterval_s = 1\n\n[relay]\nmax_bytes = 268_435_456\nerase_settle_s = 1\n\n\
     [log]\nsegment_bytes = 1_048_576\ngroup_bytes_max = 65_536\n";
const USERS: usize = 12;
const CHANGES: usize = 6;
/// Those with an even number.
const GONE: [&str; 2] = ["goneword", "+49555100"];
const KEPT: [&str; 2] = ["keptword", "+49555200"];
const WAIT_MAX: Duration = Duration::from_secs(90);
const READS: usize = 200;
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

struct Bench {
    server: NatsServer,
    service: Service,
    owner: Caller,
}

fn is_to_go(number: usize) -> bool {
    number.is_multiple_of(2)
}

/// Its id stays for ever, so that it tells nothing.
fn id(number: usize) -> String {
    format!("user-{number}")
}

fn new_user(number: usize) -> Value {
    let [word, phone] = if is_to_go(number) { GONE } else { KEPT };
    json!({
        "userId": id(number),
        "userName": format!("{word}-login-{number}"),
        "profile": {
            "firstName": format!("{word}-first-{number}"),
            "lastName": format!("{word}-last-{number}"),
            "nickName": format!("{word}-nick-{number}"),
            "displayName": format!("{word}-display-{number}"),
        },
        "email": {"email": format!("{word}-{number}@zoo.example"), "isEmailVerified": true},
        "phone": {"phone": format!("{phone}{number:03}"), "isPhoneVerified": true},
    })
}

fn change(number: usize, count: usize) -> Value {
    let [word, _] = if is_to_go(number) { GONE } else { KEPT };
    json!({ "userId": id(number), "nickName": format!("{word}-nick-{number}-{count}") })
}

impl Bench {
    async fn with_users() -> Bench {
        let server = NatsServer::start(ServerOptions::default());
        let service = Service::start(&server, SHORT);
        let owner = Caller::connect(&server, &service, &Identity::owner("zoo")).await;
        let bench = Bench {
            server,
            service,
            owner,
        };
        for number in 0..USERS {
            bench.owner.call("create", new_user(number)).await.ok();
        }
        for count in 0..CHANGES {
            for number in 0..USERS {
                bench.owner.call("patch", change(number, count)).await.ok();
            }
        }
        let newest = format!("goneword-nick-{}-{}", USERS - 2, CHANGES - 1);
        let in_stream = |bench: &Bench| !files_with(&bench.server.store(), &[&newest]).is_empty();
        assert!(bench.until(in_stream).await, "{}", bench.service.log());
        bench
    }

    async fn remove(&self, number: usize) -> Value {
        let keyed = self.owner.with("Idempotency-Key", &format!("k-{number}"));
        keyed
            .call("remove", json!({"userId": id(number)}))
            .await
            .ok()
    }

    fn files_with(&self, values: &[&str]) -> Vec<PathBuf> {
        let mut found = files_with(&self.service.data_dir(), values);
        found.extend(files_with(&self.server.store(), values));
        found
    }

    async fn until_gone(&self) {
        let gone = self.until(|bench| bench.files_with(&GONE).is_empty());
        assert!(
            gone.await,
            "{:#?}\n{}",
            self.files_with(&GONE),
            self.service.log()
        );
    }

    /// Whether it came to be in time; only a look at the files can tell.
    async fn until(&self, done: impl Fn(&Bench) -> bool) -> bool {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        let waiting = async {
            while !done(self) {
                looks.tick().await;
            }
        };
        tokio::time::timeout(WAIT_MAX, waiting).await.is_ok()
    }

    /// Who was not removed has everything; of the others the tombstone stays.
    async fn assert_the_rest_is_intact(&self) {
        for number in 0..USERS {
            let body = json!({"userId": id(number)});
            let got = self.owner.call("get", body.clone()).await;
            let history = self.owner.call("history", body.clone()).await;
            if is_to_go(number) {
                got.refused(404);
                history.refused(404);
                self.owner
                    .call("create", new_user(number))
                    .await
                    .refused(400);
                continue;
            }
            let got = got.ok();
            let nick = format!("keptword-nick-{number}-{}", CHANGES - 1);
            assert_eq!(got["profile"]["nickName"], nick);
            let email = format!("keptword-{number}@zoo.example");
            assert_eq!(got["email"]["email"], email);
            let changes = history.ok()["changes"].as_array().unwrap().len();
            assert_eq!(changes, CHANGES + 1);
        }
        let expected = (0..USERS).flat_map(|number| {
            let [created, removed] = [1, CHANGES + 2];
            let versions = if is_to_go(number) {
                removed..=removed
            } else {
                created..=CHANGES + 1
            };
            versions.map(move |version| format!("{}/1.{version}", id(number)))
        });
        let mut expected: Vec<_> = expected.collect();
        expected.sort();
        assert_eq!(self.replayed().await, expected);
    }

    /// Ids of all events, sorted.
    async fn replayed(&self) -> Vec<String> {
        let reader = Identity {
            roles: vec![("IAM_OWNER_VIEWER".to_owned(), "zoo".to_owned())],
            ..Identity::owner("zoo")
        };
        let reader = Caller::connect(&self.server, &self.service, &reader).await;
        let (mut ids, mut after) = (Vec::new(), "0".to_owned());
        loop {
            let page = reader
                .call("replay", json!({"after": after, "limit": 50}))
                .await
                .ok();
            let events = page["events"].as_array().unwrap();
            ids.extend(
                events
                    .iter()
                    .map(|it| it["event"]["id"].as_str().unwrap().to_owned()),
            );
            if page["end"] == true {
                ids.sort();
                return ids;
            }
            page["position"].as_str().unwrap().clone_into(&mut after);
        }
    }
}

#[tokio::test]
async fn no_file_holds_a_byte_of_a_removed_users_profile() {
    let bench = Bench::with_users().await;
    assert!(!files_with(&bench.service.data_dir(), &GONE).is_empty());
    let mut first_answers = Vec::new();
    for number in (0..USERS).filter(|number| is_to_go(*number)) {
        first_answers.push((number, bench.remove(number).await));
    }
    bench.until_gone().await;
    assert!(!files_with(&bench.service.data_dir(), &KEPT).is_empty());
    assert!(!files_with(&bench.server.store(), &KEPT).is_empty());
    bench.assert_the_rest_is_intact().await;
    for (number, first_answer) in first_answers {
        assert_eq!(bench.remove(number).await, first_answer);
    }
    let mut bench = bench;
    bench.service.kill();
    std::fs::remove_dir_all(bench.service.data_dir().join("current")).unwrap();
    bench.service.start_again();
    bench.assert_the_rest_is_intact().await;
    assert!(bench.files_with(&GONE).is_empty());
}

#[tokio::test]
async fn a_service_killed_while_it_erases_ends_there_too() {
    let mut bench = Bench::with_users().await;
    let gone = (0..USERS).filter(|number| is_to_go(*number));
    for (count, number) in gone.enumerate() {
        bench.remove(number).await;
        // Later each time: before, in and after the erasing.
        for _ in 0..count * READS {
            bench.owner.call("get", json!({"userId": id(1)})).await.ok();
        }
        bench.service.kill();
        bench.service.start_again();
    }
    bench.until_gone().await;
    bench.assert_the_rest_is_intact().await;
}
