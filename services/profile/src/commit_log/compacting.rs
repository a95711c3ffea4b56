//! What a compaction is asked, and what it answers.

use profile_messages::record::Record;

use super::ReadError;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Keep,
    /// History that is not kept any more: dropped where that gives back space.
    Superseded,
    /// Of a removed user: dropped in any case.
    Erased,
}

/// Who knows what is kept. Asked for each record, on the thread of the compaction.
///
/// Law: the newest record of a user is kept, and what was said of a record once stays true, but that
/// more and more of what is kept may be superseded or erased.
pub trait Retention: Send + Sync + std::fmt::Debug {
    /// # Errors
    /// A text when it cannot be told; the compaction then gives up.
    fn fate(&self, record: &Record) -> Result<Fate, String>;
}

/// What one compaction did. Ids and counts only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionReport {
    /// Records that were looked at.
    pub records_read: u64,
    /// Dropped, by their fate.
    pub records_superseded: u64,
    pub records_erased: u64,
    /// Segments that were rewritten, and what they became.
    pub segments_before: u64,
    pub segments_after: u64,
    /// Lengths of their files.
    pub bytes_before: u64,
    pub bytes_after: u64,
}

/// Why a compaction gave up. Never the end of the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    #[error("this log keeps everything")]
    Unsupported,
    #[error("another compaction is under way")]
    Busy,
    #[error("the log is closed")]
    Closed,
    #[error("no space to write what is kept")]
    DiskFull,
    #[error("what is kept cannot be told: {0}")]
    Retention(String),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the compacted log cannot be written: {0}")]
    Io(String),
}
