//! Reads records: finds the segment by name, the frame by a sparse index that grows as segments are
//! read, and nothing past the durable position.

mod index;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use profile_messages::Position;
use profile_messages::record::Record;
use tokio::sync::watch;

use self::index::Index;
use super::frame::{FrameCodec, FrameHeader, FrameKind, NotAFrame, position_of, records};
use super::recent::Recent;
use super::scan::FrameScanner;
use super::segment::{HEADER_BYTES, SegmentHeader, file_name};
use crate::commit_log::memory::ReadBudget;
use crate::commit_log::{CompactError, ReadError, ReadLimits};
use crate::file_system::{FileSystem, LogFile};

#[derive(Debug)]
pub(super) struct Reader {
    fs: Arc<dyn FileSystem>,
    log_dir: PathBuf,
    codec: FrameCodec,
    durable: watch::Receiver<Position>,
    /// Oldest first; each ends where the next begins. A file is opened, and replaced, under this lock: an
    /// index always belongs to its file.
    segments: RwLock<Vec<Arc<Segment>>>,
    dropped_through: AtomicU64,
    /// Of what is synced; `durable` follows once the observer knows it too.
    synced: AtomicU64,
    pub(super) recent: Recent,
}

#[derive(Debug)]
struct Segment {
    header: SegmentHeader,
    index: Mutex<Index>,
}

/// Hears of each record, as encoded, with its position.
pub(super) type Each<'a> = dyn FnMut(Position, &[u8]) -> Result<(), CompactError> + 'a;

/// A segment that nothing is appended to any more, with its last position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) header: SegmentHeader,
    pub(super) last: Position,
}

impl Reader {
    pub(super) fn new(
        fs: Arc<dyn FileSystem>,
        log_dir: PathBuf,
        codec: FrameCodec,
        durable: watch::Receiver<Position>,
        segments: &[SegmentHeader],
    ) -> Reader {
        let synced = AtomicU64::new(durable.borrow().0);
        let reader = Reader {
            fs,
            log_dir,
            codec,
            durable,
            synced,
            segments: RwLock::default(),
            dropped_through: AtomicU64::default(),
            recent: Recent::default(),
        };
        segments
            .iter()
            .for_each(|header| reader.add_segment(header));
        reader
    }

    pub(super) fn add_segment(&self, header: &SegmentHeader) {
        self.note_dropped(header);
        let segment = Arc::new(Segment::new(header));
        write(&self.segments).push(segment);
    }

    /// From here on [`Reader::read_one`] finds it. The observer is told after that: whoever learns of a commit
    /// from it may ask for the record at once.
    pub(super) fn note_synced(&self, last: Position) {
        self.synced.store(last.0, Ordering::Release);
    }

    /// The highest position that is gone as superseded history.
    pub(super) fn dropped_through(&self) -> Position {
        Position(self.dropped_through.load(Ordering::Acquire))
    }

    /// Every segment but the last, which may still be written to.
    pub(super) fn sealed(&self) -> Vec<Sealed> {
        let segments = read(&self.segments);
        let pairs = segments.iter().zip(segments.iter().skip(1));
        pairs
            .map(|(segment, next)| Sealed {
                header: segment.header,
                last: Position(next.header.first.0 - 1),
            })
            .collect()
    }

    /// The segment that may still be written to, as far as it is durable.
    pub(super) fn unsealed(&self) -> Option<Sealed> {
        let last = *self.durable.borrow();
        let segments = read(&self.segments);
        segments.last().map(|segment| Sealed {
            header: segment.header,
            last,
        })
    }

    /// Puts a compacted segment in the place of all that it covers, once `rename` has done so on disk.
    pub(super) fn replace(
        &self,
        header: &SegmentHeader,
        last: Position,
        rename: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        // The rename takes a large file's last name: its space is given back once the lock is free, since
        // locals go in reverse order.
        let _replaced = self.fs.open(&self.log_dir.join(file_name(header.first)));
        let mut segments = write(&self.segments);
        rename()?;
        // Before anybody can read it: who finds a hole is told so.
        self.note_dropped(header);
        self.recent.forget_through(last);
        let covered = header.first..=last;
        let place = segments.partition_point(|segment| segment.header.first < header.first);
        segments.retain(|segment| !covered.contains(&segment.header.first));
        segments.insert(place, Arc::new(Segment::new(header)));
        Ok(())
    }

