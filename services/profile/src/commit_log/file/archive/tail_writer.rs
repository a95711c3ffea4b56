//! What an event stream knew beyond a backup, as compacted segments.

use profile_messages::Position;
use profile_messages::record::Record;

use super::LogFiles;
use crate::commit_log::file::OpenError;

#[derive(Debug)]
pub(crate) struct TailWriter;

impl TailWriter {
    pub(crate) fn new(_: &LogFiles, _: u32) -> Result<TailWriter, OpenError> {
        Ok(TailWriter)
    }
    pub(crate) fn push(&mut self, _: &Record) -> Result<(), OpenError> {
        Ok(())
    }
    pub(crate) fn cover(&mut self, _: Position) -> Result<(), OpenError> {
        Ok(())
    }
    pub(crate) fn finish(self) -> Result<(), OpenError> {
        Ok(())
    }
}
