//! Compaction: sealed segments are written anew without what is not kept, small neighbours as one.
//!
//! Each rewritten run is made under a temporary name, synced, and renamed over its first segment: from
//! then on the others of the run are superseded by it, and deleted once the name is durable. A crash at
//! any call leaves a log that opens with the old or the new. The writer is never waited for, and an error
//! here is none of the log: what is not done is done by a later pass.

mod brake;
mod running;
mod sparse;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use profile_messages::Position;
use profile_messages::record::Record;

use self::brake::Brake;
pub(super) use self::running::{Compaction, Queue};
use self::sparse::SparseFile;
use super::frame::FrameCodec;
use super::reader::{Reader, Sealed};
use super::segment::{COMPACTED, Compacted, SegmentHeader, file_name, remove_if_there};
use super::writer::{Rolled, Writer};
use crate::commit_log::{CompactError, CompactionReport, Fate, ReadError, Retention};
use crate::data_dir::DataDir;
use crate::file_system::is_out_of_space;

/// A segment with more garbage than this is written anew.
const GARBAGE_PERCENT_MAX: u64 = 25;
/// While the next segment is being filled.
const ROLL_PAUSE: Duration = Duration::from_millis(50);
const ROLL_ATTEMPTS_MAX: usize = 1_200;

#[derive(Debug)]
pub(super) struct Compactor {
    dir: DataDir,
    log_dir: PathBuf,
    codec: FrameCodec,
    segment_bytes: u64,
    reader: Arc<Reader>,
    brake: Brake,
    unfinished: Mutex<Unfinished>,
}

/// What an error kept a pass from: the next one begins with it.
#[derive(Debug, Default)]
struct Unfinished {
    names_are_unsynced: bool,
    /// Superseded segments whose files are still there.
    left_over: Vec<Position>,
}

/// A sealed segment, and what would become of it.
#[derive(Clone, Copy, Debug)]
struct Weighed {
    sealed: Sealed,
    bytes: u64,
    kept_bytes: u64,
    holds_erased: bool,
    /// Behind its last frame is something of a record, which may be a removed user's.
    has_stale_tail: bool,
}

impl Weighed {
    fn is_due(&self) -> bool {
        let bytes_after = sparse::length_at_most(self.kept_bytes);
        let garbage = self.bytes.saturating_sub(bytes_after);
        let is_garbage = garbage * 100 > self.bytes * GARBAGE_PERCENT_MAX;
        self.holds_erased || self.has_stale_tail || is_garbage
    }
}

/// What a pass was asked for.
#[derive(Clone, Copy)]
struct Asked<'a> {
    until: Position,
    retention: &'a dyn Retention,
}

impl Asked<'_> {
    /// Nothing after `until` is dropped, even where its segment is rewritten: under traffic the segment
    /// that was sealed for this pass ends behind it.
    fn fate(&self, position: Position, record: &[u8]) -> Result<Fate, CompactError> {
        if position > self.until {
            return Ok(Fate::Keep);
        }
        fate(self.retention, record)
    }
}

impl Compactor {
    pub(super) fn new(writer: &Writer) -> Compactor {
        let brake = Brake::new(
            Arc::clone(writer.dir.clock()),
            writer.options.compaction_read_bytes_per_second_max,
        );
        Compactor {
            dir: writer.dir.clone(),
            log_dir: writer.log_dir.clone(),
            codec: writer.codec,
            segment_bytes: writer.options.segment_bytes,
            reader: Arc::clone(&writer.reader),
            brake,
            unfinished: Mutex::default(),
        }
    }

