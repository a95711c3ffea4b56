//! One user, live: state, version and recent commands, and the one way to change them.
//!
//! Plain and async: no actor, no thread, no clock of its own, so that a simulation can drive it.

use std::sync::Arc;
use std::time::Instant;

use profile_domain::{Profile, Rejection, decide};
use profile_messages::command::Command;
use profile_messages::current::{CurrentUser, KEYS_KEPT_US_MAX, RecentCommand, remember};
use profile_messages::event::{Event, EventKind, EventPayload};
use profile_messages::record::{CommandKey, Hash16, KeyOrigin, Record};
use profile_messages::{OrgId, Timestamp, UserId, Version};

use crate::clock::Clock;
use crate::commit_log::{AppendError, Commit, CommitLog, Head, NotWritten};
use crate::current_view::{CurrentView, ViewError};
use crate::error::ServiceError;
use crate::telemetry::traces::{Span, Trace};

mod cloud_event;

/// How often one command is decided again after another writer was faster: of two nodes that change one
/// user all the time, either loses about every second time.
const CONFLICTS_MAX: usize = 15;

/// What an entity works with; shared by all of them.
#[derive(Clone, Debug)]
pub struct EntityPorts {
    pub log: Arc<dyn CommitLog>,
    pub view: Arc<dyn CurrentView>,
    pub clock: Arc<dyn Clock>,
    pub store_id: Arc<str>,
    pub epoch: u32,
    pub payload: EventPayload,
}

/// One valid, authorized command on its way to its user.
#[derive(Clone, Debug)]
pub struct Order {
    /// Name of the operation, for logs and metrics.
    pub operation: &'static str,
    pub user: UserId,
    pub command: Command,
    /// Hash of (caller, operation, target user, idempotency key).
    pub key: CommandKey,
    /// The key in clear, for the answer when the outcome is unknown.
    pub key_text: String,
    /// Hash of the command with its expected version.
    pub request_hash: Hash16,
    pub expected_version: Option<Version>,
    /// Subject of the caller's token.
    pub actor: String,
    /// Its issuer, empty for the one that owns the ids.
    pub actor_issuer: String,
    /// The request's place in a trace.
    pub trace: Trace,
    /// Looked at last just before the append.
    pub deadline: Option<Instant>,
}

/// What a command came to. `kind` is `None` when it was accepted and there was nothing to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    pub kind: Option<EventKind>,
    pub org: OrgId,
    pub version: Version,
    /// Time of the user's newest commit.
    pub at: Timestamp,
}

/// The two layers of an outcome: an answer, or the end of this entity.
#[derive(Debug)]
pub enum Verdict {
    Answered(Result<Done, ServiceError>),
    /// The commit may be in the log: what is in memory must not be believed any more.
    MaybeWritten,
}

/// The live state of one user.
#[derive(Debug)]
pub struct ProfileEntity {
    user: UserId,
    profile: Profile,
    head: Head,
    at: Timestamp,
    recent: Vec<RecentCommand>,
}

impl ProfileEntity {
    /// Activates a user from the current view, which sees every commit that was ever answered.
    ///
    /// # Errors
    /// [`ViewError`] when the view cannot be read.
    pub fn load(user: &UserId, view: &dyn CurrentView) -> Result<ProfileEntity, ViewError> {
        let current = view.user(user)?;
        Ok(ProfileEntity::from_current(user, current.as_deref()))
    }

    fn from_current(user: &UserId, current: Option<&CurrentUser>) -> ProfileEntity {
        let stored = current.map(|current| (current.org.clone(), current.state.clone()));
        let head = current.map(|current| Head {
            version: current.version,
            position: current.position,
        });
        ProfileEntity {
            user: user.clone(),
            profile: Profile::from_stored(stored),
            head: head.unwrap_or_default(),
            at: current.map(|current| current.at).unwrap_or_default(),
            recent: current
                .map(|current| current.recent.clone())
                .unwrap_or_default(),
        }
    }

    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    pub fn head(&self) -> Head {
        self.head
    }

