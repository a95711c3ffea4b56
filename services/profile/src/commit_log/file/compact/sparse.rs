//! The file of a compacted segment while it is written: sparse frames without a break.

use std::io;
use std::sync::Arc;

use profile_messages::Position;

use crate::commit_log::file::frame::{ALIGNMENT_BYTES, FrameCodec, FrameKind, HEADER_BYTES};
use crate::commit_log::file::segment;
use crate::file_system::LogFile;

/// Records of one frame: what a read of one record has to check.
const FRAME_BYTES: usize = 32 * 1024;
/// Synced on the way, so that no great write keeps the appends' sync waiting.
const SYNC_BYTES: u64 = 4 * 1024 * 1024;

pub(super) struct SparseFile {
    file: Arc<dyn LogFile>,
    codec: FrameCodec,
    offset: u64,
    synced: u64,
    /// The frame in work: its header's room, and the records so far.
    frame: Vec<u8>,
    first: Position,
    count: u32,
}

/// Length of a compacted segment with so many bytes of records, or a little more.
pub(super) fn length_at_most(records_bytes: u64) -> u64 {
    let frames = records_bytes / FRAME_BYTES as u64 + 1;
    let each = HEADER_BYTES + ALIGNMENT_BYTES;
    segment::HEADER_BYTES as u64 + records_bytes + frames * each as u64
}

impl SparseFile {
    /// Goes into an empty file, behind the header's room.
    pub(super) fn new(file: Arc<dyn LogFile>, codec: FrameCodec, first: Position) -> SparseFile {
        let mut frame = Vec::with_capacity(FRAME_BYTES);
        codec.begin(&mut frame);
        let offset = segment::HEADER_BYTES as u64;
        SparseFile {
            file,
            codec,
            offset,
            synced: offset,
            frame,
            first,
            count: 0,
        }
    }

    /// The next record that is kept, as encoded; positions ascend.
    pub(super) fn push(&mut self, position: Position, record: &[u8]) -> io::Result<()> {
        if self.count > 0 && self.frame.len() + record.len() > FRAME_BYTES {
            self.write_frame(Position(position.0 - 1))?;
        }
        self.frame.extend_from_slice(record);
        self.count += 1;
        Ok(())
    }

    /// The last frame reaches up to `last`; then the header, and everything is durable but the name.
    /// Returns the file's length.
    pub(super) fn finish(mut self, last: Position, header: &[u8]) -> io::Result<u64> {
        self.write_frame(last)?;
        self.file.write_at(header, 0)?;
        self.file.sync()?;
        Ok(self.offset)
    }

    fn write_frame(&mut self, last: Position) -> io::Result<()> {
        let kind = FrameKind::Sparse;
        self.codec
            .finish(&mut self.frame, kind, self.first, self.count, last);
        self.file.write_at(&self.frame, self.offset)?;
        self.offset += self.frame.len() as u64;
        self.codec.begin(&mut self.frame);
        self.first = last.next();
        self.count = 0;
        if self.offset - self.synced >= SYNC_BYTES {
            self.file.sync()?;
            self.synced = self.offset;
        }
        Ok(())
    }
}
