//! The current view's entry of one user: the newest record without its event, and the commands that a
//! repetition would meet. Folded from records; the log can always rebuild it.

use prost::Message;

use crate::event::EventKind;
use crate::record::{CommandKey, Hash16, KeyOrigin, Record, RecordError, StateBody};
use crate::{OrgId, Position, Timestamp, UserId, UserState, Version};

/// Format of a stored [`CurrentUser`].
pub const CURRENT_FORMAT: u32 = 1;
/// How many commands with a caller's key are remembered per user.
pub const CALLER_KEYS_KEPT_MAX: usize = 16;
/// How many commands with a generated key are remembered per user, beside those.
pub const GENERATED_KEYS_KEPT_MAX: usize = 4;
/// How long a command is remembered, in microseconds.
pub const KEYS_KEPT_US_MAX: i64 = 24 * 60 * 60 * 1_000_000;

/// A committed command that a repetition of its key is answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentCommand {
    pub key: CommandKey,
    pub request_hash: Hash16,
    pub kind: EventKind,
    pub version: Version,
    pub at: Timestamp,
}

/// What is known of one user now. `state` is `None` for a removed user, whose id is never reused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentUser {
    pub user: UserId,
    pub org: OrgId,
    pub version: Version,
    pub position: Position,
    pub epoch: u32,
    /// Time of the newest commit (`changeDate`).
    pub at: Timestamp,
    pub state: Option<UserState>,
    /// Oldest first.
    pub recent: Vec<RecentCommand>,
}

impl CurrentUser {
    /// The entry after `record`, given the one before it. Idempotent: a record at or below the entry's
    /// position changes nothing.
    #[must_use]
    pub fn fold(before: Option<&CurrentUser>, record: &Record) -> CurrentUser {
        if let Some(before) = before
            && record.position <= before.position
        {
            return before.clone();
        }
        let recent = before
            .map(|before| before.recent.clone())
            .unwrap_or_default();
        CurrentUser {
            user: record.user.clone(),
            org: record.org.clone(),
            version: record.version,
            position: record.position,
            epoch: record.epoch,
            at: record.at,
            state: record.state.clone(),
            recent: remember(recent, record),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let body = CurrentBody {
            format: CURRENT_FORMAT,
            user: self.user.as_str().to_owned(),
            org: self.org.as_str().to_owned(),
            version: self.version.0,
            position: self.position.0,
            epoch: self.epoch,
            at_us: self.at.0,
            state: self.state.as_ref().map(StateBody::from_state),
            recent: self.recent.iter().map(RecentBody::from_recent).collect(),
        };
        body.encode_to_vec()
    }

    /// # Errors
    /// [`RecordError`] when the bytes are not an entry that this release knows.
    pub fn decode(bytes: &[u8]) -> Result<CurrentUser, RecordError> {
        let body = CurrentBody::decode(bytes).map_err(|_| RecordError::Damaged("protobuf"))?;
        if body.format > CURRENT_FORMAT {
            return Err(RecordError::Newer(
                u16::try_from(body.format).unwrap_or(u16::MAX),
            ));
        }
        if body.format == 0 {
            return Err(RecordError::Damaged("format"));
        }
        Ok(CurrentUser {
            user: UserId::parse(&body.user).map_err(|_| RecordError::Damaged("user id"))?,
            org: OrgId::parse(&body.org).map_err(|_| RecordError::Damaged("organization id"))?,
            version: Version(body.version),
            position: Position(body.position),
            epoch: body.epoch,
            at: Timestamp(body.at_us),
            state: body.state.map(StateBody::into_state),
            recent: body
                .recent
                .iter()
                .map(RecentBody::to_recent)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The table after `record`: the newest 16 of the caller's keys and the newest 4 generated ones, none
/// older than 24 h.
pub fn remember(mut recent: Vec<RecentCommand>, record: &Record) -> Vec<RecentCommand> {
    let (now, request_hash, kind) = (record.at, record.request_hash, record.kind);
    if let Some(key) = record.key {
        recent.push(RecentCommand {
            key,
            request_hash,
            kind,
            version: record.version,
            at: now,
        });
    }
    let (mut caller, mut generated) = (CALLER_KEYS_KEPT_MAX, GENERATED_KEYS_KEPT_MAX);
    let mut newest_first: Vec<RecentCommand> = recent
        .into_iter()
        .rev()
        .filter(|command| now.0.saturating_sub(command.at.0) <= KEYS_KEPT_US_MAX)
        .filter(|command| {
            let places = match command.key.origin {
                KeyOrigin::Caller => &mut caller,
                KeyOrigin::Generated => &mut generated,
            };
            let fits = *places > 0;
            *places = places.saturating_sub(1);
            fits
        })
        .collect();
    newest_first.reverse();
    newest_first
}

#[derive(Clone, PartialEq, prost::Message)]
struct CurrentBody {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(string, tag = "2")]
    user: String,
    #[prost(string, tag = "3")]
    org: String,
    #[prost(uint64, tag = "4")]
    version: u64,
    #[prost(uint64, tag = "5")]
    position: u64,
    #[prost(uint32, tag = "6")]
    epoch: u32,
    #[prost(int64, tag = "7")]
    at_us: i64,
    #[prost(message, optional, tag = "8")]
    state: Option<StateBody>,
    #[prost(message, repeated, tag = "9")]
    recent: Vec<RecentBody>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RecentBody {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bool, tag = "2")]
    generated: bool,
    #[prost(bytes = "vec", tag = "3")]
    request: Vec<u8>,
    #[prost(uint32, tag = "4")]
    kind: u32,
    #[prost(uint64, tag = "5")]
    version: u64,
    #[prost(int64, tag = "6")]
    at_us: i64,
}

impl RecentBody {
    fn from_recent(recent: &RecentCommand) -> RecentBody {
        RecentBody {
            key: recent.key.hash.to_vec(),
            generated: recent.key.origin == KeyOrigin::Generated,
            request: recent.request_hash.to_vec(),
            kind: u32::from(recent.kind.number()),
            version: recent.version.0,
            at_us: recent.at.0,
        }
    }

    fn to_recent(&self) -> Result<RecentCommand, RecordError> {
        let hash = |bytes: &[u8]| bytes.try_into().map_err(|_| RecordError::Damaged("hash"));
        let origin = if self.generated {
            KeyOrigin::Generated
        } else {
            KeyOrigin::Caller
        };
        let kind = u8::try_from(self.kind)
            .ok()
            .and_then(EventKind::from_number);
        Ok(RecentCommand {
            key: CommandKey {
                hash: hash(&self.key)?,
                origin,
            },
            request_hash: hash(&self.request)?,
            kind: kind.ok_or(RecordError::Damaged("kind"))?,
            version: Version(self.version),
            at: Timestamp(self.at_us),
        })
    }
}
