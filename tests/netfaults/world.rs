//! The bus, the proxy, the service behind it, its clients and a consumer, and what is known of them.

use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use profile_tests::caller::{Caller, Identity, token};
use profile_tests::fault_proxy::FaultProxy;
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use profile_tests::service::Service;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval};

use crate::check::{Log, Message};
use crate::client::{Board, Orders, Worker};
use crate::consumer::Consumer;
use crate::observe;

pub(crate) const CLIENTS: usize = 4;
/// Longest time from the end of a fault until everything is as if it had not been.
pub(crate) const RECOVERED_WITHIN: Duration = Duration::from_secs(60);
/// How often something that cannot be watched is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What is in JetStream at most: a stranger's stream can fill it.
pub(crate) const STORE_BYTES_MAX: usize = 128 * 1024 * 1024;
const OPERATOR: &str = "operator";
const OPERATOR_PASSWORD: &str = "password-of-operator";

/// Quick to notice, and a lag that is soon reached.
const NATS_SECTION: &str = "ping_interval_ms = 300\n";
const CONFIG: &str = "
[log]
segment_bytes = 1_048_576
group_bytes_max = 1_048_576

[relay]
max_bytes = 0
lag_bytes_max = 1_048_576
";

/// The shipped configuration but for its patience, with somebody who may do everything.
pub(crate) fn server_options() -> ServerOptions {
    let sync = "sync_interval: \"1s\"";
    let ping = "ping_interval: \"10s\"";
    let users = format!(
        "{{ user: {OPERATOR}, password: {OPERATOR_PASSWORD}, permissions: {{ publish: \">\", \
         subscribe: \">\" }} }}"
    );
    ServerOptions {
        replaced: vec![
            (sync, format!("{sync}\n  max_file_store: {STORE_BYTES_MAX}")),
            (ping, "ping_interval: \"500ms\"".to_owned()),
        ],
        extra_users: users,
        extra_config: "max_pending: 8MB".to_owned(),
        ..ServerOptions::default()
    }
}

pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) proxy: FaultProxy,
    pub(crate) server: NatsServer,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) operator: Client,
    pub(crate) board: Board,
    pub(crate) consumer: Consumer,
    /// Consumers that the server gave up because they did not read.
    pub(crate) slow_consumers_closed: u32,
    /// A killed server stays away for so long at most.
    pub(crate) away_ms_max: u64,
    /// The first sequence that the stream must still have.
    pub(crate) first_kept: u64,
    orders: watch::Sender<Orders>,
    clients: JoinSet<()>,
    consuming: JoinHandle<()>,
    auditor: Caller,
    log: Log,
    /// The stream was compared with the log up to here.
    compared: u64,
    settled_checked: usize,
}

impl World {
    pub(crate) async fn start(seed: u64) -> World {
        let server = NatsServer::start(server_options());
        let proxy = FaultProxy::start(server.address()).await;
        let service = prepared(&proxy, "");
        let mut world = World {
            operator: connect_operator(&server).await,
            board: Board::new(CLIENTS),
            consumer: Consumer::new(
                connect(&server, NatsUser::Consumer).await,
                auditor(&server, &service).await,
            ),
            auditor: auditor(&server, &service).await,
            slow_consumers_closed: 0,
            away_ms_max: 1_500,
            first_kept: 1,
            orders: watch::Sender::default(),
            clients: JoinSet::new(),
            consuming: tokio::spawn(async {}),
            log: Log::default(),
            compared: 0,
            settled_checked: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            service,
            proxy,
            server,
        };
        blocking(|| world.service.start_again());
        world.consuming = tokio::spawn(world.consumer.clone().run());
        world.load().await;
        world
    }

    async fn load(&mut self) {
        for number in 0..CLIENTS {
            let worker = Worker {
                number,
                client: connect(&self.server, NatsUser::Requester).await,
                token: token(&self.service, &Identity::owner("zoo")),
                rng: ChaCha8Rng::seed_from_u64(self.rng.next_u64()),
                orders: self.orders.subscribe(),
                board: self.board.clone(),
            };
            self.clients.spawn(worker.work());
        }
    }

