//! The NATS edge: requests in on one connection, answers out on another.
//!
//! One queue subscription takes every request; each becomes a task; answers leave by the egress
//! connection, since the server's reply permissions count per connection and since a quiet ingress is
//! what makes a drain without loss possible (`shutdown`). Nothing is flushed per request: async-nats
//! writes what has gathered whenever its queue is empty.

mod connect;
mod counters;
pub(super) mod decode;
pub(super) mod encode;
mod ingress;
pub(crate) mod reply_rule;
mod requests;
mod shutdown;
mod traffic;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use profile_messages::subject;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use self::connect::Fence;
use self::ingress::Shared;
use self::reply_rule::ReplyRule;
use self::requests::{Requests, Stop};
use crate::clock::Clock;
use crate::transport::Funnel;
use crate::transport::micro::{Discovery, EndpointStats, Facts, MicroError, MicroOptions};

pub use self::connect::{NatsLogin, NatsTls, NatsUser, connect_as, connect_watched};
pub use self::counters::{Count, NatsCounters};
pub use self::shutdown::DrainReport;
pub use self::traffic::{Traffic, TrafficNumbers};

/// Answers to refused requests that may wait for a place in the egress connection.
const REFUSALS_WAITING_MAX: usize = 4_096;
/// Most requests that may be configured to be in flight.
const IN_FLIGHT_REQUESTS_LIMIT: usize = 1 << 20;

/// Longest wait for a server that does not confirm the subscriptions: a dead connection is noticed by two
/// missed pings and made anew well within it.
const CONFIRM_BOUND: Duration = Duration::from_secs(45);
const CONFIRM_PAUSE: Duration = Duration::from_millis(100);

/// How the edge reaches the bus and what it bears.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// URLs of servers, e.g. `nats://127.0.0.1:4222`.
    pub servers: Vec<String>,
    /// Subscribes to requests and `$SRV`; may publish to its own inbox and, as responses, to others'.
    pub ingress: NatsUser,
    /// Publishes the answers.
    pub egress: NatsUser,
    pub tls: NatsTls,
    pub connect_timeout: Duration,
    /// Two missed pings are a lost connection.
    pub ping_interval: Duration,
    /// Messages that may wait between the connection and the loop; further ones are lost.
    pub ingress_capacity_messages: usize,
    pub in_flight_requests_max: usize,
    /// Of the requests only those that a mapping of nats-server sends here; all without.
    pub partition: Option<u16>,
    /// Where answers may go, e.g. `_INBOX.`; `$*`, `profile*` and our own inboxes never.
    pub reply_prefixes_allowed: Vec<String>,
    pub micro: MicroOptions,
}

/// Why the edge did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the {role} connection to nats: {source}")]
    Connect {
        role: &'static str,
        source: async_nats::ConnectError,
    },
    #[error("the nats credentials file: {source}")]
    Credentials { source: std::io::Error },
    #[error("{0} must not be empty or zero")]
    Empty(&'static str),
    #[error("the inbox prefix {0} is also an allowed reply prefix: it must be the service's alone")]
    SharedInbox(String),
    #[error(transparent)]
    Micro(#[from] MicroError),
    #[error("subscribing to requests: {0}")]
    Subscribe(async_nats::SubscribeError),
    #[error("nats.in_flight_requests_max must be at most {IN_FLIGHT_REQUESTS_LIMIT}")]
    InFlightTooLarge,
    #[error(
        "nats refused to confirm the subscriptions: the {role} user must be able to publish to \
         {prefix}> and to subscribe to its own inbox"
    )]
    Unconfirmed { role: &'static str, prefix: String },
    #[error(
        "the {role} connection was lost while its subscriptions were being confirmed, and nats did not \
         answer for {bound_s} s: start again once nats-server can be reached"
    )]
    Unanswered { role: &'static str, bound_s: u64 },
}

/// A running edge. Dropped without a [`NatsEdge::drain`], it stops reading and closes.
#[derive(Debug)]
pub struct NatsEdge {
    ingress: Client,
    egress: Client,
    clock: Arc<dyn Clock>,
    counters: Arc<NatsCounters>,
    discovery: Discovery,
    ingress_task: JoinHandle<()>,
    stops: mpsc::Sender<Stop>,
    in_flight: Arc<Semaphore>,
    in_flight_requests_max: usize,
    closing: Arc<AtomicBool>,
    /// Messages on the ingress connection that were our own round trips.
    fences: Count,
    fence_prefix: String,
}

