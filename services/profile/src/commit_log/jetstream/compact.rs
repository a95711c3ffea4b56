//! Throwing away what need not be kept: message by message, each overwritten. Positions stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt, TryStreamExt, stream};
use profile_messages::Position;

use super::line::Line;
use super::reading::{Run, run_after};
use crate::commit_log::{CompactError, CompactionReport, Fate, ReadLimits, Retention};

/// Deletes that are under way at a time.
const DELETES_IN_FLIGHT_MAX: usize = 16;
/// What is read and judged at a time.
const CHUNK: ReadLimits = ReadLimits {
    records_max: 1024,
    bytes_max: 4 * 1024 * 1024,
};

/// What goes out of one chunk.
#[derive(Debug, Default)]
struct Doomed {
    superseded: Vec<Position>,
    erased: Vec<Position>,
}

pub(super) async fn compact(
    line: &Line,
    until: Position,
    retention: Arc<dyn Retention>,
    is_closed: &AtomicBool,
) -> Result<CompactionReport, CompactError> {
    let until = until.min(line.follower().position());
    let (mut report, mut at) = (CompactionReport::default(), Position::NONE);
    loop {
        if is_closed.load(Ordering::Acquire) {
            return Err(CompactError::Closed);
        }
        if at >= until {
            return Ok(report);
        }
        let run = run_after(line.stream(), at, until, CHUNK).await?;
        at = run.through;
        report.records_read += run.commits.len() as u64;
        let doomed = judge(run, Arc::clone(&retention)).await?;
        report.records_superseded += doomed.superseded.len() as u64;
        report.records_erased += doomed.erased.len() as u64;
        delete(line, doomed).await?;
    }
}

/// Asked on a thread of its own, since who is asked may read the disk.
async fn judge(run: Run, retention: Arc<dyn Retention>) -> Result<Doomed, CompactError> {
    let judged = tokio::task::spawn_blocking(move || {
        let mut doomed = Doomed::default();
        for stored in run.commits {
            match retention.fate(&stored.record)? {
                Fate::Keep => {}
                Fate::Superseded => doomed.superseded.push(stored.record.position),
                Fate::Erased => doomed.erased.push(stored.record.position),
            }
        }
        Ok(doomed)
    });
    let judged = judged.await;
    judged
        .map_err(|error| CompactError::Io(error.to_string()))?
        .map_err(CompactError::Retention)
}

/// All nodes are told first: whoever meets the hole asks what it means.
async fn delete(line: &Line, doomed: Doomed) -> Result<(), CompactError> {
    if let Some(last) = doomed.superseded.last()
        && *last > line.dropped_through()
    {
        line.stream().drop_through(*last).await?;
        line.note_dropped(*last);
    }
    let all: Vec<_> = doomed.superseded.into_iter().chain(doomed.erased).collect();
    if all.is_empty() {
        return Ok(());
    }
    line.follower().forget_recent();
    stream::iter(all)
        .map(|position| line.stream().delete(position))
        .buffer_unordered(DELETES_IN_FLIGHT_MAX)
        .try_collect::<()>()
        .await?;
    Ok(())
}
