//! Clients that create and change users until they are told to stop, and what they heard.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::caller::{Answer, Caller};
use async_nats::RequestErrorKind;
use futures::{StreamExt, TryStreamExt, stream};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::check::Acked;

/// The service remembers the last 16 keys of a user (`CALLER_KEYS_KEPT_MAX`): with no more commands
/// than that, every key may be repeated at any time.
const COMMANDS_PER_USER_MAX: usize = 16;
const USERS_AT_ONCE: usize = 6;
const REPEATED_AT_ONCE: usize = 16;
/// Ten seconds each.
const ATTEMPTS_MAX: usize = 6;

/// One command; its key is the display name it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    operation: &'static str,
    pub user: String,
    pub key: String,
}

impl Command {
    /// Creates a user of its own.
    pub fn create(key: &str) -> Command {
        Command {
            operation: "create",
            user: format!("u-{key}"),
            key: key.to_owned(),
        }
    }

    fn body(&self) -> Value {
        let (user, name) = (&self.user, &self.key);
        match self.operation {
            "create" => json!({
                "userId": user,
                "userName": user,
                "profile": {"firstName": "Gigi", "lastName": "Giraffe", "displayName": name},
                "email": {"email": format!("{user}@zoo.example")},
            }),
            _ => json!({
                "userId": user, "firstName": "Gigi", "lastName": "Giraffe", "displayName": name,
            }),
        }
    }

    fn acked(&self, body: &Value) -> Acked {
        let details = &body["details"];
        let date = match self.operation {
            "create" => &details["creationDate"],
            _ => &details["changeDate"],
        };
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Acked {
            user: self.user.clone(),
            key: self.key.clone(),
            version: text(&details["sequence"]).parse().expect("a number"),
            at: text(date),
        }
    }
}

/// What all clients see.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signal {
    /// The service was killed: nobody will answer what is open.
    pub killed: bool,
    /// Finish what is open and send nothing more.
    pub stop: bool,
    /// How often the service got ready.
    pub starts: u32,
}

/// How many answers came so far, over all clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers {
    pub acked: u64,
    /// Refused as certainly not done.
    pub refused: u64,
    /// The bus said that nobody is there.
    pub nobody: u64,
}

/// What became of the commands.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub acked: Vec<(Command, Acked)>,
    /// Answered with an error that says "not done", or there was nobody.
    pub refused: BTreeSet<String>,
    /// Of these, by an answer of the service.
    pub refused_by_answer: u64,
    /// May be done, or not.
    pub open: Vec<Command>,
}

impl Heard {
    pub fn add(&mut self, other: Heard) {
        self.acked.extend(other.acked);
        self.refused.extend(other.refused);
        self.refused_by_answer += other.refused_by_answer;
        self.open.extend(other.open);
    }
}

/// Users that take changes, each with the number of commands it was sent.
pub type Pool = Arc<Mutex<Vec<(String, usize)>>>;

/// One of several clients; all of them work on the same users.
#[derive(Debug)]
pub struct Client {
    pub name: String,
    pub caller: Caller,
    pub rng: ChaCha8Rng,
    pub pool: Pool,
    pub signal: watch::Receiver<Signal>,
    pub answers: watch::Sender<Answers>,
}

impl Client {
    /// Sends one command after the other until told to stop or the service is killed.
    pub async fn work(mut self) -> Heard {
        let mut heard = Heard::default();
        for number in 0.. {
            let seen = *self.signal.borrow();
            if seen.stop || seen.killed {
                break;
            }
            let command = self.next(&format!("{}-{number}", self.name));
            let mut signal = self.signal.clone();
            let answer = tokio::select! {
                biased;
                answer = send(&self.caller, &command) => answer,
                _ = signal.wait_for(|signal| signal.killed) => Err(RequestErrorKind::TimedOut),
            };
            if !self.note(command, answer, &mut heard) {
                let again = |now: &Signal| now.killed || now.stop || now.starts > seen.starts;
                signal
                    .wait_for(again)
                    .await
                    .expect("the test holds the sender");
            }
        }
        heard
    }

