//! The service, its bus and its clients, and everything that was heard so far.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use profile_tests::caller::{Caller, Identity};
use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::service::Service;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::check::{self, Acked};
use crate::client::{Client, Command, Heard, Pool, Signal, offer, repeat, split};
use crate::observe;

const CLIENTS: usize = 8;
/// The smallest segments: quick to take, and some are filled.
const CONFIG: &str = "[log]\nsegment_bytes = 1_048_576\ngroup_bytes_max = 1_048_576\n";

pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) service: Service,
    pub(crate) answers: watch::Sender<u64>,
    pub(crate) heard: Heard,
    /// Every acknowledgement, of repetitions too.
    acked: Vec<Acked>,
    rng: ChaCha8Rng,
    signal: watch::Sender<Signal>,
    pool: Pool,
    owner: Caller,
    server: NatsServer,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        // The harness holds its port with a socket that needs a runtime.
        let server = runtime.block_on(async { NatsServer::start(ServerOptions::default()) });
        let service = Service::start(&server, CONFIG);
        let owner = runtime.block_on(Caller::connect(&server, &service, &Identity::owner("zoo")));
        World {
            runtime,
            service,
            answers: watch::Sender::new(0),
            heard: Heard::default(),
            acked: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            signal: watch::Sender::new(Signal::default()),
            pool: Pool::default(),
            owner,
            server,
        }
    }

    /// Starts all clients; the keys of their commands start with `name`.
    pub(crate) fn load(&mut self, name: &str) -> JoinSet<Heard> {
        self.signal.send_replace(Signal::default());
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client {
                name: format!("{name}-{number}"),
                caller: self.owner.clone(),
                rng: split(&mut self.rng),
                pool: Arc::clone(&self.pool),
                signal: self.signal.subscribe(),
                answers: self.answers.clone(),
            };
            clients.spawn_on(client.work(), self.runtime.handle());
        }
        clients
    }

    pub(crate) fn tell(&self, change: impl FnOnce(&mut Signal)) {
        self.signal.send_modify(change);
    }

    /// Takes in what the clients heard.
    pub(crate) fn join(&mut self, clients: JoinSet<Heard>) -> Heard {
        let mut heard = Heard::default();
        for of_one in self.runtime.block_on(clients.join_all()) {
            heard.add(of_one);
        }
        let acked = heard.acked.iter().map(|(_, acked)| acked.clone());
        self.acked.extend(acked);
        self.heard.add(heard.clone());
        heard
    }

    /// Lets the clients work for up to `below_ms` milliseconds.
    pub(crate) fn let_pass(&mut self, below_ms: u32) {
        let delay = Duration::from_millis(u64::from(self.rng.next_u32() % below_ms));
        // A random moment of the load is what is tested; there is no event to wait for.
        let pause = async { timeout(delay, std::future::pending::<()>()).await };
        assert!(self.runtime.block_on(pause).is_err());
    }

    /// What a client does after a timeout: the same command with the same key, until it is answered.
    pub(crate) fn settle(&mut self, open: &[Command]) {
        let settled = self.runtime.block_on(repeat(&self.owner, open));
        for (command, acked) in settled {
            offer(&self.pool, &command);
            self.acked.push(acked.clone());
            self.heard.acked.push((command, acked));
        }
    }

    /// Repeats commands that were acknowledged; the checks compare the answers.
    pub(crate) fn repeat(&mut self, acked: &[(Command, Acked)]) {
        let commands: Vec<_> = acked.iter().map(|(command, _)| command.clone()).collect();
        let again = self.runtime.block_on(repeat(&self.owner, &commands));
        self.acked.extend(again.into_iter().map(|(_, acked)| acked));
    }

    /// The users of these commands as the service tells them now.
    pub(crate) fn observe<'a>(&self, commands: impl Iterator<Item = &'a Command>) -> check::Users {
        let users: BTreeSet<String> = commands.map(|command| command.user.clone()).collect();
        self.runtime.block_on(observe::users(&self.owner, users))
    }

    /// Every promise that can be seen in these users.
    pub(crate) fn check(&self, users: &check::Users) -> Result<(), String> {
        check::users(&self.acked, &self.heard.refused, users)
    }

    /// Every promise, of all users and of the event stream; returns the number of changes.
    pub(crate) fn check_all(&mut self) -> Result<usize, String> {
        let all = self.heard.acked.clone();
        self.repeat(&all);
        let users = self.observe(all.iter().map(|(command, _)| command));
        self.check(&users)?;
        let events = self.runtime.block_on(observe::events(&self.server, &users));
        check::events(&events, &users)?;
        Ok(users.values().map(|told| told.history.len()).sum())
    }
}

/// `SEED`, or a random one.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    number("SEED").unwrap_or_else(|| RandomState::new().hash_one(()))
}

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}
