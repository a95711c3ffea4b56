//! Load: each worker owns its users, so it knows what every answer must be.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::RequestErrorKind;
use profile_tests::caller::{Answer, Caller};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::tally::Tally;

const ANSWER_WITHIN: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);
/// Three minutes and more of silence.
const ATTEMPTS_MAX: u32 = 10_000;
const RARE: u64 = 50;
/// Commands of a user that are repeated; the service remembers twice as many.
const REPEATED_MAX: usize = 8;

/// A command as it was acknowledged.
#[derive(Clone, Debug)]
struct Done {
    operation: &'static str,
    key: String,
    body: Value,
    version: u64,
}

/// A user as it must be.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) version: u64,
    /// None once removed.
    pub(crate) display_name: Option<String>,
    recent: VecDeque<Done>,
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) caller: Caller,
    /// A new one comes before the old one expires.
    pub(crate) token: watch::Receiver<String>,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) tally: Arc<Tally>,
    pub(crate) pause_between: Duration,
    pub(crate) until: Instant,
    /// That exist at a time.
    pub(crate) users_max: usize,
    pub(crate) users: Vec<User>,
    pub(crate) removed: Vec<User>,
    /// For names and keys.
    pub(crate) count: u64,
}

impl Worker {
    /// Works until the end; returns every user that it ever made.
    pub(crate) async fn work(mut self) -> Vec<User> {
        let mut ticks = interval(self.pause_between);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < self.until {
            ticks.tick().await;
            self.count += 1;
            self.one().await;
        }
        self.users.append(&mut self.removed);
        self.users
    }

    async fn one(&mut self) {
        if self.users.is_empty() {
            return self.create().await;
        }
        let chosen = self.below(self.users.len() as u64) as usize;
        match self.below(100) {
            0..5 if self.users.len() < self.users_max || self.below(RARE) == 0 => {
                self.create().await
            }
            0..30 => self.change(chosen, "update").await,
            30..45 => self.change(chosen, "patch").await,
            45..80 => self.get(chosen).await,
            80..86 => self.list(chosen).await,
            86..92 => self.history(chosen).await,
            92 if self.removed.len() < 2 || self.below(RARE) == 0 => self.remove(chosen).await,
            _ => self.repeat(chosen).await,
        }
    }

    async fn create(&mut self) {
        if self.users.len() >= self.users_max {
            let oldest = self.below(self.users.len() as u64) as usize;
            self.remove(oldest).await;
        }
        let id = format!("{}-{}", self.name, self.count);
        let body = json!({
            "userId": id, "userName": id, "email": {"email": format!("{id}@zoo.example")},
            "profile": {"firstName": "Gigi", "lastName": "Giraffe", "displayName": format!("{id}.")},
        });
        let done = self.command("create", body).await;
        self.users.push(User {
            id: id.clone(),
            version: 0,
            display_name: None,
            recent: VecDeque::new(),
        });
        self.acknowledged(self.users.len() - 1, done, Some(format!("{id}.")));
    }

    async fn change(&mut self, chosen: usize, operation: &'static str) {
        let id = self.users[chosen].id.clone();
        let name = format!("{id}.{}", self.count);
        let mut body = json!({"userId": id, "displayName": name});
        if operation == "update" {
            body["firstName"] = "Gigi".into();
            body["lastName"] = "Giraffe".into();
        }
        let done = self.command(operation, body).await;
        self.acknowledged(chosen, done, Some(name));
    }

    async fn remove(&mut self, chosen: usize) {
        let body = json!({"userId": self.users[chosen].id});
        let done = self.command("remove", body).await;
        self.acknowledged(chosen, done, None);
        let user = self.users.swap_remove(chosen);
        let recent = VecDeque::new();
        self.removed.push(User { recent, ..user });
    }

    fn acknowledged(&mut self, chosen: usize, done: Done, display_name: Option<String>) {
        let user = &mut self.users[chosen];
        assert_eq!(done.version, user.version + 1, "{done:?} of {}", user.id);
        (user.version, user.display_name) = (done.version, display_name);
        user.recent.push_back(done);
        if user.recent.len() > REPEATED_MAX {
            user.recent.pop_front();
        }
    }

