//! Requests over an inbox of our own: one subscription, replies told apart by the last token.
//!
//! `Client::request` keeps a map entry for every request that timed out, for as long as the client
//! lives (nats.rs issue 1617), and JetStream's publish goes the same way. A relay that waits out an
//! outage would grow without a bound. Here an entry lives exactly as long as its reply is awaited.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::AbortHandle;

use super::StreamError;

/// How often it is seen whether the connection is still the one that a request was sent on.
const LOOK: Duration = Duration::from_millis(50);

pub(super) type ReplyFuture = BoxFuture<'static, Result<Message, StreamError>>;

#[derive(Debug)]
pub(super) struct Inbox {
    client: Client,
    /// From the moment of sending until the reply, and for the sending itself.
    timeout: Duration,
    opened: OnceCell<Opened>,
}

#[derive(Debug)]
struct Opened {
    prefix: String,
    next: AtomicU64,
    waiting: Arc<Waiting>,
    reader: AbortHandle,
}

#[derive(Debug, Default)]
struct Waiting(Mutex<HashMap<u64, oneshot::Sender<Message>>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Message>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the entry out however the waiting ends: reply, timeout, or nobody cares any more.
struct Entry {
    number: u64,
    waiting: Arc<Waiting>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.number);
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Inbox {
    pub(super) fn new(client: Client, timeout: Duration) -> Inbox {
        Inbox {
            client,
            timeout,
            opened: OnceCell::new(),
        }
    }

    /// Sends a request, in the order of the calls, and returns what its reply will be. A reply with
    /// the status "no responders" is a [`StreamError::Surprise`].
    ///
    /// # Errors
    /// [`StreamError::Unavailable`] when the connection is down or its queue does not move.
    pub(super) async fn send(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<ReplyFuture, StreamError> {
        // Nothing is queued for a connection that is down: it would arrive late, and pile up.
        if self.client.connection_state() != State::Connected {
            return Err(unavailable("not connected to NATS"));
        }
        let connection = self.connections();
        let opened = self.opened.get_or_try_init(|| self.open()).await?;
        let number = opened.next.fetch_add(1, Ordering::Relaxed);
        let (sender, reply) = oneshot::channel();
        opened.waiting.lock().insert(number, sender);
        let entry = Entry {
            number,
            waiting: opened.waiting.clone(),
        };
        let inbox = format!("{}.{number}", opened.prefix);
        let sent = self
            .client
            .publish_with_reply_and_headers(subject, inbox, headers, payload);
        tokio::time::timeout(self.timeout, sent)
            .await
            .map_err(|_| unavailable("the connection's queue does not move"))?
            .map_err(|error| unavailable(&error.to_string()))?;
        let (timeout, client) = (self.timeout, self.client.clone());
        Ok(Box::pin(async move {
            let _entry = entry;
            let reply = while_connected(&client, connection, reply);
            let reply = tokio::time::timeout(timeout, reply)
                .await
                .map_err(|_| unavailable("no answer in time"))??;
            if reply.status == Some(async_nats::StatusCode::NO_RESPONDERS) {
                return Err(StreamError::Surprise(NO_RESPONDERS.to_owned()));
            }
            Ok(reply)
        }))
    }

    fn connections(&self) -> u64 {
        connections(&self.client)
    }

    async fn open(&self) -> Result<Opened, StreamError> {
        let prefix = self.client.new_inbox();
        let subscriber = self
            .client
            .subscribe(format!("{prefix}.*"))
            .await
            .map_err(|error| unavailable(&error.to_string()))?;
        let waiting = Arc::new(Waiting::default());
        let reader = tokio::spawn(deliver(subscriber, waiting.clone())).abort_handle();
        Ok(Opened {
            prefix,
            next: AtomicU64::new(0),
            waiting,
            reader,
        })
    }
}

pub(super) const NO_RESPONDERS: &str = "nobody answers on the subject";

pub(super) fn unavailable(why: &str) -> StreamError {
    StreamError::Unavailable(why.to_owned())
}

fn connections(client: &Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}

/// The reply to what was sent on the `sent_on`-th connection. One that is lost brings no replies any
/// more, and waiting for them in full would keep every event behind them waiting as well.
async fn while_connected(
    client: &Client,
    sent_on: u64,
    mut reply: oneshot::Receiver<Message>,
) -> Result<Message, StreamError> {
    loop {
        match tokio::time::timeout(LOOK, &mut reply).await {
            Ok(reply) => return reply.map_err(|_| unavailable("the connection is closed")),
            Err(_) if connections(client) != sent_on => {
                return Err(unavailable("the connection was lost"));
            }
            Err(_) => {}
        }
    }
}

async fn deliver(mut subscriber: Subscriber, waiting: Arc<Waiting>) {
    while let Some(message) = subscriber.next().await {
        let number = message
            .subject
            .rsplit_once('.')
            .and_then(|(_, number)| number.parse().ok());
        let sender = number.and_then(|number: u64| waiting.lock().remove(&number));
        if let Some(sender) = sender {
            let _ = sender.send(message);
        }
    }
    waiting.lock().clear();
}

#[cfg(test)]
mod tests;
