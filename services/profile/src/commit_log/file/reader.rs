//! Reads records: finds the segment by name, the frame by a sparse index that grows as segments are
//! read, and nothing past the durable position.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use profile_messages::Position;
use profile_messages::record::Record;
use tokio::sync::watch;

use super::frame::{FrameCodec, FrameHeader, NotAFrame, records};
use super::scan::FrameScanner;
use super::segment::{HEADER_BYTES, file_name};
use crate::commit_log::memory::ReadBudget;
use crate::commit_log::{ReadError, ReadLimits};
use crate::file_system::FileSystem;

/// One index entry for about so many bytes of a segment.
const INDEX_GRAIN_BYTES: u64 = 32 * 1024;

#[derive(Debug)]
pub(super) struct Reader {
    fs: Arc<dyn FileSystem>,
    log_dir: PathBuf,
    codec: FrameCodec,
    durable: watch::Receiver<Position>,
    /// Oldest first; each ends where the next begins.
    segments: RwLock<Vec<Arc<Segment>>>,
}

#[derive(Debug)]
struct Segment {
    first: Position,
    index: Mutex<Index>,
}

/// Places of some frames: a frame's first position and its offset.
#[derive(Debug)]
struct Index {
    sparse: Vec<(Position, u64)>,
    /// The frame behind the last one that was read.
    next: (Position, u64),
}

impl Index {
    /// The nearest known frame that begins at or before `wanted`.
    fn place(&self, wanted: Position) -> (Position, u64) {
        if self.next.0 <= wanted {
            return self.next;
        }
        let behind = self.sparse.partition_point(|(first, _)| *first <= wanted);
        let found = self.sparse.get(behind.saturating_sub(1)).copied();
        found.unwrap_or(self.next)
    }

    fn passed(&mut self, frame: &FrameHeader, offset: u64) {
        if offset != self.next.1 {
            return;
        }
        let last_entry = self.sparse.last().map_or(0, |(_, offset)| *offset);
        if offset >= last_entry + INDEX_GRAIN_BYTES {
            self.sparse.push((frame.first, offset));
        }
        self.next = (frame.last().next(), offset + frame.stride() as u64);
    }
}

impl Reader {
    pub(super) fn new(
        fs: Arc<dyn FileSystem>,
        log_dir: PathBuf,
        codec: FrameCodec,
        durable: watch::Receiver<Position>,
        segments: &[Position],
    ) -> Reader {
        let reader = Reader {
            fs,
            log_dir,
            codec,
            durable,
            segments: RwLock::default(),
        };
        segments.iter().for_each(|first| reader.add_segment(*first));
        reader
    }

    pub(super) fn add_segment(&self, first: Position) {
        let start = (first, HEADER_BYTES as u64);
        let index = Index {
            sparse: vec![start],
            next: start,
        };
        let segment = Arc::new(Segment {
            first,
            index: Mutex::new(index),
        });
        let mut segments = self
            .segments
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        segments.push(segment);
    }

    pub(super) fn read_one(&self, position: Position) -> Result<Option<Arc<Record>>, ReadError> {
        let Some(before) = position.0.checked_sub(1) else {
            return Ok(None);
        };
        let limits = ReadLimits {
            records_max: 1,
            bytes_max: usize::MAX,
        };
        match self.read_after(Position(before), limits) {
            Err(ReadError::Compacted { .. }) => Ok(None),
            read => Ok(read?.pop().filter(|record| record.position == position)),
        }
    }

    pub(super) fn read_after(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        let durable = *self.durable.borrow();
        let (mut found, mut budget) = (Vec::new(), ReadBudget::new(limits));
        let mut wanted = after;
        while wanted < durable {
            wanted = wanted.next();
            let (segment, end) = self.segment_of(wanted)?;
            let end = end.unwrap_or(durable).min(durable);
            let whole = self.read_segment(&segment, (wanted, end), &mut budget, &mut found)?;
            if !whole {
                break;
            }
            wanted = end;
        }
        Ok(found)
    }

    /// The segment that holds `wanted`, and its last position if another one follows.
    fn segment_of(&self, wanted: Position) -> Result<(Arc<Segment>, Option<Position>), ReadError> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let behind = segments.partition_point(|segment| segment.first <= wanted);
        let next = segments.get(behind).map(|segment| segment.first);
        match behind.checked_sub(1).and_then(|at| segments.get(at)) {
            Some(segment) => Ok((segment.clone(), next.map(|next| Position(next.0 - 1)))),
            None => Err(ReadError::Compacted {
                first_kept: next.unwrap_or(wanted),
            }),
        }
    }

    /// Adds the records from `wanted` to `end`; `false` when the budget ended the read before.
    fn read_segment(
        &self,
        segment: &Segment,
        (wanted, end): (Position, Position),
        budget: &mut ReadBudget,
        found: &mut Vec<Arc<Record>>,
    ) -> Result<bool, ReadError> {
        let name = file_name(segment.first);
        let (mut expected, mut offset) = segment.place(wanted);
        let open = || FrameScanner::new(self.fs.open(&self.log_dir.join(&name))?, self.codec);
        let io = |error: io::Error| ReadError::Io(format!("{name}: {error}"));
        let mut scanner = open().map_err(io)?;
        while expected <= end {
            let damaged = |what: &str| damaged(&name, offset, expected, what);
            let (header, bytes) = match scanner.frame_at(offset).map_err(io)? {
                Ok(frame) => frame,
                Err(NotAFrame::Bad) => return Err(damaged("no frame where one must be")),
                Err(NotAFrame::Newer(format)) => return Err(newer(&name, expected, format)),
            };
            if header.first != expected || header.last() > end {
                return Err(damaged("a frame of other positions"));
            }
            for (bytes, position) in records(bytes).zip(header.first.0..) {
                if position < wanted.0 {
                    continue;
                }
                if !budget.takes(bytes.len()) {
                    return Ok(false);
                }
                let record = Record::decode(bytes).map_err(|error| damaged(&error.to_string()))?;
                if record.0.position != Position(position) {
                    return Err(damaged("a record of another position"));
                }
                found.push(Arc::new(record.0));
            }
            segment.passed(&header, offset);
            expected = header.last().next();
            offset += header.stride() as u64;
        }
        Ok(true)
    }
}

impl Segment {
    fn place(&self, wanted: Position) -> (Position, u64) {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.place(wanted)
    }

    fn passed(&self, frame: &FrameHeader, offset: u64) {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.passed(frame, offset);
    }
}

fn damaged(name: &str, offset: u64, position: Position, what: &str) -> ReadError {
    ReadError::Damaged {
        place: format!("position {position}, {name}, byte {offset}"),
        what: format!("{what}; stop the service and restore this segment from the backup"),
    }
}

fn newer(name: &str, position: Position, format: u16) -> ReadError {
    ReadError::Damaged {
        place: format!("position {position}, {name}"),
        what: format!(
            "format {format} of a newer release; run the release that wrote it, or a newer one"
        ),
    }
}