    /// Decides `order`, makes it durable, then applies it: in this order, so that what is refused or
    /// fails leaves no trace here.
    pub async fn execute(&mut self, order: &Order, ports: &EntityPorts) -> Verdict {
        // What another process did to this user, and the view has heard of, needs no fence to be seen.
        if ports.log.is_shared() {
            self.reloaded_if_behind(ports);
        }
        for _ in 0..=CONFLICTS_MAX {
            let now = ports.clock.now();
            let mut deciding = order.trace.step("decide");
            describe(&mut deciding, order);
            if let Some(first_answer) = self.remembered(order, now) {
                return Verdict::Answered(first_answer);
            }
            let event = match self.decide(order) {
                Ok(Some(event)) => event,
                Ok(None) | Err(_) if self.reloaded_if_behind(ports) => continue,
                refused => {
                    // Neither may another process have overtaken this one; a log of one asks nobody.
                    drop(deciding);
                    match self.reloaded_if_others_are_ahead(ports).await {
                        Ok(true) => continue,
                        Ok(false) => {
                            return Verdict::Answered(refused.and_then(|_| self.unchanged()));
                        }
                        Err(error) => return Verdict::Answered(Err(error)),
                    }
                }
            };
            let is_late = |deadline| deadline <= ports.clock.monotonic();
            if order.deadline.is_some_and(is_late) {
                let late = not_written(NotWritten::DeadlineExceeded, order, ports);
                return Verdict::Answered(Err(late));
            }
            let (after, mut commit) = match self.commit(order, &event, now, ports) {
                Ok(prepared) => prepared,
                Err(error) => return Verdict::Answered(Err(error)),
            };
            drop(deciding);
            let mut appending = order.trace.step("append");
            describe(&mut appending, order);
            commit.trace = appending
                .context()
                .or_else(|| order.trace.context().cloned());
            let appended = ports.log.append(commit).await;
            note(&mut appending, &appended);
            match appended {
                Ok(record) => {
                    let done = self.committed(after, &record);
                    return Verdict::Answered(Ok(done));
                }
                Err(AppendError::Conflict { .. }) => {
                    match ProfileEntity::load(&self.user, ports.view.as_ref()) {
                        Ok(reloaded) => *self = reloaded,
                        Err(_) => return Verdict::Answered(Err(unreadable())),
                    }
                }
                Err(AppendError::NotWritten(reason)) => {
                    return Verdict::Answered(Err(not_written(reason, order, ports)));
                }
                Err(AppendError::MaybeWritten(_)) => return Verdict::MaybeWritten,
            }
        }
        Verdict::Answered(Err(ServiceError::Unavailable(
            "too many concurrent changes of this user",
        )))
    }

    /// The first answer to this key, if it was used within the last 24 h.
    fn remembered(&self, order: &Order, now: Timestamp) -> Option<Result<Done, ServiceError>> {
        let first = self.recent.iter().find(|recent| {
            recent.key.hash == order.key.hash
                && now.0.saturating_sub(recent.at.0) <= KEYS_KEPT_US_MAX
        })?;
        if first.request_hash != order.request_hash {
            return Some(Err(ServiceError::KeyReused));
        }
        let org = self.profile.org()?.clone();
        Some(Ok(Done {
            kind: Some(first.kind),
            org,
            version: first.version,
            at: first.at,
        }))
    }

