//! How far removals are carried out in the stream, kept in `data/erased`.

use std::sync::Arc;

use profile_messages::Position;
use tokio::sync::{Mutex, watch};

use crate::relay::slots::{Kind, Marks, SlotError, SlotStore, Slots};

/// Two positions. Up to `through` every removal is carried out for good; it never goes back. Up to
/// `looked` that was looked at since the stream last came back with less than it had; it never lies
/// behind `through`, but before it while the eraser looks at old removals once more.
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

    /// Up to where was looked at, as it is on disk.
    pub(super) async fn looked(&self) -> Position {
        let written = self.slots.lock().await.written();
        Position(written.map_or(0, |marks| marks.second))
    }

    pub(super) fn watch_turn(&self) -> watch::Receiver<u64> {
        self.turn.subscribe()
    }

    pub(super) fn turn(&self) -> u64 {
        *self.turn.borrow()
    }

    /// The stream came back with less than it had, so it may also have again what was erased: every
    /// removal is looked at once more. Returns when that is durable, so that it outlives a crash.
    pub(in crate::relay) async fn start_over(&self) {
        let mut slots = self.slots.lock().await;
        self.turn.send_modify(|turn| *turn += 1);
        let position = self.through();
        let is_known = slots.written().is_none_or(|marks| marks.second == 0);
        if is_known {
            return;
        }
        let marks = Marks {
            position,
            second: 0,
        };
        if let Err(error) = slots.write(marks).await {
            tracing::warn!(%error, "the mark of what is erased could not be written");
        }
    }

    /// Every removal up to `looked` is carried out, as was seen in this `turn`. Says whether it is on
    /// disk now.
    pub(super) async fn advance(&self, turn: u64, looked: Position) -> bool {
        let mut slots = self.slots.lock().await;
        if turn != self.turn() {
            return true;
        }
        let marks = Marks {
            position: looked.max(self.through()),
            second: looked.0,
        };
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
