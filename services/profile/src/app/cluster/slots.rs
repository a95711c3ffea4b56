//! The relay's small states where every node finds them.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;

use crate::jetstream::cells::Cells;
use crate::relay::slots::SlotStore;

/// Where the second slot is in a file.
const SECOND_AT: usize = 4096;

/// The two slots of a file as two values. Two nodes that both think they relay may overwrite each other's:
/// an older position costs a comparison, and no more.
#[derive(Debug)]
pub(super) struct SharedSlots {
    cells: Arc<Cells>,
    names: [String; 2],
}

impl SharedSlots {
    pub(super) fn new(cells: Arc<Cells>, name: &str) -> SharedSlots {
        SharedSlots {
            cells,
            names: [0, 1].map(|slot| format!("{name}.{slot}")),
        }
    }
}

#[async_trait]
impl SlotStore for SharedSlots {
    async fn load(&self) -> io::Result<Vec<u8>> {
        let [first, second] = &self.names;
        let mut bytes = Vec::new();
        if let Some(cell) = self.cells.get(first).await.map_err(io::Error::other)? {
            bytes.extend_from_slice(&cell.value);
        }
        if let Some(cell) = self.cells.get(second).await.map_err(io::Error::other)? {
            bytes.resize(SECOND_AT, 0);
            bytes.extend_from_slice(&cell.value);
        }
        Ok(bytes)
    }

    async fn store(&self, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        let [first, second] = &self.names;
        let name = if offset == 0 { first } else { second };
        let written = self.cells.set(name, bytes.into()).await;
        written.map_err(io::Error::other)
    }
}
