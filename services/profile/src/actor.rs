//! A thin mailbox around one [`ProfileEntity`]: one command at a time, in order of entry.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::prelude::*;
use profile_messages::UserId;
use tokio::sync::oneshot;

use crate::entity::{Done, EntityPorts, Order, ProfileEntity, Verdict};
use crate::error::ServiceError;

/// Where the answer to an order goes.
pub type Answer = oneshot::Sender<Result<Done, ServiceError>>;

/// The single writer of one user while it is active.
#[derive(Debug)]
pub struct ProfileActor {
    user: UserId,
    ports: Arc<EntityPorts>,
    /// `None` until the first command, and again when an outcome was uncertain: the next command
    /// activates it anew from what is committed.
    entity: Option<ProfileEntity>,
}

/// One order in an actor's mailbox.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Execute {
    pub order: Box<Order>,
    pub answer: Answer,
    pub place: QueuePlace,
}

impl ProfileActor {
    /// Starts the actor of `user` on this thread. Its mailbox has its bound before anything is sent:
    /// until an actor's `started` has run, actix bounds it by 16.
    pub fn activate(
        user: UserId,
        ports: Arc<EntityPorts>,
        mailbox_commands_max: usize,
    ) -> Addr<ProfileActor> {
        ProfileActor::create(|context| {
            context.set_mailbox_capacity(mailbox_commands_max);
            ProfileActor {
                user,
                ports,
                entity: None,
            }
        })
    }
}

impl Actor for ProfileActor {
    type Context = Context<Self>;
}

impl Handler<Execute> for ProfileActor {
    // Stops processing further messages until the future resolves; ResponseActFuture would not.
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, execute: Execute, _: &mut Context<Self>) -> Self::Result {
        let (user, ports) = (self.user.clone(), Arc::clone(&self.ports));
        let entity = self.entity.take();
        let work = async move {
            let Execute {
                order,
                answer,
                place,
            } = execute;
            let (entity, result) = executed(entity, &user, &order, &ports).await;
            // The caller may have given up; the commit stands.
            let _ = answer.send(result);
            drop(place);
            entity
        };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(|entity, actor, _| {
            actor.entity = entity;
        })))
    }
}

/// Runs one order on the entity, activated first where there is none; returns what may be kept of it.
async fn executed(
    entity: Option<ProfileEntity>,
    user: &UserId,
    order: &Order,
    ports: &EntityPorts,
) -> (Option<ProfileEntity>, Result<Done, ServiceError>) {
    let mut entity = match entity {
        Some(entity) => entity,
        None => match ProfileEntity::load(user, ports.view.as_ref()) {
            Ok(entity) => entity,
            Err(error) => {
                tracing::error!(%user, %error, "cannot activate a user");
                let unavailable = ServiceError::Unavailable("the current view cannot be read");
                return (None, Err(unavailable));
            }
        },
    };
    match entity.execute(order, ports).await {
        Verdict::Answered(result) => (Some(entity), result),
        Verdict::MaybeWritten => {
            tracing::warn!(%user, "a commit may or may not be written, forgetting the live state");
            (
                None,
                Err(ServiceError::OutcomeUnknown {
                    key: order.key_text.clone(),
                }),
            )
        }
    }
}

/// The users of a shard whose actors have nothing to do, by their last use, least recent first.
///
/// Kept by the gateway, which takes users out, and by [`QueuePlace`], which puts them in: both on the
/// shard's thread, so the lock is always free.
#[derive(Debug, Default)]
pub struct IdleUsers(Mutex<BTreeMap<u64, UserId>>);

impl IdleUsers {
    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, UserId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The commands of one actor that are in its mailbox or in work.
#[derive(Debug)]
pub struct Queue {
    user: UserId,
    idle: Arc<IdleUsers>,
    taken: AtomicUsize,
    /// The number of the last use: the user's key in [`IdleUsers`].
    used: AtomicU64,
}

impl Queue {
    pub fn new(user: UserId, idle: Arc<IdleUsers>) -> Arc<Queue> {
        Arc::new(Queue {
            user,
            idle,
            taken: AtomicUsize::new(0),
            used: AtomicU64::new(0),
        })
    }

    /// The number of the last use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }
}

/// A place in one actor's queue, free again when dropped. Counted by the gateway, because actix lets
/// every sender exceed a mailbox's capacity by one.
#[derive(Debug)]
pub struct QueuePlace(Arc<Queue>);

impl QueuePlace {
    /// Takes a place for the use number `used`, unless `places_max` are taken.
    pub fn take(queue: &Arc<Queue>, used: u64, places_max: usize) -> Option<QueuePlace> {
        // Only the gateway's thread takes places, so check and increment need not be one step.
        if queue.taken.load(Ordering::Acquire) >= places_max {
            return None;
        }
        queue.taken.fetch_add(1, Ordering::AcqRel);
        let before = queue.used.swap(used, Ordering::AcqRel);
        queue.idle.lock().remove(&before);
        Some(QueuePlace(Arc::clone(queue)))
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let queue = &self.0;
        if queue.taken.fetch_sub(1, Ordering::AcqRel) == 1 {
            let (used, user) = (queue.used(), queue.user.clone());
            queue.idle.lock().insert(used, user);
        }
    }
}
