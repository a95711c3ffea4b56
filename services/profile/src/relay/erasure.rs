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

pub(super) mod mark;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use profile_messages::event::EventKind;
use profile_messages::record::Record;
use profile_messages::{OrgId, Position, UserId, subject};
use tokio::time::{Instant, sleep, sleep_until};

use super::progress::Progress;
use super::stream::{Erasure, EventStream, StreamError};
use crate::commit_log::{CommitLog, ReadError, ReadLimits};
use mark::ErasedMark;

/// Most removals that wait for their second look; further ones wait for their first.
const PENDING_REMOVALS_MAX: usize = 16_384;
/// The mark is written at the latest after this many positions, for a short look after a restart.
const UNWRITTEN_POSITIONS_MAX: u64 = 16_384;
/// Between two looks, and between two reads of one look.
const LOOK_INTERVAL_MS: u64 = 200;
const READ_INTERVAL_MS: u64 = 10;
const REST_MS_MAX: u64 = 1_000;
/// The wait after a failure doubles from the first to the last of these.
const BACK_OFF_MS_MIN: u64 = 500;
const BACK_OFF_MS_MAX: u64 = 60_000;

const LIMITS: ReadLimits = ReadLimits {
    records_max: 256,
    bytes_max: 1024 * 1024,
};

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

#[derive(Debug)]
struct Pending {
    removal: Removal,
    due: Instant,
    is_done: bool,
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
        let mut looked = self.mark.looked().await;
        loop {
            let mut look = Look {
                eraser: &self,
                turn,
                looked,
                tried: Position::NONE,
                pending: VecDeque::new(),
                is_unwritten: false,
            };
            while turn == self.mark.turn() {
                match look.round().await {
                    Ok(()) => failures = 0,
                    Err(Trouble::Stale) => {}
                    Err(Trouble::Stream(error)) => {
                        let mut anew = self.mark.watch_turn();
                        tokio::select! {
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
            looked = Position::NONE;
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

/// The looking between two times that the stream came back with less.
struct Look<'a> {
    eraser: &'a Eraser,
    turn: u64,
    /// Every removal up to here has had its first look.
    looked: Position,
    /// The newest removal whose first look was begun.
    tried: Position,
    /// Of these the second is due, by position.
    pending: VecDeque<Pending>,
    /// Something was done that is not on disk.
    is_unwritten: bool,
}

impl Look<'_> {
    async fn round(&mut self) -> Result<(), Trouble> {
        let looked = self.first_looks().await;
        let ended = match looked {
            Ok(()) => self.second_looks().await,
            Err(trouble) => Err(trouble),
        };
        self.write().await;
        ended
    }

    async fn first_looks(&mut self) -> Result<(), Trouble> {
        while self.pending.len() < PENDING_REMOVALS_MAX {
            let confirmed = self.confirmed()?;
            if self.looked >= confirmed {
                break;
            }
            if self.eraser.progress.knows_of_no_removal_after(self.looked) {
                self.looked = confirmed;
                break;
            }
            let read = self.eraser.log.read_after(self.looked, LIMITS).await;
            let records = read.map_err(Trouble::Log)?;
            if records.is_empty() {
                // All up to the end is compacted away.
                self.looked = confirmed;
            }
            for record in records {
                if record.position > self.confirmed()? {
                    return Ok(());
                }
                if record.kind == EventKind::Removed {
                    self.first_look(&record).await?;
                }
                self.looked = record.position;
            }
            sleep(Duration::from_millis(READ_INTERVAL_MS)).await;
        }
        Ok(())
    }

    async fn first_look(&mut self, record: &Record) -> Result<(), Trouble> {
        let removal = Removal {
            position: record.position,
            org: record.org.clone(),
            user: record.user.clone(),
        };
        let is_first_try = self.tried != removal.position;
        self.tried = removal.position;
        // An old removal was done once; it waits again only if something came back.
        let is_new = removal.position > self.eraser.mark.through();
        let mut erased = 0;
        if is_new {
            erased += self.eraser.erase_known(record).await?;
        }
        erased += self.erase_found(&removal).await?;
        if is_new || erased > 0 || !is_first_try {
            tracing::debug!(user = %removal.user, position = %removal.position, erased, "erasing");
            self.pending.push_back(Pending {
                removal,
                due: Instant::now() + self.eraser.settle,
                is_done: false,
            });
        }
        Ok(())
    }

    async fn second_looks(&mut self) -> Result<(), Trouble> {
        for index in 0..self.pending.len() {
            let Some(pending) = self.pending.get(index) else {
                break;
            };
            if pending.is_done || pending.due > Instant::now() {
                continue;
            }
            let removal = pending.removal.clone();
            if removal.position > self.confirmed()? {
                return Err(Trouble::Stale);
            }
            let erased = self.erase_found(&removal).await?;
            if let Some(pending) = self.pending.get_mut(index) {
                pending.is_done = erased == 0;
                pending.due = Instant::now() + self.eraser.settle;
            }
        }
        Ok(())
    }

    async fn erase_found(&self, removal: &Removal) -> Result<u64, Trouble> {
        let erased = self.eraser.erase_found(removal).await?;
        // What came back meanwhile may lie before what was looked at.
        if self.turn != self.eraser.mark.turn() {
            return Err(Trouble::Stale);
        }
        Ok(erased)
    }

    async fn write(&mut self) {
        let mut done = 0;
        while self.pending.front().is_some_and(|pending| pending.is_done) {
            self.pending.pop_front();
            done += 1;
        }
        let first = self.pending.front().map(|it| it.removal.position.0);
        let before = first.map(|first| Position(first.saturating_sub(1)));
        let looked = before.unwrap_or(self.looked).min(self.looked);
        let mark = &self.eraser.mark;
        let written = mark.looked().await;
        let caught_up = written < mark.through() && looked >= mark.through();
        let far = looked.0.saturating_sub(written.0) >= UNWRITTEN_POSITIONS_MAX;
        self.is_unwritten |= done > 0 || caught_up || far;
        if !self.is_unwritten {
            return;
        }
        self.is_unwritten = !mark.advance(self.turn, looked).await;
        if done > 0 {
            tracing::info!(users = done, through = %looked, "removed users' events are erased");
        }
    }

    /// Up to where the stream is known to hold what the log says.
    fn confirmed(&self) -> Result<Position, Trouble> {
        if self.turn != self.eraser.mark.turn() {
            return Err(Trouble::Stale);
        }
        self.eraser.progress.confirmed().ok_or(Trouble::Stale)
    }

    /// Returns when there may be something to do, but not at once.
    async fn wait_for_work(&self) {
        sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
        let mut turn = self.eraser.mark.watch_turn();
        let waiting = self.pending.iter().filter(|pending| !pending.is_done);
        let due = waiting.map(|pending| pending.due).min();
        let has_room = self.pending.len() < PENDING_REMOVALS_MAX;
        let progress = &self.eraser.progress;
        let first = async {
            match has_room {
                true => progress.confirmed_beyond(self.looked).await,
                false => pending().await,
            }
        };
        let second = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
            // Not while the stream is away.
            progress.confirmed_beyond(Position::NONE).await;
        };
        tokio::select! {
            () = first => {}
            () = second => {}
            _ = turn.wait_for(|turn| *turn != self.turn) => {}
        }
    }
}

fn back_off(failures: u32) -> Duration {
    let doubled = BACK_OFF_MS_MIN.saturating_mul(1 << failures.min(16));
    Duration::from_millis(doubled.min(BACK_OFF_MS_MAX))
}
