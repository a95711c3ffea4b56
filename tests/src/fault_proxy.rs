//! A proxy in front of nats-server that cuts, stalls and slows down connections.
//!
//! It passes whole frames of the NATS protocol on, so that it can tell the service's connections
//! apart by the name in their CONNECT and cut one between an event and the word that it is stored.
//! A direction that is held is not read at all, so that the end of a connection does not pass either:
//! what lies there is delivered late, as TCP does it after an outage.

mod frames;
mod link;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use frames::Counts;
use frames::Events;
use link::Link;

/// What a connection of the service is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Ingress,
    Egress,
    Relay,
    /// The commit log of several nodes.
    Log,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Ingress, Role::Egress, Role::Relay, Role::Log];

    /// By the name that a connection gives itself.
    fn of(name: &str) -> Option<Role> {
        match name.rsplit_once(' ')?.1 {
            "ingress" => Some(Role::Ingress),
            "egress" => Some(Role::Egress),
            "relay" => Some(Role::Relay),
            "log" => Some(Role::Log),
            _ => None,
        }
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToService,
}

/// What happens to the bytes of one role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    pub held_to_server: bool,
    pub held_to_service: bool,
    /// Before each frame, in either direction.
    pub latency: Duration,
}

impl Weather {
    pub fn held(direction: Direction) -> Weather {
        Weather {
            held_to_server: direction == Direction::ToServer,
            held_to_service: direction == Direction::ToService,
            ..Weather::default()
        }
    }

    fn holds(&self, direction: Direction) -> bool {
        match direction {
            Direction::ToServer => self.held_to_server,
            Direction::ToService => self.held_to_service,
        }
    }
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    weather: [watch::Sender<Weather>; 4],
    links: Mutex<Vec<Arc<Link>>>,
    events: Events,
}

impl Shared {
    fn add(&self, link: Arc<Link>) {
        let mut links = self.links();
        links.retain(|link| !link.is_cut());
        links.push(link);
    }

    fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().expect("nothing panics with it")
    }
}

/// The running proxy; everything is cut when it is dropped. To be made within a tokio runtime.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl FaultProxy {
    /// Listens on loopback for connections to `server`, which may be down.
    pub async fn start(server: SocketAddr) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port on loopback");
        let address = listener.local_addr().expect("the address just bound");
        let shared = Arc::new(Shared {
            server,
            weather: std::array::from_fn(|_| watch::Sender::default()),
            links: Mutex::default(),
            events: Events::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        FaultProxy {
            address,
            shared,
            accepting,
        }
    }

    /// `nats://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Closes the connections of these roles on both sides; returns how many there were.
    pub fn cut(&self, roles: &[Role]) -> usize {
        let links = self.of(roles);
        links.iter().for_each(|link| link.cut());
        links.len()
    }

    /// From now on, also for new connections.
    pub fn set(&self, roles: &[Role], weather: Weather) {
        for role in roles {
            self.shared.weather[*role as usize].send_replace(weather);
        }
    }

    /// Forgets the present connections of these roles, as a firewall that restarts: nothing passes on
    /// them any more, not even their end. New ones are fine.
    pub fn abandon(&self, roles: &[Role]) -> usize {
        let links = self.of(roles);
        links.iter().for_each(|link| link.abandon());
        links.len()
    }

    /// Lets the `nth` next event (or commit of the log) through to the server, waits for the word that it is stored, and cuts
    /// the connection instead of passing that on. `nth` counts from 1.
    pub fn cut_before_ack(&self, nth: u64) {
        self.shared.events.cut_before_ack(nth);
    }

    /// Sees the counts move.
    pub fn watch_counts(&self) -> watch::Receiver<Counts> {
        self.shared.events.watch()
    }

    pub fn counts(&self) -> Counts {
        *self.shared.events.watch().borrow()
    }

    fn of(&self, roles: &[Role]) -> Vec<Arc<Link>> {
        let has_role = |link: &&Arc<Link>| link.role().is_some_and(|role| roles.contains(&role));
        let mut links = self.shared.links();
        links.retain(|link| !link.is_cut());
        links
            .iter()
            .filter(has_role)
            .filter(|link| !link.is_abandoned())
            .cloned()
            .collect()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        for link in self.shared.links().iter() {
            link.cut();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((service, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A server that is down: the service sees its connection closed at once.
            let Ok(server) = TcpStream::connect(shared.server).await else {
                return;
            };
            let link = Arc::new(Link::default());
            shared.add(Arc::clone(&link));
            link::run(&link, &shared, service, server).await;
        });
    }
}

#[cfg(test)]
mod tests;
