//! The ways in: opened once the event stream is known to be ours, and drained at the end.

use std::sync::Arc;
use std::time::Duration;

use actix::ArbiterHandle;
use anyhow::Context as _;
use tokio::sync::watch;

use super::monitoring;
use super::stop::{StopSignals, stream_confirmed, until_stopped};
use super::storage::Storage;
use crate::clock::Clock;
use crate::gateway::Shards;
use crate::relay::RelayStatus;
use crate::service::ProfileService;
use crate::telemetry::metrics::{Metrics, Transport};
use crate::telemetry::traces::Tracer;
use crate::transport::counted::Counted;
use crate::transport::http::{HttpEdge, HttpOptions, HttpPort};
use crate::transport::monitoring::{MonitoringPort, Watched};
use crate::transport::nats::{NatsEdge, NatsOptions};

/// How long a stopping service waits for requests in work.
const DRAIN_BOUND: Duration = Duration::from_secs(20);

/// What may fail while requests are served.
pub(super) struct Parts<'a> {
    pub(super) storage: &'a Storage,
    pub(super) relay: watch::Receiver<RelayStatus>,
    pub(super) shards: &'a Shards,
    pub(super) dev: bool,
    pub(super) monitoring: Option<&'a MonitoringPort>,
    pub(super) metrics: &'a Metrics,
    pub(super) tracer: Tracer,
    pub(super) watched: &'a Watched,
    pub(super) lag_bytes_max: u64,
}

impl Parts<'_> {
    /// From here on the edges are among the metrics, and the service is ready while all is well.
    fn watch(&self, nats: &NatsEdge, http: Option<&HttpEdge>) {
        let [ingress, egress] = nats.traffic();
        let of_nats = monitoring::of_nats(nats.counters(), ingress.clone(), egress.clone());
        self.metrics.read(of_nats);
        if let Some(http) = http {
            self.metrics.read(monitoring::of_http(http.counters()));
        }
        let checks = monitoring::checks(self.storage, self.lag_bytes_max, ingress, egress);
        self.watched.serve_with(checks);
    }
}

/// The ways in; HTTP only if it is configured.
pub(super) struct EdgeOptions {
    pub(super) nats: NatsOptions,
    /// The thread of actors on which the NATS edge runs.
    pub(super) beside: ArbiterHandle,
    pub(super) http: Option<HttpOptions>,
}

/// Opens the edges once the event stream is known to be ours, and closes them at the end.
pub(super) async fn serve_requests(
    parts: &Parts<'_>,
    options: EdgeOptions,
    service: Arc<ProfileService>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<()> {
    // Before the first request is read: from here on the end is a drain.
    let until_stopped = until_stopped(parts, StopSignals::listen()?);
    tokio::pin!(until_stopped);
    tokio::select! {
        ended = &mut until_stopped => return ended,
        confirmed = stream_confirmed(parts.relay.clone()) => confirmed?,
    }
    // Before requests are taken over NATS: what fails here has left none unanswered.
    let port = match options.http {
        Some(options) => Some(HttpPort::open(options).await?),
        None => None,
    };
    let funnel = |transport| {
        let (service, requests) = (Arc::clone(&service), Arc::clone(&parts.metrics.requests));
        Arc::new(Counted::new(
            service,
            transport,
            requests,
            Arc::clone(&clock),
            parts.tracer.clone(),
        ))
    };
    let over_nats = funnel(Transport::Nats);
    let nats = start_beside(&options.beside, options.nats, over_nats, Arc::clone(&clock)).await?;
    let over_http = funnel(Transport::Http);
    let http = port
        .map(|port| port.serve(over_http, Arc::clone(&clock)))
        .transpose()?;
    parts.watch(&nats, http.as_ref());
    tracing::info!(
        store = parts.storage.data_dir.store_id(),
        dev = parts.dev,
        http = http.as_ref().map(|edge| edge.address().to_string()),
        monitoring = parts.monitoring.map(|port| port.address().to_string()),
        "ready"
    );
    let ended = tokio::select! {
        ended = until_stopped => ended,
        () = nats.ended() => Err(anyhow::anyhow!("the request loop ended by itself: this is a bug")),
        () = http_ended(http.as_ref()) => Err(anyhow::anyhow!("the HTTP edge ended by itself: this is a bug")),
    };
    // Side by side: requests of both are in work, and the bound is for both.
    let (report, http_drained) = tokio::join!(nats.drain(DRAIN_BOUND), drain_http(http));
    tracing::info!(?report, http_drained, "drained");
    ended
}

/// Starts the NATS edge on a thread of actors: a command that comes and goes by NATS then changes threads
/// for its commit only. Waking another thread costs more than all that is done for a command here.
async fn start_beside(
    actors: &ArbiterHandle,
    options: NatsOptions,
    service: Arc<Counted<ProfileService>>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<NatsEdge> {
    let (started, edge) = tokio::sync::oneshot::channel();
    actors.spawn(async move {
        // Nobody waits any more when the service is stopping: the edge goes with the value.
        let _ = started.send(NatsEdge::start(options, service, clock).await);
    });
    Ok(edge.await.context("the actors have ended")??)
}

async fn http_ended(edge: Option<&HttpEdge>) {
    match edge {
        Some(edge) => edge.ended().await,
        None => std::future::pending().await,
    }
}

async fn drain_http(edge: Option<HttpEdge>) -> Option<bool> {
    match edge {
        Some(edge) => Some(edge.drain(DRAIN_BOUND).await),
        None => None,
    }
}
