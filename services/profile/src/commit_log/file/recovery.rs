//! What a start finds in the log directory, and where it goes on writing.
//!
//! Only the last segment is read: its header says that everything before it is durable. In it, a bad
//! frame that a later one calls durable is damage; a bad last frame is a torn tail and is left behind.
//! Only after a clean stop does writing go on in the same segment, once its last word is certainly
//! durable. Otherwise the frames past the last durable-through may be in memory only (the process died,
//! the machine lived), so they are copied into a new segment, which is synced, and which supersedes the
//! rest of the old one.

use std::path::Path;
use std::sync::Arc;

use profile_messages::Position;

use super::OpenError;
use super::frame::{FrameCodec, FrameKind, NotAFrame};
use super::scan::{Found, FrameScanner};
use super::segment::{self, HEADER_BYTES, NoSegment, SegmentHeader};
use crate::data_dir::DataDir;
use crate::file_system::{LogFile, is_out_of_space};

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) file: Arc<dyn LogFile>,
    pub(super) first: Position,
    /// Where the next frame goes.
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// What the header of the next segment says of the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Elder {
    pub(super) first: Position,
    pub(super) last: Position,
}

#[derive(Debug)]
pub(super) struct Recovered {
    /// The segments that hold the log, oldest first.
    pub(super) segments: Vec<SegmentHeader>,
    pub(super) last: Position,
    /// `None` when there is no space for one.
    pub(super) active: Option<Active>,
    /// Of the next segment, if there is no active one.
    pub(super) elder: Elder,
    /// Kind of the last frame in the active segment.
    pub(super) last_kind: Option<FrameKind>,
}

pub(super) fn recover(
    dir: &DataDir,
    log_dir: &Path,
    codec: FrameCodec,
    segment_bytes: u64,
) -> Result<Recovered, OpenError> {
    let mut headers = segment::list(dir, log_dir)?;
    let Some(newest) = headers.last().copied() else {
        return start_segment(dir, log_dir, codec, segment_bytes, After::default());
    };
    if let Some(compacted) = newest.compacted {
        // Whole and durable before it had its name. Nothing is ever appended to it.
        let after = After {
            segments: headers,
            durable_through: compacted.last,
            last: compacted.last,
            elder: Elder {
                first: newest.first,
                last: compacted.last,
            },
            frames: Vec::new(),
        };
        return start_segment(dir, log_dir, codec, segment_bytes, after);
    }
    let path = log_dir.join(segment::file_name(newest.first));
    let failed = |source| OpenError::io("read", &path, source);
    let file = dir.file_system().open(&path).map_err(failed)?;
    let tail = read_tail(&file, codec, newest.first, &path)?;
    if tail.clean {
        // The process may have died, or its sync failed, between writing this frame and making it
        // durable: without it, what is written behind it could not be found.
        let closed = codec.empty(FrameKind::Closed, tail.last);
        let again = file.write_at(&closed, tail.end - closed.len() as u64);
        let write = |source| OpenError::io("write", &path, source);
        again.and_then(|()| file.sync()).map_err(write)?;
        return Ok(Recovered {
            segments: headers,
            last: tail.last,
            active: Some(Active {
                first: newest.first,
                offset: tail.end,
                bytes: file.len().map_err(failed)?,
                file,
            }),
            elder: Elder::default(),
            last_kind: Some(FrameKind::Closed),
        });
    }
    let mut elder = Elder {
        first: newest.first,
        last: tail.durable_through,
    };
    if tail.durable_through < newest.first {
        // Nothing durable is in it: the new segment has its name and replaces it.
        headers.pop();
        elder = Elder {
            first: newest.first_before,
            last: newest.last_before,
        };
    }
    let after = After {
        segments: headers,
        durable_through: tail.durable_through,
        last: tail.last,
        elder,
        frames: tail.undecided,
    };
    start_segment(dir, log_dir, codec, segment_bytes, after)
}

/// What a new segment goes on from.
#[derive(Debug, Default)]
struct After {
    segments: Vec<SegmentHeader>,
    durable_through: Position,
    last: Position,
    elder: Elder,
    frames: Vec<u8>,
}

