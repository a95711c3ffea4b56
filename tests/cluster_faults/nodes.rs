//! The services on the cluster, the load on them, and one fault from well to well.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use profile_tests::caller::{Identity, token};
use profile_tests::http_client::{HttpClient, answer};
use profile_tests::nats_cluster::{NatsCluster, SERVERS};
use profile_tests::promises::check::Users;
use profile_tests::promises::client::{Answers, Heard};
use profile_tests::promises::world::World;
use profile_tests::service::Service;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use crate::faults::{Fault, Hit};

pub(crate) const NODES: usize = 3;
const CONFIG: &str = "
[commit_log]
engine = \"jetstream\"
replicas = 3
sync_always_confirmed = true
[relay]
replicas = 3
max_bytes = 268_435_456
[http]
listen = \"0.0.0.0:0\"
[monitoring]
listen = \"0.0.0.0:0\"
";
const LOG: &str = "PROFILE_LOG_0";
const LOADED_WITHIN_MS: u32 = 400;
const STANDS_WITHIN_MS: u32 = 3_000;
/// Without a majority the leader notices after ten seconds at the latest; until then a commit is open.
const REFUSED_WITHIN: Duration = Duration::from_secs(60);
const SERVED_WITHIN_MAX: Duration = Duration::from_secs(120);
const USERS_READ_EVERYWHERE: usize = 12;
const READY_WITHIN: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_millis(200);

pub(crate) struct Nodes {
    /// Its service is the first node. With hosts, each node shares one with a server.
    pub(crate) world: World<NatsCluster>,
    others: Vec<Service>,
    token: String,
    probes: u64,
}

impl Nodes {
    /// The services are of a former release if one is named.
    pub(crate) fn start(
        runtime: Runtime,
        servers: NatsCluster,
        seed: u64,
        former: Option<PathBuf>,
    ) -> Nodes {
        let world = World::on(runtime, servers, seed, CONFIG);
        let others = (1..NODES).map(|_| world.node(CONFIG)).collect();
        let mut nodes = Nodes {
            token: token(&world.service, &Identity::owner("zoo")),
            world,
            others,
            probes: 0,
        };
        for node in 0..NODES {
            let host = nodes.world.bus().hosts().map(|it| it.name(node).to_owned());
            if let Some(host) = host {
                nodes.node(node).move_to(&host);
            }
            nodes.node(node).run(former.clone());
            nodes.node(node).start_again();
        }
        nodes
    }

    /// Where this port of a node is reached.
    fn at(&mut self, node: usize, port: u16) -> HttpClient {
        HttpClient::http1((self.world.bus().ip(node), port).into())
    }

    pub(crate) fn node(&mut self, node: usize) -> &mut Service {
        match node.checked_sub(1) {
            None => &mut self.world.service,
            Some(other) => &mut self.others[other],
        }
    }

    /// Which server leads the log; all three are there.
    pub(crate) fn leader(&mut self) -> usize {
        let handle = self.world.runtime.handle().clone();
        handle.block_on(self.world.bus().leader(LOG))
    }

    /// The fault under load, then every promise. Returns after which time writes went on: from the beginning
    /// of a fault that leaves a majority, from the end of one that does not.
    ///
    /// # Errors
    /// The promise that is broken.
    pub(crate) fn live_through(&mut self, fault: Fault, number: usize) -> Result<Duration, String> {
        let hit = self.hit();
        eprintln!("fault {number}, {fault:?}: {hit:?}");
        let mut clients = self.world.load(&format!("f{number}"));
        self.world.let_pass(LOADED_WITHIN_MS);
        fault.begin(self, hit);
        let began = Instant::now();
        let served = if fault.takes_the_majority() {
            self.refused(&mut clients)?;
            fault.end(self, hit);
            self.served(Instant::now(), &mut clients)?
        } else {
            let while_it_lasts = self.served(began, &mut clients)?;
            self.world.let_pass(STANDS_WITHIN_MS);
            let ends = Instant::now();
            fault.end(self, hit);
            while_it_lasts.max(self.served(ends, &mut clients)?)
        };
        self.world.tell(|signal| signal.stop = true);
        let heard = self.world.join(clients);
        self.leader();
        let ends = Instant::now();
        self.all_ready()?;
        eprintln!(
            "served after {served:?}, read at every node {:?} later",
            ends.elapsed()
        );
        self.world.recover(&heard)?;
        let acked = heard.acked.iter().map(|(command, _)| command);
        let users = self.world.observe(acked.take(USERS_READ_EVERYWHERE));
        self.read_everywhere(&users)?;
        Ok(served)
    }

