//! The service, its bus and its clients, and everything that was heard so far.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::bus::Bus;
use crate::caller::{Caller, Identity};
use crate::nats_server::NatsServer;
use crate::service::Service;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::check::{self, Acked};
use super::client::{Answers, Client, Command, Heard, Pool, Signal, offer, repeat, split};
use super::observe;

pub const CLIENTS: usize = 8;
/// The smallest segments: quick to take, and some are filled.
const CONFIG: &str = "[log]\nsegment_bytes = 1_048_576\ngroup_bytes_max = 1_048_576\n";

#[derive(Debug)]
pub struct World<B = NatsServer> {
    pub runtime: Runtime,
    pub service: Service,
    pub answers: watch::Sender<Answers>,
    pub heard: Heard,
    /// Every acknowledgement, of repetitions too.
    acked: Vec<Acked>,
    rng: ChaCha8Rng,
    signal: watch::Sender<Signal>,
    pool: Pool,
    owner: Caller,
    /// The same, for what is looked at when all is well again.
    reader: Caller,
    bus: B,
}

impl World {
    /// A world with its service running.
    pub fn new(seed: u64) -> World {
        let mut world = World::prepared(seed, "");
        world.service.start_again();
        world
    }

    /// A world whose service has never run. `extra` is configuration (TOML, whole sections).
    pub fn prepared(seed: u64, extra: &str) -> World {
        let (runtime, server) = NatsServer::start_with_runtime();
        World::on(runtime, server, seed, extra)
    }

    pub fn server(&mut self) -> &mut NatsServer {
        &mut self.bus
    }

    /// The event stream is lost with all it held; the service is not running.
    pub fn wipe_stream(&mut self) {
        let _in_runtime = self.runtime.enter();
        self.bus.stop();
        self.bus.wipe_store();
        self.bus.start_again();
    }
}

impl<B: Bus> World<B> {
    /// The same on any bus.
    pub fn on(runtime: Runtime, bus: B, seed: u64, extra: &str) -> World<B> {
        let service = Service::prepared(&bus, &format!("{CONFIG}{extra}"));
        let owner = runtime.block_on(Caller::connect(&bus, &service, &Identity::owner("zoo")));
        let reader = match bus.urls().len() {
            1 => owner.clone(),
            _ => owner.patient(),
        };
        World {
            runtime,
            service,
            reader,
            answers: watch::Sender::new(Answers::default()),
            heard: Heard::default(),
            acked: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            signal: watch::Sender::new(Signal::default()),
            pool: Pool::default(),
            owner,
            bus,
        }
    }

    /// A further node beside the service of this world, not started.
    pub fn node(&self, extra: &str) -> Service {
        let _in_runtime = self.runtime.enter();
        let extra = format!("{CONFIG}{extra}");
        self.service.prepared_beside(&self.bus, &extra)
    }

    pub fn bus(&mut self) -> &mut B {
        &mut self.bus
    }

