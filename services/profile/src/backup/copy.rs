//! The copy beside a running writer and, perhaps, a running compaction.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use profile_messages::Position;

use super::verify::ends_of;
use super::{BackupError, Surroundings};
use crate::commit_log::file::OpenError;
use crate::commit_log::file::archive::{Frames, LogFiles, Segment};

/// How often the log is listed again because a compaction changed it meanwhile.
const PASSES_MAX: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// The log as it stood at one moment.
#[derive(Debug)]
pub(super) struct Look {
    segments: Vec<Segment>,
    /// The newest segment, as the file that it was at that moment.
    newest: Option<Frames>,
    /// The last position that was there.
    last: Position,
    /// The last one of which a frame or a header says that it is durable.
    durable_through: Position,
}

impl Look {
    /// Whether `end` is the last position, and known to be durable.
    pub(super) fn ends_at(&self, end: Position) -> bool {
        (self.last, self.durable_through) == (end, end)
    }
}

/// What a file of the target holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Copied {
    segment: Segment,
    end: Position,
    /// With the last word of the log.
    is_newest: bool,
}

/// Lists the log and reads its newest segment.
///
/// # Errors
/// [`BackupError`] when it is damaged or cannot be read.
pub(super) fn look(source: &LogFiles) -> Result<Look, BackupError> {
    let mut passes = 0;
    loop {
        match look_once(source) {
            Ok(Some(look)) => return Ok(look),
            // Between the listing and the reading a compaction may have gone on.
            Ok(None) if passes < PASSES_MAX => {}
            Ok(None) => return Err(BackupError::Changing(passes)),
            Err(error) if passes < PASSES_MAX && may_pass(&error) => {}
            Err(error) => return Err(error.into()),
        }
        passes += 1;
        pause();
    }
}

/// Errors that a file which goes, comes or is replaced while we look gives too.
fn may_pass(error: &OpenError) -> bool {
    match error {
        OpenError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        OpenError::SegmentMissing { .. } => true,
        OpenError::Unknown { .. }
        | OpenError::OtherStore { .. }
        | OpenError::Newer { .. }
        | OpenError::HeaderDamaged { .. }
        | OpenError::Damaged { .. } => false,
    }
}

fn look_once(source: &LogFiles) -> Result<Option<Look>, OpenError> {
    let segments = source.list()?;
    // Else a compaction of the time of the first listing could have judged by a segment that is not in it.
    if source.list()? != segments {
        return Ok(None);
    }
    let Some(newest) = segments.last() else {
        return Ok(Some(Look {
            segments,
            newest: None,
            last: Position::NONE,
            durable_through: Position::NONE,
        }));
    };
    let Some(mut frames) = source.open(newest)? else {
        return Ok(None);
    };
    loop {
        while frames.next()?.is_some() {}
        if !frames.look_behind()? {
            break;
        }
    }
    let (last, durable_through) = (frames.last(), frames.durable_through());
    frames.rewind(newest)?;
    Ok(Some(Look {
        segments,
        newest: Some(frames),
        last,
        durable_through,
    }))
}

/// Waits until all that `begin` saw is called durable. It stays what is copied: a later look may know of a
/// compaction that judged by records behind its own durable position, and would miss what that dropped.
///
/// # Errors
/// [`BackupError::NotCovered`] after the bound.
pub(super) fn covered(
    around: &Surroundings,
    source: &LogFiles,
    begin: Look,
) -> Result<Look, BackupError> {
    let (position, mut durable_through) = (begin.last, begin.durable_through);
    let give_up_at = around.clock.monotonic() + around.cover_wait_max;
    while durable_through < position {
        if around.clock.monotonic() >= give_up_at {
            return Err(BackupError::NotCovered {
                position,
                waited_s: around.cover_wait_max.as_secs(),
            });
        }
        pause();
        durable_through = look(source)?.durable_through;
    }
    Ok(Look {
        durable_through: position,
        ..begin
    })
}

/// Copies what `look` saw up to its durable position, or, if that changes meanwhile, what is there then,
/// again with all that a compaction may have judged by;
/// returns the last position copied.
///
/// # Errors
/// [`BackupError`]: damaged, changing all the time, or no way to write.
pub(super) fn copy(
    around: &Surroundings,
    (source, target): (&LogFiles, &LogFiles),
    mut look: Look,
) -> Result<Position, BackupError> {
    let mut copied = BTreeMap::new();
    for _ in 0..PASSES_MAX {
        let through = look.durable_through;
        if copy_listed((source, target), look, &mut copied)? {
            target.sync_names()?;
            return Ok(through);
        }
        look = covered(around, source, self::look(source)?)?;
    }
    Err(BackupError::Changing(PASSES_MAX))
}

/// Copies the segments of `look` that are not copied yet; `false` when some of them changed meanwhile.
fn copy_listed(
    (source, target): (&LogFiles, &LogFiles),
    look: Look,
    copied: &mut BTreeMap<Position, Copied>,
) -> Result<bool, BackupError> {
    let Look {
        segments,
        mut newest,
        durable_through,
        ..
    } = look;
    let ends: Vec<_> = ends_of(&segments, durable_through).collect();
    let mut unchanged = true;
    for (segment, end) in segments.iter().zip(ends) {
        let first = segment.first();
        let is_newest = segments.last() == Some(segment);
        let wanted = Copied {
            segment: *segment,
            end,
            is_newest,
        };
        if copied.get(&first) == Some(&wanted) {
            continue;
        }
        let frames = match newest.take_if(|_| is_newest) {
            Some(frames) => Some(frames),
            None => source.open(segment)?,
        };
        let Some(frames) = frames else {
            unchanged = false;
            continue;
        };
        copied.remove(&first);
        copy_segment(frames, target, &wanted)?;
        copied.insert(first, wanted);
    }
    if unchanged {
        // What a compaction merged into an elder after it was copied.
        let listed = |first: &Position| segments.iter().any(|it| it.first() == *first);
        for first in copied.keys().filter(|first| !listed(first)) {
            target.remove(*first)?;
        }
    }
    Ok(unchanged)
}

/// Copies the frames up to `end`, byte for byte.
fn copy_segment(mut frames: Frames, target: &LogFiles, wanted: &Copied) -> Result<(), BackupError> {
    let Copied {
        segment,
        end,
        is_newest,
    } = *wanted;
    let mut writer = target.create(&segment)?;
    while frames.last() < end {
        match frames.next()? {
            Some(frame) => writer.push(&frame)?,
            None => return Err(frames.damaged().into()),
        }
    }
    if frames.last() != end {
        return Err(frames.damaged().into());
    }
    // An empty one is replaced at the next start, and a compacted one ends by its header.
    if is_newest && end >= segment.first() && !segment.is_compacted() {
        writer.close(end);
    }
    Ok(writer.finish()?)
}

#[allow(clippy::disallowed_methods)] // a command of its own, without a runtime
fn pause() {
    thread::sleep(PAUSE);
}
