//! The eraser: takes a removed user's events out of the stream, one by one (a filtered purge would only
//! mark them; deleting a message overwrites it).
//!
//! It reads the log for removals, behind the relay, walks the user's commits there, and then asks the
//! stream for what it still has under the user's subjects, since the log may have forgotten commits whose
//! events the stream keeps. A message is never deleted because of its number alone, but only if it has
//! the user's subject. A removal is done when a look finds nothing, a settle time after the one before it
//! that did, or the first: a server that loses power may bring erased messages back within that time.
//! Only then the mark ([`mark::ErasedMark`]) moves, on which compaction relies. A crash costs a look.
//!
//! nats-server 2.15 writes a whole block of up to 8 MiB again for each deleted message and publishes
//! nothing meanwhile. So there is one delete at a time, and as long a rest after it.

mod look;
pub(super) mod mark;

use std::sync::Arc;
use std::time::Duration;

use profile_messages::event::EventKind;
use profile_messages::record::Record;
use profile_messages::{OrgId, Position, UserId, subject};
use tokio::time::{Instant, sleep};

use super::progress::Progress;
use super::stream::{Erasure, EventStream, StreamError};
use crate::commit_log::{CommitLog, ReadError};
use look::Look;
use mark::ErasedMark;

const REST_MS_MAX: u64 = 1_000;
/// The wait after a failure doubles from the first to the last of these.
const BACK_OFF_MS_MIN: u64 = 500;
const BACK_OFF_MS_MAX: u64 = 60_000;

#[derive(Debug)]
pub(super) struct Eraser {
    pub(super) stream: Arc<dyn EventStream>,
    pub(super) log: Arc<dyn CommitLog>,
    pub(super) progress: Arc<Progress>,
    pub(super) mark: Arc<ErasedMark>,
    pub(super) settle: Duration,
}

/// What is to be erased: the user's events before `position`, where `removed` stands.
#[derive(Clone, Debug)]
struct Removal {
    position: Position,
    org: OrgId,
    user: UserId,
}

impl Removal {
    fn of(removed: &Record) -> Removal {
        Removal {
            position: removed.position,
            org: removed.org.clone(),
            user: removed.user.clone(),
        }
    }
}

/// Why it does not go on right now.
enum Trouble {
    Stream(StreamError),
    Log(ReadError),
    /// The stream has to be looked at from the beginning, or is not up.
    Stale,
}

impl Eraser {
    /// Runs until it is dropped. Nothing that it meets disturbs the relay.
    pub(super) async fn run(self) {
        let (mut failures, mut turn) = (0, self.mark.turn());
        let mut is_swept = self.mark.is_swept().await;
        loop {
            let mut look = Look::new(&self, turn, is_swept);
            while turn == self.mark.turn() {
                match look.round().await {
                    Ok(()) => failures = 0,
                    Err(Trouble::Stale) => {}
                    Err(Trouble::Stream(error)) => {
                        let mut anew = self.mark.watch_turn();
                        tokio::select! {
                            biased;
                            () = self.wait_out(&error, failures) => {}
                            _ = anew.wait_for(|now| *now != turn) => {}
                        }
                        failures += 1;
                    }
                    Err(Trouble::Log(error)) => {
                        tracing::warn!(%error, "removed users' events wait: the log is not readable");
                        sleep(back_off(failures)).await;
                        failures += 1;
                    }
                }
                look.wait_for_work().await;
            }
            turn = self.mark.turn();
            is_swept = false;
        }
    }

    async fn wait_out(&self, error: &StreamError, failures: u32) {
        match error {
            StreamError::Refused(why) => {
                tracing::error!(
                    why,
                    "removed users' events stay in the event stream, which does not let them be \
                     deleted: a stream that was made with deny_delete has to be made anew. Delete it, \
                     and it is filled again from the log without them"
                );
                return sleep(Duration::from_millis(BACK_OFF_MS_MAX)).await;
            }
            StreamError::Surprise(_) => self.progress.want_look(),
            StreamError::Unavailable(_) | StreamError::Unsupported(_) => {}
        }
        tracing::warn!(
            %error,
            failures,
            "removed users' events are not erased yet, trying again. If this stays: may the service \
             publish to $JS.API.STREAM.MSG.DELETE and .GET of the event stream?"
        );
        sleep(back_off(failures)).await;
    }

    /// Erases what the log still knows the place of; returns how many messages. For the stream that is
    /// no search.
    async fn erase_known(&self, removed: &Record) -> Result<u64, Trouble> {
        let (mut erased, mut after, mut at) = (0, removed.position, removed.previous);
        while Position::NONE < at && at < after {
            let read = self.log.read_one(at).await.map_err(Trouble::Log)?;
            let Some(record) = read.filter(|it| it.user == removed.user) else {
                break;
            };
            let subject = subject::event(&record.org, &record.user, record.kind);
            let found = self
                .stream
                .read(at.0, at.0)
                .await
                .map_err(Trouble::Stream)?;
            for (sequence, message) in found {
                if message.subject == subject && !message.withheld {
                    erased += self.erase_one(sequence).await.map_err(Trouble::Stream)?;
                }
            }
            (after, at) = (at, record.previous);
        }
        Ok(erased)
    }

    /// Erases what the stream finds of the user; returns how many messages.
    async fn erase_found(&self, removal: &Removal) -> Result<u64, Trouble> {
        let mut erased = 0;
        let kinds = EventKind::ALL.into_iter();
        for kind in kinds.filter(|kind| *kind != EventKind::Removed) {
            let subject = subject::event(&removal.org, &removal.user, kind);
            let mut from = 1;
            while from < removal.position.0 {
                let found = self.stream.find(&subject, from).await;
                let Some((sequence, message)) = found.map_err(Trouble::Stream)? else {
                    break;
                };
                if sequence < removal.position.0 && !message.withheld {
                    erased += self.erase_one(sequence).await.map_err(Trouble::Stream)?;
                }
                from = sequence + 1;
            }
        }
        Ok(erased)
    }

    async fn erase_one(&self, sequence: u64) -> Result<u64, StreamError> {
        let started = Instant::now();
        let erased = match self.stream.erase(sequence).await? {
            Erasure::Erased => 1,
            Erasure::AlreadyGone => 0,
        };
        let rest_max = Duration::from_millis(REST_MS_MAX);
        sleep(started.elapsed().min(rest_max)).await;
        Ok(erased)
    }
}

fn back_off(failures: u32) -> Duration {
    let doubled = BACK_OFF_MS_MIN.saturating_mul(1 << failures.min(16));
    Duration::from_millis(doubled.min(BACK_OFF_MS_MAX))
}
