//! How far removals are carried out in the stream, kept in `data/erased`.

use std::io;
use std::sync::Arc;

use profile_messages::Position;
use tokio::sync::{Mutex, watch};

use crate::relay::slots::{Kind, Marks, SlotError, SlotStore, Slots};

/// Up to `through` every removal is carried out for good; it never goes back. The file also says whether
/// that was seen to be so since the stream last came back with less than it had: the second number is
/// then the same, else 0.
#[derive(Debug)]
pub(in crate::relay) struct ErasedMark {
    slots: Mutex<Slots>,
    through: watch::Sender<Position>,
    /// How often the looking was started over.
    turn: watch::Sender<u64>,
}

impl ErasedMark {
    /// # Errors
    /// [`SlotError`] when the file cannot be read, or is another store's or a newer release's.
    pub(in crate::relay) async fn load(
        store: Arc<dyn SlotStore>,
        store_id: &str,
    ) -> Result<ErasedMark, SlotError> {
        let slots = Slots::load(store, Kind::Erased, store_id).await?;
        let through = slots.written().map(|marks| marks.position);
        Ok(ErasedMark {
            slots: Mutex::new(slots),
            through: watch::Sender::new(through.unwrap_or_default()),
            turn: watch::Sender::new(0),
        })
    }

    /// As it is on disk.
    pub(in crate::relay) fn through(&self) -> Position {
        *self.through.borrow()
    }

    pub(in crate::relay) fn watch(&self) -> watch::Receiver<Position> {
        self.through.subscribe()
    }

    /// Whether nothing up to the mark has to be looked at once more, as it is on disk.
    pub(super) async fn is_swept(&self) -> bool {
        let written = self.slots.lock().await.written();
        written.is_none_or(|marks| marks.second == marks.position.0)
    }

    pub(super) fn watch_turn(&self) -> watch::Receiver<u64> {
        self.turn.subscribe()
    }

    pub(super) fn turn(&self) -> u64 {
        *self.turn.borrow()
    }

    /// The stream came back with less than it had, so it may also have again what was erased: every
    /// removal is looked at once more. Returns when that is durable, so that it outlives a crash.
    ///
    /// # Errors
    /// When it could not be written: then nothing may come into the stream yet.
    pub(in crate::relay) async fn start_over(&self) -> io::Result<()> {
        let mut slots = self.slots.lock().await;
        self.turn.send_modify(|turn| *turn += 1);
        let position = self.through();
        let is_known = slots.written().is_none_or(|marks| marks.second == 0);
        if is_known {
            return Ok(());
        }
        let marks = Marks {
            position,
            second: 0,
        };
        slots.write(marks).await
    }

    /// Every removal after the mark and up to `through` is carried out, as was seen in this `turn`; and
    /// whether those before are. Says whether it is on disk now.
    pub(super) async fn advance(&self, turn: u64, through: Position, is_swept: bool) -> bool {
        let mut slots = self.slots.lock().await;
        if turn != self.turn() {
            return true;
        }
        let position = through.max(self.through());
        let second = if is_swept { position.0 } else { 0 };
        let marks = Marks { position, second };
        if slots.written() == Some(marks) {
            return true;
        }
        if let Err(error) = slots.write(marks).await {
            tracing::warn!(%error, "the mark of what is erased could not be written");
            return false;
        }
        self.through.send_if_modified(|through| {
            let moved = *through != marks.position;
            *through = marks.position;
            moved
        });
        true
    }
}

#[cfg(test)]
mod tests;
