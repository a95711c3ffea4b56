//! What goes on beside the requests: the relay to the event stream, and compaction.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::Client;
use futures::future::BoxFuture;
use profile_messages::Position;
use tokio::sync::watch;

use super::cluster::ElectedRelay;
use super::options;
use super::storage::Storage;
use crate::clock::Clock;
use crate::commit_log::CommitLog;
use crate::compaction::Compaction;
use crate::config::Config;
use crate::current_view::CurrentView;
use crate::gateway::Shards;
use crate::relay::lag::RelayLag;
use crate::relay::slots::SlotError;
use crate::relay::{Relay, RelayCounts, RelayHandle, RelayOptions, RelayStatus};
use crate::service::WriteGate;
use crate::telemetry::metrics::UpkeepMetrics;
use crate::telemetry::traces::Tracer;
use crate::transport::nats::{NatsOptions, connect_as};

/// The only publisher of events, on the connection that may do so.
pub(super) async fn relaying(
    config: &Config,
    storage: &Storage,
    nats: &NatsOptions,
    tracer: Tracer,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Relaying> {
    Ok(Relaying {
        options: options::relay(config, &storage.data_dir, tracer),
        log: Arc::clone(&storage.log),
        view: Arc::clone(&storage.view) as _,
        client: connect_as(nats, &nats.egress, "relay").await?,
        clock: Arc::clone(clock),
        lag: Arc::clone(&storage.lag),
    })
}

/// What a relay is started with, here once, by an elected node each time.
pub(super) struct Relaying {
    pub(super) options: RelayOptions,
    pub(super) log: Arc<dyn CommitLog>,
    pub(super) view: Arc<dyn CurrentView>,
    pub(super) client: Client,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lag: Arc<RelayLag>,
}

impl Relaying {
    pub(super) async fn start(&self) -> Result<RelayHandle, SlotError> {
        Relay::start(
            self.options.clone(),
            Arc::clone(&self.log),
            Arc::clone(&self.view),
            self.client.clone(),
            Arc::clone(&self.clock),
            Arc::clone(&self.lag),
        )
        .await
    }
}

/// The relay as the rest of the service sees it.
pub(super) enum EventRelay {
    Own(RelayHandle),
    Elected(ElectedRelay),
}

impl EventRelay {
    pub(super) fn watch(&self) -> watch::Receiver<RelayStatus> {
        match self {
            EventRelay::Own(relay) => relay.watch(),
            EventRelay::Elected(relay) => relay.watch(),
        }
    }

    pub(super) fn counts(&self) -> Arc<RelayCounts> {
        match self {
            EventRelay::Own(relay) => relay.counts(),
            EventRelay::Elected(relay) => relay.counts(),
        }
    }

    pub(super) fn watch_settled(&self) -> watch::Receiver<Option<Position>> {
        match self {
            EventRelay::Own(relay) => relay.watch_settled(),
            EventRelay::Elected(relay) => relay.watch_settled(),
        }
    }

    pub(super) fn watch_erased(&self) -> watch::Receiver<Position> {
        match self {
            EventRelay::Own(relay) => relay.watch_erased(),
            EventRelay::Elected(relay) => relay.watch_erased(),
        }
    }

    pub(super) async fn stop(self) {
        match self {
            EventRelay::Own(relay) => drop(relay.stop().await),
            EventRelay::Elected(relay) => relay.stop().await,
        }
    }
}

/// What throws away what the log need not keep: never more than the relay and its eraser are done with.
pub(super) fn compaction(
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
