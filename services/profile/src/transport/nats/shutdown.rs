//! The end of an edge without losing a request that it has read.
//!
//! async-nats drops what arrives after its `drain` on the next wake-up of the connection, whether the
//! server has seen the UNSUB or not. Told to stop after a number of messages, server and client count
//! alike and nothing is lost, so that is the way as long as there is traffic to count. They count alike
//! also after a reconnect, since each connection has a subscription of its own (`requests`). Ingress and
//! egress are two connections so that nothing but the bus wakes the ingress while it stops.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use tokio::time::{sleep, timeout};

use super::NatsEdge;
use super::connect::{Fence, fence};
use super::requests::Stop;

/// How long arrivals are counted, to tell how many more to let in.
const OBSERVED: Duration = Duration::from_millis(20);
/// As many more as arrive in so many of those times: the server must see the UNSUB before they are
/// all on their way, whatever delays it. Plain `drain` lost up to 29 requests in 20 restarts.
const FURTHER_TIMES_OBSERVED: u64 = 8;
const FURTHER_MESSAGES_MIN: u64 = 64;
/// Without a message for so long the subscription is ended at once.
const IDLE: Duration = Duration::from_millis(100);
/// Longest wait for one round trip to the server.
const FENCE_BOUND: Duration = Duration::from_secs(2);
/// Longest wait for a place in the queue of a connection that is to be closed.
const CLOSE_BOUND: Duration = Duration::from_millis(500);

/// What became of the requests of an edge, counted over its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Taken from the subscription: answered + refused + dropped + unanswered.
    pub read: u64,
    /// Answered by the funnel, errors included.
    pub answered: u64,
    /// Answered with RESOURCE_EXHAUSTED or UNAVAILABLE without the funnel.
    pub refused: u64,
    /// Dropped by the reply rule.
    pub dropped: u64,
    /// Read and not answered: still in flight at the end of the bound, or not sendable.
    pub unanswered: u64,
    /// Received by the connection and never read: the full subscription dropped them, or they came
    /// between UNSUB and its effect. At most so many; `$SRV` requests of that moment count too.
    pub unread_unknown: u64,
    /// The server has processed every answer.
    pub flushed: bool,
}

pub(super) async fn drain(mut edge: NatsEdge, bound: Duration) -> DrainReport {
    if timeout(FENCE_BOUND, edge.discovery.stop()).await.is_err() {
        tracing::warn!("discovery did not end in time");
    }
    let intake_bound = bound / 2;
    if timeout(intake_bound, stop_intake(&mut edge)).await.is_err() {
        tracing::warn!("requests kept arriving during the drain: refusing them");
        edge.closing.store(true, Ordering::Relaxed);
        edge.end_now().await;
    }
    let all = u32::try_from(edge.in_flight_requests_max).unwrap_or(u32::MAX);
    let in_flight = std::sync::Arc::clone(&edge.in_flight);
    let finished = timeout(bound / 2, in_flight.acquire_many(all)).await;
    if finished.is_err() {
        tracing::error!("requests were still in flight at the end of the drain");
    }
    let (flushed, _) = tokio::join!(edge.egress_fence(), edge.ingress_fence());
    let report = report(&edge, flushed.is_ok());
    tokio::join!(close(&edge.ingress), close(&edge.egress));
    tracing::info!(?report, "the nats edge is drained");
    report
}

/// Ends the subscription so that the server's count and ours agree; returns when it has ended.
async fn stop_intake(edge: &mut NatsEdge) {
    if let Some(further) = further_messages(edge).await {
        // Those that the loop takes before it hears of this are counted twice, and so let in as well.
        let waiting = edge
            .unread()
            .saturating_sub(edge.counters.slow_consumer.get());
        let further = further.saturating_add(waiting);
        edge.send(Stop::After { further }).await;
    }
    loop {
        let before = edge.received();
        if timeout(IDLE, &mut edge.ingress_task).await.is_ok() {
            return;
        }
        if edge.received() == before && is_quiet(edge).await {
            return edge.end_now().await;
        }
    }
}

/// How many messages to let in until the server stops by itself; `None` when it does not answer.
async fn further_messages(edge: &NatsEdge) -> Option<u64> {
    let before = edge.received();
    sleep(OBSERVED).await;
    let arrived = edge.received().saturating_sub(before);
    // What the server had routed until now has been received behind this.
    edge.ingress_fence().await.ok()?;
    let further = arrived.saturating_mul(FURTHER_TIMES_OBSERVED);
    Some(further.max(FURTHER_MESSAGES_MIN))
}

/// Whether a round trip passes without a message; true as well when the server does not answer.
async fn is_quiet(edge: &NatsEdge) -> bool {
    let before = edge.received();
    let passed = edge.ingress_fence().await;
    passed.is_err() || edge.received() == before
}

impl NatsEdge {
    /// Counted when sent: its answer comes also when nobody waits for it any more.
    pub(super) async fn ingress_fence(&self) -> Result<(), Fence> {
        if self.ingress.connection_state() != State::Connected {
            return Err(Fence);
        }
        self.fences.add_one();
        fence(&self.ingress, self.ingress.new_inbox(), FENCE_BOUND).await
    }

    /// Under the first allowed reply prefix, where this user may publish, but where nobody listens.
    pub(super) async fn egress_fence(&self) -> Result<(), Fence> {
        let subject = format!("{}fence.{}", self.fence_prefix, self.clock.random_id());
        fence(&self.egress, subject, FENCE_BOUND).await
    }

    /// Messages that the ingress connection has received, fences aside.
    fn received(&self) -> u64 {
        let received = &self.ingress.statistics().in_messages;
        received
            .load(Ordering::Relaxed)
            .saturating_sub(self.fences.get())
    }

    /// Messages received and not read: waiting in a subscription, or lost.
    fn unread(&self) -> u64 {
        let read = self.counters.read.get() + self.counters.discovery_read.get();
        self.received().saturating_sub(read)
    }

    async fn send(&self, stop: Stop) {
        // Fails only when the loop has ended, which is what is wanted.
        let _ = self.stops.send(stop).await;
    }

    async fn end_now(&mut self) {
        self.send(Stop::Now).await;
        if timeout(FENCE_BOUND, &mut self.ingress_task).await.is_err() {
            self.ingress_task.abort();
        }
    }
}

fn report(edge: &NatsEdge, flushed: bool) -> DrainReport {
    let counters = &edge.counters;
    let (read, answered, refused) = (
        counters.read.get(),
        counters.answered.get(),
        counters.refused.get(),
    );
    let dropped = counters.dropped_no_reply.get() + counters.dropped_reply_forbidden.get();
    DrainReport {
        read,
        answered,
        refused,
        dropped,
        unanswered: read.saturating_sub(answered + refused + dropped),
        unread_unknown: edge.unread(),
        flushed,
    }
}

/// Closes a connection on which nothing is under way any more.
async fn close(client: &Client) {
    // Fails only when it is closed already. A lost one with a full queue takes no command: the end of
    // the process closes it.
    let _ = timeout(CLOSE_BOUND, client.drain()).await;
}
