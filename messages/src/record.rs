//! The stored record of one commit: what the log keeps, and what everything else is rebuilt from.
//!
//! Layout, little-endian: a fixed header of [`HEADER_BYTES`] bytes, then one protobuf message.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..4 | length of the whole record in bytes |
//! | 4..6 | format, now [`FORMAT`] |
//! | 6 | kind: 1 created, 2 changed, 3 removed |
//! | 7 | who made the idempotency key: 1 the caller, 2 the service, 0 no key |
//! | 8..12 | epoch of the store when the commit was made |
//! | 12..16 | zero |
//! | 16..24 | position |
//! | 24..32 | previous position of the same user, 0 for none |
//! | 32..40 | version |
//! | 40..48 | time in microseconds since 1970 |
//! | 48..64 | key hash |
//! | 64..80 | request hash |
//! | 80.. | protobuf `RecordBody` |

use bytes::Bytes;
use prost::Message;

use crate::event::EventKind;
use crate::trace::TraceContext;
use crate::{
    Contact, Gender, OrgId, Position, ProfileFields, Timestamp, UserId, UserState, Version,
};

/// The format that this release writes. Every released one stays readable.
pub const FORMAT: u16 = 1;
pub const HEADER_BYTES: usize = 80;
/// Longest record in bytes: the fields are bounded (200 characters each), so this is never met.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;

/// First 16 bytes of an HMAC-SHA-256 keyed with the store's secret.
pub type Hash16 = [u8; 16];

/// Who chose an idempotency key: a generated one takes one of only four places in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyOrigin {
    Caller,
    Generated,
}

/// A commit's idempotency key, hashed over (caller, operation, target user, key).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommandKey {
    pub hash: Hash16,
    pub origin: KeyOrigin,
}

/// One commit as stored. `state` is the whole user after the change; `None` after a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub position: Position,
    /// Previous position of the same user; [`Position::NONE`] for the first commit.
    pub previous: Position,
    pub user: UserId,
    pub org: OrgId,
    pub version: Version,
    pub epoch: u32,
    pub at: Timestamp,
    pub kind: EventKind,
    pub key: Option<CommandKey>,
    pub request_hash: Hash16,
    /// The CloudEvent, byte for byte as the relay sends it.
    pub event: Bytes,
    /// Subject of the caller's token. Private: never in the event.
    pub actor: String,
    /// Issuer of the caller's token, empty for the one that owns the ids. Private too.
    pub actor_issuer: String,
    pub state: Option<UserState>,
    /// Where in a trace the command was: a header of the event, after a restart as well.
    pub trace: Option<TraceContext>,
}

/// Why stored bytes are not a record. Carries no stored value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error(
        "a record of format {0} was written by a newer release (this one knows up to {FORMAT})"
    )]
    Newer(u16),
    #[error("not a record: {0}")]
    Damaged(&'static str),
}

impl Record {
    /// Appends the encoded record to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let body = RecordBody {
            user: self.user.as_str().to_owned(),
            org: self.org.as_str().to_owned(),
            event: self.event.clone(),
            actor: self.actor.clone(),
            actor_issuer: self.actor_issuer.clone(),
            state: self.state.as_ref().map(StateBody::from_state),
            trace: self.trace.iter().flat_map(TraceContext::to_bytes).collect(),
            trace_state: self
                .trace
                .as_ref()
                .map_or("", TraceContext::tracestate)
                .to_owned(),
        };
        let length = u32::try_from(HEADER_BYTES + body.encoded_len()).unwrap_or(u32::MAX);
        let (origin, key) = match self.key {
            None => (0, [0; 16]),
            Some(CommandKey {
                hash,
                origin: KeyOrigin::Caller,
            }) => (1, hash),
            Some(CommandKey {
                hash,
                origin: KeyOrigin::Generated,
            }) => (2, hash),
        };
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.push(self.kind.number());
        out.push(origin);
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&0u32.to_le_bytes());
        out.extend_from_slice(&self.position.0.to_le_bytes());
        out.extend_from_slice(&self.previous.0.to_le_bytes());
        out.extend_from_slice(&self.version.0.to_le_bytes());
        out.extend_from_slice(&self.at.0.to_le_bytes());
        out.extend_from_slice(&key);
        out.extend_from_slice(&self.request_hash);
        out.extend_from_slice(&body.encode_to_vec());
    }

    /// Reads one record from the front of `bytes`; returns it and its length in bytes.
    ///
    /// # Errors
    /// [`RecordError::Newer`] for a later format, [`RecordError::Damaged`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<(Record, usize), RecordError> {
        let header = Header { bytes };
        let format = u16::from_le_bytes(header.at::<2>(4)?);
        if format > FORMAT {
            return Err(RecordError::Newer(format));
        }
        let length = u32::from_le_bytes(header.at::<4>(0)?) as usize;
        if format == 0 || !(HEADER_BYTES..=RECORD_BYTES_MAX).contains(&length) {
            return Err(RecordError::Damaged("length or format"));
        }
        let body = bytes
            .get(HEADER_BYTES..length)
            .ok_or(RecordError::Damaged("cut short"))?;
        let body = RecordBody::decode(body).map_err(|_| RecordError::Damaged("protobuf"))?;
        let [kind, origin] = header.at::<2>(6)?;
        let hash = header.at::<16>(48)?;
        let key = match origin {
            0 => None,
            1 => Some(CommandKey {
                hash,
                origin: KeyOrigin::Caller,
            }),
            2 => Some(CommandKey {
                hash,
                origin: KeyOrigin::Generated,
            }),
            _ => return Err(RecordError::Damaged("key origin")),
        };
        let record = Record {
            position: Position(u64::from_le_bytes(header.at(16)?)),
            previous: Position(u64::from_le_bytes(header.at(24)?)),
            user: UserId::parse(&body.user).map_err(|_| RecordError::Damaged("user id"))?,
            org: OrgId::parse(&body.org).map_err(|_| RecordError::Damaged("organization id"))?,
            version: Version(u64::from_le_bytes(header.at(32)?)),
            epoch: u32::from_le_bytes(header.at(8)?),
            at: Timestamp(i64::from_le_bytes(header.at(40)?)),
            kind: EventKind::from_number(kind).ok_or(RecordError::Damaged("kind"))?,
            key,
            request_hash: header.at(64)?,
            event: body.event,
            actor: body.actor,
            actor_issuer: body.actor_issuer,
            state: body.state.map(StateBody::into_state),
            // Telemetry: what cannot be read is none, and no reason to lose a commit.
            trace: TraceContext::from_bytes(&body.trace, &body.trace_state),
        };
        Ok((record, length))
    }
}

