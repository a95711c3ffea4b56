//! The gateway actor of one shard: hands each order to the actor of its user, activating and
//! passivating actors as needed. All in one thread, so there is never more than one actor per user.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::prelude::*;
use profile_messages::UserId;
use tokio::sync::watch;

use crate::actor::{Answer, Execute, IdleUsers, ProfileActor, Queue, QueuePlace};
use crate::entity::{EntityPorts, Order};
use crate::error::ServiceError;

mod shards;
#[cfg(test)]
mod tests;

pub use shards::{GatewayCounts, Shards, partition_of};

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
    idle: Arc<IdleUsers>,
    uses: u64,
    _ended: Ended,
}

#[derive(Debug)]
struct LiveActor {
    address: Addr<ProfileActor>,
    queue: Arc<Queue>,
    used_at: Instant,
}

/// Says so when the gateway is gone, however it went: nobody starts it again.
#[derive(Debug)]
struct Ended(watch::Sender<bool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// An order for some user of this shard.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Dispatch {
    /// Boxed: it changes hands some ten times.
    pub order: Box<Order>,
    pub answer: Answer,
}

impl Gateway {
    /// `ended` turns true when the gateway is gone.
    fn new(
        options: GatewayOptions,
        ports: Arc<EntityPorts>,
        counts: Arc<GatewayCounts>,
        ended: watch::Sender<bool>,
    ) -> Gateway {
        Gateway {
            options,
            ports,
            counts,
            live: HashMap::new(),
            idle: Arc::default(),
            uses: 0,
            _ended: Ended(ended),
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
        let actor = self.live.entry(user.clone()).or_insert_with(|| {
            self.counts.activations.fetch_add(1, Ordering::Relaxed);
            let ports = Arc::clone(&self.ports);
            let bound = self.options.mailbox_commands_max;
            LiveActor {
                address: ProfileActor::activate(user.clone(), ports, bound),
                queue: Queue::new(user.clone(), Arc::clone(&self.idle)),
                used_at: now,
            }
        });
        actor.used_at = now;
        self.counts.note_live(self.live.len());
        self.live.get(user).ok_or(ServiceError::Internal)
    }

    /// Makes room for one more actor. Only an idle actor is let go: its queue is empty, and nobody but
    /// this thread could put anything in it.
    fn passivate_least_recent(&mut self) -> Result<(), ServiceError> {
        loop {
            let (used, user) = self
                .idle
                .lock()
                .pop_first()
                .ok_or(ServiceError::Overloaded("all live actors are busy"))?;
            if self.is_last_use(&user, used) {
                self.passivate(&user);
                return Ok(());
            }
        }
    }

    fn passivate_idle(&mut self) {
        let now = self.ports.clock.monotonic();
        let limit = self.options.idle_passivation;
        loop {
            let Some((used, user)) = self.least_recent_idle() else {
                return;
            };
            if self.is_last_use(&user, used) {
                let used_at = self.live.get(&user).map_or(now, |actor| actor.used_at);
                if now.duration_since(used_at) < limit {
                    return;
                }
                self.passivate(&user);
            }
            self.idle.lock().remove(&used);
        }
    }

    fn least_recent_idle(&self) -> Option<(u64, UserId)> {
        let idle = self.idle.lock();
        idle.first_key_value()
            .map(|(used, user)| (*used, user.clone()))
    }

    /// False for what an actor left behind that ended by itself.
    fn is_last_use(&self, user: &UserId, used: u64) -> bool {
        let actor = self.live.get(user);
        actor.is_some_and(|actor| actor.queue.used() == used)
    }

    /// Dropping the last address ends the actor.
    fn passivate(&mut self, user: &UserId) {
        self.forget(user);
        self.counts.passivations.fetch_add(1, Ordering::Relaxed);
        tracing::trace!(%user, "passivated");
    }

    fn forget(&mut self, user: &UserId) {
        self.live.remove(user);
        self.counts.note_live(self.live.len());
    }
}

impl Actor for Gateway {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let interval = (self.options.idle_passivation / 4).max(Duration::from_millis(10));
        context.run_interval(interval, |gateway, _| gateway.passivate_idle());
    }
}

impl Handler<Dispatch> for Gateway {
    type Result = ();

    fn handle(&mut self, dispatch: Dispatch, _: &mut Context<Self>) {
        let Dispatch { order, answer } = dispatch;
        let bound = self.options.mailbox_commands_max;
        self.uses += 1;
        let used = self.uses;
        let actor = match self.activated(&order.user) {
            Ok(actor) => actor,
            Err(error) => return refuse(answer, error),
        };
        let Some(place) = QueuePlace::take(&actor.queue, used, bound) else {
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
