//! The loop over the request subscription, and the task of one request.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::subject::ToSubject;
use async_nats::{Client, Message, Subject};
use futures::FutureExt;
use profile_messages::envelope::Envelope;
use profile_messages::error::FieldViolation;
use profile_messages::json::{BODY_BYTES_MAX, BodyError};
use profile_messages::subject::{self, Operation};
use tokio::sync::{Semaphore, mpsc};

use super::counters::NatsCounters;
use super::decode;
use super::encode::{self, Answer};
use super::reply_rule::{ReplyRefused, ReplyRule};
use super::requests::{Release, Requests, Stop};
use crate::clock::Clock;
use crate::error::ServiceError;
use crate::service::RequestContext;
use crate::telemetry::traces::Span;
use crate::transport::micro::EndpointStats;
use crate::transport::{Funnel, Request};

/// Largest sum of a request's header bytes, names included: a token, a trace and some short ones.
const HEADERS_BYTES_MAX: usize = 32 * 1024;

/// What every request of an edge shares.
#[derive(Debug)]
pub(super) struct Shared<F> {
    pub(super) funnel: Arc<F>,
    pub(super) egress: Client,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rule: Arc<ReplyRule>,
    pub(super) counters: Arc<NatsCounters>,
    pub(super) endpoints: Arc<EndpointStats>,
    /// One permit for each request that may be in flight.
    pub(super) in_flight: Arc<Semaphore>,
    /// Answers to refused requests that wait for a place in the egress connection.
    pub(super) refusals_waiting: Arc<Semaphore>,
    /// Set when a drain is over its time: what still arrives is refused.
    pub(super) closing: Arc<AtomicBool>,
}

/// Takes requests until the subscription ends. Waits for nothing but the subscription.
pub(super) async fn run<F: Funnel>(
    mut requests: Requests,
    shared: Arc<Shared<F>>,
    mut stops: mpsc::Receiver<Stop>,
    mut releases: mpsc::Receiver<Release>,
) {
    loop {
        let goes_on = tokio::select! {
            biased;
            Some(stop) = stops.recv() => requests.stop(stop).await,
            Some(released) = releases.recv() => {
                let goes_on = requests.release(|message| take(&shared, message)).await;
                let _ = released.send(());
                goes_on
            }
            message = requests.next() => match message {
                Some(message) => {
                    take(&shared, message);
                    true
                }
                None => false,
            },
        };
        if !goes_on {
            return;
        }
    }
}

/// Before anything waits with it: requests in flight are bounded in number, so their sizes must be.
fn check_size(message: &Message) -> Result<(), ServiceError> {
    if message.payload.len() > BODY_BYTES_MAX {
        return Err(BodyError::TooLong.into());
    }
    let names_and_values = message.headers.iter().flat_map(|headers| headers.iter());
    let bytes = names_and_values.map(|(name, values)| {
        let name: &str = name.as_ref();
        let values = values.iter().map(|value| value.as_str().len());
        name.len() + values.sum::<usize>()
    });
    if bytes.sum::<usize>() <= HEADERS_BYTES_MAX {
        return Ok(());
    }
    Err(ServiceError::Headers(vec![FieldViolation {
        field: "headers".to_owned(),
        description: format!("all headers together are longer than {HEADERS_BYTES_MAX} bytes"),
    }]))
}

fn take<F: Funnel>(shared: &Arc<Shared<F>>, mut message: Message) {
    let counters = &shared.counters;
    counters.read.add_one();
    let reply = match shared.rule.check(message.reply.as_deref()) {
        Ok(()) => message.reply.take(),
        Err(ReplyRefused::Missing) => return counters.dropped_no_reply.add_one(),
        Err(ReplyRefused::Forbidden) => return counters.dropped_reply_forbidden.add_one(),
    };
    let Some(reply) = reply else { return };
    let received = shared.clock.monotonic();
    if shared.closing.load(Ordering::Relaxed) {
        let error = ServiceError::Unavailable("shutting down");
        return refuse(shared, &message.subject, reply, &error);
    }
    if let Err(error) = check_size(&message) {
        return refuse(shared, &message.subject, reply, &error);
    }
    let Ok(permit) = shared.in_flight.try_acquire() else {
        let error = ServiceError::Overloaded("requests in flight");
        return refuse(shared, &message.subject, reply, &error);
    };
    permit.forget();
    let slot = InFlight(Arc::clone(&shared.in_flight));
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let _slot = slot;
        handle(&shared, message, reply, received).await;
    });
}

