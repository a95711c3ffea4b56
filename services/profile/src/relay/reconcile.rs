//! What the relay does before it publishes: it looks where the stream stands, compares, and decides
//! where to go on. Stream sequence and log position are the same number, so one look is enough.

use profile_messages::Position;

use super::stream::{StreamError, StreamState};

/// Why the relay stops for good: somebody has to look. Names sequences and ids, never a payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "the relay's cursor is at {cursor}, the commit log ends at {end}: the log lost its end or \
         the directory was put together from two backups. Restore the data directory as a whole"
    )]
    CursorAhead { cursor: Position, end: Position },
    #[error(
        "removals are marked as carried out up to {erased}, the commit log ends at {end}: the log lost \
         its end or the directory was put together from two backups. Restore the data directory as a \
         whole"
    )]
    ErasedAhead { erased: Position, end: Position },
    #[error(
        "the event stream is at sequence {last}, the commit log ends at {end}: the log lost its end, \
         an old data directory is in use, or somebody else publishes events. Use the newest data \
         directory, or restore a backup with the restore command, which raises the epoch"
    )]
    StreamAhead { last: u64, end: Position },
    #[error(
        "the message at sequence {sequence} of the event stream is not the event of the commit log \
         ({what}): somebody else publishes to the stream. Take that permission away, then delete the \
         stream: it is made again from the log"
    )]
    Forged { sequence: u64, what: &'static str },
    #[error("the commit log has no commit after {after}, up to {until}, that was never relayed")]
    LogGap { after: Position, until: Position },
    #[error("the commit log cannot be read: {0}")]
    LogDamaged(String),
    #[error("{0}")]
    Stream(String),
    #[error("its task ended by itself, the log says why: this is a bug")]
    Ended,
}

/// Why the relay does not go on right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Look again, later.
    Later(String),
    /// The server cannot hold the stream: final at start-up, else like `Later`.
    Unsupported(String),
    Refused(Refusal),
}

impl From<StreamError> for Trouble {
    fn from(error: StreamError) -> Trouble {
        match error {
            StreamError::Unavailable(text) | StreamError::Surprise(text) => Trouble::Later(text),
            StreamError::Unsupported(text) => Trouble::Unsupported(text),
            StreamError::Refused(text) => Trouble::Refused(Refusal::Stream(text)),
        }
    }
}

/// What is to be done, given cursor, stream and log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// There is no stream: make it, and fill it again from as far back as it keeps events.
    Create,
    /// The stream lost what it had acknowledged after `last`, or is new and empty: compare the message
    /// there, if it is still kept, and send again up to `through` what was acknowledged before.
    Refill {
        last: u64,
        through: Position,
    },
    /// Compare the messages `from..=to`, if there are any, and go on behind `to`.
    Adopt {
        from: u64,
        to: u64,
    },
    Refuse(Refusal),
}

/// The decision. `cursor` is the last position known to be acknowledged, `end` the end of the log,
/// read before the stream was looked at.
pub fn plan(cursor: Option<Position>, stream: Option<StreamState>, end: Position) -> Plan {
    if let Some(cursor) = cursor
        && cursor > end
    {
        return Plan::Refuse(Refusal::CursorAhead { cursor, end });
    }
    let Some(StreamState { first, last }) = stream else {
        return Plan::Create;
    };
    if last > end.0 {
        return Plan::Refuse(Refusal::StreamAhead { last, end });
    }
    match cursor {
        Some(through) if last < through.0 => Plan::Refill { last, through },
        // The message at the cursor too: a stream that was made anew is seen by it.
        Some(cursor) => Plan::Adopt {
            from: cursor.0.max(first),
            to: last,
        },
        // Made by an operator, or wiped: with the cursor gone too, all may have been acknowledged.
        None if last == 0 => Plan::Refill { last, through: end },
        None => Plan::Adopt {
            from: first,
            to: last,
        },
    }
}

#[cfg(test)]
mod tests;
