//! What goes on beside the requests: the relay to the event stream, and compaction.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::BoxFuture;

use super::options;
use super::storage::Storage;
use crate::clock::Clock;
use crate::compaction::Compaction;
use crate::config::Config;
use crate::current_view::CurrentView as _;
use crate::gateway::Shards;
use crate::relay::{Relay, RelayHandle};
use crate::service::WriteGate;
use crate::telemetry::metrics::UpkeepMetrics;
use crate::telemetry::traces::Tracer;
use crate::transport::nats::{NatsOptions, connect_as};

/// The only publisher of events, on the connection that may do so.
pub(super) async fn relay(
    config: &Config,
    storage: &Storage,
    nats: &NatsOptions,
    tracer: Tracer,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<RelayHandle> {
    let client = connect_as(nats, &nats.egress, "relay").await?;
    let started = Relay::start(
        options::relay(config, &storage.data_dir, tracer),
        Arc::clone(&storage.log) as _,
        Arc::clone(&storage.view) as _,
        client,
        Arc::clone(clock),
        Arc::clone(&storage.lag),
    );
    Ok(started.await?)
}

/// What throws away what the log need not keep: never more than the relay and its eraser are done with.
pub(super) fn compaction(
    config: &Config,
    storage: &Storage,
    relay: &RelayHandle,
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
        log: Arc::clone(&storage.log) as _,
        view: Arc::clone(&storage.view) as _,
        cursor: relay.watch_settled(),
        erased_through: relay.watch_erased(),
        renew: Arc::new(renew),
        metrics,
    }
}

/// Which bound refuses writes at present, if any.
pub(super) fn write_gate(config: &Config, storage: &Storage) -> WriteGate {
    let (view, lag) = (Arc::clone(&storage.view), Arc::clone(&storage.lag));
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

/// What the gateways did in their life: whether the limit of live actors is a good one.
pub(super) fn log_counts(shards: &Shards) {
    let (mut activations, mut passivations, mut live_most) = (0, 0, 0);
    for counts in shards.counts() {
        activations += counts.activations.load(Ordering::Relaxed);
        passivations += counts.passivations.load(Ordering::Relaxed);
        // Each shard had its most at its own time: together never more than this.
        live_most += counts.live_most.load(Ordering::Relaxed);
    }
    tracing::info!(activations, passivations, live_most, "actors");
}
