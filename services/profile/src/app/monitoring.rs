//! What the monitoring port shows: which numbers are read where, and what must be well to be ready.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use tokio::sync::watch;

use super::storage::Storage;
use crate::auth::Authenticator;
use crate::clock::Clock;
use crate::config::Config;
use crate::current_view::CurrentView as _;
use crate::gateway::{GatewayCounts, Shards};
use crate::relay::{RelayCounts, RelayState, RelayStatus};
use crate::telemetry::metrics::{Reading, Sample};
use crate::telemetry::traces::ExportCounts;
use crate::transport::http::HttpCounters;
use crate::transport::monitoring::{Check, MonitoringPort, Watched};
use crate::transport::nats::{Count, NatsCounters, Traffic, TrafficNumbers};

/// The port for those who watch; `None` without `monitoring.listen`.
pub(super) async fn open(
    config: &Config,
    watched: &Arc<Watched>,
) -> anyhow::Result<Option<MonitoringPort>> {
    let Some(listen) = config.monitoring.listen else {
        return Ok(None);
    };
    let opened = MonitoringPort::open(listen, Arc::clone(watched)).await;
    let opened = opened.with_context(|| format!("monitoring.listen {listen}"))?;
    Ok(Some(opened))
}

/// Actors, the view behind the log, the stream behind both, and the tokens in memory.
pub(super) fn of_storage(
    storage: &Storage,
    shards: &Shards,
    relay: watch::Receiver<RelayStatus>,
    authenticator: Arc<Authenticator>,
    clock: Arc<dyn Clock>,
) -> Vec<Reading> {
    let mut readings = of_actors(shards);
    readings.extend(of_view(storage, Arc::clone(&clock)));
    readings.extend(of_relay(storage, relay, clock));
    readings.extend(of_tokens(authenticator));
    let position = storage.log.durable();
    readings.push(Reading::gauge(
        "profile_log_position",
        "The last durable position",
        vec![Sample::of(move || position.borrow().0 as f64)],
    ));
    readings
}

fn of_actors(shards: &Shards) -> Vec<Reading> {
    let sum = |read: fn(&GatewayCounts) -> u64| {
        let shards = shards.clone();
        vec![Sample::of(move || {
            shards.counts().map(read).sum::<u64>() as f64
        })]
    };
    vec![
        Reading::gauge(
            "profile_actors_live",
            "Users whose actor is in memory",
            sum(|counts| counts.live.load(Ordering::Relaxed) as u64),
        ),
        Reading::counter(
            "profile_actor_activations",
            "Actors that were made from the current view",
            sum(|counts| counts.activations.load(Ordering::Relaxed)),
        ),
        Reading::counter(
            "profile_actor_passivations",
            "Actors that were let go",
            sum(|counts| counts.passivations.load(Ordering::Relaxed)),
        ),
        Reading::gauge(
            "profile_actor_mailbox_commands",
            "Commands that wait for their actor or are in work",
            sum(|counts| counts.commands.load(Ordering::Relaxed) as u64),
        ),
    ]
}

fn of_view(storage: &Storage, clock: Arc<dyn Clock>) -> Vec<Reading> {
    let view = || Arc::clone(&storage.view);
    let (users, bytes, since) = (view(), view(), view());
    vec![
        Reading::gauge(
            "profile_view_behind_users",
            "Changed users that are not in sled yet",
            vec![Sample::of(move || users.behind().users as f64)],
        ),
        Reading::gauge(
            "profile_view_behind_bytes",
            "What they take in memory in bytes",
            vec![Sample::of(move || bytes.behind().bytes as f64)],
        ),
        Reading::gauge(
            "profile_view_behind_seconds",
            "Since the change among them that waits longest",
            vec![Sample::of(move || {
                seconds_since(since.behind().since, clock.as_ref())
            })],
        ),
    ]
}

