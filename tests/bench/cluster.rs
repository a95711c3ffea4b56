//! `make cluster-bench`: one, two and three nodes over logs of one and of three copies, what a stream takes by
//! itself, and what affinity saves. Everything on one machine: the processors are what is short.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt as _;
use profile_tests::bus::{self, Bus};
use profile_tests::http_client::HttpClient;
use profile_tests::nats_cluster::NatsCluster;
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use profile_tests::repository;
use profile_tests::service::Service;
use profile_tests::temp_dir::TempDir;
use tokio::runtime::Runtime;

use crate::arms::nats::{Asked, OverNats};
use crate::arms::raw_log::RawLog;
use crate::keys::Keys;
use crate::load::{self, Call, Measured};
use crate::process::{Usage, Watched};
use crate::settings::Settings;
use crate::systems::{self, fill};
use crate::values::Round;

const USERS: usize = 1_000;
const IN_FLIGHT: usize = 256;
const LISTEN: &str = "[http]\nlisten = \"127.0.0.1:0\"\n[monitoring]\nlisten = \"127.0.0.1:0\"\n";

/// What one cell runs on; made anew for each, so that nothing of another one runs beside it.
#[derive(Clone, Copy, Debug)]
enum Setup {
    /// Messages as large as commits into streams of so many copies, without a service.
    Streams { copies: usize, streams: usize },
    /// The service alone with its log in files.
    Files,
    Nodes {
        copies: usize,
        nodes: usize,
        routing: Routing,
        keys: Keys,
    },
}

/// Which node gets a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Routing {
    /// Any, as the queue group has it.
    Any,
    /// That of the user's partition: `config/nats-partitions.conf`.
    ByPartition,
}

const fn nodes(copies: usize, nodes: usize) -> Setup {
    Setup::Nodes {
        copies,
        nodes,
        routing: Routing::Any,
        keys: Keys::Uniform(USERS),
    }
}

const fn three(routing: Routing, keys: Keys) -> Setup {
    Setup::Nodes {
        copies: 3,
        nodes: 3,
        routing,
        keys,
    }
}

const fn streams(copies: usize, streams: usize) -> Setup {
    Setup::Streams { copies, streams }
}

/// Those that are compared lie side by side.
const CELLS: [(&str, Setup); 15] = [
    ("stream_1_copy", streams(1, 1)),
    ("streams_3_1_copy", streams(1, 3)),
    ("stream_3_copies", streams(3, 1)),
    ("streams_3_3_copies", streams(3, 3)),
    ("update_files", Setup::Files),
    ("update_1_copy_1_node", nodes(1, 1)),
    ("update_1_copy_2_nodes", nodes(1, 2)),
    ("update_1_copy_3_nodes", nodes(1, 3)),
    ("update_3_copies_1_node", nodes(3, 1)),
    ("update_3_copies_2_nodes", nodes(3, 2)),
    ("update_3_copies_3_nodes", nodes(3, 3)),
    ("zipf_any_node", three(Routing::Any, Keys::Zipf(USERS))),
    (
        "zipf_by_partition",
        three(Routing::ByPartition, Keys::Zipf(USERS)),
    ),
    ("one_user_any_node", three(Routing::Any, Keys::OneUser)),
    (
        "one_user_by_partition",
        three(Routing::ByPartition, Keys::OneUser),
    ),
];
/// Callers of one user: more than its mailbox takes would be refused.
const OF_ONE_USER_IN_FLIGHT: usize = 32;

pub(crate) fn run(settings: &Settings) -> Vec<Round> {
    let mut rounds = Vec::new();
    for number in 1..=settings.rounds {
        eprintln!("round {number} of {}", settings.rounds);
        let mut values = Round::default();
        for (name, setup) in CELLS.into_iter().filter(|(name, _)| settings.wants(name)) {
            measure(name, setup, settings, &mut values);
        }
        rounds.push(values);
    }
    rounds
}

fn measure(name: &str, setup: Setup, settings: &Settings, values: &mut Round) {
    match setup {
        Setup::Streams { copies, streams } => {
            let folder = TempDir::create();
            let (runtime, servers) = NatsCluster::start_with(open_to_all(&folder));
            let watched = watched("nats-servers", servers.pids());
            runtime.block_on(async {
                let log = RawLog::connect(&servers, copies, streams).await;
                let log: Arc<dyn Call> = Arc::new(log);
                let keys = Keys::Uniform(USERS);
                let on = On { watched, keys };
                let measured = on.load(name, &log, IN_FLIGHT, settings, values).await;
                tell(name, &measured, None);
            });
        }
        Setup::Files => {
            let server = NatsServer::start(ServerOptions::default());
            let services = vec![Service::start(&server, LISTEN)];
            let watched = watched("nats-servers", vec![server.pid()]);
            let updates = Updates {
                watched,
                services,
                keys: Keys::Uniform(USERS),
            };
            runtime().block_on(updates.measure(name, &server, settings, values));
        }
        Setup::Nodes {
            copies,
            nodes,
            routing,
            keys,
        } => {
            let folder = TempDir::create();
            let (runtime, servers) = match routing {
                Routing::Any => NatsCluster::start(),
                Routing::ByPartition => NatsCluster::start_with(with_partitions(&folder)),
            };
            let services = started(&servers, copies, nodes, routing);
            let updates = Updates {
                watched: watched("nats-servers", servers.pids()),
                services,
                keys,
            };
            runtime.block_on(updates.measure(name, &servers, settings, values));
        }
    }
}

