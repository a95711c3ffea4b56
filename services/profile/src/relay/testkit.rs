//! The relay on other ports than NATS and the disk: for a simulation outside this crate.

use std::sync::Arc;
use std::time::Duration;

use super::erasure::mark::ErasedMark;
use super::lag::RelayLag;
use super::resume::Context;
use super::slots::{SlotError, SlotStore};
use super::source::Source;
use super::stream::EventStream;
use super::{Parts, Relay, RelayHandle, start};
use crate::clock::Clock;
use crate::commit_log::CommitLog;
use crate::current_view::CurrentView;
use crate::telemetry::traces::Tracer;

/// What a relay runs on. The stream keeps messages for ever.
#[derive(Clone, Debug)]
pub struct RelayPorts {
    pub log: Arc<dyn CommitLog>,
    pub view: Arc<dyn CurrentView>,
    pub stream: Arc<dyn EventStream>,
    /// Of the cursor.
    pub slots: Arc<dyn SlotStore>,
    /// Of what is erased.
    pub erased: Arc<dyn SlotStore>,
    pub erase_settle: Duration,
    pub clock: Arc<dyn Clock>,
    /// 1 to 64 bytes.
    pub store_id: String,
    /// Most messages under way at a time.
    pub window_messages_max: usize,
    pub lag: Arc<RelayLag>,
}

impl Relay {
    /// Like [`Relay::start`]: reads the cursor and starts the relay's task on this runtime.
    ///
    /// # Errors
    /// [`SlotError`] when the cursor is not this store's or cannot be read.
    pub async fn start_with(ports: RelayPorts) -> Result<RelayHandle, SlotError> {
        let source = Source {
            log: ports.log,
            view: ports.view,
        };
        let erased = ErasedMark::load(ports.erased, &ports.store_id).await?;
        start(Parts {
            context: Context {
                stream: ports.stream,
                source,
                clock: ports.clock,
                max_age: Duration::ZERO,
                erased: Arc::new(erased),
                tracer: Tracer::default(),
            },
            slots: ports.slots,
            erase_settle: ports.erase_settle,
            store_id: ports.store_id,
            counts: Arc::default(),
            window_messages_max: ports.window_messages_max,
            lag: ports.lag,
        })
        .await
    }
}
