//! The funnel: every transport decodes into it and encodes what it returns.

use std::time::Instant;

use profile_messages::command::CommandRequest;
use profile_messages::envelope::Envelope;
use profile_messages::query::QueryRequest;
use profile_messages::reply::{CommandReply, QueryReply};

use crate::error::ServiceError;

/// What surrounds a request, whatever the transport.
#[derive(Debug)]
pub struct RequestContext {
    pub envelope: Envelope,
    /// When the request was received; the envelope's deadline counts from here.
    pub received: Instant,
}

/// Authenticates, authorizes, validates and dispatches; see `execute` for the order.
#[derive(Debug)]
pub struct ProfileService {}

impl ProfileService {
    /// Makes a change durable.
    ///
    /// # Errors
    /// [`ServiceError`]; all but `OutcomeUnknown` and `Internal` mean that nothing was done.
    pub async fn execute(
        &self,
        _context: RequestContext,
        _request: CommandRequest,
    ) -> Result<CommandReply, ServiceError> {
        Err(ServiceError::Unavailable("not wired yet"))
    }

    /// Reads; never wakes an actor.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn query(
        &self,
        _context: RequestContext,
        _request: QueryRequest,
    ) -> Result<QueryReply, ServiceError> {
        Err(ServiceError::Unavailable("not wired yet"))
    }
}
