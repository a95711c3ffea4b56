//! A log in files becomes the log in the stream: every commit at its position, compared before it counts.

use std::collections::VecDeque;

use async_nats::Client;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use profile_messages::Position;

use super::JetStreamLogOptions;
use super::reading::run_after;
use super::stream::{Begun, LogStream, OpenError, Place};
use crate::commit_log::{CommitLog, ReadError, ReadLimits};

const UNDER_WAY_MAX: usize = 256;
const PAGE: ReadLimits = ReadLimits {
    records_max: 1024,
    bytes_max: 4 * 1024 * 1024,
};

/// Why a move does not go on.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// It goes on where it stopped when it is tried again.
    #[error("{0}")]
    Stopped(#[from] ReadError),
    #[error(
        "the stream and the log in files differ at position {position}: the service ran on the data \
         directory after the move began, or somebody else writes to the stream. Delete the stream \
         PROFILE_LOG_0 and move again"
    )]
    Differs { position: Position },
    #[error(
        "the log in files ends at position {end}, and that commit is not kept any more: start the service on \
         the data directory, make one change, stop it, and move again"
    )]
    EndMissing { end: Position },
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    pub commits: u64,
    pub last: Position,
}

#[derive(Debug)]
pub struct LogMove {
    stream: LogStream,
    store_id: String,
}

impl LogMove {
    pub fn new(client: Client, options: JetStreamLogOptions, store_id: &str) -> LogMove {
        LogMove {
            stream: LogStream::new(client, options),
            store_id: store_id.to_owned(),
        }
    }

    /// Makes the stream for a log whose first commit is at `first`, or finds it as a former run left it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn begin(&self, first: Position) -> Result<Begun, OpenError> {
        self.stream.begin(&self.store_id, first).await
    }

    /// Brings everything of `log` behind `after`, up to `end`, into the stream. `told` hears of each place
    /// that is taken for good.
    ///
    /// # Errors
    /// [`MoveError`]; where the stream stands then is seen by [`LogMove::begin`].
    pub async fn fill(
        &self,
        log: &dyn CommitLog,
        (after, end): (Position, Position),
        told: &mut (dyn FnMut(Position) + Send),
    ) -> Result<(), MoveError> {
        if log.read_one(end).await?.is_none() {
            return Err(MoveError::EndMissing { end });
        }
        let mut under_way = FuturesOrdered::new();
        let mut sent = after;
        while sent < end {
            for place in places(log, sent).await? {
                if under_way.len() == UNDER_WAY_MAX
                    && let Some(taken) = under_way.next().await
                {
                    told(taken?);
                }
                under_way.push_back(self.stream.put(&place, sent).await?);
                sent = place.position();
            }
        }
        while let Some(taken) = under_way.next().await {
            told(taken?);
        }
        self.stream.delete_fillers().await?;
        Ok(())
    }

    /// Of a log that was handed over before: that it is this one. It may have gone on since.
    ///
    /// # Errors
    /// [`MoveError::Differs`], or that one cannot be read.
    pub async fn holds(&self, log: &dyn CommitLog, end: Position) -> Result<(), MoveError> {
        let differs = Err(MoveError::Differs { position: end });
        if self.stream.standing().await?.last < end {
            return differs;
        }
        // Compaction may have dropped it there.
        match (log.read_one(end).await?, self.stream.at(end).await?) {
            (Some(own), Some(moved)) if own != moved.record => differs,
            (_, _) => Ok(()),
        }
    }

    /// Reads both again, commit by commit.
    ///
    /// # Errors
    /// [`MoveError::Differs`], or that one cannot be read.
    pub async fn compare(
        &self,
        log: &dyn CommitLog,
        told: &mut (dyn FnMut(Position) + Send),
    ) -> Result<Compared, MoveError> {
        let mut compared = Compared::default();
        loop {
            let page = log.read_after(compared.last, PAGE).await?;
            let Some(until) = page.last().map(|record| record.position) else {
                return Ok(compared);
            };
            let mut moved = VecDeque::new();
            while compared.last < until {
                let run = run_after(&self.stream, compared.last, until, PAGE).await?;
                compared.last = run.through;
                moved.extend(run.commits);
            }
            for record in &page {
                let position = record.position;
                match moved.pop_front() {
                    Some(stored) if stored.record == *record => compared.commits += 1,
                    Some(_) | None => return Err(MoveError::Differs { position }),
                }
            }
            if let Some(surplus) = moved.front() {
                let position = surplus.record.position;
                return Err(MoveError::Differs { position });
            }
            told(until);
        }
    }

    /// From here on nodes open the stream. `dropped_through` is up to where history may have gaps.
    ///
    /// # Errors
    /// [`MoveError::Stopped`].
    pub async fn hand_over(&self, dropped_through: Position) -> Result<(), MoveError> {
        let done = self.stream.hand_over(&self.store_id, dropped_through);
        Ok(done.await?)
    }
}

/// The places behind `after`, up to the last commit of a page.
async fn places(log: &dyn CommitLog, after: Position) -> Result<Vec<Place>, ReadError> {
    let page = log.read_after(after, PAGE).await?;
    let (mut places, mut next, mut last_filler) = (Vec::new(), after.next(), None);
    for record in page {
        while next < record.position {
            last_filler = Some(places.len());
            places.push(Place::Filler(next));
            next = next.next();
        }
        next = record.position.next();
        places.push(Place::Commit(record));
    }
    if let Some(last) = last_filler.and_then(|index| places.get_mut(index)) {
        *last = Place::LastFiller(last.position());
    }
    if places.is_empty() {
        let nothing = format!("no commit is kept behind {after}");
        return Err(ReadError::Io(nothing));
    }
    Ok(places)
}