    /// An append meets the log's fence, a refusal does not: before refusing, an entity that another
    /// writer has overtaken starts over from what is committed.
    fn reloaded_if_behind(&mut self, ports: &EntityPorts) -> bool {
        match ports.view.user(&self.user) {
            Ok(Some(current)) if current.position > self.head.position => {
                *self = ProfileEntity::from_current(&self.user, Some(&current));
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// The same where other processes append to the log: what the view has not heard of is asked for.
    async fn reloaded_if_others_are_ahead(
        &mut self,
        ports: &EntityPorts,
    ) -> Result<bool, ServiceError> {
        if !ports.log.is_shared() {
            return Ok(false);
        }
        let seen = ports.log.see_newest(Some(&self.user)).await;
        seen.map_err(|_| ServiceError::Unavailable("the newest commit cannot be asked for"))?;
        Ok(self.reloaded_if_behind(ports))
    }

    /// The rules, then the expected version: whoever may not see the user does not learn its version.
    fn decide(&self, order: &Order) -> Result<Option<Event>, ServiceError> {
        let decision = decide(&self.profile, &order.command);
        let visible = match decision {
            Ok(_) | Err(Rejection::NotChanged) => true,
            Err(
                Rejection::ProfileNotFound
                | Rejection::AlreadyExists
                | Rejection::UserNotFound
                | Rejection::RemoveNotFound
                | Rejection::FirstNameEmpty
                | Rejection::LastNameEmpty,
            ) => false,
        };
        match order.expected_version {
            Some(expected) if visible && expected != self.head.version => {
                Err(ServiceError::VersionMismatch {
                    current: self.head.version,
                })
            }
            Some(_) | None => decision.map_err(ServiceError::Rejected),
        }
    }

    fn unchanged(&self) -> Result<Done, ServiceError> {
        let org = self.profile.org().cloned().ok_or(ServiceError::Internal)?;
        Ok(Done {
            kind: None,
            org,
            version: self.head.version,
            at: self.at,
        })
    }

    /// The profile after `event`, and the commit that makes it so.
    fn commit(
        &self,
        order: &Order,
        event: &Event,
        now: Timestamp,
        ports: &EntityPorts,
    ) -> Result<(Profile, Commit), ServiceError> {
        // The change date of a user never goes back, whatever the clock does.
        let at = now.max(Timestamp(self.at.0 + 1));
        let mut after = self.profile.clone();
        after.apply(event, at);
        let org = after.org().cloned().ok_or(ServiceError::Internal)?;
        let version = self.head.version.next();
        let announced = cloud_event::Announced {
            user: &self.user,
            org: &org,
            version,
            at,
            event,
            before: self.profile.state().map(|state| &state.fields),
            after: after.state().map(|state| &state.fields),
        };
        let commit = Commit {
            user: self.user.clone(),
            org: org.clone(),
            expected: self.head,
            epoch: ports.epoch,
            at,
            kind: event.kind(),
            key: Some(order.key),
            request_hash: order.request_hash,
            event: announced.encode(ports)?,
            actor: order.actor.clone(),
            actor_issuer: order.actor_issuer.clone(),
            state: after.state().cloned(),
            trace: None,
            deadline: order.deadline,
        };
        Ok((after, commit))
    }

    fn committed(&mut self, after: Profile, record: &Record) -> Done {
        self.profile = after;
        self.head = Head {
            version: record.version,
            position: record.position,
        };
        self.at = record.at;
        self.recent = remember(std::mem::take(&mut self.recent), record);
        let (kind, org) = (Some(record.kind), record.org.clone());
        Done {
            kind,
            org,
            version: record.version,
            at: record.at,
        }
    }
}

fn describe(span: &mut Span, order: &Order) {
    span.note("profile_service.operation", order.operation);
    span.note_text("user.id", &order.user);
}

fn note(span: &mut Span, appended: &Result<Arc<Record>, AppendError>) {
    match appended {
        Ok(record) => {
            span.note_text("profile_service.version", record.version);
            span.note_text("profile_service.position", record.position);
        }
        Err(AppendError::Conflict { .. }) => span.fail("conflict"),
        Err(AppendError::NotWritten(_)) => span.fail("certainly_not_written"),
        Err(AppendError::MaybeWritten(_)) => span.fail("maybe_written"),
    }
}

fn unreadable() -> ServiceError {
    ServiceError::Unavailable("the current view cannot be read")
}

fn not_written(reason: NotWritten, order: &Order, ports: &EntityPorts) -> ServiceError {
    match reason {
        // This append was not made, but the log failed in a write, and this order may be the repetition
        // of what was in it: only the next start knows.
        NotWritten::Closed | NotWritten::DeadlineExceeded
            if may_repeat_what_failed(order, ports) =>
        {
            ServiceError::OutcomeUnknown {
                key: order.key_text.clone(),
            }
        }
        NotWritten::DeadlineExceeded => ServiceError::DeadlineExceeded,
        NotWritten::DiskFull => ServiceError::Overloaded("the disk is full"),
        NotWritten::QueueFull => ServiceError::Overloaded("the append queue is full"),
        NotWritten::TooLarge => ServiceError::Internal,
        NotWritten::Closed => ServiceError::Unavailable("the commit log is closed"),
        NotWritten::HeadUnknown => unreadable(),
        NotWritten::Unreachable => ServiceError::Unavailable("the commit log cannot be reached"),
    }
}

/// A key of the service's own is used once.
fn may_repeat_what_failed(order: &Order, ports: &EntityPorts) -> bool {
    order.key.origin == KeyOrigin::Caller && ports.log.failed().borrow().is_some()
}