/// The load of a cell and who is looked at meanwhile.
struct On {
    watched: Vec<Watched>,
    keys: Keys,
}

impl On {
    async fn load(
        &self,
        name: &str,
        call: &Arc<dyn Call>,
        in_flight: usize,
        settings: &Settings,
        values: &mut Round,
    ) -> Measured {
        let usage = Usage::now(&self.watched);
        let measured = load::closed(call, self.keys, in_flight, settings.steady).await;
        for share in usage.since() {
            values.sum(
                name,
                &format!("processors of {}", share.name),
                share.processors,
            );
        }
        values.add(name, &measured);
        measured
    }
}

/// Services on a bus, which are asked for updates.
struct Updates {
    watched: Vec<Watched>,
    services: Vec<Service>,
    keys: Keys,
}

impl Updates {
    async fn measure(self, name: &str, bus: &impl Bus, settings: &Settings, values: &mut Round) {
        let first = self.services.first().expect("a node");
        let consumer = bus::connect(bus, NatsUser::Consumer).await;
        let subscribed = consumer.subscribe("profile-event.v1.>").await;
        let mut events = subscribed.expect("a subscription");
        let listening = tokio::spawn(async move { while events.next().await.is_some() {} });
        fill(&OverNats::connect(bus, first, Asked::Create).await, USERS).await;
        let services = self.services.iter().map(Service::pid).collect();
        let mut watched = self.watched.clone();
        watched.extend(crate::cluster::watched("profiled", services));
        systems::settle(&watched).await;
        let call: Arc<dyn Call> =
            Arc::new(OverNats::connect(bus, first, Asked::UpdateOfUser).await);
        let in_flight = match self.keys {
            Keys::OneUser => OF_ONE_USER_IN_FLIGHT,
            Keys::Uniform(_) | Keys::Zipf(_) => IN_FLIGHT,
        };
        let before = self.conflicts().await;
        let keys = self.keys;
        let on = On { watched, keys };
        let measured = on.load(name, &call, in_flight, settings, values).await;
        let conflicts = self.conflicts().await - before;
        let of_thousand = 1_000.0 * conflicts / measured.latency.len().max(1) as f64;
        values.put(name, "conflicts_of_1000", of_thousand);
        tell(name, &measured, Some(of_thousand));
        listening.abort();
    }

    /// Appends that met another node's change, at all nodes so far.
    async fn conflicts(&self) -> f64 {
        const SERIES: &str = "profile_log_commits_total{outcome=\"conflict\"}";
        let mut sum = 0.0;
        for service in &self.services {
            let metrics = HttpClient::http1(service.monitoring())
                .get("/metrics")
                .await;
            let text = String::from_utf8_lossy(&metrics.body).into_owned();
            let value = text.lines().find_map(|line| line.strip_prefix(SERIES));
            let value = value.expect("the series").trim();
            sum += value.parse::<f64>().expect("a number");
        }
        sum
    }
}

fn tell(name: &str, measured: &Measured, conflicts: Option<f64>) {
    let conflicts = conflicts.map_or(String::new(), |it| format!("  {it:.1} conflicts of 1000"));
    let failure = match &measured.first_failure {
        Some(failure) => format!(", {} failed: {failure}", measured.failures),
        None => String::new(),
    };
    eprintln!(
        "{name:26} {:7.0}/s  p50 {} p99 {} us{conflicts}{failure}",
        measured.per_second,
        measured.us(0.5),
        measured.us(0.99)
    );
}

fn started(servers: &NatsCluster, copies: usize, nodes: usize, routing: Routing) -> Vec<Service> {
    let config = format!(
        "[commit_log]\nengine = \"jetstream\"\nreplicas = {copies}\nsync_always_confirmed = true\n\
         [relay]\nreplicas = {copies}\nmax_bytes = 1_073_741_824\n{LISTEN}"
    );
    let first = Service::prepared(servers, &config);
    let others = (1..nodes).map(|_| first.prepared_beside(servers, &config));
    let others: Vec<_> = others.collect();
    let mut services: Vec<_> = [first].into_iter().chain(others).collect();
    for (partition, service) in services.iter_mut().enumerate() {
        match routing {
            Routing::Any => service.start_again(),
            Routing::ByPartition => {
                service.start_under(&[("PROFILE__NATS__PARTITION", partition.to_string())]);
            }
        }
    }
    services
}

fn watched(name: &'static str, pids: Vec<u32>) -> Vec<Watched> {
    let watched = pids.into_iter().map(|pid| Watched { name, pid });
    watched.collect()
}

/// Servers that sync as those of the log do, and let anybody make a stream.
fn open_to_all(folder: &TempDir) -> PathBuf {
    let file = folder.join("open.conf");
    let config = "http: \"127.0.0.1:0\"\njetstream { sync_interval: always }\n";
    fs::write(&file, config).expect("the folder can be written");
    file
}

/// The shipped files, and the mapping as docs/scale-out.md has it.
fn with_partitions(folder: &TempDir) -> PathBuf {
    for name in [
        "nats-server.conf",
        "nats-cluster.conf",
        "nats-partitions.conf",
    ] {
        let shipped = repository::file(&format!("config/{name}"));
        fs::copy(shipped, folder.join(name)).expect("the folder can be written");
    }
    let file = folder.join("mapped.conf");
    let config = "include \"nats-cluster.conf\"\ninclude \"nats-partitions.conf\"\n";
    fs::write(&file, config).expect("the folder can be written");
    file
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build();
    runtime.expect("a runtime")
}