/// Gives its place back when the request is over, in whatever way.
struct InFlight(Arc<Semaphore>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

async fn handle<F: Funnel>(
    shared: &Shared<F>,
    message: Message,
    reply: Subject,
    received: Instant,
) {
    let parsed = subject::parse_request(&message.subject);
    let operation = parsed.as_ref().map(|parsed| parsed.operation);
    let mut span = shared.funnel.tracer().serve(
        || decode::traced_as(parsed.as_ref()),
        || decode::trace(message.headers.as_ref()),
    );
    let respond = respond(shared, message, received, &span);
    let answer = match AssertUnwindSafe(respond).catch_unwind().await {
        Ok(answer) => answer,
        Err(_) => {
            shared.counters.panics.add_one();
            tracing::error!(?operation, "the handling of a request panicked");
            encode::failure(&ServiceError::Internal)
        }
    };
    span.answer(answer.error);
    let answer = encode::with_trace(answer, span.context());
    drop(span);
    let took = shared.clock.monotonic().saturating_duration_since(received);
    record(shared, operation, answer.error, took);
    match publish(&shared.egress, reply, answer).await {
        Ok(()) => shared.counters.answered.add_one(),
        Err(Unsent) => shared.counters.answers_failed.add_one(),
    }
}

async fn respond<F: Funnel>(
    shared: &Shared<F>,
    message: Message,
    received: Instant,
    span: &Span,
) -> Answer {
    match call(shared, message, received, span).await {
        Ok(answer) => answer,
        Err(error) => encode::failure(&error),
    }
}

async fn call<F: Funnel>(
    shared: &Shared<F>,
    message: Message,
    received: Instant,
    span: &Span,
) -> Result<Answer, ServiceError> {
    let (mut envelope, request) = decoded(&message)?;
    // It holds a part of the connection's read buffer, and the funnel may take its time.
    drop(message);
    let context = RequestContext {
        trace: span.trace(envelope.trace.take()),
        envelope,
        received,
    };
    let payload_bytes_max = shared.egress.max_payload();
    Ok(match request {
        Request::Command(command) => {
            let reply = shared.funnel.execute(context, command).await?;
            encode::success(&reply, payload_bytes_max)
        }
        Request::Query(query) => {
            let reply = shared.funnel.query(context, query).await?;
            encode::success(&reply, payload_bytes_max)
        }
    })
}

fn decoded(message: &Message) -> Result<(Envelope, Request), ServiceError> {
    let subject = subject::parse_request(&message.subject).ok_or(ServiceError::UnknownSubject)?;
    let envelope = decode::envelope(message.headers.as_ref())?;
    let request = decode::request(&subject, &message.payload)?;
    Ok((envelope, request))
}

fn record<F>(
    shared: &Shared<F>,
    operation: Option<Operation>,
    error: Option<profile_messages::error::ErrorCode>,
    took: Duration,
) {
    match operation {
        Some(operation) => shared.endpoints.record(operation, error, took),
        None => shared.counters.unknown_subjects.add_one(),
    }
}

/// Answers without the funnel and without waiting: if the egress connection has no place at once, a
/// bounded number of tasks wait for one.
fn refuse<F: Funnel>(
    shared: &Arc<Shared<F>>,
    subject: &Subject,
    reply: Subject,
    error: &ServiceError,
) {
    let operation = subject::parse_request(subject).map(|parsed| parsed.operation);
    record(shared, operation, Some(error.code()), Default::default());
    let egress = shared.egress.clone();
    let answer = encode::failure(error);
    let mut sending = Box::pin(async move { publish(&egress, reply, answer).await });
    match (&mut sending).now_or_never() {
        Some(Ok(())) => return shared.counters.refused.add_one(),
        Some(Err(Unsent)) => return shared.counters.answers_failed.add_one(),
        None => {}
    }
    let Ok(permit) = shared.refusals_waiting.try_acquire() else {
        return shared.counters.answers_failed.add_one();
    };
    permit.forget();
    let slot = InFlight(Arc::clone(&shared.refusals_waiting));
    let counters = Arc::clone(&shared.counters);
    tokio::spawn(async move {
        let _slot = slot;
        match sending.await {
            Ok(()) => counters.refused.add_one(),
            Err(Unsent) => counters.answers_failed.add_one(),
        }
    });
}

/// The egress connection is closed, or the message is not one that it can send.
struct Unsent;

/// Hands an answer to the egress connection, which writes many of them with one system call.
async fn publish(egress: &Client, reply: impl ToSubject, answer: Answer) -> Result<(), Unsent> {
    let Answer {
        headers, payload, ..
    } = answer;
    let sent = match headers {
        None => egress.publish(reply, payload).await,
        Some(headers) => egress.publish_with_headers(reply, headers, payload).await,
    };
    sent.map_err(|error| {
        tracing::warn!(%error, "an answer could not be sent");
        Unsent
    })
}