struct Header<'a> {
    bytes: &'a [u8],
}

impl Header<'_> {
    fn at<const N: usize>(&self, offset: usize) -> Result<[u8; N], RecordError> {
        let slice = self
            .bytes
            .get(offset..offset + N)
            .ok_or(RecordError::Damaged("cut short"))?;
        slice
            .try_into()
            .map_err(|_| RecordError::Damaged("cut short"))
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct RecordBody {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(string, tag = "2")]
    org: String,
    #[prost(bytes = "bytes", tag = "3")]
    event: Bytes,
    #[prost(string, tag = "4")]
    actor: String,
    #[prost(message, optional, tag = "5")]
    state: Option<StateBody>,
    #[prost(string, tag = "6")]
    actor_issuer: String,
    /// Added without a new format: a release that does not know the two passes them over.
    #[prost(bytes = "vec", tag = "7")]
    trace: Vec<u8>,
    #[prost(string, tag = "8")]
    trace_state: String,
}

/// A user's whole state as protobuf, inside records and current users alike.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StateBody {
    #[prost(string, tag = "1")]
    first_name: String,
    #[prost(string, tag = "2")]
    last_name: String,
    #[prost(string, tag = "3")]
    nick_name: String,
    #[prost(string, tag = "4")]
    display_name: String,
    #[prost(string, tag = "5")]
    preferred_language: String,
    #[prost(int32, tag = "6")]
    gender: i32,
    #[prost(string, tag = "7")]
    user_name: String,
    #[prost(string, tag = "8")]
    email: String,
    #[prost(bool, tag = "9")]
    email_verified: bool,
    #[prost(string, tag = "10")]
    phone: String,
    #[prost(bool, tag = "11")]
    phone_verified: bool,
    #[prost(int64, tag = "12")]
    created_at_us: i64,
}

impl StateBody {
    pub(crate) fn from_state(state: &UserState) -> StateBody {
        let UserState {
            fields,
            contact,
            created_at,
        } = state.clone();
        StateBody {
            first_name: fields.first_name,
            last_name: fields.last_name,
            nick_name: fields.nick_name,
            display_name: fields.display_name,
            preferred_language: fields.preferred_language,
            gender: fields.gender.number(),
            user_name: contact.user_name,
            email: contact.email,
            email_verified: contact.email_verified,
            phone: contact.phone,
            phone_verified: contact.phone_verified,
            created_at_us: created_at.0,
        }
    }

    pub(crate) fn into_state(self) -> UserState {
        UserState {
            fields: ProfileFields {
                first_name: self.first_name,
                last_name: self.last_name,
                nick_name: self.nick_name,
                display_name: self.display_name,
                preferred_language: self.preferred_language,
                gender: Gender::from_number(self.gender),
            },
            contact: Contact {
                user_name: self.user_name,
                email: self.email,
                email_verified: self.email_verified,
                phone: self.phone,
                phone_verified: self.phone_verified,
            },
            created_at: Timestamp(self.created_at_us),
        }
    }
}
