//! What was asked for and the stream no longer holds: read from the log, by `replay`.

use bytes::Bytes;
use profile_messages::Timestamp;
use profile_messages::event::CloudEvent;
use profile_messages::query::PAGE_ROWS_DEFAULT;
use profile_messages::reply::ReplayReply;

use super::Printing;
use super::origin::{Delivered, Kept};
use super::selection::Start;
use crate::args::{Global, ReplayArgs};
use crate::client::Connection;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{output, replay};

/// Times in the log grow with positions but for the clocks and threads of a service.
const TIMES_APART_US: i64 = 60_000_000;

/// Whether events were asked for that came before `first`, the first one that the stream delivers.
pub(super) fn is_missing(start: Start, kept: Kept, first: Option<&Delivered>) -> bool {
    let Some(cut_at) = kept.cut_at else {
        return false;
    };
    match start {
        Start::Live | Start::Stream => false,
        Start::Time(at) => at < cut_at,
        Start::Position(asked) => first
            .and_then(|first| first.position)
            .is_none_or(|position| position > asked),
        Start::Version(asked) => first
            .and_then(|first| output::decode::<CloudEvent>(&first.payload).ok())
            .is_none_or(|event| event.userversion > asked),
    }
}

/// Prints them. Where the log cannot be read, that is said, and the stream goes on.
///
/// # Errors
/// Only what ends the whole run: nobody reads the output.
pub(super) async fn print(
    connection: &mut Connection,
    printing: &mut Printing<'_>,
    bound: Option<u64>,
) -> Result<(), Failure> {
    output::note("the stream no longer holds all of it: reading the log");
    match replayed(connection, printing, bound).await {
        Ok(()) => Ok(()),
        Err(failure @ Failure::Output(_)) => Err(failure),
        Err(failure) => {
            output::note(&format!(
                "what the stream no longer holds is missing, since the log cannot be read: {failure}"
            ));
            Ok(())
        }
    }
}

/// Up to the position `bound`, which the stream holds, or to the end of the log.
async fn replayed(
    connection: &mut Connection,
    printing: &mut Printing<'_>,
    bound: Option<u64>,
) -> Result<(), Failure> {
    let mut log = Log {
        connection,
        global: printing.global,
    };
    let first = log.first(printing.selection.start).await?;
    let mut after = match (printing.selection.start, bound) {
        (Start::Time(at), Some(bound)) => log.before(at, first, bound).await?,
        (Start::Live | Start::Stream | Start::Position(_) | Start::Version(_), _)
        | (Start::Time(_), None) => first,
    };
    loop {
        let reply = log.page(after, None).await?;
        for replayed in &reply.events {
            if bound.is_some_and(|bound| replayed.position >= bound) || printing.left == 0 {
                return Ok(());
            }
            printing.print(&Delivered {
                position: Some(replayed.position),
                payload: Bytes::copy_from_slice(replayed.event.get().as_bytes()),
            })?;
        }
        after = reply.position;
        printing.through = after;
        if reply.end || bound.is_some_and(|bound| after >= bound) {
            return Ok(());
        }
    }
}

struct Log<'a> {
    connection: &'a mut Connection,
    global: &'a Global,
}

impl Log<'_> {
    async fn page(&mut self, after: u64, rows: Option<u64>) -> Result<ReplayReply, Failure> {
        let args = ReplayArgs {
            after,
            limit: rows,
            all: false,
        };
        replay::ask(self.connection, self.global, &args, after).await
    }

    /// The position to begin after: what the log has dropped cannot be asked for.
    async fn first(&mut self, start: Start) -> Result<u64, Failure> {
        let after = match start {
            Start::Position(asked) => asked.saturating_sub(1),
            Start::Live | Start::Stream | Start::Version(_) | Start::Time(_) => 0,
        };
        match self.page(after, Some(1)).await {
            Ok(_) => Ok(after),
            Err(failure) => match first_kept(&failure).filter(|kept| *kept > after) {
                Some(kept) => {
                    output::note(&format!(
                        "events before position {kept} are missing: the log no longer holds them either"
                    ));
                    Ok(kept - 1)
                }
                None => Err(failure),
            },
        }
    }

    /// A position after which every event since `at` is, by halving.
    async fn before(&mut self, at: Timestamp, first: u64, bound: u64) -> Result<u64, Failure> {
        let surely_before = Timestamp(at.0.saturating_sub(TIMES_APART_US));
        let (mut low, mut high) = (first, bound);
        while high.saturating_sub(low) > PAGE_ROWS_DEFAULT {
            let middle = low + (high - low) / 2;
            match self.next(middle, high).await? {
                Some((position, time)) if time < surely_before => low = position,
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }

    /// The next event that this caller may see, below `bound`.
    async fn next(&mut self, after: u64, bound: u64) -> Result<Option<(u64, Timestamp)>, Failure> {
        let mut after = after;
        loop {
            let reply = self.page(after, None).await?;
            if let Some(replayed) = reply.events.first() {
                let event: CloudEvent = output::decode(replayed.event.get().as_bytes())?;
                let found = (replayed.position < bound).then_some((replayed.position, event.time));
                return Ok(found);
            }
            after = reply.position;
            if reply.end || after >= bound {
                return Ok(None);
            }
        }
    }
}

fn first_kept(failure: &Failure) -> Option<u64> {
    let Failure::Answer { status, .. } = failure else {
        return None;
    };
    let position = status.info()?.position.as_ref()?;
    position
        .parse()
        .ok()
        .filter(|_| failure.exit() == Exit::Other)
}
