//! The subscription that requests come by, made anew for each connection.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures::StreamExt;
use profile_messages::subject::{self, QUEUE};
use tokio::sync::{mpsc, oneshot};

/// How long a reconnect waits for the loop to let go of the subscription of the lost connection.
const RELEASE_BOUND: Duration = Duration::from_secs(1);

/// How a drain ends the subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The server stops by itself after so many messages more than were taken by now.
    After { further: u64 },
    /// At once.
    Now,
}

/// Asks the loop to let go of the subscription of a lost connection; answered when it did.
pub(super) type Release = oneshot::Sender<()>;

/// Says that the connection is lost, before async-nats makes a new one, and waits until the loop knows.
pub(super) async fn release(loop_of_requests: &mpsc::Sender<Release>) {
    let (release, released) = oneshot::channel();
    // Full: the loop has not begun, or has not come to the last one yet.
    if loop_of_requests.try_send(release).is_ok() {
        let _ = tokio::time::timeout(RELEASE_BOUND, released).await;
    }
}

/// The requests: one queue subscription for each connection that the client has had.
///
/// A server counts the messages of a subscription for each connection anew, async-nats over the
/// subscription's life. The end of a drain is a number of messages that both must agree on, so a
/// subscription must not outlive its connection.
pub(super) struct Requests {
    client: Client,
    subscription: Subscriber,
    partition: Option<u16>,
    /// Taken from this subscription.
    taken: u64,
    /// How many connections there had been when the subscription was asked for on a lost one; 0 for the
    /// first. Until there is a further one it is already the subscription of the next.
    connections_before: u64,
    is_stopping: bool,
}

impl Requests {
    /// `subscription` was made on the client's first connection, to the requests of `partition`.
    pub(super) fn new(
        client: Client,
        subscription: Subscriber,
        partition: Option<u16>,
    ) -> Requests {
        Requests {
            client,
            subscription,
            partition,
            taken: 0,
            connections_before: 0,
            is_stopping: false,
        }
    }

    /// The next one; `None` when there will be no more.
    pub(super) async fn next(&mut self) -> Option<Message> {
        let message = self.subscription.next().await;
        self.taken += u64::from(message.is_some());
        message
    }

    fn connections(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Ends the subscription of a lost connection without telling any server, gives what was read from
    /// it to `take`, and asks for a new one. False when there is nothing more to come.
    pub(super) async fn release(&mut self, mut take: impl FnMut(Message)) -> bool {
        let connections = self.connections();
        if connections <= self.connections_before {
            return true;
        }
        // Closed, it is not subscribed again on the next connection, and ...
        if self.subscription.unsubscribe().await.is_err() {
            return false;
        }
        // ... ends behind what is in it.
        while let Some(message) = self.subscription.next().await {
            take(message);
        }
        if self.is_stopping {
            return false;
        }
        let requests = subject::requests(self.partition);
        match self
            .client
            .queue_subscribe(requests, QUEUE.to_owned())
            .await
        {
            Ok(subscription) => self.subscription = subscription,
            Err(_) => return false, // the connection is closed for good
        }
        (self.taken, self.connections_before) = (0, connections);
        true
    }

    /// Lets the subscription end as `stop` says. False when the connection is closed.
    pub(super) async fn stop(&mut self, stop: Stop) -> bool {
        self.is_stopping = true;
        let stopped = match stop {
            Stop::After { further } => {
                let last = self.taken.saturating_add(further).max(1);
                self.subscription.unsubscribe_after(last).await
            }
            Stop::Now => self.subscription.drain().await,
        };
        stopped.is_ok()
    }
}