    fn hit(&mut self) -> Hit {
        let leader = self.leader();
        let other = 1 + self.world.below(SERVERS as u64 - 1) as usize;
        Hit {
            leader,
            other: (leader + other) % SERVERS,
            node: self.world.below(NODES as u64) as usize,
        }
    }

    /// Until a write is refused as certainly not done. None may succeed: there is no majority.
    fn refused(&mut self, clients: &mut JoinSet<Heard>) -> Result<(), String> {
        let answers = watch::Sender::new(Answers::default());
        let until = Instant::now() + REFUSED_WITHIN;
        while Instant::now() < until {
            self.probe(&answers, clients);
            let Answers {
                acked,
                refused,
                nobody,
            } = *answers.borrow();
            if acked > 0 {
                return Err("a write was acknowledged without a majority".to_owned());
            }
            // A caller at a server that is cut from every service hears it from that server.
            if refused + nobody > 0 {
                return Ok(());
            }
        }
        Err("without a majority no write was answered UNAVAILABLE".to_owned())
    }

    /// Until a write succeeds that was sent later than this is called; how long that is after `since`.
    fn served(&mut self, since: Instant, clients: &mut JoinSet<Heard>) -> Result<Duration, String> {
        let answers = watch::Sender::new(Answers::default());
        while since.elapsed() < SERVED_WITHIN_MAX {
            self.probe(&answers, clients);
            if answers.borrow().acked > 0 {
                return Ok(since.elapsed());
            }
        }
        Err(format!("no write succeeds within {SERVED_WITHIN_MAX:?}"))
    }

    /// Sends one write, whatever became of the last, and leaves it some time.
    fn probe(&mut self, answers: &watch::Sender<Answers>, clients: &mut JoinSet<Heard>) {
        self.probes += 1;
        let key = format!("probe-{}", self.probes);
        self.world.send_one(&key, answers, clients);
        // The clients that were refused try again, too.
        self.world.tell(|signal| signal.starts += 1);
        let pause = async { timeout(PROBE_EVERY, std::future::pending::<()>()).await };
        assert!(self.world.runtime.block_on(pause).is_err());
    }

    /// Until every node says that it is ready and answers a read, for which it asks the log's leader: a
    /// connection between two servers that was cut may take a while to notice that it is not any more.
    ///
    /// # Errors
    /// A node that has ended, or that does not get ready.
    fn all_ready(&mut self) -> Result<(), String> {
        let (command, _) = self.world.heard.acked.first().ok_or("nothing succeeded")?;
        let path = format!("/management/v1/users/{}/profile", command.user);
        for node in 0..NODES {
            if let Some(status) = self.node(node).ended_within(Duration::ZERO) {
                return Err(format!("node {node} ended by itself: {status}"));
            }
            let port = self.node(node).monitoring().port();
            let monitoring = self.at(node, port);
            let port = self.node(node).http().port();
            let http = self.at(node, port);
            let ready = async {
                let mut looks = interval(PROBE_EVERY);
                loop {
                    looks.tick().await;
                    let is_ready = answer(monitoring.request(Method::GET, "/readyz"));
                    let read = http.request(Method::GET, &path).bearer_auth(&self.token);
                    if is_ready.await.status == 200 && answer(read).await.status == 200 {
                        return;
                    }
                }
            };
            let in_time = async { timeout(READY_WITHIN, ready).await };
            if self.world.runtime.block_on(in_time).is_err() {
                return Err(format!("node {node} does not get ready"));
            }
        }
        Ok(())
    }

    /// Every node tells the same of these users.
    fn read_everywhere(&mut self, users: &Users) -> Result<(), String> {
        for node in 0..NODES {
            let port = self.node(node).http().port();
            let http = self.at(node, port);
            for (user, told) in users {
                let expected = told.current.as_ref().map(|change| change.version);
                let path = format!("/management/v1/users/{user}/profile");
                let request = http.request(Method::GET, &path).bearer_auth(&self.token);
                let got = self.world.runtime.block_on(answer(request));
                let sequence = got.json()["details"]["sequence"].clone();
                let version = sequence.as_str().and_then(|it| it.parse().ok());
                if version != expected {
                    let body = &got.body;
                    return Err(format!(
                        "node {node} tells {body:?} of {user}, not {expected:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn log(&mut self) -> String {
        let mut logs = vec![self.world.bus().log()];
        logs.extend((0..NODES).map(|node| format!("node {node}:\n{}", self.node(node).log())));
        logs.join("\n=====\n")
    }
}