    /// Starts all clients; the keys of their commands start with `name`.
    pub fn load(&mut self, name: &str) -> JoinSet<Heard> {
        self.signal.send_replace(Signal::default());
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = self.client(format!("{name}-{number}"));
            clients.spawn_on(client.work(), self.runtime.handle());
        }
        clients
    }

    fn client(&mut self, name: String) -> Client {
        Client {
            name,
            caller: self.owner.clone(),
            rng: split(&mut self.rng),
            pool: Arc::clone(&self.pool),
            signal: self.signal.subscribe(),
            answers: self.answers.clone(),
        }
    }

    /// Creates one user beside the load; its answer is counted in `answers` alone.
    pub fn send_one(
        &mut self,
        key: &str,
        answers: &watch::Sender<Answers>,
        to: &mut JoinSet<Heard>,
    ) {
        let mut client = self.client(key.to_owned());
        client.answers = answers.clone();
        to.spawn_on(client.once(Command::create(key)), self.runtime.handle());
    }

    /// Who owns every user of this world.
    pub fn caller(&self) -> &Caller {
        &self.owner
    }

    pub fn tell(&self, change: impl FnOnce(&mut Signal)) {
        self.signal.send_modify(change);
    }

    /// Takes in what the clients heard.
    pub fn join(&mut self, clients: JoinSet<Heard>) -> Heard {
        let mut heard = Heard::default();
        for of_one in self.runtime.block_on(clients.join_all()) {
            heard.add(of_one);
        }
        let acked = heard.acked.iter().map(|(_, acked)| acked.clone());
        self.acked.extend(acked);
        self.heard.add(heard.clone());
        heard
    }

    /// A seeded number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    /// Lets the clients work for up to `below_ms` milliseconds.
    pub fn let_pass(&mut self, below_ms: u32) {
        let delay = Duration::from_millis(self.below(below_ms.into()));
        // A random moment of the load is what is tested; there is no event to wait for.
        let pause = async { timeout(delay, std::future::pending::<()>()).await };
        assert!(self.runtime.block_on(pause).is_err());
    }

    /// What a client does after a timeout: the same command with the same key, until it is answered.
    ///
    /// # Errors
    /// The answer that is no success.
    pub fn settle(&mut self, open: &[Command]) -> Result<(), String> {
        let settled = self.runtime.block_on(repeat(&self.reader, open))?;
        for (command, acked) in settled {
            offer(&self.pool, &command);
            self.acked.push(acked.clone());
            self.heard.acked.push((command, acked));
        }
        Ok(())
    }

    /// Repeats commands that were acknowledged; the checks compare the answers.
    ///
    /// # Errors
    /// The answer that is no success.
    pub fn repeat(&mut self, acked: &[(Command, Acked)]) -> Result<(), String> {
        let commands: Vec<_> = acked.iter().map(|(command, _)| command.clone()).collect();
        let again = self.runtime.block_on(repeat(&self.reader, &commands))?;
        self.acked.extend(again.into_iter().map(|(_, acked)| acked));
        Ok(())
    }

    /// The users of these commands as the service tells them now.
    pub fn observe<'a>(&self, commands: impl Iterator<Item = &'a Command>) -> check::Users {
        let users: BTreeSet<String> = commands.map(|command| command.user.clone()).collect();
        self.runtime.block_on(observe::users(&self.reader, users))
    }

    /// Every promise that can be seen in these users.
    pub fn check(&self, users: &check::Users) -> Result<(), String> {
        check::users(&self.acked, &self.heard.refused, users)
    }

    /// The list tells of exactly the users of this world; no command may be open.
    fn check_list(&self) -> Result<(), String> {
        let listed = self.runtime.block_on(observe::listed(&self.reader))?;
        check::list(&self.acked, &listed)
    }

    /// After a sudden end and a restart: retries what is open, repeats what was acknowledged, and checks
    /// every promise that can be seen in these users. Returns how many of the open commands had been done.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn recover(&mut self, heard: &Heard) -> Result<usize, String> {
        // What was committed and never answered is not known yet: look before anything is sent again.
        let before = self.observe(heard.open.iter());
        self.settle(&heard.open)?;
        self.repeat(&heard.acked)?;
        let acked = heard.acked.iter().map(|(command, _)| command);
        let users = self.observe(acked.chain(&heard.open));
        self.check(&users)?;
        self.check_list()?;
        let mut done_unheard = 0;
        for command in &heard.open {
            let done = |users: &check::Users| {
                let history = &users[&command.user].history;
                history.iter().position(|change| change.key == command.key)
            };
            let (first, then) = (done(&before), done(&users));
            if then.is_none() || first.is_some() && first != then {
                return Err(format!(
                    "{command:?}: at {first:?} before, at {then:?} after"
                ));
            }
            done_unheard += usize::from(first.is_some());
        }
        Ok(done_unheard)
    }

    /// Every promise, of all users and of the event stream; returns the number of changes.
    pub fn check_all(&mut self) -> Result<usize, String> {
        let all = self.heard.acked.clone();
        self.repeat(&all)?;
        let users = self.observe(all.iter().map(|(command, _)| command));
        self.check(&users)?;
        self.check_list()?;
        let events = self.runtime.block_on(observe::events(&self.bus, &users));
        check::events(&events, &users)?;
        Ok(users.values().map(|told| told.history.len()).sum())
    }
}

/// `SEED`, or a random one.
pub fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    number("SEED").unwrap_or_else(|| RandomState::new().hash_one(()))
}

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}
