//! One append: published until its fate is known, within a bound.
//!
//! Every attempt carries the same fence, so that at most one of them is written: an attempt of which
//! nothing was heard is simply made again. It is then either written now, or meets the fence, and what
//! stands in its place is ours (the answer was lost) or another's (a conflict).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use profile_messages::Position;
use profile_messages::record::{RECORD_BYTES_MAX, Record};

use super::line::Line;
use super::stream::{Attempt, Stored};
use crate::clock::Clock;
use crate::commit_log::{AppendError, Commit, CommitObserver, Head, NotWritten, ReadError};
use crate::telemetry::metrics::GroupOutcome;

/// The pause after an attempt doubles from the first to the last of these, less up to half by chance.
const PAUSE_MS_MIN: u64 = 4;
const PAUSE_MS_MAX: u64 = 250;

pub(super) struct Appending<'a> {
    pub(super) line: &'a Line,
    pub(super) observer: &'a dyn CommitObserver,
    pub(super) clock: &'a dyn Clock,
    pub(super) within: Duration,
}

/// A commit as it goes out, again and again the same.
struct Outgoing {
    record: Record,
    encoded: Bytes,
    expected: Position,
}

/// What met the fence.
enum Fenced {
    /// The user's head as the observer knows it, and its newest commit.
    By { head: Head, newest: Arc<Record> },
    /// The leader does not show it yet.
    Unseen,
}

