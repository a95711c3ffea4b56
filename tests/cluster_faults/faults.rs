//! What goes wrong, and how it passes.

use profile_tests::nats_cluster::{NatsCluster, SERVERS};
use profile_tests::service::Signal;

use crate::nodes::{NODES, Nodes};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// kill -9 of a service.
    KillService,
    /// SIGTERM of one service after the other, each started again.
    RestartServices,
    /// kill -9 of the server that leads the log.
    KillLeader,
    /// kill -9 of the leader and of another one: no majority is left.
    KillTwo,
    /// SIGSTOP of the leader.
    PauseLeader,
    /// SIGTERM of one server after the other, each started again.
    RestartServers,
    /// The host of the leader, with a service, is cut from everybody.
    CutLeader,
    /// Another host is.
    CutFollower,
    /// Each host is cut from each other one, and their callers reach all.
    CutAll,
    /// What the leader's host sends to one other does not arrive.
    CutOneWay,
    /// The leader sends slowly, to everybody.
    SlowLeader,
    /// Servers and services begin as former releases, and one after the other becomes the present one.
    Upgrade,
}

/// Who is hit, drawn when it happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    /// The server that leads the log.
    pub(crate) leader: usize,
    /// Another server.
    pub(crate) other: usize,
    pub(crate) node: usize,
}

impl Hit {
    /// The third server.
    fn third(self) -> usize {
        SERVERS - self.leader - self.other
    }
}

const BETWEEN_UPGRADES_MS: u32 = 1_000;
/// Enough to answer, and far too little for the load.
const SLOW_KILOBITS_PER_SECOND: u32 = 2_000;

impl Fault {
    pub(crate) const ALL: [Fault; 11] = [
        Fault::KillService,
        Fault::RestartServices,
        Fault::KillLeader,
        Fault::KillTwo,
        Fault::PauseLeader,
        Fault::RestartServers,
        Fault::CutLeader,
        Fault::CutFollower,
        Fault::CutAll,
        Fault::CutOneWay,
        Fault::SlowLeader,
    ];
    /// Those that need no hosts, each once.
    pub(crate) const SHORT: [Fault; 4] = [
        Fault::KillService,
        Fault::KillLeader,
        Fault::KillTwo,
        Fault::PauseLeader,
    ];

    /// Whether no majority of the servers is left while it lasts.
    pub(crate) fn takes_the_majority(self) -> bool {
        match self {
            Fault::KillTwo | Fault::CutAll => true,
            Fault::KillService
            | Fault::RestartServices
            | Fault::KillLeader
            | Fault::PauseLeader
            | Fault::RestartServers
            | Fault::CutLeader
            | Fault::CutFollower
            | Fault::CutOneWay
            | Fault::SlowLeader
            | Fault::Upgrade => false,
        }
    }

    pub(crate) fn begin(self, nodes: &mut Nodes, hit: Hit) {
        match self {
            Fault::KillService => nodes.node(hit.node).kill(),
            Fault::RestartServices => nodes.node(0).signal(Signal::TERM),
            Fault::KillLeader => nodes.world.bus().kill(hit.leader),
            Fault::KillTwo => {
                nodes.world.bus().kill(hit.leader);
                nodes.world.bus().kill(hit.other);
            }
            Fault::PauseLeader => nodes.world.bus().pause(hit.leader),
            Fault::RestartServers => nodes.world.bus().stop(0),
            Fault::Upgrade => {
                nodes.world.bus().run_present();
                restart_servers(nodes);
            }
            Fault::CutLeader => hosts(nodes.world.bus()).isolate(hit.leader),
            Fault::CutFollower => hosts(nodes.world.bus()).isolate(hit.other),
            Fault::CutAll => cut(nodes.world.bus(), &each()),
            Fault::CutOneWay => cut(nodes.world.bus(), &[(hit.leader, hit.third())]),
            Fault::SlowLeader => {
                hosts(nodes.world.bus()).slow_down(hit.leader, SLOW_KILOBITS_PER_SECOND)
            }
        }
    }

    /// Returns once everything runs again; who leads is not yet known then.
    pub(crate) fn end(self, nodes: &mut Nodes, hit: Hit) {
        match self {
            Fault::KillService => nodes.node(hit.node).start_again(),
            Fault::RestartServices => {
                for node in 0..NODES {
                    if node > 0 {
                        nodes.node(node).signal(Signal::TERM);
                    }
                    assert!(nodes.node(node).ended().success());
                    nodes.node(node).start_again();
                }
            }
            Fault::Upgrade => {
                for node in 0..NODES {
                    assert!(nodes.node(node).stop().success());
                    nodes.node(node).run(None);
                    nodes.node(node).start_again();
                    // Some calls meet both releases.
                    nodes.world.let_pass(BETWEEN_UPGRADES_MS);
                }
            }
            Fault::KillLeader => nodes.world.bus().start_again(hit.leader),
            Fault::KillTwo => {
                nodes.world.bus().start_again(hit.other);
                nodes.world.bus().start_again(hit.leader);
            }
            Fault::PauseLeader => nodes.world.bus().resume(hit.leader),
            Fault::RestartServers => {
                nodes.world.bus().start_again(0);
                for server in 1..SERVERS {
                    restart(nodes, server);
                }
            }
            Fault::CutLeader => hosts(nodes.world.bus()).join(hit.leader),
            Fault::CutFollower => hosts(nodes.world.bus()).join(hit.other),
            Fault::CutAll => mend(nodes.world.bus(), &each()),
            Fault::CutOneWay => mend(nodes.world.bus(), &[(hit.leader, hit.third())]),
            Fault::SlowLeader => hosts(nodes.world.bus()).speed_up(hit.leader),
        }
    }
}

fn restart_servers(nodes: &mut Nodes) {
    (0..SERVERS).for_each(|server| restart(nodes, server));
}

/// One at a time, as everybody does it: the next when all three are there.
fn restart(nodes: &mut Nodes, server: usize) {
    nodes.leader();
    nodes.world.bus().stop(server);
    nodes.world.bus().start_again(server);
}

/// Both ways between any two.
fn each() -> Vec<(usize, usize)> {
    let pairs = (0..SERVERS).flat_map(|from| (0..SERVERS).map(move |to| (from, to)));
    pairs.filter(|(from, to)| from != to).collect()
}

fn cut(servers: &NatsCluster, ways: &[(usize, usize)]) {
    ways.iter()
        .for_each(|(from, to)| hosts(servers).cut(*from, *to));
}

fn mend(servers: &NatsCluster, ways: &[(usize, usize)]) {
    ways.iter()
        .for_each(|(from, to)| hosts(servers).mend(*from, *to));
}

fn hosts(servers: &NatsCluster) -> &profile_tests::namespaces::Namespaces {
    servers.hosts().expect("only with hosts for the servers")
}
