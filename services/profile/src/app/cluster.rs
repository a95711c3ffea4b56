//! One of several nodes: what they share, and how this one joins them.
//!
//! Every node answers any request; the log's fence decides between them. They share the store's identity
//! and secret (so that a repeated key and a page cursor are known everywhere), the log, and the relay's
//! cursor; the relay runs on one of them, elected by a [`lease`].

mod elected;
mod lease;
mod migrate;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::Client;
use bytes::Bytes;

use super::doctor::monitor::syncs_always;
use super::options;
use super::storage::{Opening, Storage};
use super::upkeep::Relaying;
use crate::clock::Clock;
use crate::commit_log::jetstream::{IfMissing, JetStreamLog, JetStreamLogOptions, OpenError};
use crate::config::{Config, LogEngine};
use crate::data_dir::{DataDir, StoreFile, new_store};
use crate::file_system::{FileSystem, RealFiles};
use crate::jetstream::cells::{CellError, Cells, Put};
use crate::transport::nats::{NatsOptions, connect_as};
pub(super) use elected::ElectedRelay;
use lease::Lease;
pub use migrate::migrate;
use slots::SharedSlots;

/// The file in a node's data directory with the id of its last start, for `profiled health`.
pub(super) const NODE_FILE: &str = "NODE";
/// The store's identity among the shared values.
const STORE: &str = "store";
/// That the log was made, among the shared values: from then on a missing stream is a loss.
const LOG_MADE: &str = "log-made";
/// A cluster of nats-servers that starts has no leaders yet.
const JOIN_WITHIN: Duration = Duration::from_secs(60);
const JOIN_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What this node works with beside its data directory.
pub(super) struct Cluster {
    client: Client,
    cells: Arc<Cells>,
    store: StoreFile,
    node: String,
    replicas: usize,
    clock: Arc<dyn Clock>,
}

