//! Three nats-servers that are one bus, with `config/nats-cluster.conf`: killed, frozen and restarted one by
//! one, and with network namespaces cut from each other.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream::{self, stream::ClusterInfo};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, interval, timeout};

use crate::bus::{self, Bus};
use crate::namespaces::Namespaces;
use crate::nats_server::{Launch, NatsUser, Process};
use crate::ports::HeldPort;
use crate::repository;
use crate::temp_dir::TempDir;

pub const SERVERS: usize = 3;
const CONFIG: &str = "config/nats-cluster.conf";
const CLIENT_PORT: u16 = 4222;
const ROUTE_PORT: u16 = 6222;
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOOK_MAX: Duration = Duration::from_secs(2);
const LEADER_WITHIN: Duration = Duration::from_secs(60);

/// Where the servers are.
#[derive(Debug)]
enum Network {
    /// On loopback, at ports that stay ours.
    Loopback(Vec<[HeldPort; 2]>),
    /// On hosts of their own.
    Hosts(Namespaces),
}

/// Dropped in this order: processes go before their folders and hosts do.
#[derive(Debug)]
pub struct NatsCluster {
    servers: Vec<Option<Process>>,
    stores: Vec<TempDir>,
    network: Network,
    config: PathBuf,
    /// Of a former release.
    program: Option<PathBuf>,
}

impl NatsCluster {
    /// On loopback, with the runtime that its clients run on.
    pub fn start() -> (Runtime, NatsCluster) {
        NatsCluster::start_with(repository::file(CONFIG))
    }

    /// The same with another configuration.
    pub fn start_with(config: PathBuf) -> (Runtime, NatsCluster) {
        let runtime = runtime();
        let ports = runtime.block_on(async {
            let ports = (0..SERVERS).map(|_| [HeldPort::take(), HeldPort::take()]);
            ports.collect()
        });
        (
            runtime,
            NatsCluster::on(Network::Loopback(ports), config, None),
        )
    }

    /// On hosts of their own, which can be cut from each other, as another program if one is named.
    ///
    /// # Errors
    /// Without root there are no such hosts.
    pub fn start_on_hosts(program: Option<PathBuf>) -> Result<(Runtime, NatsCluster), String> {
        let hosts = Namespaces::make(u8::try_from(SERVERS).expect("few servers"))?;
        let servers = NatsCluster::on(Network::Hosts(hosts), repository::file(CONFIG), program);
        Ok((runtime(), servers))
    }

    fn on(network: Network, config: PathBuf, program: Option<PathBuf>) -> NatsCluster {
        let mut cluster = NatsCluster {
            servers: (0..SERVERS).map(|_| None).collect(),
            stores: (0..SERVERS).map(|_| TempDir::create()).collect(),
            network,
            config,
            program,
        };
        (0..SERVERS).for_each(|server| cluster.start_again(server));
        cluster
    }

    /// Starts a server that does not run, with the store that it had.
    pub fn start_again(&mut self, server: usize) {
        assert!(self.servers[server].is_none(), "the server runs already");
        let routes: Vec<_> = (0..SERVERS).map(|it| self.url_of(it, ROUTE_PORT)).collect();
        let arguments = [
            ["-n".to_owned(), name(server)],
            ["--cluster_name".to_owned(), "profile".to_owned()],
            ["--cluster".to_owned(), self.url_of(server, ROUTE_PORT)],
            ["--routes".to_owned(), routes.join(",")],
        ];
        let namespace = match &self.network {
            Network::Loopback(_) => None,
            Network::Hosts(hosts) => Some(hosts.name(server)),
        };
        let started = Process::start(&Launch {
            program: self.program.as_deref(),
            config: &self.config,
            store: self.stores[server].path(),
            address: self.address(server, CLIENT_PORT),
            namespace,
            arguments: arguments.as_flattened(),
        });
        self.servers[server] = Some(started);
    }

    /// From its next start on each server is the tests' own.
    pub fn run_present(&mut self) {
        self.program = None;
    }

    /// SIGKILL.
    pub fn kill(&mut self, server: usize) {
        drop(self.servers[server].take().expect("the server runs"));
    }

    /// SIGTERM, and its end.
    pub fn stop(&mut self, server: usize) {
        let process = self.servers[server].take().expect("the server runs");
        process.terminate();
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub fn pause(&self, server: usize) {
        self.running(server).pause();
    }

    pub fn resume(&self, server: usize) {
        self.running(server).resume();
    }

    /// The process ids, for a look at what they take.
    pub fn pids(&self) -> Vec<u32> {
        self.servers.iter().flatten().map(Process::pid).collect()
    }

    /// The address of a server's host.
    pub fn ip(&self, server: usize) -> IpAddr {
        self.address(server, CLIENT_PORT).ip()
    }

    /// The hosts, if every server has its own.
    pub fn hosts(&self) -> Option<&Namespaces> {
        match &self.network {
            Network::Loopback(_) => None,
            Network::Hosts(hosts) => Some(hosts),
        }
    }

    /// Which server leads a stream, once one does and has both others behind it.
    ///
    /// # Panics
    /// When none does within a minute.
    pub async fn leader(&self, stream: &str) -> usize {
        let until = Instant::now() + LEADER_WITHIN;
        let mut looks = interval(LOOK_EVERY);
        let client = bus::connect(self, NatsUser::Egress).await;
        while Instant::now() < until {
            looks.tick().await;
            let jetstream = jetstream::new(client.clone());
            let looked = timeout(LOOK_MAX, jetstream.get_stream(stream)).await;
            let Ok(Ok(mut stream)) = looked else {
                continue;
            };
            let cluster = stream.info().await.ok().and_then(|it| it.cluster.clone());
            if let Some(leader) = cluster.as_ref().and_then(leader_of) {
                return leader;
            }
        }
        panic!("{stream} has no leader with two servers behind it");
    }

    /// The last lines of every log.
    pub fn log(&self) -> String {
        let running = self.servers.iter().flatten();
        let logs = running.map(|process| process.log().join("\n"));
        logs.collect::<Vec<_>>().join("\n---\n")
    }

    fn running(&self, server: usize) -> &Process {
        self.servers[server].as_ref().expect("the server runs")
    }

    fn address(&self, server: usize, port: u16) -> SocketAddr {
        match &self.network {
            Network::Loopback(ports) => match port {
                CLIENT_PORT => ports[server][0].address(),
                _ => ports[server][1].address(),
            },
            Network::Hosts(hosts) => (hosts.address(server), port).into(),
        }
    }

    fn url_of(&self, server: usize, port: u16) -> String {
        format!("nats://{}", self.address(server, port))
    }
}

impl Bus for NatsCluster {
    fn urls(&self) -> Vec<String> {
        (0..SERVERS)
            .map(|server| self.url_of(server, CLIENT_PORT))
            .collect()
    }
}

fn name(server: usize) -> String {
    format!("nats-{server}")
}

fn leader_of(cluster: &ClusterInfo) -> Option<usize> {
    let following = cluster.replicas.iter();
    let following = following.filter(|it| it.current && !it.offline).count();
    let leader = cluster.leader.as_deref()?;
    (0..SERVERS).find(|server| following + 1 == SERVERS && name(*server) == leader)
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build();
    runtime.expect("a runtime")
}
