//! The funnel: every transport decodes into it and encodes what it returns.
//!
//! Order on every call: authenticate, organization; then authorize and validate (`patch` and ZITADEL's
//! v2 calls: validate, look the user up, authorize), then dispatch. ZITADEL's clients see the same precedence (zitadel-api §4).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use profile_messages::command::CommandRequest;
use profile_messages::envelope::Envelope;
use profile_messages::event::EventKind;
use profile_messages::query::QueryRequest;
use profile_messages::reply::{CommandReply, ObjectDetails, QueryReply};
use profile_messages::subject::Operation;
use tokio::sync::Semaphore;
use tracing::{Instrument as _, Span};

use crate::auth::Authenticator;
use crate::config::LogReads;
use crate::data_dir::DataDir;
use crate::entity::{Done, EntityPorts};
use crate::error::{Read, ServiceError};
use crate::gateway::Shards;
use crate::telemetry::traces::Trace;

mod accept;
mod caller;
mod changes;
mod cursor;
mod history;
mod list;
mod newest;
mod order;
mod read;
mod user;

/// What surrounds a request, whatever the transport.
#[derive(Debug)]
pub struct RequestContext {
    pub envelope: Envelope,
    /// When the request was received; the envelope's deadline counts from here.
    pub received: Instant,
    /// Where in a trace the request is.
    pub trace: Trace,
}

impl RequestContext {
    /// When the caller stops waiting.
    pub fn deadline(&self) -> Option<Instant> {
        let budget = Duration::from_millis(self.envelope.deadline_ms?);
        Some(self.received + budget)
    }
}

/// Bounds of reads.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    pub min_version_wait_max: Duration,
    pub page_rows_max: u64,
    pub page_bytes_max: usize,
    pub concurrent_pages_max: usize,
    pub concurrent_waits_max: usize,
    /// Of one of several nodes.
    pub log: LogReads,
}

/// Names the bound for which writes are refused at present, if any.
pub type WriteGate = Box<dyn Fn() -> Option<&'static str> + Send + Sync>;

/// Authenticates, authorizes, validates and dispatches.
pub struct ProfileService {
    ports: Arc<EntityPorts>,
    shards: Shards,
    authenticator: Arc<Authenticator>,
    data_dir: Arc<DataDir>,
    write_gate: WriteGate,
    reads: ReadOptions,
    pages: Semaphore,
    waits: Semaphore,
}

impl ProfileService {
    pub fn new(
        ports: Arc<EntityPorts>,
        shards: Shards,
        authenticator: Arc<Authenticator>,
        data_dir: Arc<DataDir>,
        write_gate: WriteGate,
        reads: ReadOptions,
    ) -> ProfileService {
        let pages = Semaphore::new(reads.concurrent_pages_max);
        let waits = Semaphore::new(reads.concurrent_waits_max);
        ProfileService {
            ports,
            shards,
            authenticator,
            data_dir,
            write_gate,
            reads,
            pages,
            waits,
        }
    }

    /// Makes a change durable.
    ///
    /// # Errors
    /// [`ServiceError`]; all but `OutcomeUnknown` and `Internal` mean that nothing was done.
    pub async fn execute(
        &self,
        context: RequestContext,
        request: CommandRequest,
    ) -> Result<CommandReply, ServiceError> {
        let span = request_span(request.operation(), &context);
        let executed = self
            .executed(context, request)
            .instrument(span.clone())
            .await;
        span.in_scope(|| match &executed {
            Ok(reply) => tracing::debug!(version = reply.details.sequence, "done"),
            Err(error) => tracing::debug!(code = error.code().name(), "refused"),
        });
        executed
    }

    async fn executed(
        &self,
        context: RequestContext,
        request: CommandRequest,
    ) -> Result<CommandReply, ServiceError> {
        let caller = self.caller(&context).await?;
        self.see_named_user(&request).await?;
        let accepted = self.accept(&caller, &context, request)?;
        if let Some(bound) = (self.write_gate)() {
            return Err(ServiceError::Overloaded(bound));
        }
        let order = self.order(&caller, &context, accepted);
        let user = order.user.clone();
        Span::current().record("user", user.as_str());
        let done = self.shards.execute(order).await?;
        Ok(command_reply(user.as_str(), &done))
    }

    /// Reads; never wakes an actor.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn query(
        &self,
        context: RequestContext,
        request: QueryRequest,
    ) -> Result<QueryReply, ServiceError> {
        let span = request_span(request.operation(), &context);
        self.queried(context, request).instrument(span).await
    }

    async fn queried(
        &self,
        context: RequestContext,
        request: QueryRequest,
    ) -> Result<QueryReply, ServiceError> {
        let caller = self.caller(&context).await?;
        self.see_newest_of(&caller, &request).await?;
        match request {
            QueryRequest::Get { user_id, body } => {
                let user = self.readable_user(&caller, &user_id)?;
                self.get(user, body, &context).await
            }
            QueryRequest::GetMe { body } => {
                let user = caller
                    .me()
                    .ok_or(ServiceError::ReadNotFound(Read::Profile))?;
                self.get(user, body, &context).await
            }
            QueryRequest::History { user_id, body } => {
                let user = self.readable_user(&caller, &user_id)?;
                self.history(&caller, user, body).await
            }
            QueryRequest::HistoryMe { body } => {
                let user = caller
                    .me()
                    .ok_or(ServiceError::ReadNotFound(Read::Profile))?;
                self.history(&caller, user, body).await
            }
            QueryRequest::GetProfile { user_id } => self.get_profile(&caller, &user_id),
            QueryRequest::GetUser { user_id } => self.get_user(&caller, &user_id),
            QueryRequest::GetAnyUser { user_id } => self.get_any_user(&caller, &user_id),
            QueryRequest::Changes { user_id, body } => {
                self.user_changes(&caller, &user_id, &body, &context).await
            }
            QueryRequest::ChangesMe { body } => self.my_changes(&caller, &body, &context).await,
            QueryRequest::List { body } => self.list(&caller, body).await,
            QueryRequest::Replay { body } => self.replay(&caller, body).await,
        }
    }
}

impl fmt::Debug for ProfileService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProfileService")
            .field("reads", &self.reads)
            .finish_non_exhaustive()
    }
}

/// A span per request: the operation, the caller's trace, later the user id. Never a value.
fn request_span(operation: Operation, context: &RequestContext) -> Span {
    let operation = operation.name();
    let trace = context.trace.context().map(tracing::field::debug);
    // A line that matters names its user itself; at `info` the span alone was a twentieth of a command.
    tracing::debug_span!("request", operation, trace, user = tracing::field::Empty)
}

/// ZITADEL's details: a creation carries `creationDate`, every other change `changeDate`.
fn command_reply(user: &str, done: &Done) -> CommandReply {
    let created = done.kind == Some(EventKind::Created);
    CommandReply {
        user_id: created.then(|| user.to_owned()),
        details: ObjectDetails {
            sequence: done.version.0,
            creation_date: created.then_some(done.at),
            change_date: (!created).then_some(done.at),
            resource_owner: done.org.to_string(),
        },
    }
}