fn start_segment(
    dir: &DataDir,
    log_dir: &Path,
    codec: FrameCodec,
    segment_bytes: u64,
    mut after: After,
) -> Result<Recovered, OpenError> {
    let taken_over = !after.frames.is_empty();
    if taken_over {
        // True as soon as anybody can read it: the segment gets its name when it is durable.
        let covered = codec.empty(FrameKind::Idle, after.last);
        after.frames.extend_from_slice(&covered);
    }
    let needed = (HEADER_BYTES + after.frames.len()) as u64;
    let header = SegmentHeader {
        epoch: dir.epoch(),
        first: after.durable_through.next(),
        last_before: after.elder.last,
        first_before: after.elder.first,
        compacted: None,
    };
    let make = |bytes: u64| -> Result<Active, NoSegment> {
        let fs = dir.file_system().as_ref();
        let file = segment::prepare(fs, log_dir, bytes).map_err(NoSegment::Early)?;
        segment::publish(dir, log_dir, &file, &header, &after.frames)?;
        Ok(Active {
            file,
            first: header.first,
            offset: needed,
            bytes,
        })
    };
    let made = match make(segment_bytes.max(needed)) {
        // No space for the future, but perhaps for what is at stake.
        Err(NoSegment::Early(error)) if is_out_of_space(&error) && taken_over => make(needed),
        made @ (Ok(_) | Err(_)) => made,
    };
    let active = match made {
        Ok(active) => Some(active),
        Err(NoSegment::Early(error)) if is_out_of_space(&error) && !taken_over => None,
        Err(NoSegment::Early(error) | NoSegment::Late(error)) => {
            return Err(OpenError::io("make a segment in", log_dir, error));
        }
    };
    let mut segments = after.segments;
    segments.extend(active.as_ref().map(|_| header));
    Ok(Recovered {
        segments,
        last: after.last,
        active,
        elder: after.elder,
        last_kind: taken_over.then_some(FrameKind::Idle),
    })
}

#[derive(Debug)]
struct Tail {
    last: Position,
    durable_through: Position,
    /// Where the next frame would go.
    end: u64,
    /// The last frame is of a clean stop, and nothing was begun behind it.
    clean: bool,
    /// The good frames past durable-through, with their padding.
    undecided: Vec<u8>,
}

fn read_tail(
    file: &Arc<dyn LogFile>,
    codec: FrameCodec,
    first: Position,
    path: &Path,
) -> Result<Tail, OpenError> {
    let failed = |source| OpenError::io("read", path, source);
    let damaged = |position: Position, offset: u64| OpenError::Damaged {
        path: path.to_owned(),
        position,
        offset,
    };
    let newer = |format: u16| OpenError::Newer {
        place: path.display().to_string(),
        found: u32::from(format),
    };
    let before = Position(first.0.saturating_sub(1));
    let mut tail = Tail {
        last: before,
        durable_through: before,
        end: HEADER_BYTES as u64,
        clean: false,
        undecided: Vec::new(),
    };
    let mut scanner = FrameScanner::new(file.clone(), codec).map_err(failed)?;
    loop {
        let (header, bytes) = match scanner.frame_at(tail.end).map_err(failed)? {
            Ok(frame) => frame,
            Err(NotAFrame::Newer(format)) => return Err(newer(format)),
            Err(NotAFrame::Bad) => break,
        };
        let in_order = header.first == tail.last.next() && header.durable_through <= tail.last;
        if !in_order || header.durable_through < tail.durable_through {
            return Err(damaged(tail.last.next(), tail.end));
        }
        if header.durable_through > tail.durable_through {
            tail.durable_through = header.durable_through;
        }
        if tail.durable_through >= tail.last {
            tail.undecided.clear();
        }
        if header.kind == FrameKind::Group {
            tail.undecided.extend_from_slice(bytes);
            let padded = tail.undecided.len() + header.stride() - header.length;
            tail.undecided.resize(padded, 0);
        }
        tail.last = header.last();
        tail.clean = header.kind == FrameKind::Closed;
        tail.end += header.stride() as u64;
    }
    // Looked for behind every damaged place: a frame that calls it durable.
    let mut from = tail.end;
    loop {
        match scanner.find_frame(from).map_err(failed)? {
            Found::Newer(format, _) => return Err(newer(format)),
            Found::Frame(header, _) if header.durable_through > tail.last => {
                return Err(damaged(tail.last.next(), tail.end));
            }
            Found::Frame(header, place) => from = place + header.stride() as u64,
            Found::Rubbish => {
                tail.clean = false;
                return Ok(tail);
            }
            Found::Zeros => {
                tail.clean &= from == tail.end;
                return Ok(tail);
            }
        }
    }
}
