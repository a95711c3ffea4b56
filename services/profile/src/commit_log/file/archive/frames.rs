//! The frames of one segment, one behind the other, every checksum looked at.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use profile_messages::Position;
use profile_messages::record::{Record, RecordError};

use super::Segment;
use crate::commit_log::file::OpenError;
use crate::commit_log::file::frame::{FrameCodec, FrameHeader, FrameKind, NotAFrame, records};
use crate::commit_log::file::scan::{Found, FrameScanner};
use crate::commit_log::file::segment::HEADER_BYTES;
use crate::file_system::LogFile;

/// An open segment, read from its front. The writer may be appending to it.
#[derive(Debug)]
pub(crate) struct Frames {
    file: Arc<dyn LogFile>,
    codec: FrameCodec,
    scanner: FrameScanner,
    path: PathBuf,
    offset: u64,
    last: Position,
    durable_through: Position,
}

/// One undamaged frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    header: FrameHeader,
    /// Without the padding.
    bytes: &'a [u8],
    path: &'a Path,
    offset: u64,
}

impl<'a> Frame<'a> {
    /// Its records; their positions ascend within the frame.
    pub(crate) fn records(&self) -> impl Iterator<Item = Result<Record, OpenError>> + use<'a> {
        let frame = *self;
        records(frame.bytes).map(move |bytes| match Record::decode(bytes) {
            Ok((record, _)) => Ok(record),
            Err(RecordError::Newer(format)) => Err(newer(frame.path, format)),
            Err(RecordError::Damaged(_)) => Err(OpenError::Damaged {
                path: frame.path.to_owned(),
                position: frame.header.first,
                offset: frame.offset,
            }),
        })
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn stride(&self) -> usize {
        self.header.stride()
    }
}

impl Frames {
    pub(super) fn new(
        file: Arc<dyn LogFile>,
        codec: FrameCodec,
        segment: &Segment,
        path: PathBuf,
    ) -> Result<Frames, OpenError> {
        let scanner = FrameScanner::new(file.clone(), codec);
        let scanner = scanner.map_err(|source| OpenError::io("read", &path, source))?;
        Ok(Frames {
            file,
            codec,
            scanner,
            path,
            offset: HEADER_BYTES as u64,
            last: segment.last_before(),
            durable_through: segment.last_before(),
        })
    }

    /// The next frame; `None` where none begins (yet).
    ///
    /// # Errors
    /// [`OpenError`]: unreadable, of a newer release, or a frame of other positions.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, OpenError> {
        let failed = |source| OpenError::io("read", &self.path, source);
        let (header, bytes) = match self.scanner.frame_at(self.offset).map_err(failed)? {
            Ok(frame) => frame,
            Err(NotAFrame::Newer(format)) => return Err(newer(&self.path, format)),
            Err(NotAFrame::Bad) => return Ok(None),
        };
        // A sparse frame was durable as a whole before its segment had a name.
        let durable_until = match header.kind {
            FrameKind::Sparse => header.last(),
            FrameKind::Group | FrameKind::Idle | FrameKind::Closed => self.last,
        };
        let follows = header.first == self.last.next() && header.durable_through <= durable_until;
        if !follows || header.durable_through < self.durable_through {
            return Err(OpenError::Damaged {
                path: self.path.clone(),
                position: self.last.next(),
                offset: self.offset,
            });
        }
        self.durable_through = header.durable_through;
        self.last = header.last();
        let offset = self.offset;
        self.offset += header.stride() as u64;
        Ok(Some(Frame {
            header,
            bytes,
            path: &self.path,
            offset,
        }))
    }

    /// The last position that was read.
    pub(crate) fn last(&self) -> Position {
        self.last
    }

    /// The last position that a frame read so far, or the header, calls durable.
    pub(crate) fn durable_through(&self) -> Position {
        self.durable_through
    }

    /// Back to the front of the segment: the same file, whatever its name means by now.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub(crate) fn rewind(&mut self, segment: &Segment) -> Result<(), OpenError> {
        *self = Frames::new(self.file.clone(), self.codec, segment, self.path.clone())?;
        Ok(())
    }

    /// Length of the file.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub(crate) fn file_bytes(&self) -> Result<u64, OpenError> {
        let length = self.file.len();
        length.map_err(|source| OpenError::io("read", &self.path, source))
    }

    /// What to say when a position after [`Frames::last`] must be there and is not.
    pub(crate) fn damaged(&self) -> OpenError {
        OpenError::Damaged {
            path: self.path.clone(),
            position: self.last.next(),
            offset: self.offset,
        }
    }

    /// Looks behind the place where no frame begins. `true`: one has been written there meanwhile, read
    /// on; `false`: there is nothing, or the torn tail of an unclean stop.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] when a later frame calls durable what is not there.
    pub(crate) fn look_behind(&mut self) -> Result<bool, OpenError> {
        let mut from = self.offset;
        loop {
            let failed = |source| OpenError::io("read", &self.path, source);
            match self.scanner.find_frame(from).map_err(failed)? {
                Found::Zeros | Found::Rubbish => return Ok(false),
                Found::Newer(format, _) => return Err(newer(&self.path, format)),
                Found::Frame(header, place) if header.durable_through <= self.last => {
                    from = place + header.stride() as u64;
                }
                Found::Frame(..) => {
                    // Damage, or it came while we looked: what is durable has been written by now.
                    let again = FrameScanner::new(self.file.clone(), self.codec);
                    self.scanner = again.map_err(failed)?;
                    let found = self.scanner.frame_at(self.offset).map_err(failed)?;
                    return match found {
                        Ok(_) => Ok(true),
                        Err(NotAFrame::Newer(format)) => Err(newer(&self.path, format)),
                        Err(NotAFrame::Bad) => Err(self.damaged()),
                    };
                }
            }
        }
    }
}

fn newer(path: &Path, format: u16) -> OpenError {
    OpenError::Newer {
        place: path.display().to_string(),
        found: u32::from(format),
    }
}