impl Cluster {
    /// `None` for the engine in files. Founds the store if this is the first node of all.
    ///
    /// # Errors
    /// When a nats-server acknowledges before it syncs, or the shared values cannot be reached.
    pub(super) async fn join(
        config: &Config,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Option<Cluster>> {
        match config.commit_log.engine {
            LogEngine::File => return Ok(None),
            LogEngine::JetStream => {}
        }
        refuse_late_syncs(config).await?;
        let nats = options::nats(config, "")?;
        let client = connect_as(&nats, &nats.egress, "log").await?;
        let replicas = config.commit_log.replicas;
        let cells = Arc::new(Cells::new(client.clone(), "$JS.API", replicas));
        let patience = Patience::new();
        let store = loop {
            match found_or_read(&cells, clock.as_ref()).await {
                Ok(store) => break store,
                Err(error) => patience.pause(error).await?,
            }
        };
        Ok(Some(Cluster {
            client,
            cells,
            store,
            node: clock.random_id(),
            replicas,
            clock: Arc::clone(clock),
        }))
    }

    /// The data directory of this node, for its view.
    pub(super) fn directory(
        &self,
        config: &Config,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<DataDir> {
        let files: Arc<dyn FileSystem> = Arc::new(RealFiles);
        let path = &config.data_dir;
        let dir = DataDir::open_shared(files, path, Arc::clone(clock), &self.store)?;
        let file = path.join(NODE_FILE);
        let written = std::fs::write(&file, &self.node);
        written.with_context(|| format!("cannot write {}", file.display()))?;
        Ok(dir)
    }

    /// The view is brought up to the stream as it stands, and follows it from there.
    pub(super) async fn open(&self, opening: Opening, config: &Config) -> anyhow::Result<Storage> {
        let patience = Patience::new();
        let log = loop {
            match self.log(&opening, config).await {
                Ok(log) => break Arc::new(log),
                Err(error) => patience.pause(error).await?,
            }
        };
        let storage = opening.with(Arc::clone(&log) as _).await?;
        log.follow();
        Ok(storage)
    }

    async fn log(&self, opening: &Opening, config: &Config) -> Result<JetStreamLog, NotYet> {
        let if_missing = match self.cells.get(LOG_MADE).await? {
            None => IfMissing::Make,
            Some(_) => IfMissing::Refuse,
        };
        let options = JetStreamLogOptions {
            if_missing,
            replicas: self.replicas,
            appends_max: config.log.append_queue_commits_max,
            ..JetStreamLogOptions::default()
        };
        let (client, clock) = (self.client.clone(), Arc::clone(&self.clock));
        let observer = Arc::clone(&opening.observer);
        let store_id = opening.data_dir.store_id();
        let opened = JetStreamLog::open(options, client, store_id, clock, observer).await;
        let log = opened.map_err(|error| match error {
            OpenError::Unanswered(_) => NotYet::Later(error.into()),
            OpenError::TooOld { .. }
            | OpenError::OtherStore { .. }
            | OpenError::Unfinished { .. }
            | OpenError::Gone { .. }
            | OpenError::Refused { .. }
            | OpenError::Thread(_) => NotYet::Never(error.into()),
        })?;
        if if_missing == IfMissing::Make {
            // Another node may have said so first.
            self.cells
                .put(LOG_MADE, Bytes::from_static(b"1"), 0)
                .await?;
        }
        Ok(log)
    }

    /// Tells the nodes of one store apart on the bus.
    pub(super) fn name_node(&self, nats: &mut NatsOptions) {
        let metadata = &mut nats.micro.metadata;
        metadata.insert(options::NODE.to_owned(), self.node.clone());
    }

    pub(super) fn relay(&self, mut relaying: Relaying) -> ElectedRelay {
        let slots = |name| Arc::new(SharedSlots::new(Arc::clone(&self.cells), name));
        relaying.options.cursor = slots("relay");
        relaying.options.erased = slots("erased");
        let lease = Lease::new(Arc::clone(&self.cells), &self.node, Arc::clone(&self.clock));
        ElectedRelay::start(relaying, lease)
    }
}

/// A server that acknowledges before it syncs would lose commits with its power.
async fn refuse_late_syncs(config: &Config) -> anyhow::Result<()> {
    for url in &config.commit_log.monitoring_urls {
        let told = syncs_always(url).await;
        let is_always = told.map_err(anyhow::Error::msg).with_context(|| {
            format!("commit_log.monitoring_urls: {url} does not tell when its nats-server syncs")
        })?;
        if !is_always {
            bail!(
                "the nats-server of {url} acknowledges commits before it syncs them: set jetstream \
                 {{ sync_interval: always }} in its configuration"
            );
        }
    }
    Ok(())
}

/// Why something is not there yet.
enum NotYet {
    Later(anyhow::Error),
    Never(anyhow::Error),
}

impl From<CellError> for NotYet {
    fn from(error: CellError) -> NotYet {
        NotYet::Later(error.into())
    }
}

/// How long a start waits for what passes by itself.
struct Patience(tokio::time::Instant);

impl Patience {
    fn new() -> Patience {
        Patience(tokio::time::Instant::now() + JOIN_WITHIN)
    }

    /// Returns when it is time to try again.
    async fn pause(&self, not_yet: NotYet) -> anyhow::Result<()> {
        match not_yet {
            NotYet::Never(error) => Err(error),
            NotYet::Later(error) if tokio::time::Instant::now() >= self.0 => Err(error),
            NotYet::Later(error) => {
                tracing::warn!(%error, "not joined yet, trying again");
                tokio::time::sleep(JOIN_AGAIN_AFTER).await;
                Ok(())
            }
        }
    }
}

/// The store of this bus. Of several nodes that start at once on a new bus, one founds it.
async fn found_or_read(cells: &Cells, clock: &dyn Clock) -> Result<StoreFile, NotYet> {
    cells.ensure().await?;
    loop {
        if let Some(cell) = cells.get(STORE).await? {
            let read = StoreFile::decode(&cell.value, std::path::Path::new("the shared store"));
            return read.map_err(|error| NotYet::Never(error.into()));
        }
        let store = new_store(clock);
        match cells.put(STORE, Bytes::from(store.encode()), 0).await? {
            Put::Written { .. } => {
                tracing::info!(
                    store = store.store_id,
                    "a new store for all nodes of this bus"
                );
                return Ok(store);
            }
            Put::Overtaken => {}
        }
    }
}
