//! The relay's cursor on disk: how far the stream has acknowledged the log.
//!
//! Two slots in one file, written in turn, so that a torn write leaves the other one. A cursor that is
//! behind costs a comparison of a few messages; one that is lost, a comparison of the whole stream.
//!
//! | bytes of a slot, little-endian | field |
//! | --- | --- |
//! | 0..6 | `PRELAY` |
//! | 6..8 | format, now [`FORMAT`] |
//! | 8..16 | counter: the higher one is the newer slot |
//! | 16..24 | position |
//! | 24..32 | stream sequence, the same number |
//! | 32 | length of the store id in bytes |
//! | 33..97 | store id, then zeros |
//! | 97..124 | zero |
//! | 124..128 | CRC-32C of the bytes before |

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use profile_messages::Position;
use tokio::sync::{oneshot, watch};

/// The format that this release writes.
pub const FORMAT: u16 = 1;
/// Longest store id in bytes.
pub const STORE_ID_BYTES_MAX: usize = 64;
/// The cursor is written at most this often.
const WRITE_INTERVAL_MS: u64 = 50;

const MAGIC: &[u8; 6] = b"PRELAY";
const SLOT_BYTES: usize = 128;
const CHECKSUM_AT: usize = SLOT_BYTES - 4;
/// A page apart, so that one torn page never holds both.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];

/// Why the cursor on disk is not used. A torn or missing one is no error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    #[error("the relay's cursor cannot be read: {0}")]
    Io(String),
    #[error(
        "the relay's cursor belongs to the store {found}, this data directory to {ours}: \
         a file was copied between data directories. Put the right one back, or delete it: \
         the relay then compares the whole stream with the log"
    )]
    ForeignStore { found: String, ours: String },
    #[error(
        "the relay's cursor has format {0} of a newer release, this one knows up to {FORMAT}: run the \
         release that wrote it, or a newer one"
    )]
    Newer(u16),
    #[error("a store id is 1 to {STORE_ID_BYTES_MAX} bytes long")]
    StoreId,
}

/// Where slots are kept: a file, or memory in a test.
#[async_trait]
pub trait SlotStore: Send + Sync + std::fmt::Debug {
    /// Everything stored; empty when there is nothing yet.
    async fn load(&self) -> io::Result<Vec<u8>>;

    /// Writes at `offset` and returns when it is durable.
    async fn store(&self, offset: u64, bytes: Vec<u8>) -> io::Result<()>;
}

/// `data/relay`.
#[derive(Clone, Debug)]
pub struct SlotFile {
    path: PathBuf,
}

impl SlotFile {
    pub fn new(path: impl Into<PathBuf>) -> SlotFile {
        SlotFile { path: path.into() }
    }
}

