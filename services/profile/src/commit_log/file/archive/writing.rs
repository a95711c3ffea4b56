//! A segment file as a copy writes it: as long as its content, its header last.

use std::path::PathBuf;
use std::sync::Arc;

use profile_messages::Position;

use super::{Frame, LogFiles, Segment};
use crate::commit_log::file::OpenError;
use crate::commit_log::file::frame::{FrameCodec, FrameKind};
use crate::commit_log::file::segment::{HEADER_BYTES, remove_if_there};
use crate::file_system::LogFile;

const BUFFER_BYTES: usize = 1024 * 1024;

/// A segment on its way to the disk. Without [`SegmentWriter::finish`] it has no header: no log.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    file: Arc<dyn LogFile>,
    path: PathBuf,
    codec: FrameCodec,
    header: Vec<u8>,
    buffer: Vec<u8>,
    /// Where the buffer goes.
    offset: u64,
}

impl LogFiles {
    /// A new file for `segment`; one that is there is replaced.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub(crate) fn create(&self, segment: &Segment) -> Result<SegmentWriter, OpenError> {
        let path = self.path(segment.first());
        self.remove(segment.first())?;
        let file = self.fs.create(&path);
        Ok(SegmentWriter {
            file: file.map_err(|source| OpenError::io("make", &path, source))?,
            path,
            codec: self.codec,
            header: segment.header.encode(&self.store_id),
            buffer: Vec::new(),
            offset: HEADER_BYTES as u64,
        })
    }

    /// # Errors
    /// [`OpenError::Io`].
    pub(crate) fn remove(&self, first: Position) -> Result<(), OpenError> {
        let path = self.path(first);
        let removed = remove_if_there(self.fs.as_ref(), &path);
        removed.map_err(|source| OpenError::io("remove", &path, source))
    }

    /// Makes the names of all files written durable.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub(crate) fn sync_names(&self) -> Result<(), OpenError> {
        let synced = self.fs.sync_dir(&self.dir);
        synced.map_err(|source| OpenError::io("sync", &self.dir, source))
    }
}

impl SegmentWriter {
    /// Appends a frame byte for byte.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub(crate) fn push(&mut self, frame: &Frame<'_>) -> Result<(), OpenError> {
        let padding = frame.stride() - frame.bytes().len();
        self.buffer.extend_from_slice(frame.bytes());
        self.buffer.resize(self.buffer.len() + padding, 0);
        self.flush_over(BUFFER_BYTES)
    }

    /// Appends a new frame, with its padding.
    pub(super) fn push_bytes(&mut self, frame: &[u8]) -> Result<(), OpenError> {
        self.buffer.extend_from_slice(frame);
        self.flush_over(BUFFER_BYTES)
    }

    /// Length of the file so far.
    pub(super) fn bytes(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// Appends the last word of a clean stop: everything up to `last` is here, and nothing was begun.
    pub(crate) fn close(&mut self, last: Position) {
        let closed = self.codec.empty(FrameKind::Closed, last);
        self.buffer.extend_from_slice(&closed);
    }

    /// Makes the content durable, the header with it.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub(crate) fn finish(mut self) -> Result<(), OpenError> {
        self.flush_over(0)?;
        let written = self.file.write_at(&self.header, 0);
        let synced = written.and_then(|()| self.file.sync());
        synced.map_err(|source| OpenError::io("write", &self.path, source))
    }

    /// The same with another header, of which more is known at the end.
    pub(super) fn finish_as(mut self, header: Vec<u8>) -> Result<(), OpenError> {
        self.header = header;
        self.finish()
    }

    fn flush_over(&mut self, bytes: usize) -> Result<(), OpenError> {
        if self.buffer.len() <= bytes {
            return Ok(());
        }
        let written = self.file.write_at(&self.buffer, self.offset);
        written.map_err(|source| OpenError::io("write", &self.path, source))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
