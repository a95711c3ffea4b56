//! The NATS micro protocol (ADR-32 revision 6): who is here, what it offers, how it fares.
//!
//! Of our own, because async-nats' `service` module is older than revision 6, ties a subscription to
//! each endpoint and cannot send an error body. Here one subscription takes every request, and the
//! endpoints are the operations of the contract by their wildcard-free subjects, since generic tools
//! send to an endpoint's subject literally.

mod answers;
mod stats;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::select_all;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::answers::Answers;
use crate::clock::Clock;
use crate::transport::nats::NatsCounters;
use crate::transport::nats::reply_rule::ReplyRule;

pub use self::answers::{SCHEMA_REQUEST, SCHEMA_RESPONSE, SUBJECT_PER_USER};
pub use self::stats::{EndpointNumbers, EndpointStats};

/// The subjects' prefix where none is configured.
pub const PREFIX: &str = "$SRV";

/// How the service announces itself.
#[derive(Clone, Debug)]
pub struct MicroOptions {
    /// `[A-Za-z0-9_-]+`
    pub name: String,
    /// SemVer 2.
    pub version: String,
    pub description: String,
    pub metadata: BTreeMap<String, String>,
    /// `$SRV`, or what the account maps it to.
    pub prefix: String,
}

/// Why the service cannot announce itself.
#[derive(Debug, thiserror::Error)]
pub enum MicroError {
    #[error("the service name must be A-Z, a-z, 0-9, _ and -")]
    Name,
    #[error("the service version must be a semantic version, e.g. 1.2.3")]
    Version,
    #[error("subscribing to discovery requests: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
}

/// What the answers are made of.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rule: Arc<ReplyRule>,
    pub(super) endpoints: Arc<EndpointStats>,
    pub(super) counters: Arc<NatsCounters>,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Ping,
    Info,
    Stats,
}

impl Verb {
    const ALL: [Verb; 3] = [Verb::Ping, Verb::Info, Verb::Stats];

    fn name(self) -> &'static str {
        match self {
            Verb::Ping => "PING",
            Verb::Info => "INFO",
            Verb::Stats => "STATS",
        }
    }

    /// Everybody, every instance of the service, this instance: never queue subscriptions.
    fn subjects(self, prefix: &str, name: &str, id: &str) -> [String; 3] {
        let verb = self.name();
        [
            format!("{prefix}.{verb}"),
            format!("{prefix}.{verb}.{name}"),
            format!("{prefix}.{verb}.{name}.{id}"),
        ]
    }
}

/// The running responder. It stops when dropped.
#[derive(Debug)]
pub(super) struct Discovery {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Discovery {
    /// Subscribes on `ingress`; the answers leave by `egress`, like all others.
    pub(super) async fn start(
        options: &MicroOptions,
        ingress: &Client,
        egress: &Client,
        facts: Facts,
    ) -> Result<Discovery, MicroError> {
        let id = facts.clock.random_id();
        let answers = Answers::new(options, &id, facts.clock.now())?;
        let mut subscriptions = Vec::with_capacity(9);
        for verb in Verb::ALL {
            for subject in verb.subjects(&options.prefix, &options.name, &id) {
                subscriptions.push((verb, ingress.subscribe(subject).await?));
            }
        }
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(subscriptions, stopped, egress.clone(), answers, facts));
        Ok(Discovery {
            stop: Some(stop),
            task,
        })
    }

    /// Ends the nine subscriptions: the service is no longer found.
    pub(super) async fn stop(&mut self) {
        if let Some(stop) = self.stop.take()
            && stop.send(()).is_ok()
        {
            let _ = (&mut self.task).await;
        }
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    subscriptions: Vec<(Verb, Subscriber)>,
    mut stopped: oneshot::Receiver<()>,
    egress: Client,
    answers: Answers,
    facts: Facts,
) {
    let tagged = subscriptions
        .into_iter()
        .map(|(verb, subscription)| subscription.map(move |message| (verb, message)));
    let mut requests = select_all(tagged);
    loop {
        let request = tokio::select! {
            biased;
            _ = &mut stopped => break,
            request = requests.next() => request,
        };
        match request {
            Some((verb, message)) => answer(verb, message, &egress, &answers, &facts).await,
            None => return, // the connection is closed
        }
    }
    for requests in requests {
        let _ = requests.into_inner().unsubscribe().await;
    }
}

async fn answer(verb: Verb, message: Message, egress: &Client, answers: &Answers, facts: &Facts) {
    facts.counters.discovery_read.add_one();
    if facts.rule.check(message.reply.as_deref()).is_err() {
        return facts.counters.discovery_dropped.add_one();
    }
    let Some(reply) = message.reply else { return };
    let payload: Bytes = match verb {
        Verb::Ping => answers.ping(),
        Verb::Info => answers.info(),
        Verb::Stats => answers.stats(&facts.endpoints),
    };
    if egress.publish(reply, payload).await.is_err() {
        tracing::warn!("a discovery request could not be answered");
    }
}
