//! The wiring: opens the storage, starts actors, relay and edges, and ends them in reverse.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::prelude::*;
use anyhow::Context as _;
use futures::future::BoxFuture;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::auth::Authenticator;
use crate::auth::dev::{check_dev_allowed, prepare_dev_key};
use crate::clock::{Clock, SystemClock};
use crate::compaction::Compaction;
use crate::config::Config;
use crate::current_view::CurrentView;
use crate::entity::EntityPorts;
use crate::gateway::Shards;
use crate::relay::lag::RelayLag;
use crate::relay::reconcile::Refusal;
use crate::relay::{RelayState, RelayStatus};
use crate::service::{ProfileService, WriteGate};
use crate::telemetry::metrics::{Metrics, Transport, UpkeepMetrics};
use crate::telemetry::traces::{Exporter, Tracer};
use crate::transport::counted::Counted;
use crate::transport::http::{HttpEdge, HttpOptions, HttpPort};
use crate::transport::monitoring::{MonitoringPort, Watched};
use crate::transport::nats::{NatsEdge, NatsOptions, connect_as};

mod backup;
mod cluster;
pub mod doctor;
mod health;
mod monitoring;
mod options;
mod storage;

pub use backup::{backup, restore};
use cluster::{Cluster, EventRelay, Relaying};
pub use health::health;
use storage::{Opening, Storage};

/// How long a stopping service waits for requests in work.
const DRAIN_BOUND: Duration = Duration::from_secs(20);
/// How long it waits for the last traces to be sent.
const TRACES_BOUND: Duration = Duration::from_secs(3);

/// Runs the service until it is told to stop (SIGTERM, SIGINT) or cannot go on.
///
/// # Errors
/// Why it did not start, or why it had to stop.
pub fn run(config: Config) -> anyhow::Result<()> {
    if config.dev {
        check_dev_allowed(&config)?;
    }
    let runtime = io_runtime(config.runtime.io_threads)?;
    let system = System::new();
    let shards = match config.actors.shards {
        0 => std::thread::available_parallelism().map_or(1, |threads| threads.get().div_ceil(2)),
        shards => shards,
    };
    let arbiters: Vec<Arbiter> = (0..shards).map(|_| Arbiter::new()).collect();
    let handles: Vec<ArbiterHandle> = arbiters.iter().map(Arbiter::handle).collect();
    let this_system = System::current();
    let serving = runtime.spawn(async move {
        let ended = serve(config, &handles).await;
        this_system.stop();
        ended
    });
    system.run().context("the actor system failed")?;
    for arbiter in arbiters {
        arbiter.stop();
        // An arbiter that panicked has nothing left to wait for.
        let _ = arbiter.join();
    }
    let ended = runtime
        .block_on(serving)
        .context("the service task failed")?;
    runtime.shutdown_timeout(Duration::from_secs(2));
    ended
}

fn io_runtime(threads: usize) -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder
        .enable_all()
        .thread_name("profiled-io")
        .build()
        .context("no runtime")
}

