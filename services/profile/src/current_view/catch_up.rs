//! Reading the log after a view's position, in bounded chunks: at every start, and for a full rebuild.

use std::path::PathBuf;
use std::sync::Arc;

use profile_messages::Position;
use profile_messages::record::Record;

use super::ViewError;
use crate::commit_log::{CommitLog, ReadError, ReadLimits};

/// One read of the log while catching up.
const CHUNK: ReadLimits = ReadLimits {
    records_max: 2_048,
    bytes_max: 4 * 1024 * 1024,
};
/// Progress is logged after so many records.
const PROGRESS_RECORDS: u64 = 250_000;

/// Why a view could not be brought up to the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatchUpError {
    #[error("the current view cannot catch up: {0}")]
    Log(#[from] ReadError),
    #[error(transparent)]
    View(#[from] ViewError),
    /// The view is of this store and can be trusted, and has seen commits that the log does not have.
    #[error(
        "the current view in {} has seen commit {seen}, the commit log ends at {end}: the log lost its \
         end, or the directory was put together from two backups. Restore the data directory as a \
         whole; if the commits after {end} are to be given up, delete the current view first",
        dir.display()
    )]
    LogLostItsEnd {
        dir: PathBuf,
        seen: Position,
        end: Position,
    },
}

/// Hands every durable record after `after` to `fold`, oldest first, and returns the durable position
/// that was reached: the end as it stood at the start, or later.
pub(super) async fn fold_after(
    log: &dyn CommitLog,
    after: Position,
    mut fold: impl FnMut(&[Arc<Record>]) -> Result<(), ViewError> + Send,
) -> Result<Position, CatchUpError> {
    let end = *log.durable().borrow();
    let (mut at, mut records_folded, mut progress_at) = (after, 0u64, PROGRESS_RECORDS);
    while at < end {
        let chunk = log.read_after(at, CHUNK).await?;
        // A compacted log may end before its durable position: nothing newer is left to read.
        let Some(last) = chunk.last() else { break };
        if last.position <= at {
            let place = format!("position {at}");
            let what = "records out of order".to_owned();
            return Err(ReadError::Damaged { place, what }.into());
        }
        at = last.position;
        fold(&chunk)?;
        records_folded += chunk.len() as u64;
        if records_folded >= progress_at {
            progress_at = records_folded + PROGRESS_RECORDS;
            tracing::info!(records_folded, position = %at, end = %end, "the current view is catching up");
        }
    }
    if records_folded > 0 {
        tracing::info!(records_folded, position = %at, "the current view has caught up");
    }
    Ok(at.max(end))
}