fn of_relay(
    storage: &Storage,
    status: watch::Receiver<RelayStatus>,
    clock: Arc<dyn Clock>,
) -> Vec<Reading> {
    let (acked, events, state) = (status.clone(), status.clone(), status);
    let (bytes, since) = (Arc::clone(&storage.lag), Arc::clone(&storage.lag));
    vec![
        Reading::gauge(
            "profile_relay_acked_position",
            "The stream holds every event up to here",
            vec![Sample::of(move || acked.borrow().acked.0 as f64)],
        ),
        Reading::gauge(
            "profile_relay_lag_events",
            "Commits whose event the stream has not acknowledged",
            vec![Sample::of(move || events.borrow().lag_events as f64)],
        ),
        Reading::gauge(
            "profile_relay_lag_bytes",
            "What their events are in bytes",
            vec![Sample::of(move || bytes.bytes() as f64)],
        ),
        Reading::gauge(
            "profile_relay_lag_seconds",
            "Since the commit among them that waits longest",
            vec![Sample::of(move || {
                seconds_since(since.since(), clock.as_ref())
            })],
        ),
        Reading::gauge(
            "profile_relay_running",
            "1 while events are published, else 0",
            vec![Sample::of(move || match state.borrow().state {
                RelayState::Running | RelayState::Refilling => 1.0,
                RelayState::Starting
                | RelayState::Standby
                | RelayState::Waiting(_)
                | RelayState::Stopped(_)
                | RelayState::Closed => 0.0,
            })],
        ),
    ]
}

/// What left for the event stream and for the trace collector.
pub(super) fn of_publishing(relay: Arc<RelayCounts>, traces: Arc<ExportCounts>) -> Vec<Reading> {
    let retries = Arc::clone(&relay);
    vec![
        Reading::counter(
            "profile_relay_messages",
            "Messages that were sent to the event stream, by what became of them",
            vec![
                by_result(&relay, "published", RelayCounts::published),
                by_result(&relay, "refused", RelayCounts::refused),
                by_result(&relay, "unanswered", RelayCounts::unanswered),
            ],
        ),
        Reading::counter(
            "profile_relay_retries",
            "Times that the relay looked at the stream again to send what is missing there",
            vec![Sample::of(move || retries.retries() as f64)],
        ),
        Reading::counter(
            "profile_trace_batches",
            "Batches of spans for the trace collector, by what became of them",
            vec![
                by_result(&traces, "taken", ExportCounts::taken),
                by_result(&traces, "failed", ExportCounts::failed),
            ],
        ),
    ]
}

fn by_result<T: Send + Sync + 'static>(
    counts: &Arc<T>,
    result: &'static str,
    read: fn(&T) -> u64,
) -> Sample {
    let counts = Arc::clone(counts);
    Sample::labelled([("result", result)], move || read(&counts) as f64)
}

fn seconds_since(at: Option<profile_messages::Timestamp>, clock: &dyn Clock) -> f64 {
    let waited_us = at.map_or(0, |at| clock.now().0.saturating_sub(at.0).max(0));
    waited_us as f64 / 1e6
}

fn of_tokens(authenticator: Arc<Authenticator>) -> Vec<Reading> {
    let count = |read: fn(&Authenticator) -> u64| {
        let authenticator = Arc::clone(&authenticator);
        move || read(&authenticator) as f64
    };
    vec![
        Reading::counter(
            "profile_token_cache_lookups",
            "Tokens that were looked for among the verified ones",
            vec![
                Sample::labelled([("result", "hit")], count(|it| it.cache_counts().hits)),
                Sample::labelled([("result", "miss")], count(|it| it.cache_counts().misses)),
            ],
        ),
        Reading::gauge(
            "profile_token_cache_entries",
            "Verified tokens in memory",
            vec![Sample::of(count(|it| it.cache_counts().entries as u64))],
        ),
    ]
}

/// The edge on the bus.
pub(super) fn of_nats(
    counters: &Arc<NatsCounters>,
    ingress: Traffic,
    egress: Traffic,
) -> Vec<Reading> {
    let mut readings = traffic(ingress, egress);
    let one = |labels: &'static [(&'static str, &'static str)],
               read: fn(&NatsCounters) -> &Count| {
        let counters = Arc::clone(counters);
        Sample::labelled(labels.iter().copied(), move || read(&counters).get() as f64)
    };
    readings.extend([
        Reading::counter(
            "profile_nats_requests",
            "Messages that were taken from the request subscription",
            vec![one(&[], |it| &it.read)],
        ),
        Reading::counter(
            "profile_nats_replies_dropped",
            "Requests without an answer, by why",
            vec![
                one(&[("reason", "no_reply_subject")], |it| &it.dropped_no_reply),
                one(&[("reason", "reply_subject_forbidden")], |it| {
                    &it.dropped_reply_forbidden
                }),
                one(&[("reason", "egress_stuck")], |it| &it.answers_failed),
            ],
        ),
        Reading::counter(
            "profile_nats_requests_refused",
            "Requests that found no place and were refused at once",
            vec![one(&[], |it| &it.refused)],
        ),
        Reading::counter(
            "profile_nats_slow_consumer_messages",
            "Messages that were lost because the service read too slowly",
            vec![one(&[], |it| &it.slow_consumer)],
        ),
        Reading::counter(
            "profile_nats_errors",
            "What nats-server or the client library complained of",
            vec![
                one(&[("kind", "permission")], |it| &it.permission_violations),
                one(&[("kind", "other")], |it| &it.connection_errors),
            ],
        ),
        Reading::counter(
            "profile_nats_handler_panics",
            "Requests whose handling panicked: each is a bug",
            vec![one(&[], |it| &it.panics)],
        ),
    ]);
    readings
}

