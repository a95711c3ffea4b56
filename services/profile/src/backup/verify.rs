//! Reading a whole log: every checksum, every record, every position.

use profile_messages::Position;
use profile_messages::record::Record;

use super::BackupError;
use crate::commit_log::file::archive::{LogFiles, Segment};

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Position of the oldest record, [`Position::NONE`] for none.
    pub(super) first: Position,
    pub(super) records: u64,
    /// Length of all files.
    pub(super) bytes: u64,
}

/// Reads the log of a copy that ends at `through` and shows each record to `see`.
///
/// # Errors
/// [`BackupError`] when anything is missing, damaged, too much, or when `see` refuses.
pub(super) fn verify(
    files: &LogFiles,
    through: Position,
    see: &mut dyn FnMut(Record) -> Result<(), BackupError>,
) -> Result<Counts, BackupError> {
    let segments = files.list()?;
    let mut counts = Counts::default();
    let ends = ends_of(&segments, through);
    let mut reached = Position::NONE;
    for (segment, end) in segments.iter().zip(ends) {
        let changed = || BackupError::Damaged {
            path: files.dir().to_owned(),
            what: "it is being changed".to_owned(),
        };
        let mut frames = files.open(segment)?.ok_or_else(changed)?;
        while let Some(frame) = frames.next()? {
            for record in frame.records() {
                let record = record?;
                counts.records += 1;
                if counts.first == Position::NONE {
                    counts.first = record.position;
                }
                see(record)?;
            }
        }
        if frames.last() != end || frames.look_behind()? {
            return Err(frames.damaged().into());
        }
        counts.bytes += frames.file_bytes()?;
        reached = end;
    }
    if reached != through {
        return Err(BackupError::Damaged {
            path: files.dir().to_owned(),
            what: format!("it ends at position {reached}, not at {through}"),
        });
    }
    Ok(counts)
}

/// The last position of each segment: before the next one begins, `through` of the last one.
pub(super) fn ends_of(
    segments: &[Segment],
    through: Position,
) -> impl Iterator<Item = Position> + use<'_> {
    let next = segments.iter().skip(1).map(Segment::last_before);
    next.chain(std::iter::once(through))
}
