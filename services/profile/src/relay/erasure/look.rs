//! One look after the other: what was seen so far, and what is due next.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use profile_messages::Position;
use profile_messages::event::EventKind;
use profile_messages::record::Record;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Eraser, Removal, Trouble};
use crate::commit_log::ReadLimits;

/// Most removals that wait for their second look; further ones wait for their first.
const PENDING_REMOVALS_MAX: usize = 16_384;
/// The mark is written at the latest after this many positions, for a short look after a restart.
const UNWRITTEN_POSITIONS_MAX: u64 = 16_384;
/// Between two rounds, and between two reads of one round.
const LOOK_INTERVAL_MS: u64 = 200;
const READ_INTERVAL_MS: u64 = 10;

/// Most reads of one round: then what is known is written, and second looks have their turn.
const FIRST_LOOK_READS_MAX: usize = 64;

const LIMITS: ReadLimits = ReadLimits {
    records_max: 256,
    bytes_max: 1024 * 1024,
};

/// The looking between two times that the stream came back with less.
pub(super) struct Look<'a> {
    eraser: &'a Eraser,
    turn: u64,
    /// Every removal up to here has had its first look.
    looked: Position,
    /// Those up to the mark, when they are looked at once more.
    sweep: Option<Sweep>,
    /// Of these, after the mark, the second look is due, by position.
    pending: VecDeque<Pending>,
    /// Something was done that is not on disk.
    is_unwritten: bool,
}

#[derive(Debug)]
struct Pending {
    removal: Removal,
    due: Instant,
    is_done: bool,
}

/// All removals up to `end` once more, as if they were one: until a look finds nothing, a settle time
/// after the one before.
#[derive(Clone, Copy, Debug)]
struct Sweep {
    end: Position,
    due: Instant,
    is_last_if_clean: bool,
}

impl<'a> Look<'a> {
    pub(super) fn new(eraser: &'a Eraser, turn: u64, is_swept: bool) -> Look<'a> {
        let end = eraser.mark.through();
        let sweep = Sweep {
            end,
            due: Instant::now(),
            is_last_if_clean: false,
        };
        Look {
            eraser,
            turn,
            looked: end,
            sweep: (!is_swept).then_some(sweep),
            pending: VecDeque::new(),
            is_unwritten: false,
        }
    }

    pub(super) async fn round(&mut self) -> Result<(), Trouble> {
        let looked = self.looks().await;
        self.write().await;
        looked
    }

    async fn looks(&mut self) -> Result<(), Trouble> {
        self.first_looks().await?;
        self.second_looks().await?;
        self.sweep().await
    }

    async fn first_looks(&mut self) -> Result<(), Trouble> {
        for _ in 0..FIRST_LOOK_READS_MAX {
            if self.pending.len() >= PENDING_REMOVALS_MAX {
                break;
            }
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
        let removal = Removal::of(record);
        let mut erased = self.eraser.erase_known(record).await?;
        erased += self.erase_found(&removal).await?;
        tracing::debug!(user = %removal.user, position = %removal.position, erased, "erasing");
        self.pending.push_back(Pending {
            removal,
            due: self.settled(),
            is_done: false,
        });
        Ok(())
    }

    async fn second_looks(&mut self) -> Result<(), Trouble> {
        for index in 0..self.pending.len() {
            let (now, settled) = (Instant::now(), self.settled());
            let Some(pending) = self.pending.get_mut(index) else {
                break;
            };
            if pending.is_done || pending.due > now {
                continue;
            }
            // A look that fails may have erased something: the next one counts from it.
            pending.due = settled;
            let removal = pending.removal.clone();
            if removal.position > self.confirmed()? {
                return Err(Trouble::Stale);
            }
            let erased = self.erase_found(&removal).await?;
            let settled = self.settled();
            if let Some(pending) = self.pending.get_mut(index) {
                pending.is_done = erased == 0;
                pending.due = settled;
            }
        }
        Ok(())
    }

    async fn sweep(&mut self) -> Result<(), Trouble> {
        let Some(sweep) = self.sweep else {
            return Ok(());
        };
        if sweep.due > Instant::now() || sweep.end > self.confirmed()? {
            return Ok(());
        }
        // A look that fails may have erased something: the next one is no last one.
        self.sweep = Some(Sweep {
            is_last_if_clean: false,
            ..sweep
        });
        let erased = self.erase_all(sweep.end).await?;
        tracing::info!(through = %sweep.end, erased, "removed users' events were looked for again");
        let is_last = sweep.is_last_if_clean && erased == 0;
        self.is_unwritten |= is_last;
        self.sweep = (!is_last).then(|| Sweep {
            end: sweep.end,
            due: self.settled(),
            is_last_if_clean: true,
        });
        Ok(())
    }

    async fn erase_all(&self, end: Position) -> Result<u64, Trouble> {
        let (mut after, mut erased) = (Position::NONE, 0);
        while after < end {
            let read = self.eraser.log.read_after(after, LIMITS).await;
            let records = read.map_err(Trouble::Log)?;
            let Some(last) = records.last() else { break };
            after = last.position;
            let old = records.iter().filter(|record| record.position <= end);
            for record in old.filter(|record| record.kind == EventKind::Removed) {
                erased += self.erase_found(&Removal::of(record)).await?;
            }
            sleep(Duration::from_millis(READ_INTERVAL_MS)).await;
        }
        Ok(erased)
    }

    /// When what was erased by now can no longer come back.
    fn settled(&self) -> Instant {
        Instant::now() + self.eraser.settle
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
        let unwritten = looked.0.saturating_sub(mark.through().0);
        self.is_unwritten |= done > 0 || unwritten >= UNWRITTEN_POSITIONS_MAX;
        if !self.is_unwritten {
            return;
        }
        let is_swept = self.sweep.is_none();
        self.is_unwritten = !mark.advance(self.turn, looked, is_swept).await;
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
    pub(super) async fn wait_for_work(&self) {
        sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
        let mut turn = self.eraser.mark.watch_turn();
        let waiting = self.pending.iter().filter(|pending| !pending.is_done);
        let sweep = self.sweep.iter().map(|sweep| sweep.due);
        let due = waiting.map(|pending| pending.due).chain(sweep).min();
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
            biased;
            () = first => {}
            () = second => {}
            _ = turn.wait_for(|turn| *turn != self.turn) => {}
        }
    }
}