impl NatsEdge {
    /// Connects, subscribes, announces the service; returns when the server routes requests here.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start<F: Funnel + std::fmt::Debug>(
        options: NatsOptions,
        funnel: Arc<F>,
        clock: Arc<dyn Clock>,
    ) -> Result<NatsEdge, StartError> {
        check(&options)?;
        let counters = Arc::new(NatsCounters::default());
        let egress = connect::connect_egress(&options, &counters).await?;
        let (releases, releases_of_loop) = mpsc::channel(1);
        let ingress = connect::connect_ingress(&options, &counters, releases).await?;
        let shared = Arc::new(share(&options, funnel, &egress, &clock, &counters));
        let requests = ingress
            .queue_subscribe(
                subject::requests(options.partition),
                subject::QUEUE.to_owned(),
            )
            .await
            .map_err(StartError::Subscribe)?;
        let requests = Requests::new(ingress.clone(), requests, options.partition);
        let facts = Facts {
            clock: Arc::clone(&clock),
            rule: Arc::clone(&shared.rule),
            endpoints: Arc::clone(&shared.endpoints),
            counters: Arc::clone(&counters),
        };
        let discovery = Discovery::start(&options.micro, &ingress, &egress, facts).await?;
        let (in_flight, closing) = (Arc::clone(&shared.in_flight), Arc::clone(&shared.closing));
        let (stops, stops_of_loop) = mpsc::channel(2);
        let taking = ingress::run(requests, shared, stops_of_loop, releases_of_loop);
        let edge = NatsEdge {
            ingress,
            egress,
            clock,
            counters,
            discovery,
            ingress_task: tokio::spawn(taking),
            stops,
            in_flight,
            in_flight_requests_max: options.in_flight_requests_max,
            closing,
            fences: Count::default(),
            fence_prefix: first(&options.reply_prefixes_allowed),
        };
        edge.confirm(&options).await?;
        Ok(edge)
    }

    /// What the edge has counted so far.
    pub fn counters(&self) -> &Arc<NatsCounters> {
        &self.counters
    }

    /// The connection that takes requests and the one that answers.
    pub fn traffic(&self) -> [Traffic; 2] {
        [Traffic::of(&self.ingress), Traffic::of(&self.egress)]
    }

    /// Returns when the loop that reads requests has ended: by a drain, or by a fault.
    pub async fn ended(&self) {
        self.stops.closed().await;
    }

    /// Whether both connections are up.
    pub fn is_connected(&self) -> bool {
        let up = |client: &Client| client.connection_state() == State::Connected;
        up(&self.ingress) && up(&self.egress)
    }

    /// Stops taking requests, answers what was read, makes sure that the server has the answers, and
    /// closes both connections. Takes `bound` at most, and a few round trips.
    pub async fn drain(self, bound: Duration) -> DrainReport {
        shutdown::drain(self, bound).await
    }

    /// Both fences: the subscriptions are in place, and a drain will be able to tell.
    async fn confirm(&self, options: &NatsOptions) -> Result<(), StartError> {
        let ingress_prefix = format!("{}.", options.ingress.inbox_prefix);
        self.confirm_one("ingress", ingress_prefix, || self.ingress_fence())
            .await?;
        let egress_prefix = self.fence_prefix.clone();
        self.confirm_one("egress", egress_prefix, || self.egress_fence())
            .await
    }

    /// A connection may be lost at this moment as at any other: it is made anew with its subscriptions, and
    /// asked again. What the server refuses it says at once.
    async fn confirm_one<F: Future<Output = Result<(), Fence>>>(
        &self,
        role: &'static str,
        prefix: String,
        fence: impl Fn() -> F,
    ) -> Result<(), StartError> {
        let refusals = self.counters.permission_violations.get();
        let asked_until = self.clock.monotonic() + CONFIRM_BOUND;
        while fence().await.is_err() {
            if self.counters.permission_violations.get() > refusals {
                return Err(StartError::Unconfirmed { role, prefix });
            }
            if self.clock.monotonic() >= asked_until {
                let bound_s = CONFIRM_BOUND.as_secs();
                return Err(StartError::Unanswered { role, bound_s });
            }
            tracing::warn!(
                connection = role,
                "nats has not confirmed the subscriptions yet"
            );
            tokio::time::sleep(CONFIRM_PAUSE).await;
        }
        Ok(())
    }
}

impl Drop for NatsEdge {
    fn drop(&mut self) {
        self.ingress_task.abort();
    }
}

fn check(options: &NatsOptions) -> Result<(), StartError> {
    for (name, empty) in [
        ("nats.servers", options.servers.is_empty()),
        (
            "nats.reply_prefixes_allowed",
            options.reply_prefixes_allowed.is_empty(),
        ),
        (
            "nats.ingress_capacity_messages",
            options.ingress_capacity_messages == 0,
        ),
        (
            "nats.in_flight_requests_max",
            options.in_flight_requests_max == 0,
        ),
    ] {
        if empty {
            return Err(StartError::Empty(name));
        }
    }
    if options.in_flight_requests_max > IN_FLIGHT_REQUESTS_LIMIT {
        return Err(StartError::InFlightTooLarge);
    }
    for own in [&options.ingress.inbox_prefix, &options.egress.inbox_prefix] {
        let dotted = format!("{own}.");
        let covers = |prefix: &String| prefix.starts_with(&dotted) || *prefix == dotted;
        if options.reply_prefixes_allowed.iter().any(covers) {
            return Err(StartError::SharedInbox(own.clone()));
        }
    }
    Ok(())
}

fn share<F>(
    options: &NatsOptions,
    funnel: Arc<F>,
    egress: &Client,
    clock: &Arc<dyn Clock>,
    counters: &Arc<NatsCounters>,
) -> Shared<F> {
    let own = [&options.ingress, &options.egress].map(|user| user.inbox_prefix.as_str());
    Shared {
        funnel,
        egress: egress.clone(),
        clock: Arc::clone(clock),
        rule: Arc::new(ReplyRule::new(&options.reply_prefixes_allowed, &own)),
        counters: Arc::clone(counters),
        endpoints: Arc::new(EndpointStats::default()),
        in_flight: Arc::new(Semaphore::new(options.in_flight_requests_max)),
        refusals_waiting: Arc::new(Semaphore::new(REFUSALS_WAITING_MAX)),
        closing: Arc::new(AtomicBool::new(false)),
    }
}

fn first(prefixes: &[String]) -> String {
    prefixes.first().cloned().unwrap_or_default()
}
