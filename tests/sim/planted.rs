//! Bugs planted on purpose: a simulation that does not catch them proves nothing.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use profile::commit_log::{AppendError, Commit, CommitLog, ReadError, ReadLimits};
use profile::relay::message::EventMessage;
use profile::relay::stream::EventStream;
use profile_messages::Position;
use profile_messages::record::Record;
use tokio::sync::watch;

use crate::faulty_log::FaultyLog;
use crate::stream::SimStream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    Nothing,
    /// Acknowledges some commits without keeping them.
    ForgetsAcknowledged,
    /// Takes whatever head there is for the expected one.
    NoVersionCheck,
    /// Stores the commit without its idempotency key.
    KeyNotWithCommit,
    /// An entity that changes its state and only then appends.
    AppliesBeforeAppending,
    /// Moves its cursor before the stream has the event.
    RelaySkipsAnEvent,
    /// A consumer that takes what comes again for something new.
    ConsumerForgets,
    /// A node that refuses by what it knows, old as it is; with several nodes only.
    NeverAsksForTheNewest,
    /// Requests that overtake each other on their way in; for the whole service only.
    Overtakes,
}

/// Tells the entity that everything is written, so that it applies at once; the commit comes to the log
/// only then.
#[derive(Debug)]
pub(crate) struct AppliedFirst {
    log: Arc<FaultyLog>,
    applied: Mutex<Option<Commit>>,
}

impl AppliedFirst {
    pub(crate) fn new(log: Arc<FaultyLog>) -> AppliedFirst {
        AppliedFirst {
            log,
            applied: Mutex::default(),
        }
    }

    /// What the real log says, when the entity has changed already.
    pub(crate) async fn append_late(&self) -> Option<Result<Arc<Record>, AppendError>> {
        let commit = self.applied.lock().unwrap().take()?;
        Some(self.log.append(commit).await)
    }
}

#[async_trait]
impl CommitLog for AppliedFirst {
    async fn append(&self, commit: Commit) -> Result<Arc<Record>, AppendError> {
        *self.applied.lock().unwrap() = Some(commit.clone());
        let next = self.durable().borrow().next();
        Ok(Arc::new(commit.into_record(next)))
    }

    async fn read_after(&self, _: Position, _: ReadLimits) -> Result<Vec<Arc<Record>>, ReadError> {
        Ok(Vec::new())
    }

    async fn read_one(&self, _: Position) -> Result<Option<Arc<Record>>, ReadError> {
        Ok(None)
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.log.durable()
    }

    fn failed(&self) -> watch::Receiver<Option<String>> {
        self.log.failed()
    }

    async fn close(&self) {}
}

/// A relay without the chain, which writes down how far it is before the stream has the event: what
/// was under way when it dies, or when the stream did not answer, is never sent.
pub(crate) async fn careless_relay(
    log: Arc<FaultyLog>,
    stream: Arc<SimStream>,
    sent: Arc<Mutex<u64>>,
) {
    let mut durable = log.durable();
    loop {
        let after = Position(*sent.lock().unwrap());
        for record in log.records_after(after).await {
            *sent.lock().unwrap() = record.position.0;
            let last = match stream.inspect().await {
                Ok(Some(state)) => state.last,
                Ok(None) | Err(_) => {
                    let _ = stream.create(1).await;
                    0
                }
            };
            if let Ok(ack) = stream.publish(EventMessage::event(&record), last).await {
                let _ = ack.await;
            }
        }
        if durable.changed().await.is_err() {
            return;
        }
    }
}