    /// Sends one command and no more.
    pub async fn once(self, command: Command) -> Heard {
        let mut heard = Heard::default();
        let answer = send(&self.caller, &command).await;
        self.note(command, answer, &mut heard);
        heard
    }

    /// Whether the service is there.
    fn note(
        &self,
        command: Command,
        answer: Result<Answer, RequestErrorKind>,
        heard: &mut Heard,
    ) -> bool {
        match answer {
            Ok(Answer {
                status: None, body, ..
            }) => {
                self.answers.send_modify(|answers| answers.acked += 1);
                let acked = command.acked(&body);
                offer(&self.pool, &command);
                heard.acked.push((command, acked));
                true
            }
            Ok(answer) if matches!(answer.status, Some(429 | 503)) => {
                heard.refused.insert(command.key);
                heard.refused_by_answer += 1;
                self.answers.send_modify(|answers| answers.refused += 1);
                false
            }
            Ok(answer) if answer.metadata("retry") == Some("same-key") => {
                // The log has failed: the service ends, and would say this to everything until then.
                heard.open.push(command);
                false
            }
            Ok(answer) => panic!("{command:?}: {}", answer.body),
            Err(RequestErrorKind::NoResponders) => {
                self.answers.send_modify(|answers| answers.nobody += 1);
                heard.refused.insert(command.key);
                false
            }
            Err(RequestErrorKind::TimedOut) => {
                heard.open.push(command);
                true
            }
            Err(other) => panic!("{command:?}: {other}"),
        }
    }

    fn next(&mut self, key: &str) -> Command {
        let mut pool = self.pool.lock().expect("the pool is not poisoned");
        let (choice, create) = (
            self.rng.next_u32() as usize,
            self.rng.next_u32().is_multiple_of(10),
        );
        if create || pool.len() < USERS_AT_ONCE {
            return Command::create(key);
        }
        let chosen = choice % pool.len();
        pool[chosen].1 += 1;
        let user = pool[chosen].0.clone();
        if pool[chosen].1 == COMMANDS_PER_USER_MAX {
            pool.swap_remove(chosen);
        }
        Command {
            operation: "update",
            user,
            key: key.to_owned(),
        }
    }
}

/// The randomness of one client, from that of the run.
pub fn split(rng: &mut ChaCha8Rng) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(rng.next_u64())
}

/// Sends every command again, with its key: now each must succeed.
///
/// # Errors
/// The first one that does not.
pub async fn repeat(
    caller: &Caller,
    commands: &[Command],
) -> Result<Vec<(Command, Acked)>, String> {
    let repeated = stream::iter(commands.to_vec()).map(|command| async move {
        let keyed = caller.with("Idempotency-Key", &command.key);
        let answer = answered(&keyed, command.operation, command.body()).await;
        if answer.status.is_some() {
            return Err(format!("{command:?} again: {}", answer.body));
        }
        let acked = command.acked(&answer.body);
        Ok((command, acked))
    });
    repeated
        .buffer_unordered(REPEATED_AT_ONCE)
        .try_collect()
        .await
}

/// A user whose creation was acknowledged for the first time takes changes.
pub fn offer(pool: &Pool, command: &Command) {
    let mut pool = pool.lock().expect("the pool is not poisoned");
    if command.operation == "create" {
        pool.push((command.user.clone(), 1));
    }
}

/// The answer, of a service that is up. NATS loses what it sends to a process that it does not know to be
/// dead yet, and on a starved machine that takes a while: so ask again, as every client must. `operation` is
/// a query, or `caller` has a key.
pub async fn answered(caller: &Caller, operation: &str, body: Value) -> Answer {
    for _ in 0..ATTEMPTS_MAX {
        match caller.try_call(operation, body.clone()).await {
            Ok(answer) => return answer,
            Err(error) if error.kind() == RequestErrorKind::TimedOut => {}
            Err(error) => panic!("{operation}: {error}"),
        }
    }
    panic!("{operation} is not answered")
}

async fn send(caller: &Caller, command: &Command) -> Result<Answer, RequestErrorKind> {
    let keyed = caller.with("Idempotency-Key", &command.key);
    let answer = keyed.try_call(command.operation, command.body()).await;
    answer.map_err(|error| error.kind())
}
