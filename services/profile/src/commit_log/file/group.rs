//! Commits on their way into one frame, and what their callers hear.

use std::collections::HashMap;
use std::sync::Arc;

use profile_messages::record::{HEADER_BYTES, Record};
use profile_messages::trace::STORED_BYTES;
use profile_messages::{UserId, UserState};
use tokio::sync::oneshot;

use super::answers::{Answer, hand_out};
use super::writer::Rolled;
use crate::commit_log::{AppendError, Commit, Head, NotWritten};
use crate::telemetry::metrics::GroupOutcome;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Work {
    Commit(Box<Pending>),
    /// A new segment, so that this one can be compacted.
    Roll(oneshot::Sender<Rolled>),
}

/// A commit and who waits for it.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) commit: Commit,
    pub(super) answer: Answer,
}

/// Accepted commits of one frame, and the refusals that wait until it is known what became of them.
#[derive(Default)]
pub(super) struct Group {
    pub(super) records: Vec<Arc<Record>>,
    /// Of each record, encoded.
    pub(super) bytes: Vec<usize>,
    pub(super) answers: Vec<Answer>,
    pub(super) refused: Vec<(Answer, AppendError)>,
    pub(super) heads: HashMap<UserId, Head>,
}

impl Group {
    /// What is certain before the frame is written.
    pub(super) fn refusals(&self) -> GroupOutcome {
        let is_conflict = |error: &AppendError| matches!(error, AppendError::Conflict { .. });
        let conflicts = self
            .refused
            .iter()
            .filter(|(_, error)| is_conflict(error))
            .count();
        GroupOutcome {
            conflicts: conflicts as u64,
            certainly_not_written: (self.refused.len() - conflicts) as u64,
            ..GroupOutcome::default()
        }
    }

    /// After the frame with the records is durable.
    pub(super) fn answer_all(self) {
        let records = self.records.into_iter().map(Ok);
        let refused = self
            .refused
            .into_iter()
            .map(|(answer, error)| (answer, Err(error)));
        hand_out(self.answers.into_iter().zip(records).chain(refused));
    }

    /// A conflict with a commit of this group is no conflict when the group is not written.
    pub(super) fn refuse_all(self, error: &AppendError) {
        let refusals = self.refused.into_iter().map(|(answer, why)| {
            let why = match why {
                AppendError::Conflict { .. } => AppendError::NotWritten(NotWritten::Closed),
                AppendError::NotWritten(_) | AppendError::MaybeWritten(_) => why,
            };
            (answer, Err(why))
        });
        let failed = self
            .answers
            .into_iter()
            .map(|answer| (answer, Err(error.clone())));
        hand_out(failed.chain(refusals));
    }
}

/// An upper bound of the encoded length, so that a commit need not be encoded to see that it must wait.
pub(super) fn record_bytes_at_most(commit: &Commit) -> usize {
    // The fixed header, and for each of the 20 protobuf fields its tag and its length or number.
    let fixed = HEADER_BYTES + 20 * 12;
    let state = commit.state.as_ref().map_or(0, UserState::text_bytes);
    let ids = commit.user.as_str().len() + commit.org.as_str().len();
    let who = commit.actor.len() + commit.actor_issuer.len();
    let trace = commit.trace.as_ref();
    let trace = trace.map_or(0, |trace| STORED_BYTES + trace.tracestate().len());
    fixed + trace + ids + commit.event.len() + who + state
}
