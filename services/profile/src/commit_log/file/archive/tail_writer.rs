//! What an event stream knew beyond a backup: compacted segments behind the last one, since their sparse
//! frames may have holes. Behind them an empty segment of the usual form, which the next start replaces.

use profile_messages::Position;
use profile_messages::record::Record;

use super::writing::SegmentWriter;
use super::{LogFiles, Segment};
use crate::commit_log::file::OpenError;
use crate::commit_log::file::frame::{FrameCodec, FrameKind};
use crate::commit_log::file::segment::{Compacted, SegmentHeader};

const FRAME_BYTES: usize = 1024 * 1024;
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Writes records at positions that ascend, durable when [`TailWriter::finish`] returns.
#[derive(Debug)]
pub(crate) struct TailWriter<'a> {
    files: &'a LogFiles,
    epoch: u32,
    elder: Option<Segment>,
    /// The segment that is being written; its header says at the end how far it reaches.
    open: Option<(SegmentHeader, SegmentWriter)>,
    codec: FrameCodec,
    frame: Vec<u8>,
    records: u32,
    /// Everything up to here is in a frame.
    covered: Position,
}

impl<'a> TailWriter<'a> {
    /// Goes on behind `last`, the last position in `files`, as `epoch`.
    ///
    /// # Errors
    /// [`OpenError`] when the log so far cannot be listed.
    pub(crate) fn new(
        files: &'a LogFiles,
        last: Position,
        epoch: u32,
    ) -> Result<TailWriter<'a>, OpenError> {
        let mut segments = files.list()?;
        // One without a record is of the name that the first of ours gets.
        while let Some(empty) = segments.pop_if(|it| it.last_before() == last) {
            files.remove(empty.first())?;
        }
        let mut writer = TailWriter {
            files,
            epoch,
            elder: segments.pop(),
            open: None,
            codec: files.codec,
            frame: Vec::new(),
            records: 0,
            covered: last,
        };
        writer.codec.begin(&mut writer.frame);
        Ok(writer)
    }

    /// Adds a record behind those before it.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub(crate) fn push(&mut self, record: &Record) -> Result<(), OpenError> {
        record.encode_into(&mut self.frame);
        self.records += 1;
        if self.frame.len() < FRAME_BYTES {
            return Ok(());
        }
        self.cover(record.position)
    }

    /// Ends a frame: up to `last`, what was not pushed is a hole.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub(crate) fn cover(&mut self, last: Position) -> Result<(), OpenError> {
        if last <= self.covered {
            return Ok(());
        }
        let first = self.covered.next();
        let (codec, records) = (self.codec, self.records);
        codec.finish(&mut self.frame, FrameKind::Sparse, first, records, last);
        let (header, mut writer) = match self.open.take() {
            Some(open) => open,
            None => self.begin()?,
        };
        writer.push_bytes(&self.frame)?;
        self.codec.begin(&mut self.frame);
        self.records = 0;
        self.covered = last;
        let is_full = writer.bytes() >= SEGMENT_BYTES;
        self.open = Some((header, writer));
        if is_full {
            self.end()?;
        }
        Ok(())
    }

    /// Makes everything durable but the names.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub(crate) fn finish(mut self) -> Result<(), OpenError> {
        self.end()?;
        let (_, writer) = self.begin()?;
        writer.finish()
    }

    fn begin(&mut self) -> Result<(SegmentHeader, SegmentWriter), OpenError> {
        let first_before = self.elder.map(|elder| elder.first());
        let header = SegmentHeader {
            epoch: self.epoch,
            first: self.covered.next(),
            last_before: self.covered,
            first_before: first_before.unwrap_or_default(),
            compacted: None,
        };
        let writer = self.files.create(&Segment::new(header))?;
        Ok((header, writer))
    }

    fn end(&mut self) -> Result<(), OpenError> {
        let Some((mut header, writer)) = self.open.take() else {
            return Ok(());
        };
        header.compacted = Some(Compacted {
            last: self.covered,
            dropped_through: Position::NONE,
        });
        writer.finish_as(header.encode(&self.files.store_id))?;
        self.elder = Some(Segment::new(header));
        Ok(())
    }
}
