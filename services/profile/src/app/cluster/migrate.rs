//! `profiled migrate`: the log of a data directory becomes the log that several nodes share.
//!
//! Positions, versions, keys and the store's identity stay, so that callers and consumers see nothing of it.
//! Killed at any moment, the next run goes on: until all is compared no node opens the stream, and from
//! the mark in the directory on no service writes the files.

use std::io::{self, Write};
use std::time::Instant;

use anyhow::ensure;
use profile_messages::record::Record;

use super::*;
use crate::clock::SystemClock;
use crate::commit_log::file::FileLog;
use crate::commit_log::jetstream::Begun;
use crate::commit_log::jetstream::moving::{Compared, LogMove, MoveError};
use crate::commit_log::{CommitLog, CommitObserver, Head, ReadLimits};
use crate::data_dir::{mark_moved, read_store};
use crate::relay::slots::{SlotFile, copy};
use crate::telemetry::metrics::GroupOutcome;
use profile_messages::{Position, UserId};

/// One line of progress for so long.
const LINE_EVERY: Duration = Duration::from_millis(500);
const ONE: ReadLimits = ReadLimits {
    records_max: 1,
    bytes_max: 1,
};

/// Moves the log of `config.data_dir` to the bus of `config`, which is the one of the nodes. Prints how far
/// it is, and what was moved.
///
/// # Errors
/// With advice: the service runs, the bus holds another store, or a server does not answer. The next run
/// goes on.
pub fn migrate(config: &Config) -> anyhow::Result<()> {
    ensure!(
        config.commit_log.engine == LogEngine::JetStream,
        "the configuration is to be that of the nodes, with commit_log.engine = \"jetstream\""
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(moved(config))
}

async fn moved(config: &Config) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let files: Arc<dyn FileSystem> = Arc::new(RealFiles);
    let path = &config.data_dir;
    let store = read_store(files.as_ref(), path)?.with_context(|| {
        let path = path.display();
        format!("{path} holds no store: there is nothing to move, start a node instead")
    })?;
    // The lock: no service runs on it.
    let dir = DataDir::open_shared(Arc::clone(&files), path, Arc::clone(&clock), &store)?;
    let log = FileLog::open(options::log(config), &dir, Arc::new(NoObserver))?;
    let end = *log.durable().borrow();
    let first = log.read_after(Position::NONE, ONE).await?;
    let first = first
        .first()
        .context("the log holds no commit: start a node instead")?;

    refuse_late_syncs(config).await?;
    let nats = options::nats(config, "")?;
    let client = connect_as(&nats, &nats.egress, "log").await?;
    let replicas = config.commit_log.replicas;
    let cells = Arc::new(Cells::new(client.clone(), "$JS.API", replicas));
    let options = JetStreamLogOptions {
        replicas,
        ..JetStreamLogOptions::default()
    };
    let moving = LogMove::new(client, options, &store.store_id);
    refuse_another_store(&cells, &store).await?;
    // The stream before the identity: a node that knows the store must not find the place of its log empty.
    begun(&moving, first.position).await?;
    share(&cells, &store).await?;
    if filled(&moving, &log, (first.position, end)).await? == Begun::AlreadyMoved {
        moving.holds(&log, end).await?;
        mark_moved(files.as_ref(), path)?;
        println(&format!(
            "the log of store {} was moved before",
            store.store_id
        ))?;
        return Ok(());
    }
    let compared = moving
        .compare(&log, &mut Told::new("compared", end).each())
        .await?;
    for name in ["relay", "erased"] {
        let shared = SharedSlots::new(Arc::clone(&cells), name);
        copy(&SlotFile::new(path.join(name)), &shared).await?;
    }
    mark_moved(files.as_ref(), path)?;
    moving.hand_over(log.dropped_through()).await?;
    log.close().await;
    let Compared { commits, last } = compared;
    println(&format!(
        "moved store {}: {commits} commits, positions {} to {last}, each compared",
        store.store_id, first.position
    ))
}