fn traffic(ingress: Traffic, egress: Traffic) -> Vec<Reading> {
    let each = |read: fn(TrafficNumbers) -> u64| {
        let (ingress, egress) = (ingress.clone(), egress.clone());
        vec![
            Sample::labelled([("connection", "ingress")], move || {
                read(ingress.read()) as f64
            }),
            Sample::labelled([("connection", "egress")], move || {
                read(egress.read()) as f64
            }),
        ]
    };
    vec![
        Reading::counter(
            "profile_nats_in_messages",
            "Messages received",
            each(|it| it.messages_in),
        ),
        Reading::counter(
            "profile_nats_out_messages",
            "Messages sent",
            each(|it| it.messages_out),
        ),
        Reading::counter(
            "profile_nats_in_bytes",
            "Bytes received",
            each(|it| it.bytes_in),
        ),
        Reading::counter(
            "profile_nats_out_bytes",
            "Bytes sent",
            each(|it| it.bytes_out),
        ),
        Reading::counter(
            "profile_nats_reconnects",
            "Connections that were made again",
            each(|it| it.connections.saturating_sub(1)),
        ),
        Reading::gauge(
            "profile_nats_connected",
            "1 while connected, else 0",
            each(|it| u64::from(it.is_connected)),
        ),
    ]
}

/// The edge for ZITADEL's clients.
pub(super) fn of_http(counters: &Arc<HttpCounters>) -> Vec<Reading> {
    let one = |read: fn(&HttpCounters) -> u64| {
        let counters = Arc::clone(counters);
        vec![Sample::of(move || read(&counters) as f64)]
    };
    vec![
        Reading::counter(
            "profile_http_calls",
            "Requests for a call",
            one(HttpCounters::calls),
        ),
        Reading::counter(
            "profile_http_calls_refused",
            "Calls that found no place and were refused at once",
            one(HttpCounters::refused),
        ),
        Reading::counter(
            "profile_http_handler_panics",
            "Calls whose handling panicked: each is a bug",
            one(HttpCounters::panics),
        ),
    ]
}

/// What `/readyz` looks at.
pub(super) fn checks(
    storage: &Storage,
    lag_bytes_max: u64,
    ingress: Traffic,
    egress: Traffic,
) -> Vec<Check> {
    let check =
        |name, look: Box<dyn Fn() -> Result<(), String> + Send + Sync>| Check { name, look };
    let (log, view, behind) = (
        storage.log.failed(),
        storage.view.failed(),
        Arc::clone(&storage.view),
    );
    let lag = Arc::clone(&storage.lag);
    let unless = |bad: bool, why: &str| if bad { Err(why.to_owned()) } else { Ok(()) };
    vec![
        check(
            "log",
            Box::new(move || log.borrow().clone().map_or(Ok(()), Err)),
        ),
        check(
            "view",
            Box::new(move || view.borrow().clone().map_or(Ok(()), Err)),
        ),
        check(
            "view-lag",
            Box::new(move || unless(behind.is_full(), "more than view.overlay_bytes_max waits")),
        ),
        check(
            "relay-lag",
            Box::new(move || {
                unless(
                    lag.bytes() > lag_bytes_max,
                    "more than relay.lag_bytes_max waits",
                )
            }),
        ),
        check(
            "nats-ingress",
            Box::new(move || unless(!ingress.read().is_connected, "not connected")),
        ),
        check(
            "nats-egress",
            Box::new(move || unless(!egress.read().is_connected, "not connected")),
        ),
    ]
}