    /// The same key again: the first answer, and nothing else happens.
    async fn repeat(&mut self, chosen: usize) {
        let which = self.below(self.users[chosen].recent.len() as u64) as usize;
        let Done {
            operation,
            key,
            body,
            version,
        } = self.users[chosen].recent[which].clone();
        let answer = self.ask(operation, body, Some(&key)).await.ok();
        assert_eq!(sequence(&answer), version, "{operation} with {key} again");
    }

    async fn get(&mut self, chosen: usize) {
        let user = self.users[chosen].clone();
        let got = self.ask("get", json!({"userId": user.id}), None).await;
        user.is_told(&got)
            .unwrap_or_else(|broken| panic!("{broken}"));
    }

    async fn list(&mut self, chosen: usize) {
        let user = self.users[chosen].clone();
        let body = json!({"prefix": user.display_name, "limit": 5});
        let listed = self.ask("list", body, None).await.ok();
        let rows = listed["users"].as_array().expect("rows");
        let is_there = rows
            .iter()
            .any(|row| row["userId"] == user.id.as_str() && sequence(row) == user.version);
        assert!(is_there, "{user:?} is not in its list: {listed}");
    }

    async fn history(&mut self, chosen: usize) {
        let (id, version) = (&self.users[chosen].id, self.users[chosen].version);
        let body = json!({"userId": id, "limit": 3});
        let told = self.ask("history", body, None).await.ok();
        let newest = told["changes"][0]["sequence"].as_str();
        assert_eq!(newest, Some(version.to_string().as_str()), "{told}");
    }

    async fn command(&mut self, operation: &'static str, body: Value) -> Done {
        let key = format!("{}-{}-{operation}", self.name, self.count);
        let answer = self.ask(operation, body.clone(), Some(&key)).await.ok();
        let version = sequence(&answer);
        Done {
            operation,
            key,
            body,
            version,
        }
    }

    /// Asks until there is an answer that is no "try again"; commands have a key, so that is safe.
    async fn ask(&mut self, operation: &'static str, body: Value, key: Option<&str>) -> Answer {
        let token = self.token.borrow().clone();
        let mut caller = self.caller.with_token(&token);
        if let Some(key) = key {
            caller = caller.with("Idempotency-Key", key);
        }
        for _ in 0..ATTEMPTS_MAX {
            let request = caller.try_call(operation, body.clone());
            let error = match timeout(ANSWER_WITHIN, request).await {
                Ok(Ok(answer)) if answer.status.is_none() => {
                    self.tally.answered(operation);
                    return answer;
                }
                Ok(Ok(answer)) => match answer.metadata("retry") {
                    Some("safe" | "same-key") => answer.body["code"].to_string(),
                    Some(_) | None => return answer,
                },
                Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                    "no responders".to_owned()
                }
                Ok(Err(_)) | Err(_) => "no answer".to_owned(),
            };
            self.tally.failed(&error);
            let _ = timeout(PAUSE, std::future::pending::<()>()).await;
        }
        panic!("nobody answers {operation}");
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }
}

impl User {
    /// Whether this answer to `get` is what was acknowledged last.
    pub(crate) fn is_told(&self, got: &Answer) -> Result<(), String> {
        let is_right = match &self.display_name {
            None => got.status == Some(404),
            Some(name) => {
                got.status.is_none()
                    && sequence(&got.body) == self.version
                    && got.body["profile"]["displayName"] == name.as_str()
            }
        };
        let (id, version, name) = (&self.id, self.version, &self.display_name);
        match is_right {
            true => Ok(()),
            false => Err(format!(
                "{id} was acknowledged as {name:?} in version {version}, and is told as {:?} {}",
                got.status, got.body
            )),
        }
    }
}

fn sequence(body: &Value) -> u64 {
    let text = body["details"]["sequence"].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}
