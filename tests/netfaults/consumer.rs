//! A consumer of the event stream that survives everything: it records each event by its sequence,
//! notices a gap and fills it by `replay`, and applies each event once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, Message as StreamMessage};
use futures::StreamExt;
use profile_messages::subject::EVENT_STREAM;
use profile_tests::caller::Caller;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::check::{Event, Message};
use crate::observe;

/// Without an event for so long it asks for a new consumer: the old one may be gone with its stream.
const IDLE: Duration = Duration::from_millis(700);

/// What it knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) position: u64,
    pub(crate) recorded: BTreeMap<u64, Event>,
    /// The version of every user, 0 when removed.
    pub(crate) versions: BTreeMap<String, u64>,
    /// Events that came again.
    pub(crate) again: u64,
    pub(crate) replayed: u64,
    pub(crate) broken: Vec<String>,
}

impl Known {
    fn apply(&mut self, position: u64, event: Option<Event>) {
        self.position = self.position.max(position);
        let Some(event) = event else { return };
        if let Some(recorded) = self.recorded.get(&position) {
            self.again += 1;
            if *recorded != event {
                let text = format!("{position} was {recorded:?} and is now {event:?}");
                self.broken.push(text);
            }
            return;
        }
        let version = self.versions.entry(event.user.clone()).or_default();
        if event.removes {
            *version = 0;
        } else if event.version > *version {
            *version = event.version;
        }
        self.recorded.insert(position, event);
    }
}

#[derive(Clone)]
pub(crate) struct Consumer {
    jetstream: jetstream::Context,
    auditor: Caller,
    known: Arc<Mutex<Known>>,
    moved: watch::Sender<u64>,
}

impl Consumer {
    /// `auditor` may call `replay`.
    pub(crate) fn new(client: Client, auditor: Caller) -> Consumer {
        Consumer {
            jetstream: jetstream::new(client),
            auditor,
            known: Arc::default(),
            moved: watch::Sender::default(),
        }
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics with it")
    }

    /// Waits until it has seen everything up to `position`.
    pub(crate) async fn until(&self, position: u64, bound: Duration) -> Result<(), String> {
        let mut moved = self.moved.subscribe();
        let arrived = moved.wait_for(|now| *now >= position);
        let at = || self.known().position;
        match timeout(bound, arrived).await {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("the consumer is at {} of {position}", at())),
        }
    }

    /// For ever.
    pub(crate) async fn run(self) {
        loop {
            // Whatever it was: a stream that is gone, a server that is away. It is tried again.
            let _ = self.follow().await;
            let _ = timeout(Duration::from_millis(50), std::future::pending::<()>()).await;
        }
    }

    async fn follow(&self) -> Result<(), async_nats::Error> {
        let stream = self.jetstream.get_stream_no_info(EVENT_STREAM).await?;
        let next = self.known().position + 1;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: next,
            },
            ack_policy: AckPolicy::None,
            inactive_threshold: Duration::from_secs(5),
            ..pull::Config::default()
        };
        let consumer = timeout(IDLE * 3, stream.create_consumer(config)).await??;
        let messages = consumer.stream().heartbeat(IDLE / 3).expires(IDLE * 2);
        let mut messages = messages.messages().await?;
        while let Ok(Some(message)) = timeout(IDLE, messages.next()).await {
            self.take(&message?).await?;
        }
        Ok(())
    }

    async fn take(&self, message: &StreamMessage) -> Result<(), async_nats::Error> {
        let sequence = message.info()?.stream_sequence;
        let Message { event, .. } = observe::message(sequence, &message.message)?;
        let mut position = self.known().position;
        while position + 1 < sequence {
            let page = observe::replay(&self.auditor, position).await?;
            for (position, event) in page.events {
                let mut known = self.known();
                if position < sequence && !known.recorded.contains_key(&position) {
                    known.replayed += 1;
                    known.apply(position, Some(event));
                }
            }
            position = page.position.max(position + 1);
        }
        let mut known = self.known();
        known.apply(sequence, event);
        self.moved.send_replace(known.position);
        Ok(())
    }
}