    fn note_dropped(&self, header: &SegmentHeader) {
        let dropped_through = header.compacted.map_or(0, |it| it.dropped_through.0);
        self.dropped_through
            .fetch_max(dropped_through, Ordering::AcqRel);
    }

    /// What is durable after `after` when it is in memory; `None` when it must be read from files.
    pub(super) fn read_recent(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Option<Vec<Arc<Record>>> {
        self.recent.between(after, *self.durable.borrow(), limits)
    }

    pub(super) fn read_one(&self, position: Position) -> Result<Option<Arc<Record>>, ReadError> {
        let Some(before) = position.0.checked_sub(1) else {
            return Ok(None);
        };
        if position.0 > self.synced.load(Ordering::Acquire) {
            return Ok(None);
        }
        let limits = ReadLimits {
            records_max: 1,
            bytes_max: usize::MAX,
        };
        let found = self.read_between(Position(before), position, limits)?;
        Ok(found.into_iter().next())
    }

    pub(super) fn read_after(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        self.read_between(after, *self.durable.borrow(), limits)
    }

    /// What is kept after `after`, up to `to`, which is synced.
    fn read_between(
        &self,
        after: Position,
        to: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        let (mut found, mut budget) = (Vec::new(), ReadBudget::new(limits));
        let mut at = after;
        while at < to {
            let wanted = at.next();
            let place = self.open_at(wanted)?;
            let whole = read_segment(&place, (wanted, to), &mut budget, &mut found)?;
            if !whole {
                break;
            }
            at = place.end;
        }
        Ok(found)
    }

    /// The segment that holds `wanted`, its file, and where it ends.
    fn open_at(&self, wanted: Position) -> Result<Place, ReadError> {
        let segments = read(&self.segments);
        let behind = segments.partition_point(|segment| segment.header.first <= wanted);
        let Some(segment) = behind.checked_sub(1).and_then(|at| segments.get(at)) else {
            return Err(ReadError::Damaged {
                place: format!("position {wanted}"),
                what: "no segment holds it; restore the log from the backup".to_owned(),
            });
        };
        let next = segments.get(behind);
        let synced = Position(self.synced.load(Ordering::Acquire));
        let end = next.map_or(synced, |next| Position(next.header.first.0 - 1));
        let name = file_name(segment.header.first);
        let file = self.fs.open(&self.log_dir.join(&name));
        Ok(Place {
            file: file.map_err(|error| unreadable(&name, &error))?,
            name,
            codec: self.codec,
            segment: Arc::clone(segment),
            end,
        })
    }

    /// Every record of a sealed segment, or of the durable part of the last one, as encoded, until `each`
    /// says no. `passed` hears how many bytes each frame had. Returns where the last frame ends.
    pub(super) fn each_record(
        &self,
        sealed: &Sealed,
        each: &mut Each<'_>,
        passed: &mut dyn FnMut(u64) -> Result<(), CompactError>,
    ) -> Result<u64, CompactError> {
        let (name, mut scanner) = self.scanner_of(sealed)?;
        let (mut expected, mut offset) = (sealed.header.first, HEADER_BYTES as u64);
        while expected <= sealed.last {
            let (header, bytes) = frame(&mut scanner, &name, offset, (expected, sealed.last))?;
            for record in records(bytes) {
                each(position_of(record), record)?;
            }
            expected = header.last().next();
            offset += header.stride() as u64;
            passed(header.stride() as u64)?;
        }
        Ok(offset)
    }

    /// Whether something of a record may be left behind `end`, where the segment's last frame ends: what
    /// an unclean stop left there was copied to the next segment, or was never acknowledged.
    pub(super) fn has_stale_tail(
        &self,
        sealed: &Sealed,
        end: u64,
        passed: &mut dyn FnMut(u64) -> Result<(), CompactError>,
    ) -> Result<bool, CompactError> {
        if sealed.header.compacted.is_some() {
            return Ok(false);
        }
        let (name, mut scanner) = self.scanner_of(sealed)?;
        let failed = |error: io::Error| unreadable(&name, &error);
        let mut at = end;
        while let Ok((header, _)) = scanner.frame_at(at).map_err(failed)? {
            match header.kind {
                FrameKind::Idle | FrameKind::Closed => at += header.stride() as u64,
                FrameKind::Group | FrameKind::Sparse => return Ok(true),
            }
        }
        loop {
            let chunk = scanner.chunk_at(at).map_err(failed)?;
            if chunk.is_empty() {
                return Ok(false);
            }
            if chunk.iter().any(|byte| *byte != 0) {
                return Ok(true);
            }
            let bytes = chunk.len() as u64;
            at += bytes;
            passed(bytes)?;
        }
    }

    /// The file of a segment, with its name for errors.
    fn scanner_of(&self, sealed: &Sealed) -> Result<(String, FrameScanner), ReadError> {
        let name = file_name(sealed.header.first);
        let file = self.fs.open(&self.log_dir.join(&name));
        let scanner = file.and_then(|file| FrameScanner::new(file, self.codec));
        let scanner = scanner.map_err(|error| unreadable(&name, &error))?;
        Ok((name, scanner))
    }

    pub(super) fn file_bytes(&self, first: Position) -> io::Result<u64> {
        self.fs.open(&self.log_dir.join(file_name(first)))?.len()
    }
}

/// Where a read goes on.
struct Place {
    file: Arc<dyn LogFile>,
    name: String,
    codec: FrameCodec,
    segment: Arc<Segment>,
    /// The last position of the segment.
    end: Position,
}

/// Adds the records from `wanted` to `to`; `false` when that or the budget ended the read.
fn read_segment(
    place: &Place,
    (wanted, to): (Position, Position),
    budget: &mut ReadBudget,
    found: &mut Vec<Arc<Record>>,
) -> Result<bool, ReadError> {
    let name = &place.name;
    let (mut expected, mut offset) = place.segment.place(wanted);
    let scanner = FrameScanner::new(Arc::clone(&place.file), place.codec);
    let mut scanner = scanner.map_err(|error| unreadable(name, &error))?;
    while expected <= place.end {
        if expected > to {
            return Ok(false);
        }
        let (header, bytes) = frame(&mut scanner, name, offset, (expected, place.end))?;
        for bytes in records(bytes) {
            let position = position_of(bytes);
            if position < wanted {
                continue;
            }
            if position > to || !budget.takes(bytes.len()) {
                return Ok(false);
            }
            let record = Record::decode(bytes);
            let record = record.map_err(|e| damaged(name, offset, position, &e.to_string()))?;
            found.push(Arc::new(record.0));
        }
        place.segment.passed(&header, offset);
        expected = header.last().next();
        offset += header.stride() as u64;
    }
    Ok(true)
}

/// The frame at `offset`, which must begin at `expected` and not reach beyond `end`.
fn frame<'a>(
    scanner: &'a mut FrameScanner,
    name: &str,
    offset: u64,
    (expected, end): (Position, Position),
) -> Result<(FrameHeader, &'a [u8]), ReadError> {
    let damaged = |what: &str| damaged(name, offset, expected, what);
    let found = scanner.frame_at(offset);
    let (header, bytes) = match found.map_err(|error| unreadable(name, &error))? {
        Ok(frame) => frame,
        Err(NotAFrame::Bad) => return Err(damaged("no frame where one must be")),
        Err(NotAFrame::Newer(format)) => return Err(newer(name, expected, format)),
    };
    if header.first != expected || header.last() > end {
        return Err(damaged("a frame of other positions"));
    }
    Ok((header, bytes))
}

impl Segment {
    fn new(header: &SegmentHeader) -> Segment {
        let start = (header.first, HEADER_BYTES as u64);
        Segment {
            header: *header,
            index: Mutex::new(Index::new(start)),
        }
    }

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

fn unreadable(name: &str, error: &io::Error) -> ReadError {
    ReadError::Io(format!("{name}: {error}"))
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn newer(name: &str, position: Position, format: u16) -> ReadError {
    ReadError::Damaged {
        place: format!("position {position}, {name}"),
        what: format!(
            "format {format} of a newer release; run the release that wrote it, or a newer one"
        ),
    }
}