#[async_trait]
impl SlotStore for SlotFile {
    async fn load(&self) -> io::Result<Vec<u8>> {
        let path = self.path.clone();
        blocking(move || match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read,
        })
        .await
    }

    async fn store(&self, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        let path = self.path.clone();
        blocking(move || write_durably(&path, offset, &bytes)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn write_durably(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let is_new = !path.exists();
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    match path.parent() {
        Some(directory) if is_new => File::open(directory)?.sync_all(),
        _ => Ok(()),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    counter: u64,
    position: Position,
    store_id: String,
}

/// The cursor as it was found, and the place of the next write.
#[derive(Debug)]
pub(super) struct Cursor {
    slots: Arc<dyn SlotStore>,
    store_id: String,
    counter: u64,
    next_offset: u64,
    written: Option<Position>,
}

impl Cursor {
    /// Reads the newer good slot; with none of them good there is no cursor.
    ///
    /// # Errors
    /// [`CursorError`] when the file cannot be read, or is another store's or a newer release's.
    pub(super) async fn load(
        slots: Arc<dyn SlotStore>,
        store_id: &str,
    ) -> Result<Cursor, CursorError> {
        if !(1..=STORE_ID_BYTES_MAX).contains(&store_id.len()) {
            return Err(CursorError::StoreId);
        }
        let bytes = slots
            .load()
            .await
            .map_err(|error| CursorError::Io(error.to_string()))?;
        let mut newest: Option<(Slot, usize)> = None;
        for (index, offset) in SLOT_OFFSETS.into_iter().enumerate() {
            let Some(slot) = decode(&bytes, offset)? else {
                continue;
            };
            if slot.store_id != store_id {
                let (found, ours) = (slot.store_id, store_id.to_owned());
                return Err(CursorError::ForeignStore { found, ours });
            }
            if newest
                .as_ref()
                .is_none_or(|(it, _)| it.counter < slot.counter)
            {
                newest = Some((slot, index));
            }
        }
        if newest.is_none() && !bytes.is_empty() {
            tracing::warn!("the relay's cursor is damaged: the whole stream is compared");
        }
        let [first, second] = SLOT_OFFSETS;
        let next_offset = match newest {
            Some((_, 0)) => second,
            Some(_) | None => first,
        };
        Ok(Cursor {
            slots,
            store_id: store_id.to_owned(),
            counter: newest.as_ref().map_or(0, |(slot, _)| slot.counter),
            next_offset,
            written: newest.map(|(slot, _)| slot.position),
        })
    }

    /// The newest position that is on disk.
    pub(super) fn written(&self) -> Option<Position> {
        self.written
    }

    /// Writes whatever `acked` has come to, until `end` resolves, and then once more.
    pub(super) async fn follow(
        mut self,
        mut acked: watch::Receiver<Option<Position>>,
        end: oneshot::Receiver<()>,
    ) {
        let end = end.shared();
        while end.peek().is_none() {
            tokio::select! {
                _ = acked.changed() => {}
                _ = end.clone() => {}
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
            && self.written != acked
            && let Err(error) = self.write(position).await
        {
            // The other slot is untouched; the next write goes to the same place again.
            tracing::warn!(%error, "the relay's cursor could not be written");
        }
    }

    async fn write(&mut self, position: Position) -> io::Result<()> {
        let slot = Slot {
            counter: self.counter + 1,
            position,
            store_id: self.store_id.clone(),
        };
        self.slots.store(self.next_offset, encode(&slot)).await?;
        self.counter = slot.counter;
        self.written = Some(position);
        let [first, second] = SLOT_OFFSETS;
        self.next_offset = if self.next_offset == first {
            second
        } else {
            first
        };
        Ok(())
    }
}

fn encode(slot: &Slot) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&slot.counter.to_le_bytes());
    bytes.extend_from_slice(&slot.position.0.to_le_bytes());
    bytes.extend_from_slice(&slot.position.0.to_le_bytes());
    bytes.push(u8::try_from(slot.store_id.len()).unwrap_or(0));
    bytes.extend_from_slice(slot.store_id.as_bytes());
    bytes.resize(CHECKSUM_AT, 0);
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The slot at `offset`; `None` when it is torn, damaged or not there.
fn decode(bytes: &[u8], offset: u64) -> Result<Option<Slot>, CursorError> {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let slot = bytes
        .get(offset..)
        .and_then(|bytes| bytes.first_chunk::<SLOT_BYTES>());
    let Some((content, checksum)) = slot.and_then(|slot| slot.split_last_chunk::<4>()) else {
        return Ok(None);
    };
    if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) || !content.starts_with(MAGIC) {
        return Ok(None);
    }
    let number = |at: usize| {
        let bytes = content.get(at..).and_then(|it| it.first_chunk::<8>());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let format = u16::try_from(number(6) & 0xffff).unwrap_or(u16::MAX);
    if format > FORMAT {
        return Err(CursorError::Newer(format));
    }
    let (position, sequence) = (number(16), number(24));
    let length = content.get(32).map_or(0, |length| usize::from(*length));
    let store_id = content
        .get(33..33 + length)
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    Ok(store_id
        .filter(|_| format == FORMAT && position == sequence)
        .map(|store_id| Slot {
            counter: number(8),
            position: Position(position),
            store_id: store_id.to_owned(),
        }))
}

#[cfg(test)]
pub(super) mod tests;