    /// One pass over all sealed segments up to `until`. `roll` asks the writer to seal the last one.
    pub(super) fn pass(
        &self,
        until: Position,
        retention: &dyn Retention,
        roll: &mut dyn FnMut() -> Rolled,
    ) -> Result<CompactionReport, CompactError> {
        self.finish_names()?;
        let asked = Asked { until, retention };
        let mut report = CompactionReport::default();
        self.seal_erased(asked, roll)?;
        let mut run: Vec<Weighed> = Vec::new();
        for sealed in self.reader.sealed() {
            if sealed.header.first > until {
                break;
            }
            let weighed = self.weigh(sealed, asked, &mut report)?;
            let kept_bytes: u64 = run.iter().map(|it| it.kept_bytes).sum();
            if sparse::length_at_most(kept_bytes + weighed.kept_bytes) > self.segment_bytes {
                self.rewrite_if_due(&std::mem::take(&mut run), asked, &mut report)?;
            }
            run.push(weighed);
        }
        self.rewrite_if_due(&run, asked, &mut report)?;
        Ok(report)
    }

    /// What is written to cannot be rewritten: the writer goes over to a new segment if this one holds
    /// what must go.
    fn seal_erased(
        &self,
        asked: Asked<'_>,
        roll: &mut dyn FnMut() -> Rolled,
    ) -> Result<(), CompactError> {
        let unsealed = self.reader.unsealed();
        let Some(unsealed) = unsealed.filter(|it| it.header.first <= asked.until) else {
            return Ok(());
        };
        let mut holds_erased = false;
        let mut each = |position: Position, record: &[u8]| {
            holds_erased = holds_erased || asked.fate(position, record)? == Fate::Erased;
            Ok(())
        };
        let mut passed = |bytes| self.brake.passed(bytes);
        self.reader.each_record(&unsealed, &mut each, &mut passed)?;
        if !holds_erased {
            return Ok(());
        }
        for _ in 0..ROLL_ATTEMPTS_MAX {
            match roll() {
                Rolled::Yes | Rolled::NothingInIt => return Ok(()),
                Rolled::Later => self.brake.pause(ROLL_PAUSE)?,
                Rolled::No(why) => {
                    tracing::warn!(
                        why,
                        "the last log segment holds erased records and cannot be sealed yet"
                    );
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn weigh(
        &self,
        sealed: Sealed,
        asked: Asked<'_>,
        report: &mut CompactionReport,
    ) -> Result<Weighed, CompactError> {
        let bytes = self.reader.file_bytes(sealed.header.first);
        let (mut kept_bytes, mut holds_erased) = (0, false);
        let mut each = |position, record: &[u8]| {
            report.records_read += 1;
            match asked.fate(position, record)? {
                Fate::Keep => kept_bytes += record.len() as u64,
                Fate::Superseded => {}
                Fate::Erased => holds_erased = true,
            }
            Ok(())
        };
        let mut passed = |bytes| self.brake.passed(bytes);
        let end = self.reader.each_record(&sealed, &mut each, &mut passed)?;
        let mut weighed = Weighed {
            sealed,
            bytes: bytes.map_err(failed)?,
            kept_bytes,
            holds_erased,
            has_stale_tail: false,
        };
        if !weighed.is_due() {
            weighed.has_stale_tail = self.reader.has_stale_tail(&sealed, end, &mut passed)?;
        }
        Ok(weighed)
    }

    fn rewrite_if_due(
        &self,
        run: &[Weighed],
        asked: Asked<'_>,
        report: &mut CompactionReport,
    ) -> Result<(), CompactError> {
        let (Some(eldest), Some(youngest)) = (run.first(), run.last()) else {
            return Ok(());
        };
        if run.len() == 1 && !eldest.is_due() {
            return Ok(());
        }
        let temporary = self.log_dir.join(COMPACTED);
        let fs = self.dir.file_system();
        let made = self.write_run(run, asked);
        let (header, made) = made.inspect_err(|_| {
            // Give the space back; what is left of it is removed by the next attempt or start.
            let _ = fs.remove(&temporary);
        })?;
        let name = self.log_dir.join(file_name(header.first));
        self.reader
            .replace(&header, youngest.sealed.last, || {
                fs.rename(&temporary, &name)
            })
            .map_err(failed)?;
        {
            let mut unfinished = self.unfinished();
            unfinished.names_are_unsynced = true;
            let others = run.iter().skip(1).map(|it| it.sealed.header.first);
            unfinished.left_over.extend(others);
        }
        report.records_superseded += made.records_superseded;
        report.records_erased += made.records_erased;
        report.segments_before += run.len() as u64;
        report.segments_after += 1;
        report.bytes_before += run.iter().map(|it| it.bytes).sum::<u64>();
        report.bytes_after += made.bytes_after;
        self.finish_names()
    }

    /// Everything that is kept of the run, durable under the temporary name.
    fn write_run(
        &self,
        run: &[Weighed],
        asked: Asked<'_>,
    ) -> Result<(SegmentHeader, CompactionReport), CompactError> {
        let (Some(eldest), Some(youngest)) = (run.first(), run.last()) else {
            return Err(CompactError::Io("nothing to write".to_owned()));
        };
        let (first, last) = (eldest.sealed.header.first, youngest.sealed.last);
        let (fs, path) = (self.dir.file_system(), self.log_dir.join(COMPACTED));
        remove_if_there(fs.as_ref(), &path).map_err(failed)?;
        let file = fs.create(&path).map_err(failed)?;
        let mut sparse = SparseFile::new(file, self.codec, first);
        let mut made = CompactionReport::default();
        let before = run.iter().filter_map(|it| it.sealed.header.compacted);
        let mut dropped_through = before.map(|it| it.dropped_through).max();
        for Weighed { sealed, .. } in run {
            let mut each = |position, record: &[u8]| {
                match asked.fate(position, record)? {
                    Fate::Keep => sparse.push(position, record).map_err(failed)?,
                    Fate::Superseded => {
                        made.records_superseded += 1;
                        dropped_through = dropped_through.max(Some(position));
                    }
                    Fate::Erased => made.records_erased += 1,
                }
                Ok(())
            };
            let mut passed = |bytes| self.brake.passed(bytes);
            self.reader.each_record(sealed, &mut each, &mut passed)?;
        }
        let header = SegmentHeader {
            epoch: self.dir.epoch(),
            compacted: Some(Compacted {
                last,
                dropped_through: dropped_through.unwrap_or_default(),
            }),
            ..eldest.sealed.header
        };
        let encoded = header.encode(self.dir.store_id());
        made.bytes_after = sparse.finish(last, &encoded).map_err(failed)?;
        Ok((header, made))
    }

    /// Makes the names of compacted segments durable, and only then deletes what they supersede.
    fn finish_names(&self) -> Result<(), CompactError> {
        let fs = self.dir.file_system();
        let mut unfinished = self.unfinished();
        if unfinished.names_are_unsynced {
            fs.sync_dir(&self.log_dir).map_err(failed)?;
            unfinished.names_are_unsynced = false;
        }
        if unfinished.left_over.is_empty() {
            return Ok(());
        }
        for first in &unfinished.left_over {
            remove_if_there(fs.as_ref(), &self.log_dir.join(file_name(*first))).map_err(failed)?;
        }
        fs.sync_dir(&self.log_dir).map_err(failed)?;
        unfinished.left_over.clear();
        Ok(())
    }

    fn unfinished(&self) -> std::sync::MutexGuard<'_, Unfinished> {
        self.unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn fate(retention: &dyn Retention, record: &[u8]) -> Result<Fate, CompactError> {
    let record = Record::decode(record).map_err(|error| {
        let place = format!("position {}", super::frame::position_of(record));
        let what = error.to_string();
        CompactError::Read(ReadError::Damaged { place, what })
    })?;
    retention.fate(&record.0).map_err(CompactError::Retention)
}

fn failed(error: io::Error) -> CompactError {
    if is_out_of_space(&error) {
        return CompactError::DiskFull;
    }
    CompactError::Io(error.to_string())
}
