//! The group frame: what one fdatasync makes durable, and one atom. Little-endian.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..8 | frame magic: random bytes of this store, so that a scan finds the next frame past a bad one |
//! | 8..12 | length of the frame in bytes without its padding |
//! | 12..16 | CRC-32C of the bytes 0..12 and 16..length |
//! | 16..24 | first position; of an empty frame the position that comes next |
//! | 24..32 | durable-through: the last position that was durable when this frame was written |
//! | 32..36 | number of records |
//! | 36..38 | format, now 1 |
//! | 38 | kind: 1 group, 2 idle (empty), 3 closed (empty, the last word of a clean stop), 4 sparse |
//! | 39 | zero |
//! | 40.. | records, one behind the other; then zeros up to a multiple of 8 bytes |
//!
//! A sparse frame is one of a compacted segment: durable-through is the last position that it covers, and
//! its records, none or more, stand at positions of their own between the first and that.
//!
//! The magic never leaves the store, so nobody can plant a frame in a field of a profile.

use profile_messages::Position;
use profile_messages::record::{FORMAT as RECORD_FORMAT, HEADER_BYTES as RECORD_HEADER_BYTES};

pub(super) const HEADER_BYTES: usize = 40;
/// Frames begin at multiples of this.
pub(super) const ALIGNMENT_BYTES: usize = 8;
const FORMAT: u16 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    Group,
    Idle,
    Closed,
    Sparse,
}

impl FrameKind {
    fn number(self) -> u8 {
        match self {
            FrameKind::Group => 1,
            FrameKind::Idle => 2,
            FrameKind::Closed => 3,
            FrameKind::Sparse => 4,
        }
    }

    fn from_number(number: u8) -> Option<FrameKind> {
        use FrameKind::{Closed, Group, Idle, Sparse};
        let mut all = [Group, Idle, Closed, Sparse].into_iter();
        all.find(|kind| kind.number() == number)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) length: usize,
    pub(super) kind: FrameKind,
    pub(super) first: Position,
    pub(super) count: u32,
    pub(super) durable_through: Position,
}

impl FrameHeader {
    /// The last position up to and with this frame.
    pub(super) fn last(&self) -> Position {
        match self.kind {
            FrameKind::Sparse => self.durable_through,
            FrameKind::Group | FrameKind::Idle | FrameKind::Closed => {
                Position((self.first.0 + u64::from(self.count)).saturating_sub(1))
            }
        }
    }

    /// Bytes up to the next frame.
    pub(super) fn stride(&self) -> usize {
        self.length.next_multiple_of(ALIGNMENT_BYTES)
    }
}

/// Why bytes are not a frame that can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAFrame {
    /// Torn, damaged, zeros, or the middle of something.
    Bad,
    /// Undamaged, and of a later release.
    Newer(u16),
}

/// Writes and checks the frames of one store.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameCodec {
    magic: [u8; 8],
    #[cfg(test)]
    pub(super) believes_torn_frames: bool,
}

impl FrameCodec {
    pub(super) fn new(magic: [u8; 8]) -> FrameCodec {
        FrameCodec {
            magic,
            #[cfg(test)]
            believes_torn_frames: false,
        }
    }

    pub(super) fn magic(&self) -> [u8; 8] {
        self.magic
    }

