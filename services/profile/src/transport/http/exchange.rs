//! What REST, gRPC and Connect share: a place for each request, its body in bounded time and size, and
//! one call of the funnel that always comes to an answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use http_body_util::{BodyExt, Limited};
use profile_messages::envelope::Envelope;
use profile_messages::json::{BODY_BYTES_MAX, BodyError};
use profile_messages::reply::QueryReply;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::HttpOptions;
use crate::clock::Clock;
use crate::error::ServiceError;
use crate::service::RequestContext;
use crate::transport::{Funnel, Reply, Request};

/// The body of every answer.
pub(in crate::transport) type ResponseBody = tonic::body::Body;
pub(in crate::transport) type Response = http::Response<ResponseBody>;

/// Largest body on the wire in bytes: base64 (gRPC-Web text) takes four thirds, a frame head five more.
const WIRE_BYTES_MAX: usize = BODY_BYTES_MAX / 3 * 4 + 64;

/// What the edge has counted since it started.
#[derive(Debug, Default)]
pub struct HttpCounters {
    requests: AtomicU64,
    refused: AtomicU64,
    panics: AtomicU64,
}

impl HttpCounters {
    /// Requests whose headers were read.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Those that found no place.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Those whose handling panicked: each is a bug.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

/// The way from a transport into the funnel.
#[derive(Debug)]
pub(in crate::transport) struct Exchange<F> {
    funnel: Arc<F>,
    clock: Arc<dyn Clock>,
    in_flight: Semaphore,
    body_read_timeout: Duration,
    counters: Arc<HttpCounters>,
}

/// A request that has its place, since when it counts.
#[derive(Debug)]
pub(in crate::transport) struct Place<'a> {
    received: Instant,
    _permit: SemaphorePermit<'a>,
}

impl<F: Funnel> Exchange<F> {
    pub(in crate::transport) fn new(
        funnel: Arc<F>,
        clock: Arc<dyn Clock>,
        options: &HttpOptions,
        counters: Arc<HttpCounters>,
    ) -> Exchange<F> {
        Exchange {
            funnel,
            clock,
            in_flight: Semaphore::new(options.in_flight_requests_max),
            body_read_timeout: options.body_read_timeout,
            counters,
        }
    }

    /// A place, at once or not at all: before the body is read, so that bodies in memory are bounded too.
    ///
    /// # Errors
    /// `Overloaded`.
    pub(in crate::transport) fn place(&self) -> Result<Place<'_>, ServiceError> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let permit = self.in_flight.try_acquire().map_err(|_| {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            ServiceError::Overloaded("requests in flight")
        })?;
        Ok(Place {
            received: self.clock.monotonic(),
            _permit: permit,
        })
    }

    /// The whole body as it is on the wire.
    ///
    /// # Errors
    /// `Body` when it is too long or breaks off, `DeadlineExceeded` when it does not come in time.
    pub(in crate::transport) async fn wire_body<B>(&self, body: B) -> Result<Bytes, ServiceError>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let reading = Limited::new(body, WIRE_BYTES_MAX).collect();
        let Ok(read) = tokio::time::timeout(self.body_read_timeout, reading).await else {
            return Err(ServiceError::DeadlineExceeded);
        };
        match read {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                Err(BodyError::TooLong.into())
            }
            Err(_) => Err(BodyError::Eof.into()),
        }
    }

    /// The funnel's answer, also when the code behind it panics.
    ///
    /// # Errors
    /// What the funnel says; `Internal` after a panic.
    pub(in crate::transport) async fn call(
        &self,
        place: &Place<'_>,
        envelope: Envelope,
        request: Request,
    ) -> Result<Reply, ServiceError> {
        let context = RequestContext {
            envelope,
            received: place.received,
        };
        let called = async {
            match request {
                Request::Command(command) => {
                    let reply = self.funnel.execute(context, command).await;
                    reply.map(Reply::Command)
                }
                Request::Query(query) => {
                    let reply = self.funnel.query(context, query).await;
                    reply.map(Reply::Query)
                }
            }
        };
        let caught = AssertUnwindSafe(called).catch_unwind().await;
        caught.unwrap_or_else(|_| {
            self.counters.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!("the handling of a request panicked");
            Err(ServiceError::Internal)
        })
    }
}

/// The version that an answer shows of its user.
pub(in crate::transport) fn version(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Command(reply) => Some(reply.details.sequence),
        Reply::Query(QueryReply::Get(user)) => Some(user.details.sequence),
        Reply::Query(QueryReply::History(_) | QueryReply::List(_) | QueryReply::Replay(_)) => None,
    }
}

pub(in crate::transport) fn body(bytes: impl Into<Bytes>) -> ResponseBody {
    tonic::body::Body::new(http_body_util::Full::new(bytes.into()))
}