    /// A number from `from` on, below `below`.
    pub(crate) fn number(&mut self, from: u64, below: u64) -> u64 {
        from + self.rng.next_u64() % (below - from)
    }

    pub(crate) fn order(&self, change: impl FnOnce(&mut Orders)) {
        self.orders.send_modify(change);
    }

    /// Waits until every client had so many commands settled from now on.
    pub(crate) async fn settled(&self, commands: u64) -> Result<(), String> {
        let enough: Vec<u64> = self
            .board
            .read()
            .by_client
            .iter()
            .map(|now| now + commands)
            .collect();
        let all = |now: &[u64]| now.iter().zip(&enough).all(|(now, enough)| now >= enough);
        let broken = |now: &crate::client::Heard| !now.broken.is_empty();
        let settled = self
            .board
            .until(RECOVERED_WITHIN, |now| all(&now.by_client) || broken(now));
        settled
            .await
            .map_err(|late| format!("the clients were not served: {late}"))?;
        self.nothing_is_broken()
    }

    fn nothing_is_broken(&self) -> Result<(), String> {
        let broken = self.board.read().broken.clone();
        if broken.is_empty() {
            return Ok(());
        }
        Err(broken.join("\n"))
    }

    /// The stream was made anew, or went back: it is compared from its start again.
    pub(crate) fn stream_began_anew(&mut self, first_kept: u64) {
        self.first_kept = first_kept;
        self.compared = first_kept - 1;
    }

    /// Where the log ends now.
    pub(crate) async fn log_end(&mut self) -> Result<u64, String> {
        loop {
            let page = self.page().await?;
            for (position, event) in page.events {
                self.log.insert(position, event)?;
            }
            self.log.end = page.position;
            if page.end {
                return Ok(self.log.end);
            }
        }
    }

    /// A request may still be lost on a connection whose end is not known yet.
    async fn page(&self) -> Result<observe::Page, String> {
        let start = Instant::now();
        loop {
            match observe::replay(&self.auditor, self.log.end).await {
                Err(_) if start.elapsed() < RECOVERED_WITHIN => {}
                page => return page,
            }
        }
    }

    /// Every promise, of what came since the last time; returns how long the stream took to have it.
    pub(crate) async fn verify(&mut self) -> Result<Duration, String> {
        self.nothing_is_broken()?;
        let known = self.settled_checked;
        let settled = self.board.read().settled[known..].to_vec();
        let end = self.log_end().await?;
        // A user may have been removed while it was read: its events are left out, its removal not yet.
        self.log_end().await?;
        self.log.holds(&settled)?;
        self.settled_checked += settled.len();
        let took = self.stream_holds(end).await?;
        let (first, messages) = self.read_stream(end).await?;
        // A refill withholds events of users who were removed after `end`.
        self.log_end().await?;
        self.log.equals(&messages, first, end)?;
        self.compared = end;
        if !blocking(|| self.service.is_healthy()) {
            return Err("the service is not healthy".to_owned());
        }
        Ok(took)
    }

    async fn read_stream(&self, end: u64) -> Result<(u64, Vec<Message>), String> {
        let first = self.first_kept.max(self.compared + 1);
        let messages = observe::stream(&self.operator, first, end).await?;
        Ok((first, messages))
    }

