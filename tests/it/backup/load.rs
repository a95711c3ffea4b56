//! Clients that change their own users all the time, and what was acknowledged to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use profile_tests::caller::{Caller, new_user};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const CLIENTS: usize = 4;
const USERS_OF_A_CLIENT: usize = 3;
const ANSWERS_BETWEEN: u64 = 120;
/// Far more than that many answers take on a busy machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// The last version of each user that was acknowledged.
pub(super) type Acked = BTreeMap<String, u64>;

pub(super) struct Load {
    acked: Arc<Mutex<Acked>>,
    answers: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub(super) async fn start(caller: &Caller) -> Load {
        let load = Load {
            acked: Arc::default(),
            answers: watch::Sender::new(0),
            stop: watch::Sender::new(false),
            clients: Vec::new(),
        };
        let clients = (0..CLIENTS).map(|client| {
            let (caller, acked) = (caller.clone(), Arc::clone(&load.acked));
            let (answers, stop) = (load.answers.clone(), load.stop.subscribe());
            tokio::spawn(async move {
                for round in 0.. {
                    if *stop.borrow() {
                        return;
                    }
                    for user in 0..USERS_OF_A_CLIENT {
                        let user = format!("u-{client}-{user}");
                        let version = change(&caller, &user, round).await;
                        acked.lock().unwrap().insert(user, version);
                        answers.send_modify(|answers| *answers += 1);
                    }
                }
            })
        });
        let clients = clients.collect();
        Load { clients, ..load }
    }

    /// Waits for the next answers.
    pub(super) async fn goes_on(&self) {
        let mut answers = self.answers.subscribe();
        let enough = *answers.borrow() + ANSWERS_BETWEEN;
        let answered = timeout(ANSWERED_WITHIN, answers.wait_for(|now| *now >= enough)).await;
        answered.expect("the load goes on").unwrap();
    }

    pub(super) fn acked(&self) -> Acked {
        self.acked.lock().unwrap().clone()
    }

    pub(super) async fn stop(self) -> Acked {
        self.stop.send_replace(true);
        for client in self.clients {
            let ended = timeout(ANSWERED_WITHIN, client).await;
            ended.expect("a client ends with its round").unwrap();
        }
        self.acked.lock().unwrap().clone()
    }
}

async fn change(caller: &Caller, user: &str, round: u64) -> u64 {
    let done = match round {
        0 => caller.call("create", new_user(user)).await.ok(),
        _ => {
            // Long enough for some segments.
            let name = format!("{round} {}", "n".repeat(150));
            let body = json!({"userId": user, "displayName": name});
            caller.call("patch", body).await.ok()
        }
    };
    let version = done["details"]["sequence"].as_str().expect("a version");
    version.parse().expect("a number")
}
