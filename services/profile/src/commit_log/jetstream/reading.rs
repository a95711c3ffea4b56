//! Reads of several commits in order, so that what is missing is known to be deleted.

use futures::{StreamExt, stream};
use profile_messages::Position;

use super::stream::{LogStream, Stored, unreachable};
use crate::commit_log::memory::ReadBudget;
use crate::commit_log::{ReadError, ReadLimits};

/// Reads that are under way at a time.
const READS_IN_FLIGHT_MAX: u64 = 64;

/// What the stream holds after `after`, up to and with `through`: these commits and no others.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) after: Position,
    pub(super) through: Position,
    pub(super) commits: Vec<Stored>,
}

impl Run {
    pub(super) fn one(stored: Stored) -> Run {
        let through = stored.record.position;
        Run {
            after: Position(through.0.saturating_sub(1)),
            through,
            commits: vec![stored],
        }
    }

    pub(super) fn has_holes(&self) -> bool {
        self.through.0.saturating_sub(self.after.0) != self.commits.len() as u64
    }
}

/// Reads on from `after`, to `until` at most, which the stream is known to have reached.
pub(super) async fn run_after(
    stream: &LogStream,
    after: Position,
    until: Position,
    limits: ReadLimits,
) -> Result<Run, ReadError> {
    let mut run = Run {
        after,
        through: after,
        commits: Vec::new(),
    };
    let mut budget = ReadBudget::new(limits);
    while run.through < until {
        let wanted = (limits.records_max.max(1) as u64).saturating_sub(run.commits.len() as u64);
        let window = wanted.min(READS_IN_FLIGHT_MAX);
        if window == 0 {
            break;
        }
        let first = run.through.0 + 1;
        let last = until.0.min(run.through.0.saturating_add(window));
        let mut reads = stream::iter(first..=last)
            .map(|sequence| stream.at(Position(sequence)))
            .buffered(READS_IN_FLIGHT_MAX as usize);
        while let Some(found) = reads.next().await {
            let found = match found? {
                Some(found) => found,
                None => match behind_hole(stream, run.through.next()).await? {
                    found if found.record.position <= until => found,
                    _ => {
                        run.through = until;
                        return Ok(run);
                    }
                },
            };
            if !budget.takes(found.bytes) {
                return Ok(run);
            }
            let is_behind_hole = found.record.position != run.through.next();
            run.through = found.record.position;
            run.commits.push(found);
            if is_behind_hole {
                break;
            }
        }
    }
    Ok(run)
}

/// The commit behind a hole. That a message is not there says nothing by itself: a server may not have it
/// yet. One that has a later message has all before it that there are. The newest of all is never deleted,
/// so that there is a later one.
async fn behind_hole(stream: &LogStream, hole: Position) -> Result<Stored, ReadError> {
    let found = stream.first_from(hole).await?;
    found.ok_or_else(|| unreachable("the leader does not have what was acknowledged, yet"))
}