/// The store's identity, for every node; that of another store is not overwritten.
async fn share(cells: &Cells, store: &StoreFile) -> anyhow::Result<()> {
    let patience = Patience::new();
    loop {
        let put = async {
            cells.ensure().await?;
            cells.put(STORE, Bytes::from(store.encode()), 0).await
        };
        match put.await {
            Ok(Put::Written { .. }) => return Ok(()),
            Ok(Put::Overtaken) => break,
            Err(error) => patience.pause(error.into()).await?,
        }
    }
    refuse_another_store(cells, store).await
}

/// Nothing is made on a bus that is another store's.
async fn refuse_another_store(cells: &Cells, store: &StoreFile) -> anyhow::Result<()> {
    let patience = Patience::new();
    let cell = loop {
        let got = async {
            cells.ensure().await?;
            cells.get(STORE).await
        };
        match got.await {
            Ok(cell) => break cell,
            Err(error) => patience.pause(error.into()).await?,
        }
    };
    let Some(cell) = cell else {
        return Ok(());
    };
    let found = StoreFile::decode(&cell.value, std::path::Path::new("the shared store"))?;
    ensure!(
        found == *store,
        "the nodes on this bus share store {} of epoch {}, the data directory holds store {} of epoch {}: name \
         the bus of that store, or one that is new",
        found.store_id,
        found.epoch,
        store.store_id,
        store.epoch
    );
    Ok(())
}

/// Makes the stream, or finds it; a bus that starts has no leaders yet.
async fn begun(moving: &LogMove, first: Position) -> anyhow::Result<Begun> {
    let patience = Patience::new();
    loop {
        match moving.begin(first).await {
            Ok(begun) => return Ok(begun),
            Err(error @ OpenError::Unanswered(_)) => {
                patience.pause(NotYet::Later(error.into())).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Fills the stream; what passes by itself is waited for as long as something gets on.
async fn filled(
    moving: &LogMove,
    log: &FileLog,
    (first, end): (Position, Position),
) -> anyhow::Result<Begun> {
    let (mut patience, mut reached) = (Patience::new(), None);
    let mut told = Told::new("moved", end);
    loop {
        let begun = match moving.begin(first).await {
            Ok(begun) => begun,
            Err(error @ OpenError::Unanswered(_)) => {
                patience.pause(NotYet::Later(error.into())).await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let Begun::After(after) = begun else {
            return Ok(begun);
        };
        if reached < Some(after) {
            (patience, reached) = (Patience::new(), Some(after));
        }
        match moving.fill(log, (after, end), &mut told.each()).await {
            Ok(()) => return Ok(begun),
            Err(error @ MoveError::Stopped(_)) => {
                patience.pause(NotYet::Later(error.into())).await?;
            }
            Err(error @ (MoveError::Differs { .. } | MoveError::EndMissing { .. })) => {
                return Err(error.into());
            }
        }
    }
}

/// `<what> <position> of <end>`, now and then: `profilectl migrate` makes a bar of it.
struct Told {
    what: &'static str,
    end: Position,
    last: Option<Instant>,
}

impl Told {
    fn new(what: &'static str, end: Position) -> Told {
        Told {
            what,
            end,
            last: None,
        }
    }

    #[allow(clippy::disallowed_methods)] // of a task that a person watches
    fn each(&mut self) -> impl FnMut(Position) + Send {
        move |position| {
            if position < self.end && self.last.is_some_and(|last| last.elapsed() < LINE_EVERY) {
                return;
            }
            self.last = Some(Instant::now());
            // Nobody may be reading; the move goes on.
            let _ = println(&format!("{} {position} of {}", self.what, self.end));
        }
    }
}

fn println(line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// The log is only read: nobody asks for heads.
#[derive(Debug)]
struct NoObserver;

impl CommitObserver for NoObserver {
    fn head(&self, _: &UserId) -> Result<Head, String> {
        Err("the log is being moved".to_owned())
    }

    fn committed(&self, _: &[Arc<Record>]) {}

    fn ended(&self, _: &[Arc<Record>], _: &GroupOutcome) {}
}