impl Appending<'_> {
    pub(super) async fn append(&self, commit: Commit) -> Result<Arc<Record>, AppendError> {
        let began = self.clock.monotonic();
        let appended = self.appended(commit).await;
        let mut outcome = GroupOutcome::default();
        let mut records = Vec::new();
        match &appended {
            Ok(stored) => {
                outcome.committed = 1;
                outcome.frame_bytes = stored.bytes as u64;
                outcome.took = self.clock.monotonic().duration_since(began);
                records.push(Arc::clone(&stored.record));
            }
            Err(AppendError::Conflict { .. }) => outcome.conflicts = 1,
            Err(AppendError::NotWritten(_)) => outcome.certainly_not_written = 1,
            Err(AppendError::MaybeWritten(_)) => outcome.maybe_written = 1,
        }
        self.observer.ended(&records, &outcome);
        appended.map(|stored| stored.record)
    }

    async fn appended(&self, commit: Commit) -> Result<Stored, AppendError> {
        let refused = |why| Err(AppendError::NotWritten(why));
        if self.line.follower().refuse_failed().is_err() {
            return refused(NotWritten::Closed);
        }
        // The fence knows positions only; a head that this node knows to be old need not go there.
        let Ok(head) = self.observer.head(&commit.user) else {
            return refused(NotWritten::HeadUnknown);
        };
        if head != commit.expected {
            return Err(AppendError::Conflict { head });
        }
        let (deadline, expected) = (commit.deadline, commit.expected.position);
        let record = commit.into_record(Position::NONE);
        let mut encoded = Vec::new();
        record.encode_into(&mut encoded);
        if encoded.len() > RECORD_BYTES_MAX {
            return refused(NotWritten::TooLarge);
        }
        if deadline.is_some_and(|deadline| self.clock.monotonic() >= deadline) {
            return refused(NotWritten::DeadlineExceeded);
        }
        let outgoing = Outgoing {
            record,
            encoded: encoded.into(),
            expected,
        };
        self.publish(outgoing).await
    }

    async fn publish(&self, outgoing: Outgoing) -> Result<Stored, AppendError> {
        let until = self.clock.monotonic() + self.within;
        let (mut unheard, mut attempts) = (None, 0);
        loop {
            let (user, encoded) = (&outgoing.record.user, outgoing.encoded.clone());
            let stream = self.line.stream();
            match stream.publish(user, encoded, outgoing.expected).await {
                Attempt::Written(position) => return self.written(outgoing, position).await,
                Attempt::Fenced => match self.fenced(&outgoing).await {
                    // With every attempt answered, what stands there is another's, however like ours.
                    Ok(Fenced::By { head, .. }) if unheard.is_none() => {
                        return Err(AppendError::Conflict { head });
                    }
                    Ok(Fenced::By { head, newest }) => match self.own(&outgoing, newest).await {
                        Ok(Some(own)) => return Ok(outgoing.stored(own)),
                        Ok(None) => return Err(AppendError::Conflict { head }),
                        Err(_) => {}
                    },
                    Ok(Fenced::Unseen) | Err(_) => {}
                },
                Attempt::Refused(why) => tracing::debug!(%user, why, "a commit is not taken yet"),
                Attempt::Unheard(why) => {
                    tracing::warn!(%user, why, "nothing was heard of a commit, trying again");
                    unheard = Some(why);
                }
            }
            attempts += 1;
            let pause = self.pause(attempts);
            if self.clock.monotonic() + pause >= until {
                return Err(match unheard {
                    Some(why) => AppendError::MaybeWritten(why),
                    None => AppendError::NotWritten(NotWritten::Unreachable),
                });
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Acknowledged: it is durable. Answered once the observer knows it and all before it.
    async fn written(&self, outgoing: Outgoing, at: Position) -> Result<Stored, AppendError> {
        let maybe = |error: ReadError| AppendError::MaybeWritten(error.to_string());
        let mut record = outgoing.record.clone();
        record.position = at;
        let stored = outgoing.stored(Arc::new(record));
        if at <= outgoing.expected {
            return Err(maybe(self.line.lost_its_end(at)));
        }
        self.line.take(stored.clone()).await.map_err(maybe)?;
        // The observer was told of another commit at this place: the stream went back and has grown again.
        match self.observer.head(&outgoing.record.user) {
            Ok(head) if head.position < at => Err(maybe(self.line.lost_its_end(at))),
            Ok(_) => Ok(stored),
            Err(why) => Err(AppendError::MaybeWritten(why)),
        }
    }

    /// Another commit, or this one, is where this one was to be: the observer is brought up to it.
    async fn fenced(&self, outgoing: &Outgoing) -> Result<Fenced, ReadError> {
        let user = &outgoing.record.user;
        let newest = self.line.stream().newest(Some(user)).await?;
        // One that is older than expected: a leader of a moment ago answers. If it stays so, the log has lost
        // its end, and the tail finds that.
        let Some(newest) = newest.filter(|it| it.record.position > outgoing.expected) else {
            return Ok(Fenced::Unseen);
        };
        let newest = newest.record;
        self.line.take_soon(newest.position).await?;
        let head = self.observer.head(user).map_err(ReadError::Io)?;
        Ok(Fenced::By { head, newest })
    }

    /// What stands in our place if it is this very append: the answer was lost.
    async fn own(
        &self,
        outgoing: &Outgoing,
        newest: Arc<Record>,
    ) -> Result<Option<Arc<Record>>, ReadError> {
        let mut next = Some(newest);
        while let Some(record) = next.take() {
            if record.previous <= outgoing.expected {
                return Ok(outgoing.is(&record).then_some(record));
            }
            next = self.line.read_one(record.previous).await?;
        }
        Ok(None)
    }

    fn pause(&self, attempts: u32) -> Duration {
        let doubled = PAUSE_MS_MIN.saturating_mul(1 << attempts.min(16));
        let bound_ms = doubled.min(PAUSE_MS_MAX);
        let random = self.clock.random_id();
        let chance = random
            .get(..4)
            .and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let less_ms = bound_ms / 2 * chance.unwrap_or(0) / 0xffff;
        Duration::from_millis(bound_ms - less_ms)
    }
}

impl Outgoing {
    fn stored(&self, record: Arc<Record>) -> Stored {
        Stored {
            record,
            bytes: self.encoded.len(),
        }
    }

    /// Whether a record of the log is this very append: same key, same time, same event, same everything
    /// but the place, which the stream gives.
    fn is(&self, record: &Record) -> bool {
        let mut there = record.clone();
        there.position = Position::NONE;
        there == self.record
    }
}
