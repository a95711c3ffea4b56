//! Segments: files `<first position>.seg`, filled with zeros ahead, frames behind a header of
//! [`HEADER_BYTES`]. A segment ends where the next begins. A compacted one (format 2) is as long as its
//! content, holds `Sparse` frames, and may stand for several: what begins at or before its `last` is
//! superseded by it. Header, little-endian:
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..8 | `PROFSEG` and a zero |
//! | 8..12 | format: 1, or 2 of a compacted segment, which an older release refuses |
//! | 12..16 | epoch of the store when the segment was made |
//! | 16..48 | store id in ASCII |
//! | 48..56 | first position |
//! | 56..64 | the last position before it, 0 for none: a first segment that names one misses its elders |
//! | 64..72 | first position of the segment before it, 0 for none: so that a gap between two shows |
//! | 72..80 | format 2: the last position that the segment covers |
//! | 80..88 | format 2: the highest position in it that was dropped as superseded history, 0 for none |
//! | to 124 | zero |
//! | 124..128 | CRC-32C of the bytes before |

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use profile_messages::Position;

use super::OpenError;
use super::frame::field;
use crate::data_dir::{DataDir, STORE_ID_BYTES};
use crate::file_system::{FileSystem, LogFile};

/// Where the frames begin: a page, so that no frame shares one with the header.
pub(super) const HEADER_BYTES: usize = 4096;
/// The segment that is being made.
pub(super) const NEXT: &str = "next.tmp";
/// The compacted segment that is being made.
pub(super) const COMPACTED: &str = "compact.tmp";
const MAGIC: &[u8; 8] = b"PROFSEG\0";
const FORMAT: u32 = 1;
const FORMAT_COMPACTED: u32 = 2;
pub(super) const CHECKED_BYTES: usize = 124;
const ZEROS_BYTES: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) epoch: u32,
    pub(super) first: Position,
    pub(super) last_before: Position,
    pub(super) first_before: Position,
    /// `None` for a segment as the writer made it (format 1).
    pub(super) compacted: Option<Compacted>,
}

/// What the header of a compacted segment says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compacted {
    pub(super) last: Position,
    pub(super) dropped_through: Position,
}

pub(super) fn file_name(first: Position) -> String {
    format!("{:020}.seg", first.0)
}

pub(super) fn position_of(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(".seg")?;
    let position = Position(digits.parse().ok()?);
    (file_name(position) == name).then_some(position)
}

impl SegmentHeader {
    pub(super) fn encode(&self, store_id: &str) -> Vec<u8> {
        let format = self.compacted.map_or(FORMAT, |_| FORMAT_COMPACTED);
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&format.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(store_id.as_bytes());
        out.resize(16 + STORE_ID_BYTES, 0);
        out.extend_from_slice(&self.first.0.to_le_bytes());
        out.extend_from_slice(&self.last_before.0.to_le_bytes());
        out.extend_from_slice(&self.first_before.0.to_le_bytes());
        if let Some(compacted) = self.compacted {
            out.extend_from_slice(&compacted.last.0.to_le_bytes());
            out.extend_from_slice(&compacted.dropped_through.0.to_le_bytes());
        }
        out.resize(CHECKED_BYTES, 0);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out.resize(HEADER_BYTES, 0);
        out
    }

    pub(super) fn decode(
        bytes: &[u8],
        store_id: &str,
        path: &Path,
    ) -> Result<SegmentHeader, OpenError> {
        let damaged = || OpenError::HeaderDamaged {
            path: path.to_owned(),
        };
        let number = |offset| field(bytes, offset).map(u64::from_le_bytes);
        let short = |offset| field(bytes, offset).map(u32::from_le_bytes);
        let format = short(8).ok_or_else(damaged)?;
        if bytes.first_chunk() != Some(MAGIC) {
            return Err(damaged());
        }
        if format > FORMAT_COMPACTED {
            return Err(OpenError::Newer {
                place: path.display().to_string(),
                found: format,
            });
        }
        let sum = bytes.get(..CHECKED_BYTES).map(crc32c::crc32c);
        if short(CHECKED_BYTES) != sum {
            return Err(damaged());
        }
        let id: [u8; STORE_ID_BYTES] = field(bytes, 16).ok_or_else(damaged)?;
        let mut own = [0; STORE_ID_BYTES];
        own.iter_mut()
            .zip(store_id.bytes())
            .for_each(|(to, from)| *to = from);
        if id != own {
            return Err(OpenError::OtherStore {
                path: path.to_owned(),
                found: String::from_utf8_lossy(&id).into_owned(),
                own: store_id.to_owned(),
            });
        }
        let position = |offset| number(offset).map(Position).ok_or_else(damaged);
        let compacted = if format == FORMAT_COMPACTED {
            Some(Compacted {
                last: position(72)?,
                dropped_through: position(80)?,
            })
        } else {
            None
        };
        Ok(SegmentHeader {
            epoch: short(12).ok_or_else(damaged)?,
            first: position(48)?,
            last_before: position(56)?,
            first_before: position(64)?,
            compacted,
        })
    }

    /// Whether it stands for the segment that begins at `first` too.
    pub(super) fn supersedes(&self, first: Position) -> bool {
        self.compacted.is_some_and(|it| first <= it.last)
    }
}

