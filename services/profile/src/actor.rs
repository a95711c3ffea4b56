//! A thin mailbox around one [`ProfileEntity`]: one command at a time, in order of entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    mailbox_commands_max: usize,
    /// `None` until the first command, and again when an outcome was uncertain: the next command
    /// activates it anew from what is committed.
    entity: Option<ProfileEntity>,
}

/// One order in an actor's mailbox.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Execute {
    pub order: Order,
    pub answer: Answer,
    pub place: QueuePlace,
}

impl ProfileActor {
    pub fn new(user: UserId, ports: Arc<EntityPorts>, mailbox_commands_max: usize) -> ProfileActor {
        ProfileActor {
            user,
            ports,
            mailbox_commands_max,
            entity: None,
        }
    }
}

impl Actor for ProfileActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(self.mailbox_commands_max);
    }
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

/// A place in one actor's queue, free again when dropped. Counted by the gateway, because actix lets
/// every sender exceed a mailbox's capacity by one.
#[derive(Debug)]
pub struct QueuePlace(Arc<AtomicUsize>);

impl QueuePlace {
    /// Takes a place, unless `places_max` are taken.
    pub fn take(taken: &Arc<AtomicUsize>, places_max: usize) -> Option<QueuePlace> {
        // Only the gateway's thread takes places, so check and increment need not be one step.
        if taken.load(Ordering::Acquire) >= places_max {
            return None;
        }
        taken.fetch_add(1, Ordering::AcqRel);
        Some(QueuePlace(Arc::clone(taken)))
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
