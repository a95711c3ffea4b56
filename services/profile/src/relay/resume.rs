//! Carries the plan out: afterwards the stream is known to hold what the log says, up to one sequence.

use std::sync::Arc;
use std::time::Duration;

use profile_messages::Position;

use super::erasure::mark::ErasedMark;
use super::reconcile::{Plan, Refusal, Trouble, plan};
use super::source::Source;
use super::stream::{EventStream, READ_MESSAGES_MAX};
use crate::clock::Clock;
use crate::telemetry::traces::Tracer;

/// What the relay works with.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) stream: Arc<dyn EventStream>,
    pub(super) source: Source,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) max_age: Duration,
    pub(super) erased: Arc<ErasedMark>,
    pub(super) tracer: Tracer,
}

/// Where publishing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resumed {
    /// The stream's last sequence; the next message is the commit after it.
    pub(super) last: u64,
    /// What was adopted: everything up to here was compared, or acknowledged before.
    pub(super) adopted: Option<Position>,
    /// Up to here, messages take the place of ones that were acknowledged before.
    pub(super) refill: Position,
}

impl Context {
    /// Looks, decides, compares, and brings the stream to where the next message belongs.
    pub(super) async fn resume(&self, cursor: Option<Position>) -> Result<Resumed, Trouble> {
        // The order matters: the log moves on meanwhile, the stream only by this relay.
        let end = *self.source.log.durable().borrow();
        let erased = self.erased.through();
        if erased > end {
            return Err(Trouble::Refused(Refusal::ErasedAhead { erased, end }));
        }
        let state = self.stream.inspect().await?;
        let plan = plan(cursor, state, end);
        tracing::debug!(?cursor, ?state, %end, ?plan, "relay looks at the event stream");
        let mut resumed = self.carry_out(plan, cursor, end).await?;
        // What is erased or compacted away was acknowledged once, whatever became of the cursor.
        let dropped = self.source.log.dropped_through();
        resumed.refill = resumed.refill.max(erased).max(dropped);
        Ok(resumed)
    }

    async fn carry_out(
        &self,
        plan: Plan,
        cursor: Option<Position>,
        end: Position,
    ) -> Result<Resumed, Trouble> {
        match plan {
            Plan::Refuse(refusal) => Err(Trouble::Refused(refusal)),
            Plan::Create => {
                self.start_over().await?;
                let next = self.first_to_send(cursor, end).await?;
                tracing::info!(next, "making the event stream");
                self.stream.create(next).await?;
                Ok(refilling(next - 1, cursor.unwrap_or(end)))
            }
            Plan::Refill { last, through } => {
                self.start_over().await?;
                if Position(last) < through {
                    tracing::warn!(last, %through, "the event stream lost events, sending them again");
                }
                self.compare(last.max(1), last).await?;
                self.stream.take_over().await?;
                Ok(refilling(last, through))
            }
            Plan::Adopt { from, to } => {
                if cursor.is_none() {
                    self.start_over().await?;
                }
                self.compare(from.max(1), to).await?;
                self.stream.take_over().await?;
                let adopted = Some(Position(to)).max(cursor);
                let refill = Position::NONE;
                Ok(Resumed {
                    last: to,
                    adopted,
                    refill,
                })
            }
        }
    }

    /// Nothing is sent again before it is on disk that all of it is looked at.
    async fn start_over(&self) -> Result<(), Trouble> {
        let written = self.erased.start_over().await;
        written.map_err(|error| {
            Trouble::Later(format!(
                "the mark of what is erased is not written: {error}"
            ))
        })
    }

    /// From as far back as the stream keeps events; what was never sent is sent, however old.
    async fn first_to_send(&self, cursor: Option<Position>, end: Position) -> Result<u64, Trouble> {
        let now = self.clock.now();
        let covered = self.source.first_covered(end, now, self.max_age).await?;
        let first = cursor.map_or(covered, |cursor| covered.min(cursor.next()));
        Ok(first.0.max(1))
    }

    async fn compare(&self, from: u64, to: u64) -> Result<(), Trouble> {
        let mut from = from;
        while from <= to {
            let until = to.min(from.saturating_add(READ_MESSAGES_MAX - 1));
            let found = self.stream.read(from, until).await?;
            self.source.compare(&found).await?;
            from = until + 1;
        }
        Ok(())
    }
}

fn refilling(last: u64, refill: Position) -> Resumed {
    Resumed {
        last,
        adopted: None,
        refill,
    }
}