async fn serve(config: Config, arbiters: &[ArbiterHandle]) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let watched = Arc::new(Watched::new(Arc::clone(&metrics)));
    // First of all, so that a long start shows as one.
    let monitoring = open_monitoring(&config, &watched).await?;
    let cluster = Cluster::join(&config, &clock).await?;
    let data_dir = match &cluster {
        None => Storage::directory(&config, &clock)?,
        Some(cluster) => cluster.directory(&config, &clock)?,
    };
    let version = env!("CARGO_PKG_VERSION");
    let exporter = Exporter::start(&config.traces, data_dir.store_id(), version)?;
    let tracer = exporter.tracer();
    let log_metrics = Arc::clone(&metrics.commit_log);
    let opening = Opening::new(&config, data_dir, log_metrics, tracer.clone())?;
    let storage = match &cluster {
        None => opening.in_files(&config).await?,
        Some(cluster) => cluster.open(opening, &config).await?,
    };
    if config.dev {
        prepare_dev_key(&config.data_dir, clock.as_ref())?;
    }
    let authenticator = Arc::new(Authenticator::new(&config, Arc::clone(&clock))?);
    let log = Arc::clone(&storage.log);
    let view: Arc<dyn CurrentView> = Arc::clone(&storage.view) as _;
    let ports = Arc::new(EntityPorts {
        log: Arc::clone(&log),
        view: Arc::clone(&view),
        clock: Arc::clone(&clock),
        store_id: storage.data_dir.store_id().into(),
        epoch: storage.data_dir.epoch(),
        payload: config.events.payload,
    });
    let shards = Shards::start(arbiters, &options::gateway(&config, arbiters.len()), &ports);

    let mut nats = options::nats(&config, storage.data_dir.store_id())?;
    if let Some(cluster) = &cluster {
        cluster.name_node(&mut nats);
    }
    if options::is_exposed(&config) {
        tracing::warn!(
            "a nats server that is not on this machine is used without TLS: passwords, tokens and \
             profiles cross the network in clear"
        );
    }
    if options::is_http_exposed(&config) {
        tracing::warn!(
            "http.listen is not a loopback address and has no TLS: unless a proxy in front ends it, tokens \
             and profiles cross the network in clear"
        );
    }
    let relay_client = connect_as(&nats, &nats.egress, "relay").await?;
    let relaying = Relaying {
        options: options::relay(&config, &storage.data_dir, tracer.clone()),
        log,
        view: Arc::clone(&view),
        client: relay_client,
        clock: Arc::clone(&clock),
        lag: Arc::clone(&storage.lag),
    };
    let relay = match &cluster {
        None => EventRelay::Own(relaying.start().await?),
        Some(cluster) => EventRelay::Elected(cluster.relay(relaying)),
    };
    let compaction = compaction(&config, &storage, &relay, Arc::clone(&metrics.upkeep)).start();
    let gate = write_gate(&config, view, Arc::clone(&storage.lag));
    let (of, relayed) = (Arc::clone(&authenticator), relay.watch());
    metrics.read(monitoring::of_publishing(relay.counts(), exporter.counts()));
    metrics.read(monitoring::of_storage(
        &storage,
        &shards,
        relayed,
        of,
        Arc::clone(&clock),
    ));
    let service = Arc::new(ProfileService::new(
        ports,
        shards.clone(),
        authenticator,
        Arc::clone(&storage.data_dir),
        gate,
        options::reads(&config),
    ));
    let parts = Parts {
        storage: &storage,
        relay: relay.watch(),
        shards: &shards,
        dev: config.dev,
        monitoring: monitoring.as_ref(),
        metrics: &metrics,
        tracer,
        watched: &watched,
        lag_bytes_max: config.relay.lag_bytes_max,
    };
    let edges = EdgeOptions {
        nats,
        beside: arbiters.first().context("no thread for actors")?.clone(),
        http: options::http(&config),
    };
    let ended = serve_requests(&parts, edges, service, clock).await;
    if let Err(error) = &ended {
        tracing::error!(error = %format!("{error:#}"), "cannot go on, stopping");
    }
    log_counts(&shards);
    compaction.stop().await;
    relay.stop().await;
    storage.close().await;
    exporter.stop(TRACES_BOUND).await;
    tracing::info!("stopped");
    // Told to stop at the moment at which the log failed, or while it was drained: that is no clean end.
    ended.and_then(|()| storage.is_sound())
}

async fn open_monitoring(
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

/// What throws away what the log need not keep: never more than the relay and its eraser are done with.
fn compaction(
    config: &Config,
    storage: &Storage,
    relay: &EventRelay,
    metrics: Arc<UpkeepMetrics>,
) -> Compaction {
    let view = Arc::clone(&storage.view);
    let renew = move || -> BoxFuture<'static, Result<(), String>> {
        let view = Arc::clone(&view);
        Box::pin(async move {
            let renewed = tokio::task::spawn_blocking(move || view.renew());
            renewed.await.map_err(|error| error.to_string())?
        })
    };
    Compaction {
        options: options::compaction(config),
        log: Arc::clone(&storage.log),
        view: Arc::clone(&storage.view) as _,
        cursor: relay.watch_settled(),
        erased_through: relay.watch_erased(),
        renew: Arc::new(renew),
        metrics,
    }
}

