//! The wiring: opens the storage, starts actors, relay and edges, and ends them in reverse.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::prelude::*;
use anyhow::Context as _;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::auth::Authenticator;
use crate::auth::dev::{check_dev_allowed, prepare_dev_key};
use crate::clock::{Clock, SystemClock};
use crate::commit_log::CommitLog;
use crate::config::Config;
use crate::current_view::CurrentView;
use crate::entity::EntityPorts;
use crate::gateway::Shards;
use crate::relay::lag::RelayLag;
use crate::relay::{Relay, RelayState, RelayStatus};
use crate::service::{ProfileService, WriteGate};
use crate::transport::nats::{NatsEdge, connect_as};

mod health;
mod options;
mod storage;

pub use health::health;
use storage::Storage;

/// How long a stopping service waits for requests in work.
const DRAIN_BOUND: Duration = Duration::from_secs(20);

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
        0 => std::thread::available_parallelism().map_or(1, usize::from),
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
    let storage = Storage::open(&config, &clock).await?;
    if config.dev {
        prepare_dev_key(&config.data_dir, clock.as_ref())?;
    }
    let authenticator = Arc::new(Authenticator::new(&config, Arc::clone(&clock))?);
    let log: Arc<dyn CommitLog> = Arc::clone(&storage.log) as _;
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

    let nats = options::nats(&config)?;
    let relay_client = connect_as(&nats, &nats.egress, "relay").await?;
    let relay = Relay::start(
        options::relay(&config, &storage.data_dir),
        log,
        Arc::clone(&view),
        relay_client,
        Arc::clone(&clock),
        Arc::clone(&storage.lag),
    )
    .await?;
    stream_accepted(relay.watch()).await?;
    let gate = write_gate(&config, view, Arc::clone(&storage.lag));
    let service = Arc::new(ProfileService::new(
        ports,
        shards.clone(),
        authenticator,
        Arc::clone(&storage.data_dir),
        gate,
        options::reads(&config),
    ));
    // Before the first request is read: from here on the end is a drain.
    let signals = StopSignals::listen()?;
    let edge = NatsEdge::start(nats, service, clock).await?;
    tracing::info!(
        store = storage.data_dir.store_id(),
        dev = config.dev,
        "ready"
    );

    let ended = until_stopped(signals, &storage, relay.watch()).await;
    if let Err(error) = &ended {
        tracing::error!(error = %error, "cannot go on, stopping");
    }
    let report = edge.drain(DRAIN_BOUND).await;
    tracing::info!(?report, "drained");
    log_counts(&shards);
    relay.stop().await;
    storage.close().await;
    tracing::info!("stopped");
    ended
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

/// Waits until the event stream was looked at: one that is not ours, or a server without JetStream, is an
/// error at the start and not a service without events.
async fn stream_accepted(mut relay: watch::Receiver<RelayStatus>) -> anyhow::Result<()> {
    let looked_at = |status: &RelayStatus| match status.state {
        RelayState::Starting => false,
        RelayState::Running
        | RelayState::Refilling
        | RelayState::Waiting(_)
        | RelayState::Stopped(_)
        | RelayState::Closed => true,
    };
    let status = relay
        .wait_for(looked_at)
        .await
        .context("the event relay ended")?
        .clone();
    match status.state {
        RelayState::Stopped(_) => Err(anyhow::anyhow!(relay_refusal(&status))),
        RelayState::Waiting(reason) => {
            tracing::warn!(reason, "the event stream is not available yet");
            Ok(())
        }
        RelayState::Starting | RelayState::Running | RelayState::Refilling | RelayState::Closed => {
            Ok(())
        }
    }
}

fn relay_refusal(status: &RelayStatus) -> String {
    match &status.state {
        RelayState::Stopped(refusal) => format!("the event relay stopped: {refusal}"),
        RelayState::Starting
        | RelayState::Running
        | RelayState::Refilling
        | RelayState::Waiting(_)
        | RelayState::Closed => "the event relay ended".to_owned(),
    }
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
async fn until_stopped(
    mut signals: StopSignals,
    storage: &Storage,
    mut relay: watch::Receiver<RelayStatus>,
) -> anyhow::Result<()> {
    let (mut log_failed, mut view_failed) = (storage.log.failed(), storage.view.failed());
    let relay_stopped = async {
        let stopped = |status: &RelayStatus| matches!(status.state, RelayState::Stopped(_));
        match relay.wait_for(stopped).await {
            Ok(status) => relay_refusal(&status),
            Err(_) => "the event relay ended".to_owned(),
        }
    };
    tokio::select! {
        _ = signals.terminate.recv() => Ok(()),
        _ = signals.interrupt.recv() => Ok(()),
        reason = failure(&mut log_failed) => Err(anyhow::anyhow!("the commit log failed: {reason}")),
        reason = failure(&mut view_failed) => Err(anyhow::anyhow!("the current view failed: {reason}")),
        reason = relay_stopped => Err(anyhow::anyhow!(reason)),
    }
}

async fn failure(failed: &mut watch::Receiver<Option<String>>) -> String {
    match failed.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_default(),
        Err(_) => "it ended".to_owned(),
    }
}
