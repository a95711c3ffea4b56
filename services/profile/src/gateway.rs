//! The gateway actor of one shard: hands each order to the actor of its user, activating and
//! passivating actors as needed. All in one thread, so there is never more than one actor per user.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use profile_messages::UserId;

use crate::actor::{Answer, Execute, ProfileActor, QueuePlace};
use crate::entity::{EntityPorts, Order};
use crate::error::ServiceError;

mod shards;
#[cfg(test)]
mod tests;

pub use shards::{GatewayCounts, Shards, partition_of};

/// How many of the least recently used actors are looked at for an idle one.
const PASSIVATION_CANDIDATES_MAX: usize = 64;

/// Bounds of one shard.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    pub live_actors_max: usize,
    pub mailbox_commands_max: usize,
    pub gateway_commands_max: usize,
    pub idle_passivation: Duration,
}

/// One shard's map from user to live actor.
#[derive(Debug)]
pub struct Gateway {
    options: GatewayOptions,
    ports: Arc<EntityPorts>,
    counts: Arc<GatewayCounts>,
    live: HashMap<UserId, LiveActor>,
    /// Live users by last use, least recent first; the key is [`LiveActor::used`].
    by_use: BTreeMap<u64, UserId>,
    uses: u64,
}

#[derive(Debug)]
struct LiveActor {
    address: Addr<ProfileActor>,
    /// Commands in the mailbox or in work.
    queued: Arc<AtomicUsize>,
    used: u64,
    used_at: Instant,
}

/// An order for some user of this shard.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Dispatch {
    pub order: Order,
    pub answer: Answer,
}

impl Gateway {
    pub fn new(
        options: GatewayOptions,
        ports: Arc<EntityPorts>,
        counts: Arc<GatewayCounts>,
    ) -> Gateway {
        let (live, by_use) = (HashMap::new(), BTreeMap::new());
        Gateway {
            options,
            ports,
            counts,
            live,
            by_use,
            uses: 0,
        }
    }

    /// The live actor of `user`, activated if there is none.
    fn activated(&mut self, user: &UserId) -> Result<&LiveActor, ServiceError> {
        let now = self.ports.clock.monotonic();
        let ended = |actor: &LiveActor| !actor.address.connected();
        if self.live.get(user).is_some_and(ended) {
            // Its handler panicked; the next activation starts from what is committed.
            self.forget(user);
        }
        if !self.live.contains_key(user) && self.live.len() >= self.options.live_actors_max {
            self.passivate_least_recent()?;
        }
        self.uses += 1;
        let used = self.uses;
        if let Some(actor) = self.live.get(user) {
            self.by_use.remove(&actor.used);
        }
        self.by_use.insert(used, user.clone());
        let actor = self.live.entry(user.clone()).or_insert_with(|| {
            let bound = self.options.mailbox_commands_max;
            let actor = ProfileActor::new(user.clone(), Arc::clone(&self.ports), bound);
            self.counts.activations.fetch_add(1, Ordering::Relaxed);
            let queued = Arc::new(AtomicUsize::new(0));
            LiveActor {
                address: actor.start(),
                queued,
                used,
                used_at: now,
            }
        });
        (actor.used, actor.used_at) = (used, now);
        self.counts.note_live(self.live.len());
        self.live.get(user).ok_or(ServiceError::Internal)
    }

    /// Makes room for one more actor. Only an idle actor is let go: its queue is empty, and nobody but
    /// this thread could put anything in it.
    fn passivate_least_recent(&mut self) -> Result<(), ServiceError> {
        let idle = |user: &&UserId| self.live.get(*user).is_some_and(LiveActor::is_idle);
        let candidates = self.by_use.values().take(PASSIVATION_CANDIDATES_MAX);
        let user = candidates.into_iter().find(idle).cloned();
        let user = user.ok_or(ServiceError::Overloaded("all live actors are busy"))?;
        self.passivate(&user);
        Ok(())
    }

    fn passivate_idle(&mut self) {
        let now = self.ports.clock.monotonic();
        let limit = self.options.idle_passivation;
        let long_unused = |actor: &LiveActor| now.duration_since(actor.used_at) >= limit;
        let mut leaving = Vec::new();
        for user in self.by_use.values() {
            match self.live.get(user) {
                Some(actor) if !long_unused(actor) => break,
                Some(actor) if actor.is_idle() => leaving.push(user.clone()),
                Some(_) | None => {}
            }
        }
        for user in leaving {
            self.passivate(&user);
        }
    }

    /// Dropping the last address ends the actor.
    fn passivate(&mut self, user: &UserId) {
        self.forget(user);
        self.counts.passivations.fetch_add(1, Ordering::Relaxed);
    }

    fn forget(&mut self, user: &UserId) {
        if let Some(actor) = self.live.remove(user) {
            self.by_use.remove(&actor.used);
        }
        self.counts.note_live(self.live.len());
    }
}

impl LiveActor {
    fn is_idle(&self) -> bool {
        self.queued.load(Ordering::Acquire) == 0
    }
}

impl Actor for Gateway {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(self.options.gateway_commands_max);
        let interval = (self.options.idle_passivation / 4).max(Duration::from_millis(10));
        context.run_interval(interval, |gateway, _| gateway.passivate_idle());
    }
}

impl Handler<Dispatch> for Gateway {
    type Result = ();

    fn handle(&mut self, dispatch: Dispatch, _: &mut Context<Self>) {
        let Dispatch { order, answer } = dispatch;
        let bound = self.options.mailbox_commands_max;
        let actor = match self.activated(&order.user) {
            Ok(actor) => actor,
            Err(error) => return refuse(answer, error),
        };
        let Some(place) = QueuePlace::take(&actor.queued, bound) else {
            return refuse(
                answer,
                ServiceError::Overloaded("too many commands wait for this user"),
            );
        };
        match actor.address.try_send(Execute {
            order,
            answer,
            place,
        }) {
            Ok(()) => {}
            Err(SendError::Full(execute) | SendError::Closed(execute)) => {
                refuse(
                    execute.answer,
                    ServiceError::Unavailable("the user's actor is restarting"),
                );
            }
        }
    }
}

fn refuse(answer: Answer, error: ServiceError) {
    // The caller may have given up.
    let _ = answer.send(Err(error));
}
