//! Where in a segment's file a position may be looked for.

use profile_messages::Position;

use crate::commit_log::file::frame::FrameHeader;

/// One index entry for about so many bytes of a segment.
const INDEX_GRAIN_BYTES: u64 = 32 * 1024;

/// Places of some frames: a frame's first position and its offset.
#[derive(Debug)]
pub(super) struct Index {
    sparse: Vec<(Position, u64)>,
    /// The frame behind the last one that was read.
    next: (Position, u64),
}

impl Index {
    pub(super) fn new(start: (Position, u64)) -> Index {
        Index {
            sparse: vec![start],
            next: start,
        }
    }

    /// The nearest known frame that begins at or before `wanted`.
    pub(super) fn place(&self, wanted: Position) -> (Position, u64) {
        if self.next.0 <= wanted {
            return self.next;
        }
        let behind = self.sparse.partition_point(|(first, _)| *first <= wanted);
        let found = self.sparse.get(behind.saturating_sub(1)).copied();
        found.unwrap_or(self.next)
    }

    pub(super) fn passed(&mut self, frame: &FrameHeader, offset: u64) {
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
