//! What REST, gRPC and Connect share: a place for each request, its body in bounded time and size, and one
//! sequence of headers, message, funnel and answer that always comes to an end.

pub(super) mod headers;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use http::HeaderMap;
use http_body_util::{BodyExt, Limited};
use profile_messages::error::ErrorCode;
use profile_messages::json::{BODY_BYTES_MAX, BodyError};
use profile_messages::reply::QueryReply;
use tokio::sync::{Semaphore, SemaphorePermit};

use self::headers::Condition;
use super::api::Call;
use super::{Funnel, Reply, Request};
use crate::clock::Clock;
use crate::error::ServiceError;
use crate::service::RequestContext;
use crate::telemetry::traces::{Served, Span};

/// The body of every answer.
pub(super) type ResponseBody = tonic::body::Body;
pub(super) type Response = http::Response<ResponseBody>;

/// Largest body on the wire in bytes: base64 (gRPC-Web text) takes four thirds, a frame head five more.
const WIRE_BYTES_MAX: usize = BODY_BYTES_MAX / 3 * 4 + 64;

/// What the edge has counted since it started.
#[derive(Debug, Default)]
pub struct HttpCounters {
    calls: AtomicU64,
    refused: AtomicU64,
    panics: AtomicU64,
}

impl HttpCounters {
    /// Requests for a call, whatever came of them.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
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
pub(super) struct Exchange<F> {
    funnel: Arc<F>,
    clock: Arc<dyn Clock>,
    in_flight: Semaphore,
    body_read_timeout: Duration,
    counters: Arc<HttpCounters>,
}

/// A request that has its place, and its body as it was on the wire.
#[derive(Debug)]
pub(super) struct Admitted<'a> {
    pub(super) wire: Bytes,
    received: Instant,
    _place: SemaphorePermit<'a>,
}

/// A call as a trace shows it: until it is answered.
#[derive(Debug)]
pub(super) struct Traced {
    span: Span,
}

impl Traced {
    /// The status that the protocol has for the answer.
    pub(super) fn status(&mut self, name: &'static str, status: impl Into<i64>) {
        self.span.note(name, status.into());
    }

    /// Tells the caller of its trace and ends the span.
    pub(super) fn answer(mut self, error: Option<ErrorCode>, headers: &mut HeaderMap) {
        self.span.answer(error);
        if let Some(context) = self.span.context() {
            headers::add_trace(headers, &context);
        }
    }
}

/// The response message and what belongs beside it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) message: Vec<u8>,
    /// The version of the user that the answer is about.
    pub(super) version: Option<u64>,
    pub(super) headers: HeaderMap,
}

/// Why there is none. The condition tells a mismatch of versions from one of entity tags.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: ServiceError,
    pub(super) condition: Condition,
}

impl From<ServiceError> for Refused {
    fn from(error: ServiceError) -> Refused {
        let condition = Condition::None;
        Refused { error, condition }
    }
}

impl<F: Funnel> Exchange<F> {
    pub(super) fn new(
        funnel: Arc<F>,
        clock: Arc<dyn Clock>,
        in_flight_requests_max: usize,
        body_read_timeout: Duration,
        counters: Arc<HttpCounters>,
    ) -> Exchange<F> {
        Exchange {
            funnel,
            clock,
            in_flight: Semaphore::new(in_flight_requests_max),
            body_read_timeout,
            counters,
        }
    }

    /// The span of a call, which begins now.
    pub(super) fn trace(&self, served: impl FnOnce() -> Served, sent: &HeaderMap) -> Traced {
        let span = self.funnel.tracer().serve(served, || headers::trace(sent));
        Traced { span }
    }

    /// A place, at once or not at all, then the whole body: so bodies in memory are bounded in number, size
    /// and time.
    ///
    /// # Errors
    /// `Overloaded`, `Body` when the body is too long or breaks off, `BodyTimeout`.
    pub(super) async fn admit<B>(&self, body: B) -> Result<Admitted<'_>, ServiceError>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.counters.calls.fetch_add(1, Ordering::Relaxed);
        let place = self.in_flight.try_acquire().map_err(|_| {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            ServiceError::Overloaded("requests in flight")
        })?;
        let received = self.clock.monotonic();
        let reading = Limited::new(body, WIRE_BYTES_MAX).collect();
        let Ok(read) = tokio::time::timeout(self.body_read_timeout, reading).await else {
            return Err(ServiceError::BodyTimeout);
        };
        let body = read.map_err(|error| {
            let too_long = error.is::<http_body_util::LengthLimitError>();
            ServiceError::Body(match too_long {
                true => BodyError::TooLong,
                false => BodyError::Eof,
            })
        })?;
        Ok(Admitted {
            wire: body.to_bytes(),
            received,
            _place: place,
        })
    }

    /// Reads headers and message, asks the funnel, writes the answer; also when code in between panics.
    ///
    /// # Errors
    /// What the headers, `read`, the funnel or `write` say; `Internal` after a panic.
    pub(super) async fn call(
        &self,
        admitted: &Admitted<'_>,
        call: Call,
        (headers, traced): (&HeaderMap, &Traced),
        read: impl FnOnce() -> Result<Request, ServiceError>,
        write: impl FnOnce(&Reply) -> Result<Vec<u8>, ServiceError>,
    ) -> Result<Answer, Refused> {
        let mut condition = Condition::None;
        let called = async {
            let mut envelope = headers::envelope(headers)?;
            condition = headers::if_match(headers, call, &mut envelope)?;
            let request = read()?;
            let drops_password = match &request {
                Request::Command(command) => command.drops_password(),
                Request::Query(_) => false,
            };
            let context = RequestContext {
                trace: traced.span.trace(envelope.trace.take()),
                envelope,
                received: admitted.received,
            };
            let reply = self.ask(context, request).await?;
            let mut headers = HeaderMap::new();
            if drops_password {
                headers::add_password_warning(&mut headers);
            }
            let version = version(&reply);
            if let Some(version) = version {
                headers::add_etag(&mut headers, version);
            }
            Ok(Answer {
                message: write(&reply)?,
                version,
                headers,
            })
        };
        let caught = AssertUnwindSafe(called).catch_unwind().await;
        let answered = caught.unwrap_or_else(|_| {
            self.counters.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(?call, "the handling of a request panicked");
            Err(ServiceError::Internal)
        });
        answered.map_err(|error| Refused { error, condition })
    }

    /// The answer where a panic left none, and a count of it.
    pub(super) fn panicked(&self) -> Response {
        self.counters.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!("the framing of a request panicked");
        let mut response = Response::new(body(""));
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    }

    async fn ask(&self, context: RequestContext, request: Request) -> Result<Reply, ServiceError> {
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
    }
}

/// The version that an answer shows of its user.
fn version(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Command(reply) => Some(reply.details.sequence),
        Reply::Query(QueryReply::Get(user)) => Some(user.details.sequence),
        Reply::Query(QueryReply::History(_) | QueryReply::List(_) | QueryReply::Replay(_)) => None,
    }
}

pub(super) fn body(bytes: impl Into<Bytes>) -> ResponseBody {
    tonic::body::Body::new(http_body_util::Full::new(bytes.into()))
}
