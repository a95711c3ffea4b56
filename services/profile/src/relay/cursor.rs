//! The relay's cursor: how far the stream has acknowledged the log, kept in `data/relay`.
//!
//! A cursor that is behind costs a comparison of a few messages; one that is lost, a comparison of the
//! whole stream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use profile_messages::Position;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::slots::{Kind, Marks, SlotError, SlotStore, Slots};

/// The cursor is written at most this often.
const WRITE_INTERVAL_MS: u64 = 50;
/// After a write that failed, unless there is more to write before.
const RETRY_INTERVAL_MS: u64 = 1_000;

/// The cursor as it was found, and as it is written from now on.
#[derive(Debug)]
pub(super) struct Cursor {
    slots: Slots,
    written: watch::Sender<Option<Position>>,
}

impl Cursor {
    /// # Errors
    /// [`SlotError`] when the file cannot be read, or is another store's or a newer release's.
    pub(super) async fn load(
        store: Arc<dyn SlotStore>,
        store_id: &str,
    ) -> Result<Cursor, SlotError> {
        let slots = Slots::load(store, Kind::Cursor, store_id).await?;
        let written = slots.written().map(|marks| marks.position);
        Ok(Cursor {
            slots,
            written: watch::Sender::new(written),
        })
    }

    /// The newest position that is on disk.
    pub(super) fn written(&self) -> Option<Position> {
        *self.written.borrow()
    }

    /// The same as it moves.
    pub(super) fn watch_written(&self) -> watch::Receiver<Option<Position>> {
        self.written.subscribe()
    }

    /// Writes whatever `acked` has come to, until `end` resolves, and then once more.
    pub(super) async fn follow(
        mut self,
        mut acked: watch::Receiver<Option<Position>>,
        end: oneshot::Receiver<()>,
    ) {
        let end = end.shared();
        while end.peek().is_none() {
            let is_behind = self.written() != *acked.borrow();
            let retry = sleep(Duration::from_millis(RETRY_INTERVAL_MS));
            tokio::select! {
                biased;
                _ = acked.changed() => {}
                _ = end.clone() => {}
                () = retry, if is_behind => {}
            }
            let position = *acked.borrow_and_update();
            self.catch_up(position).await;
            let pause = Duration::from_millis(WRITE_INTERVAL_MS);
            let _ = tokio::time::timeout(pause, end.clone()).await;
        }
        let position = *acked.borrow();
        self.catch_up(position).await;
    }

    async fn catch_up(&mut self, acked: Option<Position>) {
        if let Some(position) = acked
            && self.written() != acked
            && let Err(error) = self.write(position).await
        {
            tracing::warn!(%error, "the relay's cursor could not be written");
        }
    }

    async fn write(&mut self, position: Position) -> io::Result<()> {
        let second = position.0;
        self.slots.write(Marks { position, second }).await?;
        self.written.send_replace(Some(position));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
