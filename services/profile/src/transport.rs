//! The edges. Each decodes a request into the funnel and encodes what the funnel returns.
//!
//! What an edge may do: check that it may answer at all (who would hear it, is there room), read
//! bytes into the types of `profile_messages`, call the funnel once, write the answer. What it may
//! not: look at a token, know a rule of the profile, retry, remember a request, wait for anything but
//! its peer and the funnel. An edge answers every request that it has read, also when the code
//! behind it panics.

pub mod api;
pub mod connect;
pub mod counted;
mod exchange;
pub mod grpc;
pub mod http;
pub mod micro;
pub mod monitoring;
pub mod nats;
pub mod rest;
#[cfg(feature = "testkit")]
pub mod testkit;

use std::future::Future;

use profile_messages::command::CommandRequest;
use profile_messages::query::QueryRequest;
use profile_messages::reply::{CommandReply, QueryReply};

use crate::error::ServiceError;
use crate::service::{ProfileService, RequestContext};
use crate::telemetry::traces::Tracer;

/// What an edge has decoded.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    Command(CommandRequest),
    Query(QueryRequest),
}

impl From<CommandRequest> for Request {
    fn from(command: CommandRequest) -> Request {
        Request::Command(command)
    }
}

impl From<QueryRequest> for Request {
    fn from(query: QueryRequest) -> Request {
        Request::Query(query)
    }
}

/// What the funnel answered.
#[derive(Debug)]
pub enum Reply {
    Command(CommandReply),
    Query(QueryReply),
}

/// What an edge calls: [`ProfileService`], or something simpler in a test of the edge.
pub trait Funnel: Send + Sync + 'static {
    /// Where the edge's spans begin.
    fn tracer(&self) -> Tracer {
        Tracer::default()
    }

    fn execute(
        &self,
        context: RequestContext,
        request: CommandRequest,
    ) -> impl Future<Output = Result<CommandReply, ServiceError>> + Send;

    fn query(
        &self,
        context: RequestContext,
        request: QueryRequest,
    ) -> impl Future<Output = Result<QueryReply, ServiceError>> + Send;
}

impl Funnel for ProfileService {
    async fn execute(
        &self,
        context: RequestContext,
        request: CommandRequest,
    ) -> Result<CommandReply, ServiceError> {
        ProfileService::execute(self, context, request).await
    }

    async fn query(
        &self,
        context: RequestContext,
        request: QueryRequest,
    ) -> Result<QueryReply, ServiceError> {
        ProfileService::query(self, context, request).await
    }
}
