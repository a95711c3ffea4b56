//! The shards of a process: which gateway serves which user, and the way to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use actix::prelude::*;
use profile_messages::UserId;
use tokio::sync::{oneshot, watch};

use super::{Dispatch, Gateway, GatewayOptions};
use crate::entity::{Done, EntityPorts, Order};
use crate::error::ServiceError;

/// Number of partitions of all users, whatever the number of shards.
const PARTITIONS: u32 = 256;

/// FNV-1a-32 of the user id modulo 256: what nats-server's `partition()` mapping computes.
pub fn partition_of(user: &UserId) -> u32 {
    let fnv = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    user.as_str().bytes().fold(0x811c_9dc5, fnv) % PARTITIONS
}

/// What a gateway counts, for metrics and tests.
#[derive(Debug, Default)]
pub struct GatewayCounts {
    pub activations: AtomicU64,
    pub passivations: AtomicU64,
    pub live: AtomicUsize,
    /// The most actors that were ever live at once.
    pub live_most: AtomicUsize,
    /// Commands that wait for their actor or are in work.
    pub commands: AtomicUsize,
}

impl GatewayCounts {
    pub(super) fn note_live(&self, live: usize) {
        self.live.store(live, Ordering::Relaxed);
        self.live_most.fetch_max(live, Ordering::Relaxed);
    }
}

/// All gateways of this process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shards {
    gateways: Arc<[(Addr<Gateway>, Arc<GatewayCounts>)]>,
    ended: watch::Receiver<bool>,
}

impl Shards {
    /// Starts one gateway on each arbiter. `options` are per shard.
    pub fn start(
        arbiters: &[ArbiterHandle],
        options: &GatewayOptions,
        ports: &Arc<EntityPorts>,
    ) -> Shards {
        let (end, ended) = watch::channel(false);
        let start = |arbiter: &ArbiterHandle| {
            let counts = Arc::new(GatewayCounts::default());
            let (options, ports) = (options.clone(), Arc::clone(ports));
            let gateway = Gateway::new(options, ports, Arc::clone(&counts), end.clone());
            let address = Gateway::start_in_arbiter(arbiter, |context| {
                context.set_mailbox_capacity(gateway.options.gateway_commands_max);
                gateway
            });
            (address, counts)
        };
        Shards {
            gateways: arbiters.iter().map(start).collect(),
            ended,
        }
    }

    /// Returns when a gateway is gone, by a panic: its users are not served any more, and nobody
    /// starts it again, so the process should end.
    pub async fn ended(&self) {
        // An error means that all of them are gone.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// Runs one order on its user's actor.
    ///
    /// # Errors
    /// [`ServiceError::Overloaded`] at once when a bound is met; what the actor answers otherwise.
    pub async fn execute(&self, order: Order) -> Result<Done, ServiceError> {
        let shard = partition_of(&order.user) as usize % self.gateways.len().max(1);
        let (gateway, counts) = self.gateways.get(shard).ok_or(ServiceError::Internal)?;
        let (answer, answered) = oneshot::channel();
        let key = order.key_text.clone();
        let order = Box::new(order);
        let _counted = InWork::count(&counts.commands);
        match gateway.try_send(Dispatch { order, answer }) {
            Ok(()) => {}
            Err(SendError::Full(_)) => {
                return Err(ServiceError::Overloaded("too many commands wait"));
            }
            Err(SendError::Closed(_)) => {
                return Err(ServiceError::Unavailable("the service is stopping"));
            }
        }
        // The actor ended without an answer: its command may have reached the log.
        answered
            .await
            .unwrap_or(Err(ServiceError::OutcomeUnknown { key }))
    }

    /// The counters of each shard.
    pub fn counts(&self) -> impl Iterator<Item = &GatewayCounts> {
        self.gateways.iter().map(|(_, counts)| counts.as_ref())
    }
}

/// One of [`GatewayCounts::commands`], for as long as it lives.
struct InWork<'a>(&'a AtomicUsize);

impl InWork<'_> {
    fn count(commands: &AtomicUsize) -> InWork<'_> {
        commands.fetch_add(1, Ordering::Relaxed);
        InWork(commands)
    }
}

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of nats-server's own documentation and tests for FNV-1a-32.
    #[test]
    fn the_partition_is_the_one_of_nats_server() {
        let hash = |text: &str| {
            let fnv = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            text.bytes().fold(0x811c_9dc5_u32, fnv)
        };
        assert_eq!(hash("a"), 0xe40c_292c);
        assert_eq!(hash("foobar"), 0xbf9c_f968);
        let user = UserId::parse("foobar").unwrap();
        assert_eq!(partition_of(&user), 0xbf9c_f968 % 256);
    }
}
