//! The funnel of one transport, with its requests counted and traced.

use std::sync::Arc;

use profile_messages::command::CommandRequest;
use profile_messages::error::ErrorCode;
use profile_messages::query::QueryRequest;
use profile_messages::reply::{CommandReply, QueryReply};
use profile_messages::subject::Operation;

use super::Funnel;
use crate::clock::Clock;
use crate::error::ServiceError;
use crate::service::RequestContext;
use crate::telemetry::metrics::{RequestMetrics, Transport};
use crate::telemetry::traces::Tracer;

/// Counts what passes to `inner` and what came of it.
pub struct Counted<F> {
    inner: Arc<F>,
    transport: Transport,
    metrics: Arc<RequestMetrics>,
    clock: Arc<dyn Clock>,
    tracer: Tracer,
}

impl<F: Funnel> Counted<F> {
    pub fn new(
        inner: Arc<F>,
        transport: Transport,
        metrics: Arc<RequestMetrics>,
        clock: Arc<dyn Clock>,
        tracer: Tracer,
    ) -> Counted<F> {
        Counted {
            inner,
            transport,
            metrics,
            clock,
            tracer,
        }
    }

    fn count(&self, operation: Operation, received: std::time::Instant, error: Option<ErrorCode>) {
        let took = self.clock.monotonic().saturating_duration_since(received);
        self.metrics.record(self.transport, operation, error, took);
    }
}

impl<F: Funnel> Funnel for Counted<F> {
    fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    async fn execute(
        &self,
        context: RequestContext,
        request: CommandRequest,
    ) -> Result<CommandReply, ServiceError> {
        let (operation, received) = (request.operation(), context.received);
        let executed = self.inner.execute(context, request).await;
        self.count(
            operation,
            received,
            executed.as_ref().err().map(ServiceError::code),
        );
        executed
    }

    async fn query(
        &self,
        context: RequestContext,
        request: QueryRequest,
    ) -> Result<QueryReply, ServiceError> {
        let (operation, received) = (request.operation(), context.received);
        let queried = self.inner.query(context, request).await;
        self.count(
            operation,
            received,
            queried.as_ref().err().map(ServiceError::code),
        );
        queried
    }
}

impl<F> std::fmt::Debug for Counted<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counted")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
