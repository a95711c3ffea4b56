//! Clients of the service: directly on the bus, one command after the other, each repeated with its
//! key until it is settled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_nats::{Client, HeaderMap, StatusCode, Subscriber};
use futures::StreamExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use crate::check::Settled;

/// The service remembers the last 16 keys of a user.
const COMMANDS_PER_USER_MAX: u64 = 14;
const USERS_AT_ONCE: usize = 4;
const ATTEMPT: Duration = Duration::from_secs(2);
const PACE: Duration = Duration::from_millis(15);
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
/// Profile names may be this long.
const NAME_CHARACTERS: usize = 200;

/// What all clients are told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orders {
    /// Settle what is open and send nothing more.
    pub(crate) stop: bool,
    /// Large bodies, one after the other without a pause.
    pub(crate) hurry: bool,
}

/// What all clients heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) settled: Vec<Settled>,
    /// What must never be: a false answer, a second answer, a command that is never settled.
    pub(crate) broken: Vec<String>,
    /// Commands settled by each client.
    pub(crate) by_client: Vec<u64>,
    pub(crate) tallies: Tallies,
}

/// How attempts ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tallies {
    pub(crate) done: u64,
    pub(crate) refused: u64,
    /// Of these, because the stream takes nothing.
    pub(crate) behind: u64,
    pub(crate) unknown: u64,
    pub(crate) nobody: u64,
    pub(crate) silence: u64,
    /// Answers that came when nobody waited any more.
    pub(crate) late: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Board {
    heard: Arc<Mutex<Heard>>,
    moved: watch::Sender<()>,
}

impl Board {
    pub(crate) fn new(clients: usize) -> Board {
        let heard = Heard {
            by_client: vec![0; clients],
            ..Heard::default()
        };
        Board {
            heard: Arc::new(Mutex::new(heard)),
            moved: watch::Sender::default(),
        }
    }

    pub(crate) fn read(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("nothing panics with it")
    }

    /// Waits until `is_so` of what was heard.
    pub(crate) async fn until(
        &self,
        bound: Duration,
        is_so: impl Fn(&Heard) -> bool,
    ) -> Result<(), String> {
        let mut moved = self.moved.subscribe();
        let waiting = async {
            while !is_so(&self.read()) {
                moved.changed().await.expect("the board holds the sender");
            }
        };
        let waited = timeout(bound, waiting).await;
        waited.map_err(|_| format!("not within {bound:?}: {:?}", self.read().tallies))
    }

    fn note(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.read());
        self.moved.send_replace(());
    }
}

#[derive(Clone, Debug)]
struct Command {
    operation: &'static str,
    user: String,
    key: String,
    version: u64,
    large: bool,
}

impl Command {
    fn body(&self) -> Value {
        let (user, key) = (&self.user, &self.key);
        let mut names = json!({"firstName": key, "lastName": "Giraffe", "displayName": key});
        if self.large {
            for name in ["firstName", "lastName", "nickName"] {
                names[name] = format!("{key:.<NAME_CHARACTERS$}").into();
            }
        }
        match self.operation {
            "create" => json!({
                "userId": user,
                "userName": user,
                "profile": names,
                "email": {"email": format!("{user}@zoo.example")},
            }),
            "remove" => json!({"userId": user}),
            _ => {
                names["userId"] = user.clone().into();
                names
            }
        }
    }
}

enum Answer {
    Done { version: u64 },
    Refused { behind: bool },
    Unknown,
    Nobody,
    Silence,
    Wrong(String),
}

pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) client: Client,
    pub(crate) token: String,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) orders: watch::Receiver<Orders>,
    pub(crate) board: Board,
}

impl Worker {
    /// Until told to stop, or until something is broken.
    pub(crate) async fn work(mut self) {
        let inbox = self.client.new_inbox();
        let subscribed = self.client.subscribe(format!("{inbox}.*")).await;
        let mut replies = Replies {
            inbox,
            subscriber: subscribed.expect("the connection is open"),
            sent: 0,
            answers: HashMap::new(),
        };
        let mut users: Vec<(String, u64)> = Vec::new();
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0.. {
            let orders = *self.orders.borrow();
            if orders.stop {
                return;
            }
            let key = format!("c{}-{number}", self.number);
            let command = self.next(&mut users, key, orders.hurry);
            let deadline = Instant::now() + SETTLED_WITHIN;
            loop {
                if !orders.hurry {
                    pace.tick().await;
                }
                let answer = self.attempt(&command, &mut replies).await;
                if self.note(&command, answer) {
                    break;
                }
                pace.tick().await;
                if Instant::now() > deadline {
                    let text = format!("{command:?} is not settled within {SETTLED_WITHIN:?}");
                    return self.board.note(|heard| heard.broken.push(text));
                }
            }
        }
    }

