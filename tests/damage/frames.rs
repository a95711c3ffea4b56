//! As much of the log's format as it takes to know which bytes nothing covers yet.

use std::ops::Range;

/// Where the frames of a segment begin.
const SEGMENT_HEADER_BYTES: usize = 4096;
const FRAME_HEADER_BYTES: usize = 40;
const ALIGNMENT_BYTES: usize = 8;
const GROUP: u8 = 1;

/// The bytes of the last frame, to the end of the file, if it is a group: no later frame says that it is
/// durable, so damage to it looks like a write that did not end.
pub(crate) fn uncovered(segment: &[u8]) -> Option<Range<u64>> {
    let magic = segment.get(SEGMENT_HEADER_BYTES..SEGMENT_HEADER_BYTES + 8)?;
    let (mut at, mut last) = (SEGMENT_HEADER_BYTES, None);
    while let Some(header) = segment.get(at..at + FRAME_HEADER_BYTES) {
        if !header.starts_with(magic) {
            break;
        }
        let length = u32::from_le_bytes(header[8..12].try_into().expect("4 bytes")) as usize;
        if length < FRAME_HEADER_BYTES {
            break;
        }
        last = Some((at, header[38]));
        at += length.next_multiple_of(ALIGNMENT_BYTES);
    }
    let (start, kind) = last?;
    (kind == GROUP).then_some(start as u64..segment.len() as u64)
}

/// Where the content ends and the preallocated zeros begin.
pub(crate) fn content_end(bytes: &[u8]) -> u64 {
    let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    (bytes.len() - zeros) as u64
}
