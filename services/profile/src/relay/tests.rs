//! What the relay shows when a part of it does not do what it should.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use profile_messages::event::EventKind;
use profile_messages::record::Record;
use profile_messages::{OrgId, Position, Timestamp, UserId, Version};

use super::message::EventMessage;
use super::stream::{AckFuture, Erasure, EventStream, StreamError, StreamState};
use super::*;
use crate::clock::SystemClock;
use crate::commit_log::{AppendError, Commit, ReadError, ReadLimits};
use crate::current_view::memory::MemoryView;
use crate::telemetry::traces::Tracer;

const WAIT_MAX: Duration = Duration::from_secs(10);
const EVENT_BYTES: u64 = 100;

/// A stream that is never there, or that panics.
#[derive(Debug)]
enum BadStream {
    Away,
    Panics,
}

#[async_trait]
impl EventStream for BadStream {
    async fn inspect(&self) -> Result<Option<StreamState>, StreamError> {
        match self {
            BadStream::Away => Err(StreamError::Unavailable("away".to_owned())),
            BadStream::Panics => panic!("as asked"),
        }
    }

    async fn create(&self, _: u64) -> Result<(), StreamError> {
        Err(StreamError::Unavailable("away".to_owned()))
    }

    async fn read(&self, _: u64, _: u64) -> Result<Vec<(u64, EventMessage)>, StreamError> {
        Err(StreamError::Unavailable("away".to_owned()))
    }

    async fn publish(&self, _: EventMessage, _: u64) -> Result<AckFuture, StreamError> {
        Err(StreamError::Unavailable("away".to_owned()))
    }

    async fn find(&self, _: &str, _: u64) -> Result<Option<(u64, EventMessage)>, StreamError> {
        Err(StreamError::Unavailable("away".to_owned()))
    }

    async fn erase(&self, _: u64) -> Result<Erasure, StreamError> {
        Err(StreamError::Unavailable("away".to_owned()))
    }
}

/// A log of one commit whose first reads fail, or never end.
#[derive(Debug)]
struct BadLog {
    failing_reads: AtomicUsize,
    hangs: bool,
    durable: watch::Sender<Position>,
}

#[async_trait]
impl CommitLog for BadLog {
    async fn append(&self, _: Commit) -> Result<Arc<Record>, AppendError> {
        unreachable!("the relay does not write")
    }

    async fn read_after(
        &self,
        after: Position,
        _: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let left = self
            .failing_reads
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if left.is_ok() {
            return Err(ReadError::Io("as asked".to_owned()));
        }
        Ok(if after == Position::NONE {
            vec![Arc::new(record())]
        } else {
            Vec::new()
        })
    }

    async fn read_one(&self, _: Position) -> Result<Option<Arc<Record>>, ReadError> {
        Ok(None)
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.durable.subscribe()
    }

    fn failed(&self) -> watch::Receiver<Option<String>> {
        watch::Sender::new(None).subscribe()
    }

    async fn close(&self) {}
}

fn record() -> Record {
    Record {
        position: Position(1),
        previous: Position::NONE,
        user: UserId::parse("u-1").unwrap(),
        org: OrgId::parse("zoo").unwrap(),
        version: Version(1),
        epoch: 1,
        at: Timestamp(1),
        kind: EventKind::Created,
        key: None,
        request_hash: [0; 16],
        event: Bytes::from(vec![b'x'; EVENT_BYTES as usize]),
        actor: String::new(),
        actor_issuer: String::new(),
        state: None,
        trace: None,
    }
}

/// Nothing was written, nothing is kept.
#[derive(Debug)]
struct NoSlots;

#[async_trait]
impl SlotStore for NoSlots {
    async fn load(&self) -> std::io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    async fn store(&self, _: u64, _: Vec<u8>) -> std::io::Result<()> {
        Ok(())
    }
}

async fn relay(stream: BadStream, failing_reads: usize, hangs: bool) -> RelayHandle {
    let log = BadLog {
        failing_reads: AtomicUsize::new(failing_reads),
        hangs,
        durable: watch::Sender::new(Position(1)),
    };
    let source = Source {
        log: Arc::new(log),
        view: Arc::new(MemoryView::default()),
    };
    let context = Context {
        stream: Arc::new(stream),
        source,
        clock: Arc::new(SystemClock::default()),
        max_age: Duration::ZERO,
        erased: Arc::new(ErasedMark::load(Arc::new(NoSlots), "s-1").await.unwrap()),
        tracer: Tracer::default(),
    };
    let parts = Parts {
        context,
        slots: Arc::new(NoSlots),
        erase_settle: Duration::ZERO,
        store_id: "s-1".to_owned(),
        window_messages_max: 16,
        lag: Arc::default(),
        counts: Arc::default(),
    };
    start(parts).await.unwrap()
}

async fn until(relay: &RelayHandle, done: impl FnMut(&RelayStatus) -> bool) -> RelayStatus {
    let mut status = relay.watch();
    let waited = tokio::time::timeout(WAIT_MAX, status.wait_for(done)).await;
    waited.expect("it happens in time").unwrap().clone()
}

#[tokio::test]
async fn a_relay_that_panics_shows_that_it_is_gone() {
    let relay = relay(BadStream::Panics, 0, false).await;
    let stopped = |status: &RelayStatus| matches!(status.state, RelayState::Stopped(_));
    let status = until(&relay, stopped).await;
    assert_eq!(status.state, RelayState::Stopped(Refusal::Ended));
}

#[tokio::test]
async fn the_backlog_is_counted_also_when_the_log_cannot_be_read_at_first() {
    let relay = relay(BadStream::Away, 2, false).await;
    let counted = |status: &RelayStatus| status.lag_bytes > 0;
    assert_eq!(until(&relay, counted).await.lag_bytes, EVENT_BYTES);
}

#[tokio::test]
async fn a_relay_that_is_reading_its_backlog_can_be_stopped() {
    let relay = relay(BadStream::Away, 0, true).await;
    let status = tokio::time::timeout(WAIT_MAX, relay.stop()).await;
    assert_eq!(status.unwrap().state, RelayState::Closed);
}
