//! Reads the frames of one segment file, one behind the other, in chunks.

use std::io;
use std::sync::Arc;

use super::frame::{ALIGNMENT_BYTES, FrameCodec, FrameHeader, HEADER_BYTES, NotAFrame};
use crate::file_system::LogFile;

const CHUNK_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct FrameScanner {
    file: Arc<dyn LogFile>,
    codec: FrameCodec,
    file_bytes: u64,
    buffer: Vec<u8>,
    /// How much of the buffer is filled, and where in the file that is from.
    filled: usize,
    buffer_at: u64,
}

impl FrameScanner {
    pub(super) fn new(file: Arc<dyn LogFile>, codec: FrameCodec) -> io::Result<FrameScanner> {
        Ok(FrameScanner {
            file_bytes: file.len()?,
            file,
            codec,
            buffer: Vec::new(),
            filled: 0,
            buffer_at: 0,
        })
    }

    /// The frame that begins at `offset`, with all its bytes but the padding.
    pub(super) fn frame_at(
        &mut self,
        offset: u64,
    ) -> io::Result<Result<(FrameHeader, &[u8]), NotAFrame>> {
        let codec = self.codec;
        let claimed = codec.claimed_length(self.bytes_at(offset, HEADER_BYTES)?);
        let Some(length) = claimed.filter(|length| *length as u64 <= self.rest(offset)) else {
            return Ok(Err(NotAFrame::Bad));
        };
        let bytes = self.bytes_at(offset, length)?;
        let bytes = bytes.get(..length).unwrap_or_default();
        Ok(codec.parse(bytes).map(|header| (header, bytes)))
    }

    /// The next undamaged frame from `offset` on, wherever it begins; also whether any byte before it,
    /// or before the end, is not zero.
    pub(super) fn find_frame(&mut self, offset: u64) -> io::Result<Found> {
        let magic = self.codec.magic();
        let (mut at, mut zeros) = (offset, true);
        while self.rest(at) > 0 {
            let chunk = self.bytes_at(at, CHUNK_BYTES)?;
            // Whole chunks, so that places stay aligned.
            let chunk = chunk.get(..CHUNK_BYTES).unwrap_or(chunk);
            let step = chunk.len() as u64;
            if step == 0 {
                break;
            }
            let dirty = chunk.iter().any(|byte| *byte != 0);
            let candidates: Vec<u64> = chunk
                .chunks(ALIGNMENT_BYTES)
                .zip((at..).step_by(ALIGNMENT_BYTES))
                .filter(|(bytes, _)| *bytes == magic)
                .map(|(_, place)| place)
                .collect();
            zeros &= !dirty;
            for place in candidates {
                match self.frame_at(place)? {
                    Ok((header, _)) => return Ok(Found::Frame(header, place)),
                    Err(NotAFrame::Newer(format)) => return Ok(Found::Newer(format, place)),
                    Err(NotAFrame::Bad) => {}
                }
            }
            at += step;
        }
        Ok(if zeros { Found::Zeros } else { Found::Rubbish })
    }

    /// What is at `offset`, as much as is read at once; empty at the end of the file.
    pub(super) fn chunk_at(&mut self, offset: u64) -> io::Result<&[u8]> {
        let chunk = self.bytes_at(offset, CHUNK_BYTES)?;
        Ok(chunk.get(..CHUNK_BYTES).unwrap_or(chunk))
    }

    fn rest(&self, offset: u64) -> u64 {
        self.file_bytes.saturating_sub(offset)
    }

    /// At least `wanted` bytes from `offset` on, unless the file ends before.
    fn bytes_at(&mut self, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let start = offset.checked_sub(self.buffer_at);
        let start = start.and_then(|start| usize::try_from(start).ok());
        let rest = usize::try_from(self.rest(offset)).unwrap_or(usize::MAX);
        let wanted = wanted.min(rest);
        if let Some(start) = start
            && start.saturating_add(wanted) <= self.filled
        {
            return Ok(self.buffer.get(start..self.filled).unwrap_or_default());
        }
        let chunk = wanted.max(CHUNK_BYTES.min(rest));
        if self.buffer.len() < chunk {
            self.buffer = vec![0; chunk];
        }
        self.buffer_at = offset;
        self.filled = 0;
        self.filled = self.file.read_at(&mut self.buffer, offset)?;
        Ok(self.buffer.get(..self.filled).unwrap_or_default())
    }
}

/// What lies behind the last frame that follows without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Frame(FrameHeader, u64),
    Newer(u16, u64),
    Zeros,
    Rubbish,
}