    async fn stream_holds(&mut self, end: u64) -> Result<Duration, String> {
        let start = Instant::now();
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            let state = observe::state(&self.operator).await;
            if let Some(state) = &state
                && state.last_sequence >= end
            {
                if state.first_sequence > self.first_kept {
                    return Err(format!(
                        "the stream begins at {}, it should at {}",
                        state.first_sequence, self.first_kept
                    ));
                }
                return Ok(start.elapsed());
            }
            if start.elapsed() > RECOVERED_WITHIN {
                let last = state.map(|state| state.last_sequence);
                return Err(format!("the stream is at {last:?} of {end}"));
            }
        }
    }

    /// Lets the clients finish and checks everything again, from the start; returns the number of
    /// commits.
    pub(crate) async fn finish(&mut self) -> Result<u64, String> {
        self.order(|orders| {
            *orders = Orders {
                stop: true,
                hurry: false,
            }
        });
        while let Some(ended) = self.clients.join_next().await {
            ended.map_err(|error| format!("a client: {error}"))?;
        }
        (self.log, self.settled_checked) = (Log::default(), 0);
        self.compared = self.first_kept - 1;
        self.verify().await?;
        let commands = self.board.read().settled.len() as u64;
        if self.log.end != commands {
            return Err(format!("{} commits for {commands} commands", self.log.end));
        }
        self.consumer_converged().await?;
        Ok(commands)
    }

    async fn consumer_converged(&self) -> Result<(), String> {
        self.consumer.until(self.log.end, RECOVERED_WITHIN).await?;
        let known = self.consumer.known();
        if let Some(broken) = known.broken.first() {
            return Err(format!("the consumer: {broken}"));
        }
        if known.versions != self.log.versions() {
            return Err("the consumer knows other versions than the log".to_owned());
        }
        let differs = |(at, event): &(&u64, _)| {
            let told = self.log.events().get(at);
            told.is_some_and(|told| told != *event)
        };
        match known.recorded.iter().find(differs) {
            Some((at, event)) => Err(format!("the consumer saw {event:?} at {at}")),
            None => Ok(()),
        }
    }

    /// The planted bug: whether the check notices that one event was not seen. Only one that nothing may
    /// erase: earlier events of a removed user may be missing.
    pub(crate) async fn a_skipped_event_is_noticed(&mut self) -> Result<(), String> {
        let first = self.first_kept;
        let mut messages = observe::stream(&self.operator, first, self.log.end).await?;
        self.log.equals(&messages, first, self.log.end)?;
        let versions = self.log.versions();
        let must_stay = |(_, message): &(usize, &Message)| {
            let event = message.event.as_ref();
            event.is_some_and(|event| {
                event.removes
                    || versions
                        .get(&event.user)
                        .is_some_and(|version| *version > 0)
            })
        };
        let of_kept = messages.iter().enumerate().filter(must_stay);
        let of_kept: Vec<usize> = of_kept.map(|(at, _)| at).collect();
        if of_kept.is_empty() {
            return Err("there is no event that must stay".to_owned());
        }
        let skipped = of_kept[self.rng.next_u32() as usize % of_kept.len()];
        messages.remove(skipped);
        match self.log.equals(&messages, first, self.log.end) {
            Err(text) if text.starts_with("I5") => Ok(()),
            verdict => Err(format!(
                "{skipped} was left out, and the check says {verdict:?}"
            )),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.consuming.abort();
    }
}

/// Work that waits for a process, on a runtime with several threads.
#[allow(clippy::disallowed_methods)] // there is no arbiter here
pub(crate) fn blocking<R>(work: impl FnOnce() -> R) -> R {
    tokio::task::block_in_place(work)
}

/// The service behind the proxy, with nothing started yet, and further lines of its section `nats`.
pub(crate) fn prepared(proxy: &FaultProxy, nats: &str) -> Service {
    let nats = format!("{NATS_SECTION}{nats}");
    Service::prepared_at(&proxy.url(), &nats, CONFIG)
}

/// Directly on the bus, quick to notice its end and to come back.
fn hasty(options: ConnectOptions) -> ConnectOptions {
    options
        .ping_interval(Duration::from_millis(500))
        .connection_timeout(Duration::from_secs(1))
        .request_timeout(Some(Duration::from_secs(2)))
        .reconnect_delay_callback(|_| Duration::from_millis(30))
}

pub(crate) async fn connect(server: &NatsServer, user: NatsUser) -> Client {
    server.connect_with(hasty(user.connect_options())).await
}

async fn connect_operator(server: &NatsServer) -> Client {
    let login =
        ConnectOptions::with_user_and_password(OPERATOR.to_owned(), OPERATOR_PASSWORD.to_owned());
    server.connect_with(hasty(login)).await
}

/// May read every event of the organization.
async fn auditor(server: &NatsServer, service: &Service) -> Caller {
    let mut identity = Identity::user("auditor", "zoo");
    identity.roles = vec![("IAM_OWNER_VIEWER".to_owned(), "zoo".to_owned())];
    Caller::over(connect(server, NatsUser::Requester).await).with_token(&token(service, &identity))
}
