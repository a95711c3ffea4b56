//! A small state on disk: two checksummed slots in one file, written in turn, so that a torn write
//! leaves the other one.
//!
//! | bytes of a slot, little-endian | field |
//! | --- | --- |
//! | 0..6 | what it is: [`Kind`] |
//! | 6..8 | format, now [`FORMAT`] |
//! | 8..16 | counter: the higher one is the newer slot |
//! | 16..24 | position |
//! | 24..32 | a second number, see the kind |
//! | 32 | length of the store id in bytes |
//! | 33..97 | store id, then zeros |
//! | 97..124 | zero |
//! | 124..128 | CRC-32C of the bytes before |

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use profile_messages::Position;

/// The format that this release writes.
pub const FORMAT: u16 = 1;
/// Longest store id in bytes.
pub const STORE_ID_BYTES_MAX: usize = 64;

const SLOT_BYTES: usize = 128;
const CHECKSUM_AT: usize = SLOT_BYTES - 4;
/// A page apart, so that one torn page never holds both.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];

/// What a file of slots is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `data/relay`: how far the stream has acknowledged the log. The second number is the stream
    /// sequence, the same number.
    Cursor,
    /// `data/erased`: how far removals are carried out in the stream. The second number is the same, or 0
    /// when the stream came back with older messages and that has to be looked at once more.
    Erased,
}

impl Kind {
    fn magic(self) -> &'static [u8; 6] {
        match self {
            Kind::Cursor => b"PRELAY",
            Kind::Erased => b"PERASE",
        }
    }

    fn holds(self, marks: Marks) -> bool {
        match self {
            Kind::Cursor => marks.position.0 == marks.second,
            Kind::Erased => marks.second == marks.position.0 || marks.second == 0,
        }
    }

    fn without_it(self) -> &'static str {
        match self {
            Kind::Cursor => "the relay then compares the whole stream with the log",
            Kind::Erased => "the events of all removed users are then looked for once more",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Cursor => "the relay's cursor (the file `relay`)",
            Kind::Erased => "the mark of what is erased (the file `erased`)",
        })
    }
}

/// Why the slots on disk are not used. A torn or missing one is no error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    #[error("{kind} cannot be read: {text}")]
    Io { kind: Kind, text: String },
    #[error(
        "{kind} belongs to the store {found}, this data directory to {ours}: a file was copied \
         between data directories. Put the right one back, or delete it: {}",
        kind.without_it()
    )]
    ForeignStore {
        kind: Kind,
        found: String,
        ours: String,
    },
    #[error(
        "{kind} has format {format} of a newer release, this one knows up to {FORMAT}: run the release \
         that wrote it, or a newer one"
    )]
    Newer { kind: Kind, format: u16 },
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

/// Copies both slots as they are.
///
/// # Errors
/// That one of the two cannot be read, or written.
pub async fn copy(from: &dyn SlotStore, to: &dyn SlotStore) -> io::Result<()> {
    let bytes = from.load().await?;
    for offset in SLOT_OFFSETS {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let slot = bytes
            .get(start..)
            .and_then(|it| it.first_chunk::<SLOT_BYTES>());
        if let Some(slot) = slot {
            to.store(offset, slot.to_vec()).await?;
        }
    }
    Ok(())
}

/// A file in the data directory.
#[derive(Clone, Debug)]
pub struct SlotFile {
    path: PathBuf,
    /// Whether this process has made the file's name durable. One that is found may be that of a
    /// process which died before it did.
    is_named: Arc<AtomicBool>,
}