    /// Nobody else changes this client's users, so the version of each command is known before.
    fn next(&mut self, users: &mut Vec<(String, u64)>, key: String, large: bool) -> Command {
        let command = |operation, user, version| Command {
            operation,
            user,
            key: key.clone(),
            version,
            large,
        };
        if users.len() < USERS_AT_ONCE {
            let user = format!("u-{key}");
            users.push((user.clone(), 1));
            return command("create", user, 1);
        }
        let chosen = self.rng.next_u32() as usize % users.len();
        users[chosen].1 += 1;
        let (user, version) = users[chosen].clone();
        if version < COMMANDS_PER_USER_MAX {
            return command("update", user, version);
        }
        users.swap_remove(chosen);
        match self.rng.next_u32().is_multiple_of(4) {
            true => command("remove", user, version),
            false => command("update", user, version),
        }
    }

    async fn attempt(&self, command: &Command, replies: &mut Replies) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("Authorization", format!("Bearer {}", self.token));
        headers.insert("Idempotency-Key", command.key.as_str());
        replies.sent += 1;
        let reply = format!("{}.{}", replies.inbox, replies.sent);
        let subject = format!("profile.v1.{}", command.operation);
        let body = command.body().to_string().into();
        let deadline = Instant::now() + ATTEMPT;
        let sent = self
            .client
            .publish_with_reply_and_headers(subject, reply, headers, body);
        match timeout_at(deadline, sent).await {
            Err(_) => return Answer::Silence,
            Ok(Err(error)) => return Answer::Wrong(error.to_string()),
            Ok(Ok(())) => {}
        }
        loop {
            let Ok(message) = timeout_at(deadline, replies.subscriber.next()).await else {
                return Answer::Silence;
            };
            let Some(message) = message else {
                return Answer::Wrong("the client's connection is closed".to_owned());
            };
            let number = message.subject.rsplit_once('.').expect("our own inbox").1;
            let number: u64 = number.parse().expect("our own number");
            let answers = replies.answers.entry(number).or_default();
            *answers += 1;
            if *answers > 1 {
                return Answer::Wrong(format!("request {number} was answered {answers} times"));
            }
            if number == replies.sent {
                return read(&message);
            }
            self.board.note(|heard| heard.tallies.late += 1);
        }
    }

    /// Whether the command is settled.
    fn note(&self, command: &Command, answer: Answer) -> bool {
        let (mut settled, mut broken) = (false, None);
        self.board.note(|heard| {
            let tallies = &mut heard.tallies;
            match answer {
                Answer::Done { version } => {
                    tallies.done += 1;
                    settled = true;
                    heard.by_client[self.number] += 1;
                    heard.settled.push(Settled {
                        user: command.user.clone(),
                        key: command.key.clone(),
                        version,
                        removes: command.operation == "remove",
                    });
                    if version != command.version {
                        broken = Some(format!("{command:?} was answered with version {version}"));
                    }
                }
                Answer::Refused { behind } => {
                    tallies.refused += 1;
                    tallies.behind += u64::from(behind);
                }
                Answer::Unknown => tallies.unknown += 1,
                Answer::Nobody => tallies.nobody += 1,
                Answer::Silence => tallies.silence += 1,
                Answer::Wrong(text) => {
                    settled = true;
                    broken = Some(format!("{command:?}: {text}"));
                }
            }
            heard.broken.extend(broken);
        });
        settled
    }
}

/// Replies to this client alone, counted by request.
struct Replies {
    inbox: String,
    subscriber: Subscriber,
    sent: u64,
    answers: HashMap<u64, u32>,
}

fn read(message: &async_nats::Message) -> Answer {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Answer::Nobody;
    }
    let Ok(body) = serde_json::from_slice::<Value>(&message.payload) else {
        return Answer::Wrong("an answer without a JSON body".to_owned());
    };
    let headers = message.headers.as_ref();
    let code = headers.and_then(|headers| headers.get("Nats-Service-Error-Code"));
    let text = body["message"].as_str().unwrap_or_default();
    match code.map(|code| code.as_str()) {
        None => match body["details"]["sequence"].as_str().map(str::parse) {
            Some(Ok(version)) => Answer::Done { version },
            Some(Err(_)) | None => Answer::Wrong(format!("a success without a version: {body}")),
        },
        Some("429") => Answer::Refused {
            behind: text.contains("too far behind"),
        },
        Some("503") => Answer::Refused { behind: false },
        Some("500") if body.to_string().contains("same-key") => Answer::Unknown,
        Some(code) => Answer::Wrong(format!("{code}: {text}")),
    }
}
