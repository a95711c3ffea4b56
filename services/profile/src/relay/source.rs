//! The log as the relay reads it: messages in order without a gap, and whether one found in the
//! stream is what the log says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use profile_messages::event::EventKind;
use profile_messages::record::Record;
use profile_messages::{Position, Timestamp};

use super::message::EventMessage;
use super::reconcile::{Refusal, Trouble};
use super::stream::READ_MESSAGES_MAX;
use crate::commit_log::{CommitLog, ReadError, ReadLimits};
use crate::current_view::CurrentView;

const READ_BYTES_MAX: usize = 1024 * 1024;

const LIMITS: ReadLimits = ReadLimits {
    records_max: READ_MESSAGES_MAX as usize,
    bytes_max: READ_BYTES_MAX,
};

/// A message on its way, with what its commit weighs in the lag.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) message: EventMessage,
    pub(super) event_bytes: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) log: Arc<dyn CommitLog>,
    pub(super) view: Arc<dyn CurrentView>,
}

impl Source {
    /// The messages right after `after`; empty at the end of the log. A removed user's event is
    /// withheld. Up to `refill` stands for what the stream had acknowledged before: there a commit that
    /// the log keeps no more has a placeholder.
    pub(super) async fn messages_after(
        &self,
        after: Position,
        refill: Position,
    ) -> Result<Vec<Outgoing>, Trouble> {
        let end = *self.log.durable().borrow();
        let records = self.read_after(after).await?;
        if records.is_empty() && end > after {
            // Nothing is kept up to the end: a hole like any other.
            return placeholders(after, end, refill);
        }
        let mut messages = Vec::with_capacity(records.len());
        let mut last = after;
        for record in records {
            let before = Position(record.position.0.saturating_sub(1));
            if before > last {
                let mut gap = placeholders(last, before, refill)?;
                let is_whole = gap.last().and_then(|it| it.message.position) == Some(before);
                messages.append(&mut gap);
                if !is_whole {
                    return Ok(messages);
                }
            }
            last = record.position;
            // Not only in a refill: with an older cursor, what was withheld once would come back.
            let withheld = self.may_be_withheld(&record)?;
            let message = if withheld {
                EventMessage::withheld(&record)
            } else {
                EventMessage::event(&record)
            };
            let event_bytes = record.event.len() as u64;
            messages.push(Outgoing {
                message,
                event_bytes,
            });
        }
        Ok(messages)
    }

    /// Compares messages of the stream, in order, with the log.
    pub(super) async fn compare(&self, found: &[(u64, EventMessage)]) -> Result<(), Trouble> {
        let (Some((from, _)), Some((to, _))) = (found.first(), found.last()) else {
            return Ok(());
        };
        let records = self.records(*from, *to).await?;
        for (sequence, message) in found {
            let what = match records.get(sequence) {
                // Compacted away: all that can be known is that the message says where it stands.
                None if message.position == Some(Position(*sequence)) => continue,
                None => "its position",
                Some(record) => match self.difference(record, message)? {
                    None => continue,
                    Some(what) => what,
                },
            };
            let sequence = *sequence;
            return Err(Trouble::Refused(Refusal::Forged { sequence, what }));
        }
        Ok(())
    }

    /// The first position that the stream would still keep, if its messages were as old as the
    /// commits. Zero `max_age` keeps everything.
    pub(super) async fn first_covered(
        &self,
        end: Position,
        now: Timestamp,
        max_age: Duration,
    ) -> Result<Position, Trouble> {
        let age_us = i64::try_from(max_age.as_micros()).unwrap_or(i64::MAX);
        let oldest = Timestamp(now.0.saturating_sub(age_us));
        let one = ReadLimits {
            records_max: 1,
            ..LIMITS
        };
        let (mut low, mut high) = (0, end.0);
        // Positions up to `low` are too old, those after `high` are not.
        while low < high {
            let middle = low + (high - low) / 2;
            match self.log.read_after(Position(middle), one).await {
                Ok(records) => match records.first() {
                    Some(record) if age_us != 0 && record.at < oldest => {
                        low = record.position.0.min(end.0);
                    }
                    Some(_) | None => high = middle,
                },
                Err(error) => return Err(unreadable(error)),
            }
        }
        Ok(Position(low + 1))
    }

    /// Bytes of the events after `after`, up to `end`.
    pub(super) async fn bytes(&self, after: Position, end: Position) -> Result<u64, Trouble> {
        let (mut after, mut bytes) = (after, 0);
        while after < end {
            let records = self.read_after(after).await?;
            let Some(last) = records.last() else { break };
            after = last.position;
            let counted = records.iter().filter(|record| record.position <= end);
            bytes += counted.map(|record| record.event.len() as u64).sum::<u64>();
        }
        Ok(bytes)
    }

    async fn records(&self, from: u64, to: u64) -> Result<HashMap<u64, Arc<Record>>, Trouble> {
        let mut records = HashMap::new();
        let mut after = Position(from.saturating_sub(1));
        while after.0 < to {
            let read = self.read_after(after).await?;
            let Some(last) = read.last() else { break };
            after = last.position;
            records.extend(read.into_iter().map(|it| (it.position.0, it)));
        }
        Ok(records)
    }

    /// The next records that the log keeps.
    async fn read_after(&self, after: Position) -> Result<Vec<Arc<Record>>, Trouble> {
        let read = self.log.read_after(after, LIMITS).await;
        read.map_err(unreadable)
    }

    fn difference(
        &self,
        record: &Record,
        message: &EventMessage,
    ) -> Result<Option<&'static str>, Trouble> {
        let event = EventMessage::event(record);
        if *message == event
            || (*message == EventMessage::withheld(record) && self.may_be_withheld(record)?)
        {
            return Ok(None);
        }
        Ok(Some(if message.subject != event.subject {
            "its subject"
        } else if message.id != event.id {
            "its Nats-Msg-Id"
        } else if message.payload != event.payload {
            "its payload"
        } else {
            "its headers"
        }))
    }

    /// A removed user's events may be withheld; `removed` itself never.
    fn may_be_withheld(&self, record: &Record) -> Result<bool, Trouble> {
        if record.kind == EventKind::Removed {
            return Ok(false);
        }
        let user = self
            .view
            .user(&record.user)
            .map_err(|error| Trouble::Later(error.to_string()))?;
        Ok(user.is_some_and(|user| user.state.is_none()))
    }
}

/// Placeholders for `after + 1 ..= until`, at most one read full of them. Only what was acknowledged
/// once may be missing in the log.
fn placeholders(
    after: Position,
    until: Position,
    refill: Position,
) -> Result<Vec<Outgoing>, Trouble> {
    let to = until
        .min(refill)
        .0
        .min(after.0.saturating_add(READ_MESSAGES_MAX));
    if to <= after.0 {
        return Err(Trouble::Refused(Refusal::LogGap { after, until }));
    }
    let positions = after.0 + 1..=to;
    Ok(positions
        .map(|position| Outgoing {
            message: EventMessage::compacted(Position(position)),
            event_bytes: 0,
        })
        .collect())
}

fn unreadable(error: ReadError) -> Trouble {
    match error {
        ReadError::Io(_) => Trouble::Later(error.to_string()),
        ReadError::Damaged { .. } => Trouble::Refused(Refusal::LogDamaged(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