impl SlotFile {
    pub fn new(path: impl Into<PathBuf>) -> SlotFile {
        SlotFile {
            path: path.into(),
            is_named: Arc::default(),
        }
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
        let file = self.clone();
        blocking(move || file.write_durably(offset, &bytes)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

impl SlotFile {
    fn write_durably(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        if let Some(directory) = self.path.parent()
            && !self.is_named.load(Ordering::Acquire)
        {
            File::open(directory)?.sync_all()?;
            self.is_named.store(true, Ordering::Release);
        }
        Ok(())
    }
}

/// What one slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) position: Position,
    pub(super) second: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    counter: u64,
    marks: Marks,
    store_id: String,
}

/// The slots as they were found, and the place of the next write.
#[derive(Debug)]
pub(super) struct Slots {
    store: Arc<dyn SlotStore>,
    kind: Kind,
    store_id: String,
    counter: u64,
    next_offset: u64,
    written: Option<Marks>,
}

impl Slots {
    /// Reads the newer good slot; with none of them good nothing is known.
    ///
    /// # Errors
    /// [`SlotError`] when the file cannot be read, or is another store's or a newer release's.
    pub(super) async fn load(
        store: Arc<dyn SlotStore>,
        kind: Kind,
        store_id: &str,
    ) -> Result<Slots, SlotError> {
        if !(1..=STORE_ID_BYTES_MAX).contains(&store_id.len()) {
            return Err(SlotError::StoreId);
        }
        let bytes = store.load().await.map_err(|error| SlotError::Io {
            kind,
            text: error.to_string(),
        })?;
        let mut newest: Option<(Slot, usize)> = None;
        for (index, offset) in SLOT_OFFSETS.into_iter().enumerate() {
            let Some(slot) = decode(&bytes, kind, offset)? else {
                continue;
            };
            if slot.store_id != store_id {
                let (found, ours) = (slot.store_id, store_id.to_owned());
                return Err(SlotError::ForeignStore { kind, found, ours });
            }
            if newest
                .as_ref()
                .is_none_or(|(it, _)| it.counter < slot.counter)
            {
                newest = Some((slot, index));
            }
        }
        if newest.is_none() && !bytes.is_empty() {
            let then = kind.without_it();
            tracing::warn!("{kind} is damaged: {then}");
        }
        let [first, second] = SLOT_OFFSETS;
        let next_offset = match newest {
            Some((_, 0)) => second,
            Some(_) | None => first,
        };
        Ok(Slots {
            store,
            kind,
            store_id: store_id.to_owned(),
            counter: newest.as_ref().map_or(0, |(slot, _)| slot.counter),
            next_offset,
            written: newest.map(|(slot, _)| slot.marks),
        })
    }

    /// The newest marks that are on disk.
    pub(super) fn written(&self) -> Option<Marks> {
        self.written
    }

    /// Returns when they are durable. After an error the other slot is untouched, and the next write
    /// goes to the same place again.
    pub(super) async fn write(&mut self, marks: Marks) -> io::Result<()> {
        let slot = Slot {
            counter: self.counter + 1,
            marks,
            store_id: self.store_id.clone(),
        };
        let bytes = encode(&slot, self.kind);
        self.store.store(self.next_offset, bytes).await?;
        self.counter = slot.counter;
        self.written = Some(marks);
        let [first, second] = SLOT_OFFSETS;
        self.next_offset = if self.next_offset == first {
            second
        } else {
            first
        };
        Ok(())
    }
}

fn encode(slot: &Slot, kind: Kind) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend_from_slice(kind.magic());
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&slot.counter.to_le_bytes());
    bytes.extend_from_slice(&slot.marks.position.0.to_le_bytes());
    bytes.extend_from_slice(&slot.marks.second.to_le_bytes());
    bytes.push(u8::try_from(slot.store_id.len()).unwrap_or(0));
    bytes.extend_from_slice(slot.store_id.as_bytes());
    bytes.resize(CHECKSUM_AT, 0);
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The slot at `offset`; `None` when it is torn, damaged or not there.
fn decode(bytes: &[u8], kind: Kind, offset: u64) -> Result<Option<Slot>, SlotError> {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let slot = bytes
        .get(offset..)
        .and_then(|bytes| bytes.first_chunk::<SLOT_BYTES>());
    let Some((content, checksum)) = slot.and_then(|slot| slot.split_last_chunk::<4>()) else {
        return Ok(None);
    };
    let is_whole = crc32c::crc32c(content) == u32::from_le_bytes(*checksum);
    if !is_whole || !content.starts_with(kind.magic()) {
        return Ok(None);
    }
    let number = |at: usize| {
        let bytes = content.get(at..).and_then(|it| it.first_chunk::<8>());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let format = u16::try_from(number(6) & 0xffff).unwrap_or(u16::MAX);
    if format > FORMAT {
        return Err(SlotError::Newer { kind, format });
    }
    let marks = Marks {
        position: Position(number(16)),
        second: number(24),
    };
    let length = content.get(32).map_or(0, |length| usize::from(*length));
    let store_id = content
        .get(33..33 + length)
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    Ok(store_id
        .filter(|_| format == FORMAT && kind.holds(marks))
        .map(|store_id| Slot {
            counter: number(8),
            marks,
            store_id: store_id.to_owned(),
        }))
}

#[cfg(test)]
pub(super) mod tests;