    /// Clears `out` and leaves room for the header; records follow.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        out.clear();
        out.resize(HEADER_BYTES, 0);
    }

    /// Fills in the header in front of the records in `out`, and pads.
    pub(super) fn finish(
        &self,
        out: &mut Vec<u8>,
        kind: FrameKind,
        first: Position,
        count: u32,
        durable_through: Position,
    ) {
        let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
        let mut header = [0; HEADER_BYTES];
        let fields: [&[u8]; 8] = [
            &self.magic,
            &length.to_le_bytes(),
            &[0; 4],
            &first.0.to_le_bytes(),
            &durable_through.0.to_le_bytes(),
            &count.to_le_bytes(),
            &FORMAT.to_le_bytes(),
            &[kind.number(), 0],
        ];
        put(&mut header, fields.concat().as_slice(), 0);
        put(out, &header, 0);
        let sum = checksum(out).unwrap_or_default();
        put(out, &sum.to_le_bytes(), 12);
        out.resize(out.len().next_multiple_of(ALIGNMENT_BYTES), 0);
    }

    /// A whole empty frame.
    pub(super) fn empty(&self, kind: FrameKind, durable_through: Position) -> Vec<u8> {
        let mut out = Vec::new();
        self.begin(&mut out);
        self.finish(&mut out, kind, durable_through.next(), 0, durable_through);
        out
    }

    /// How long the frame at the front of `bytes` says it is, if it begins like a frame.
    pub(super) fn claimed_length(&self, bytes: &[u8]) -> Option<usize> {
        let begins = bytes.first_chunk() == Some(&self.magic);
        let length = u32::from_le_bytes(field(bytes, 8)?) as usize;
        (begins && length >= HEADER_BYTES).then_some(length)
    }

    /// Checks the frame at the front of `bytes`, which hold all of it.
    pub(super) fn parse(&self, bytes: &[u8]) -> Result<FrameHeader, NotAFrame> {
        let length = self.claimed_length(bytes).ok_or(NotAFrame::Bad)?;
        let bytes = bytes.get(..length).ok_or(NotAFrame::Bad)?;
        let sum = u32::from_le_bytes(field(bytes, 12).ok_or(NotAFrame::Bad)?);
        if checksum(bytes) != Some(sum) && !self.believes_torn_frames() {
            return Err(NotAFrame::Bad);
        }
        let format = u16::from_le_bytes(field(bytes, 36).ok_or(NotAFrame::Bad)?);
        if format > FORMAT {
            return Err(NotAFrame::Newer(format));
        }
        let [kind] = field(bytes, 38).ok_or(NotAFrame::Bad)?;
        let header = FrameHeader {
            length,
            kind: FrameKind::from_number(kind).ok_or(NotAFrame::Bad)?,
            first: Position(u64::from_le_bytes(field(bytes, 16).ok_or(NotAFrame::Bad)?)),
            durable_through: Position(u64::from_le_bytes(field(bytes, 24).ok_or(NotAFrame::Bad)?)),
            count: u32::from_le_bytes(field(bytes, 32).ok_or(NotAFrame::Bad)?),
        };
        check_records(bytes, header.count)?;
        check_positions(bytes, &header)?;
        Ok(header)
    }

    #[cfg(test)]
    fn believes_torn_frames(&self) -> bool {
        self.believes_torn_frames
    }

    #[cfg(not(test))]
    fn believes_torn_frames(&self) -> bool {
        false
    }
}

/// The records of a checked frame, as encoded.
pub(super) fn records(frame: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = frame.get(HEADER_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = u32::from_le_bytes(field(rest, 0)?) as usize;
        let (record, behind) = rest.split_at_checked(length)?;
        rest = behind;
        (length >= RECORD_HEADER_BYTES).then_some(record)
    })
}

/// The position of an encoded record.
pub(super) fn position_of(record: &[u8]) -> Position {
    const OFFSET: usize = 16;
    Position(field(record, OFFSET).map_or(0, u64::from_le_bytes))
}

fn check_records(frame: &[u8], count: u32) -> Result<(), NotAFrame> {
    let (mut seen, mut bytes) = (0, HEADER_BYTES);
    for record in records(frame) {
        let format = u16::from_le_bytes(field(record, 4).ok_or(NotAFrame::Bad)?);
        if format > RECORD_FORMAT {
            return Err(NotAFrame::Newer(format));
        }
        seen += 1;
        bytes += record.len();
    }
    if seen == count && bytes == frame.len() {
        Ok(())
    } else {
        Err(NotAFrame::Bad)
    }
}

/// Positions of a group count up; those of a sparse frame ascend within what it covers.
fn check_positions(frame: &[u8], header: &FrameHeader) -> Result<(), NotAFrame> {
    let mut next = header.first;
    for record in records(frame) {
        let position = position_of(record);
        let is_right = match header.kind {
            FrameKind::Sparse => (next..=header.last()).contains(&position),
            FrameKind::Group | FrameKind::Idle | FrameKind::Closed => position == next,
        };
        if !is_right {
            return Err(NotAFrame::Bad);
        }
        next = position.next();
    }
    let is_empty_range = header.kind == FrameKind::Sparse && header.last() < header.first;
    if is_empty_range {
        return Err(NotAFrame::Bad);
    }
    Ok(())
}

fn checksum(frame: &[u8]) -> Option<u32> {
    Some(crc32c::crc32c_append(
        crc32c::crc32c(frame.get(..12)?),
        frame.get(16..)?,
    ))
}

pub(super) fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

fn put(out: &mut [u8], bytes: &[u8], offset: usize) {
    if let Some(place) = out.get_mut(offset..offset + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
