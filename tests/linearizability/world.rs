//! The service, its bus and the clients of several histories at once.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use profile_tests::caller::{Caller, Identity};
use profile_tests::nats_server::NatsServer;
use profile_tests::service::Service;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::client::{Client, Keys, Planted, Shared};
use crate::faults::schedule;
use crate::model::{Input, Operation, Told};
use crate::plan::below;

const CLIENTS_PER_HISTORY: usize = 5;
/// One in so many users may be removed at any time, the others near the end.
const REMOVED_EARLY_EVERY: u64 = 10;
const OPERATIONS_PER_FAULT: u64 = 1_000;
const FAULTS_MIN: u64 = 6;
const SILENCE: Duration = Duration::from_secs(120);
/// Few live actors and short lives, so that users are activated again and again; small segments, so that
/// some are filled.
const CONFIG: &str = "
[log]
segment_bytes = 1_048_576
group_bytes_max = 1_048_576
[compaction]
interval_s = 2
[actors]
live_actors_max = 4
idle_passivation_ms = 100
";

const NODES: usize = 3;
/// Short, so that a frozen service leaves operations open.
const ANSWER_WITHIN: Duration = Duration::from_millis(300);
/// Longer, since a killed bus stalls the nodes' log for seconds: hundreds of operations that are all open at
/// once have more orders than can be tried.
const ANSWER_OF_NODES_WITHIN: Duration = Duration::from_millis(1_500);
const CLUSTER: &str = "
[commit_log]
engine = \"jetstream\"
sync_always_confirmed = true
";

pub(crate) struct World {
    /// One on its own, or several with one log.
    nodes: Vec<Service>,
    pub(crate) server: NatsServer,
    runtime: Runtime,
    rng: ChaCha8Rng,
    users: u64,
    /// The connections of every client of a batch; a history takes [`CLIENTS_PER_HISTORY`] of them.
    callers: Vec<Caller>,
}

/// What is asked of one batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) histories: usize,
    /// For each history.
    pub(crate) operations: u64,
    pub(crate) planted: Option<Planted>,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let (runtime, server) = NatsServer::start_with_runtime();
        let nodes = vec![Service::start(&server, CONFIG)];
        World::on(runtime, server, nodes, seed)
    }

    /// Several nodes, of which any answers: one client's operations reach them all.
    pub(crate) fn of_nodes(seed: u64) -> World {
        let (runtime, server) = NatsServer::start_with_runtime();
        let config = format!("{CONFIG}{CLUSTER}");
        let mut nodes = vec![Service::start(&server, &config)];
        while nodes.len() < NODES {
            let _in_runtime = runtime.enter();
            let mut node = nodes[0].prepared_beside(&server, &config);
            node.start_again();
            nodes.push(node);
        }
        World::on(runtime, server, nodes, seed)
    }

    fn on(runtime: Runtime, server: NatsServer, nodes: Vec<Service>, seed: u64) -> World {
        World {
            nodes,
            server,
            runtime,
            rng: ChaCha8Rng::seed_from_u64(seed),
            users: 0,
            callers: Vec::new(),
        }
    }

    /// The node that is hit by a fault with this number.
    pub(crate) fn node(&mut self, number: usize) -> &mut Service {
        let count = self.nodes.len();
        &mut self.nodes[number % count]
    }

    fn log(&self) -> String {
        let logs: Vec<_> = self.nodes.iter().map(Service::log).collect();
        logs.join("\n---\n")
    }

    /// Records histories of as many new users, all at once, while faults happen.
    pub(crate) fn record(&mut self, batch: Batch) -> Vec<(Vec<Operation>, Told)> {
        self.connect(batch.histories * CLIENTS_PER_HISTORY);
        let total = batch.operations * batch.histories as u64;
        let faults = FAULTS_MIN.max(total / OPERATIONS_PER_FAULT);
        let planned = schedule(&mut self.rng, total, faults);
        let progress = watch::Sender::new(0);
        let mut recording = JoinSet::new();
        for number in 0..batch.histories {
            let history = self.clients(number, batch, &progress);
            recording.spawn_on(recorded(history), self.runtime.handle());
        }
        let mut done = progress.subscribe();
        for fault in planned {
            let reached = async {
                let reached = done.wait_for(|done| *done >= fault.after_operations);
                // What it returns is a lock that would hold up the clients.
                timeout(SILENCE, reached).await.is_ok()
            };
            let in_time = self.runtime.block_on(reached);
            assert!(in_time, "no progress: {}", self.log());
            fault.fault.happen(self);
        }
        let all = async { timeout(SILENCE, recording.join_all()).await };
        let histories = self.runtime.block_on(all);
        histories.unwrap_or_else(|_| panic!("no end: {}", self.log()))
    }

    /// Waits for a moment that was drawn, not for an event.
    pub(crate) fn let_pass(&self, how_long: Duration) {
        let pause = async { timeout(how_long, std::future::pending::<()>()).await };
        let _ = self.runtime.block_on(pause);
    }

    fn connect(&mut self, count: usize) {
        let owner = Identity::owner("zoo");
        while self.callers.len() < count {
            let caller = Caller::connect(&self.server, &self.nodes[0], &owner);
            self.callers.push(self.runtime.block_on(caller));
        }
    }

    fn clients(
        &mut self,
        history: usize,
        batch: Batch,
        progress: &watch::Sender<u64>,
    ) -> Vec<Client> {
        self.users += 1;
        let removed_below = match below(&mut self.rng, REMOVED_EARLY_EVERY) {
            0 => batch.operations / 2,
            _ => batch.operations / 30,
        };
        let shared = Arc::new(Shared {
            user: format!("u-{}", self.users),
            left: AtomicU64::new(batch.operations),
            answer_within: match self.nodes.len() {
                1 => ANSWER_WITHIN,
                _ => ANSWER_OF_NODES_WITHIN,
            },
            removed_below,
            version: AtomicU64::new(0),
            keys: Keys::default().into(),
            told: Told::new().into(),
            chances: AtomicU64::new(0),
            started: Instant::now(),
            progress: progress.clone(),
        });
        let first = history * CLIENTS_PER_HISTORY;
        let callers = self.callers[first..first + CLIENTS_PER_HISTORY].to_vec();
        let clients = callers
            .into_iter()
            .enumerate()
            .map(|(number, caller)| Client {
                number,
                caller,
                rng: ChaCha8Rng::seed_from_u64(self.rng.next_u64()),
                shared: Arc::clone(&shared),
                planted: batch.planted,
                first_read: None,
            });
        clients.collect()
    }
}

/// Everything that the clients of one user did, and at last one read when all is well again.
async fn recorded(mut clients: Vec<Client>) -> (Vec<Operation>, Told) {
    let mut last = clients[0].again();
    let mut history: Vec<_> = {
        let work: JoinSet<_> = clients.drain(..).map(Client::work).collect();
        work.join_all().await.into_iter().flatten().collect()
    };
    for _ in 0..10 {
        let read = last.record(Input::Get).await;
        let is_read = !read.is_empty();
        history.extend(read);
        if is_read {
            return (history, last.told());
        }
    }
    panic!("the last read of {} is not answered", last.user());
}