/// What the gateways did in their life: whether the limit of live actors is a good one.
fn log_counts(shards: &Shards) {
    let (mut activations, mut passivations, mut live_most) = (0, 0, 0);
    for counts in shards.counts() {
        activations += counts.activations.load(Ordering::Relaxed);
        passivations += counts.passivations.load(Ordering::Relaxed);
        // Each shard had its most at its own time: together never more than this.
        live_most += counts.live_most.load(Ordering::Relaxed);
    }
    tracing::info!(activations, passivations, live_most, "actors");
}

/// What may fail while requests are served.
struct Parts<'a> {
    storage: &'a Storage,
    relay: watch::Receiver<RelayStatus>,
    shards: &'a Shards,
    dev: bool,
    monitoring: Option<&'a MonitoringPort>,
    metrics: &'a Metrics,
    tracer: Tracer,
    watched: &'a Watched,
    lag_bytes_max: u64,
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
struct EdgeOptions {
    nats: NatsOptions,
    /// The thread of actors on which the NATS edge runs.
    beside: ArbiterHandle,
    http: Option<HttpOptions>,
}

/// Opens the edges once the event stream is known to be ours, and closes them at the end.
async fn serve_requests(
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

/// Waits until the event stream was seen to be this store's: before that a second store could answer
/// requests on the same bus and fork users. A stream that is not ours, and a server without JetStream,
/// are errors at the start; what passes by itself is waited for.
async fn stream_confirmed(mut relay: watch::Receiver<RelayStatus>) -> anyhow::Result<()> {
    loop {
        let state = relay.borrow_and_update().state.clone();
        match state {
            RelayState::Running | RelayState::Refilling | RelayState::Standby => return Ok(()),
            RelayState::Stopped(refusal) => return Err(stopped(&refusal)),
            RelayState::Closed => return Err(anyhow::anyhow!("the event relay ended")),
            RelayState::Waiting(reason) => {
                tracing::warn!(
                    reason,
                    "not taking requests yet: the event stream cannot be looked at, trying again"
                );
            }
            RelayState::Starting => {}
        }
        relay.changed().await.context("the event relay ended")?;
    }
}

fn stopped(refusal: &Refusal) -> anyhow::Error {
    anyhow::anyhow!("the event relay stopped: {refusal}")
}

/// Which bound refuses writes at present, if any.
fn write_gate(config: &Config, view: Arc<dyn CurrentView>, lag: Arc<RelayLag>) -> WriteGate {
    let lag_bytes_max = config.relay.lag_bytes_max;
    Box::new(move || {
        if view.is_full() {
            return Some("the current view is too far behind");
        }
        if lag.bytes() > lag_bytes_max {
            return Some("the event relay is too far behind");
        }
        None
    })
}

/// SIGTERM and SIGINT; until they are listened to, either ends the process at once.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<StopSignals> {
        Ok(StopSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Returns when told to stop; fails when a part cannot go on without a restart.
async fn until_stopped(parts: &Parts<'_>, mut signals: StopSignals) -> anyhow::Result<()> {
    let storage = parts.storage;
    let (mut log_failed, mut view_failed) = (storage.log.failed(), storage.view.failed());
    tokio::select! {
        _ = signals.terminate.recv() => Ok(()),
        _ = signals.interrupt.recv() => Ok(()),
        reason = failure(&mut log_failed) => Err(anyhow::anyhow!("the commit log failed: {reason}")),
        reason = failure(&mut view_failed) => Err(anyhow::anyhow!("the current view failed: {reason}")),
        error = relay_stopped(parts.relay.clone()) => Err(error),
        () = parts.shards.ended() => {
            Err(anyhow::anyhow!("a gateway ended by itself, the log says why: this is a bug"))
        }
    }
}

async fn relay_stopped(mut relay: watch::Receiver<RelayStatus>) -> anyhow::Error {
    loop {
        if let RelayState::Stopped(refusal) = &relay.borrow_and_update().state {
            return stopped(refusal);
        }
        if relay.changed().await.is_err() {
            return anyhow::anyhow!("the event relay ended");
        }
    }
}

async fn failure(failed: &mut watch::Receiver<Option<String>>) -> String {
    match failed.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_default(),
        Err(_) => "it ended".to_owned(),
    }
}
