//! The files of a log without its writer: read beside a running service, copied, written anew. What a
//! backup and a restore need of the format; the order of their steps is theirs.
//!
//! No lock is needed: whoever lists may find a file gone or replaced when it opens it, and an open file
//! stays as it is. Nothing here changes what it only reads.

mod frames;
mod tail_writer;
mod writing;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use profile_messages::Position;

use super::frame::FrameCodec;
use super::segment::{
    self, CHECKED_BYTES, COMPACTED, NEXT, SegmentHeader, check_elder, position_of,
};
use super::{LOG, OpenError};
use crate::data_dir::StoreFile;
use crate::file_system::{FileSystem, LogFile};
pub(crate) use frames::{Frame, Frames};
pub(crate) use tail_writer::TailWriter;

/// The log in one data directory or backup, of one store.
#[derive(Clone, Debug)]
pub(crate) struct LogFiles {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    store_id: String,
    codec: FrameCodec,
}

/// One segment, as its header tells, and of a compacted one the length: a second pass can leave the header
/// as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    header: SegmentHeader,
    /// Length of the file when it is compacted, which is that of its content; others are filled ahead.
    compacted_bytes: Option<u64>,
}

impl Segment {
    /// One that is being written.
    fn new(header: SegmentHeader) -> Segment {
        Segment {
            header,
            compacted_bytes: None,
        }
    }

    pub(crate) fn first(&self) -> Position {
        self.header.first
    }

    /// Whether its header says where it ends: nothing is ever appended to it.
    pub(crate) fn is_compacted(&self) -> bool {
        self.header.compacted.is_some()
    }

    /// The last position before it: all up to there was durable when the segment was made.
    pub(crate) fn last_before(&self) -> Position {
        Position(self.header.first.0.saturating_sub(1))
    }
}

impl LogFiles {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, data_dir: &Path, store: &StoreFile) -> LogFiles {
        LogFiles {
            fs,
            dir: data_dir.join(LOG),
            store_id: store.store_id.clone(),
            codec: FrameCodec::new(store.frame_magic),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The segments that hold the log, oldest first, each checked against its name and its elder.
    ///
    /// # Errors
    /// [`OpenError`]; beside a running compaction also when a file went or came while it was looked at.
    pub(crate) fn list(&self) -> Result<Vec<Segment>, OpenError> {
        let failed = |source| OpenError::io("list", &self.dir, source);
        let mut segments: Vec<Segment> = Vec::new();
        for name in self.fs.list(&self.dir).map_err(failed)? {
            if name == NEXT || name == COMPACTED {
                continue;
            }
            let path = self.dir.join(&name);
            let Some(first) = position_of(&name) else {
                return Err(OpenError::Unknown { path });
            };
            let elder = segments.last().map(|elder| &elder.header);
            if elder.is_some_and(|elder| elder.supersedes(first)) {
                continue;
            }
            let file = self.fs.open_to_read(&path);
            let file = file.map_err(|source| OpenError::io("read", &path, source))?;
            let segment = self.segment_of(&file, &path)?;
            if segment.header.first != first {
                return Err(OpenError::HeaderDamaged { path });
            }
            check_elder(elder, &segment.header, path)?;
            segments.push(segment);
        }
        Ok(segments)
    }

    /// The frames of a listed segment; `None` when its name means another file, or none, by now.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be read.
    pub(crate) fn open(&self, segment: &Segment) -> Result<Option<Frames>, OpenError> {
        let path = self.path(segment.first());
        let failed = |source| OpenError::io("read", &path, source);
        let file = match self.fs.open_to_read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        if self.segment_of(&file, &path)? != *segment {
            return Ok(None);
        }
        Frames::new(file, self.codec, segment, path).map(Some)
    }

    fn segment_of(&self, file: &Arc<dyn LogFile>, path: &Path) -> Result<Segment, OpenError> {
        let failed = |source| OpenError::io("read", path, source);
        let mut bytes = [0; CHECKED_BYTES + 4];
        let read = file.read_at(&mut bytes, 0).map_err(failed)?;
        let bytes = bytes.get(..read).unwrap_or_default();
        let header = SegmentHeader::decode(bytes, &self.store_id, path)?;
        let compacted_bytes = match header.compacted {
            Some(_) => Some(file.len().map_err(failed)?),
            None => None,
        };
        Ok(Segment {
            header,
            compacted_bytes,
        })
    }

    fn path(&self, first: Position) -> PathBuf {
        self.dir.join(segment::file_name(first))
    }
}