/// The headers of all segments, oldest first, each checked against its name and its elder. Removes what
/// an interrupted compaction left.
pub(super) fn list(dir: &DataDir, log_dir: &Path) -> Result<Vec<SegmentHeader>, OpenError> {
    let fs = dir.file_system().as_ref();
    let failed = |source| OpenError::io("list", log_dir, source);
    let mut headers: Vec<SegmentHeader> = Vec::new();
    let mut left_over = Vec::new();
    for name in fs.list(log_dir).map_err(failed)? {
        let path = log_dir.join(&name);
        if name == NEXT || name == COMPACTED {
            left_over.push(path);
            continue;
        }
        let Some(first) = position_of(&name) else {
            return Err(OpenError::Unknown { path });
        };
        if headers.last().is_some_and(|elder| elder.supersedes(first)) {
            left_over.push(path);
            continue;
        }
        let header = read_header(dir, &path)?;
        if header.first != first {
            return Err(OpenError::HeaderDamaged { path });
        }
        check_elder(headers.last(), &header, path)?;
        headers.push(header);
    }
    if !left_over.is_empty() || headers.iter().any(|it| it.compacted.is_some()) {
        // The names that were found may be in memory only: a process was killed before it made that of a
        // compacted segment durable. What it stands for must not go first; and what is seen to be dropped
        // must not come back with a power cut, when the stream has a placeholder for it.
        fs.sync_dir(log_dir).map_err(failed)?;
    }
    for path in &left_over {
        fs.remove(path)
            .map_err(|e| OpenError::io("remove", path, e))?;
    }
    Ok(headers)
}

fn read_header(dir: &DataDir, path: &Path) -> Result<SegmentHeader, OpenError> {
    let failed = |source| OpenError::io("read", path, source);
    let mut bytes = [0; CHECKED_BYTES + 4];
    let file = dir.file_system().open(path).map_err(failed)?;
    let read = file.read_at(&mut bytes, 0).map_err(failed)?;
    SegmentHeader::decode(bytes.get(..read).unwrap_or_default(), dir.store_id(), path)
}

pub(super) fn check_elder(
    elder: Option<&SegmentHeader>,
    header: &SegmentHeader,
    path: PathBuf,
) -> Result<(), OpenError> {
    let missing = match elder {
        None => header.last_before != Position::NONE,
        // It stands for segments that the header may name: what counts is that it reaches up to it.
        Some(SegmentHeader {
            compacted: Some(elder),
            ..
        }) => header.last_before != elder.last,
        Some(elder) => header.first_before != elder.first,
    };
    if missing {
        return Err(OpenError::SegmentMissing {
            path,
            last: header.last_before,
            first: header.first_before,
        });
    }
    Ok(())
}

/// A file of `bytes` zeros under the name [`NEXT`], durable but for its name.
pub(super) fn prepare(
    fs: &dyn FileSystem,
    log_dir: &Path,
    bytes: u64,
) -> io::Result<Arc<dyn LogFile>> {
    let path = log_dir.join(NEXT);
    let fill = || {
        remove_if_there(fs, &path)?;
        let file = fs.create(&path)?;
        let zeros = vec![0; ZEROS_BYTES];
        let mut at = 0;
        while at < bytes {
            let length = usize::try_from(bytes - at).unwrap_or(ZEROS_BYTES);
            let piece = zeros.get(..length).unwrap_or(&zeros);
            file.write_at(piece, at)?;
            at += piece.len() as u64;
        }
        file.sync()?;
        Ok(file)
    };
    fill().inspect_err(|_| {
        // Give the space back; what is left of it is removed at the next start or attempt.
        let _ = fs.remove(&path);
    })
}

/// A file that an earlier attempt left.
pub(super) fn remove_if_there(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
    match fs.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Why a segment was not made.
#[derive(Debug)]
pub(super) enum NoSegment {
    /// Before it had a name: nothing changed.
    Early(io::Error),
    /// Its name may or may not be there after a crash.
    Late(io::Error),
}

/// Gives a prepared file its header and first content, makes it durable, and names it; an older
/// segment of the same first position is replaced.
pub(super) fn publish(
    dir: &DataDir,
    log_dir: &Path,
    file: &Arc<dyn LogFile>,
    header: &SegmentHeader,
    frames: &[u8],
) -> Result<(), NoSegment> {
    let fs = dir.file_system().as_ref();
    let mut content = header.encode(dir.store_id());
    content.extend_from_slice(frames);
    file.write_at(&content, 0).map_err(NoSegment::Early)?;
    file.sync().map_err(NoSegment::Early)?;
    let name = log_dir.join(file_name(header.first));
    fs.rename(&log_dir.join(NEXT), &name)
        .map_err(NoSegment::Late)?;
    fs.sync_dir(log_dir).map_err(NoSegment::Late)
}

/// Takes back the name of a segment that nothing was written to.
pub(super) fn withdraw(dir: &DataDir, log_dir: &Path, first: Position) -> io::Result<()> {
    let fs = dir.file_system().as_ref();
    remove_if_there(fs, &log_dir.join(file_name(first)))?;
    fs.sync_dir(log_dir)
}
