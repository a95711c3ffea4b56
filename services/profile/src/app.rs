//! The wiring: opens the storage, starts actors, relay and edges, and ends them in reverse.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use anyhow::Context as _;
use tokio::runtime::Runtime;

use crate::auth::Authenticator;
use crate::auth::dev::{check_dev_allowed, prepare_dev_key};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::gateway::Shards;
use crate::service::ProfileService;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Exporter;
use crate::transport::monitoring::Watched;

mod cluster;
mod edges;
mod stop;
mod storage;
mod upkeep;

mod monitoring;
mod options;

mod backup;
pub mod doctor;
mod health;

pub use backup::{backup, restore};
use cluster::Cluster;
pub use cluster::migrate;
use edges::{EdgeOptions, Parts, serve_requests};
pub use health::health;
use storage::{Opening, Storage};
use upkeep::EventRelay;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long a stopping service waits for the last traces to be sent.
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

/// Everything in the order in which one needs the other; at the end in reverse.
async fn serve(config: Config, arbiters: &[ArbiterHandle]) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let metrics = Arc::new(Metrics::new(VERSION));
    let watched = Arc::new(Watched::new(Arc::clone(&metrics)));
    // First of all, so that a long start shows as one.
    let monitoring = monitoring::open(&config, &watched).await?;
    let cluster = Cluster::join(&config, &clock).await?;
    let data_dir = match &cluster {
        None => Storage::directory(&config, &clock)?,
        Some(cluster) => cluster.directory(&config, &clock)?,
    };
    let exporter = Exporter::start(&config.traces, data_dir.store_id(), VERSION)?;
    let (log_metrics, tracer) = (Arc::clone(&metrics.commit_log), exporter.tracer());
    let opening = Opening::new(&config, data_dir, log_metrics, tracer)?;
    let storage = match &cluster {
        None => opening.in_files(&config).await?,
        Some(cluster) => cluster.open(opening, &config).await?,
    };
    if config.dev {
        prepare_dev_key(&config.data_dir, clock.as_ref())?;
    }
    let authenticator = Arc::new(Authenticator::new(&config, Arc::clone(&clock))?);
    let ports = Arc::new(storage.ports(&config, &clock));
    let shards = Shards::start(arbiters, &options::gateway(&config, arbiters.len()), &ports);

    let mut nats = options::nats(&config, storage.data_dir.store_id())?;
    if let Some(cluster) = &cluster {
        cluster.name_node(&mut nats);
    }
    options::warn_of_exposure(&config);
    let relaying = upkeep::relaying(&config, &storage, &nats, exporter.tracer(), &clock).await?;
    let relay = match &cluster {
        None => EventRelay::Own(relaying.start().await?),
        Some(cluster) => EventRelay::Elected(cluster.relay(relaying)),
    };
    let compaction = upkeep::compaction(&config, &storage, &relay, Arc::clone(&metrics.upkeep));
    let compaction = compaction.start();
    metrics.read(monitoring::of_publishing(relay.counts(), exporter.counts()));
    metrics.read(monitoring::of_storage(
        &storage,
        &shards,
        relay.watch(),
        Arc::clone(&authenticator),
        Arc::clone(&clock),
    ));
    let service = Arc::new(ProfileService::new(
        ports,
        shards.clone(),
        authenticator,
        Arc::clone(&storage.data_dir),
        upkeep::write_gate(&config, &storage),
        options::reads(&config),
    ));
    let parts = Parts {
        storage: &storage,
        relay: relay.watch(),
        shards: &shards,
        dev: config.dev,
        monitoring: monitoring.as_ref(),
        metrics: &metrics,
        tracer: exporter.tracer(),
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
    upkeep::log_counts(&shards);
    compaction.stop().await;
    relay.stop().await;
    storage.close().await;
    exporter.stop(TRACES_BOUND).await;
    tracing::info!("stopped");
    // Told to stop at the moment at which the log failed, or while it was drained: that is no clean end.
    ended.and_then(|()| storage.is_sound())
}
