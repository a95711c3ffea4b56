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
use tokio::time::Instant;

use super::Unanswered;

/// How often it is seen which replies are overdue, and whether the connection is still the one that a
/// request was sent on. One timer for all of them: two for each took a tenth of the relay's time.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) type ReplyFuture = BoxFuture<'static, Reply>;

#[derive(Debug)]
pub(crate) struct Inbox {
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

type Reply = Result<Message, Unanswered>;

#[derive(Debug, Default)]
struct Waiting(Mutex<HashMap<u64, Awaited>>);

/// A reply that somebody waits for.
#[derive(Debug)]
struct Awaited {
    reply: oneshot::Sender<Reply>,
    until: Instant,
    /// The number of the connection that the request was sent on.
    sent_on: u64,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Awaited>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_over(&self, message: Message) {
        let number = message
            .subject
            .rsplit_once('.')
            .and_then(|(_, number)| number.parse().ok());
        let awaited = number.and_then(|number: u64| self.lock().remove(&number));
        if let Some(awaited) = awaited {
            let _ = awaited.reply.send(Ok(message));
        }
    }

    /// Ends the waiting for what will not come. A connection that is lost brings no replies any more, and
    /// waiting for them in full would keep every event behind them waiting as well.
    fn give_up(&self, connection: u64) {
        let now = Instant::now();
        for (_, awaited) in self
            .lock()
            .extract_if(|_, awaited| awaited.until <= now || awaited.sent_on != connection)
        {
            let why = if awaited.sent_on == connection {
                "no answer in time"
            } else {
                "the connection was lost"
            };
            let _ = awaited.reply.send(Err(unheard(why)));
        }
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
    pub(crate) fn new(client: Client, timeout: Duration) -> Inbox {
        Inbox {
            client,
            timeout,
            opened: OnceCell::new(),
        }
    }

    /// Sends a request, in the order of the calls, and returns what its reply will be.
    ///
    /// # Errors
    /// [`Unanswered::NotSent`] when the connection is down or its queue does not move.
    pub(crate) async fn send(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<ReplyFuture, Unanswered> {
        // Nothing is queued for a connection that is down: it would arrive late, and pile up.
        if self.client.connection_state() != State::Connected {
            return Err(not_sent("not connected to NATS"));
        }
        let connection = self.connections();
        let opened = self.opened.get_or_try_init(|| self.open()).await?;
        let number = opened.next.fetch_add(1, Ordering::Relaxed);
        let (sender, reply) = oneshot::channel();
        let awaited = Awaited {
            reply: sender,
            until: Instant::now() + self.timeout,
            sent_on: connection,
        };
        opened.waiting.lock().insert(number, awaited);
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
            .map_err(|_| not_sent("the connection's queue does not move"))?
            .map_err(|error| not_sent(&error.to_string()))?;
        Ok(Box::pin(async move {
            let _entry = entry;
            let closed = || unheard("the connection is closed");
            let reply = reply.await.map_err(|_| closed())??;
            if reply.status == Some(async_nats::StatusCode::NO_RESPONDERS) {
                return Err(Unanswered::NoResponders);
            }
            Ok(reply)
        }))
    }

    fn connections(&self) -> u64 {
        connections(&self.client)
    }

    async fn open(&self) -> Result<Opened, Unanswered> {
        let prefix = self.client.new_inbox();
        let subscriber = self
            .client
            .subscribe(format!("{prefix}.*"))
            .await
            .map_err(|error| not_sent(&error.to_string()))?;
        let waiting = Arc::new(Waiting::default());
        let task = deliver(self.client.clone(), subscriber, waiting.clone());
        let reader = tokio::spawn(task).abort_handle();
        Ok(Opened {
            prefix,
            next: AtomicU64::new(0),
            waiting,
            reader,
        })
    }
}

fn not_sent(why: &str) -> Unanswered {
    Unanswered::NotSent(why.to_owned())
}

fn unheard(why: &str) -> Unanswered {
    Unanswered::Unheard(why.to_owned())
}

fn connections(client: &Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}

async fn deliver(client: Client, mut subscriber: Subscriber, waiting: Arc<Waiting>) {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            biased;
            _ = looks.tick() => waiting.give_up(connections(&client)),
            message = subscriber.next() => match message {
                Some(message) => waiting.hand_over(message),
                None => break,
            },
        }
    }
    waiting.lock().clear();
}

#[cfg(test)]
mod tests;
