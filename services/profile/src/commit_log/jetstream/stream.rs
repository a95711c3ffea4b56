//! The calls of one stream of the log: every read asks the leader, every write names what it expects.

mod filling;

use std::sync::Arc;
use std::time::Duration;

use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_EXPECTED_STREAM};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RawMessage, StorageType};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use profile_messages::record::Record;
use profile_messages::subject::{log_stream, log_subject, log_subjects};
use profile_messages::{Position, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

pub use filling::Begun;
pub(super) use filling::Place;

use super::{IfMissing, JetStreamLogOptions, SERVER_MIN};
use crate::commit_log::ReadError;
use crate::jetstream::{Api, Unanswered};

const STORE_ID: &str = "profile-store-id";
const DROPPED_THROUGH: &str = "profile-dropped-through";

/// Another write to the subject is under way; only nats-server knows how it ends.
const WRITE_IN_PROCESS: ErrorCode = ErrorCode(10164);
/// Refusals that pass by themselves, each given before anything is written: a leader that was just
/// elected, a cluster without one, a queue that is full.
const LATER: [ErrorCode; 4] = [
    ErrorCode(10163),
    ErrorCode(10008),
    ErrorCode(10167),
    ErrorCode(10158),
];

/// Why the log was not opened: each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the commit log cannot be reached: {0}")]
    Unanswered(#[from] Unanswered),
    #[error(
        "nats-server {version} is too old for the commit log: run {}.{} or newer",
        SERVER_MIN.0,
        SERVER_MIN.1
    )]
    TooOld { version: String },
    #[error(
        "the stream {stream} belongs to the store {found}, this data directory to {own}: two services \
         share a bus that should not, or the data directory is another one's"
    )]
    OtherStore {
        stream: String,
        found: String,
        own: String,
    },
    #[error(
        "a log is being moved into the stream {stream}: let `profilectl migrate` come to its end, or start it \
         again"
    )]
    Unfinished { stream: String },
    #[error(
        "the stream {stream} of the commit log is gone, and it held this store's commits: stop all nodes and \
         restore it from a backup together with PROFILE_CLUSTER and PROFILE_EVENTS (docs/scale-out.md)"
    )]
    Gone { stream: String },
    #[error("the stream {stream} of the commit log: {text}")]
    Refused { stream: String, text: String },
    #[error("no thread for the commit log: {0}")]
    Thread(#[from] std::io::Error),
}

/// What came of one attempt to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Written(Position),
    /// The subject is not where it was expected to be.
    Fenced,
    /// Certainly not written; a later attempt may be.
    Refused(String),
    /// Nothing was heard, or nothing that is known to mean "not written".
    Unheard(String),
}

/// A commit as it was found in the stream.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) record: Arc<Record>,
    /// Of the encoded record, for the limits of a read.
    pub(super) bytes: usize,
}

/// Where the stream stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) last: Position,
    /// When the stream was made, in nanoseconds since 1970: another one is another stream.
    pub(super) created_ns: i128,
    pub(super) dropped_through: Position,
}

#[derive(Deserialize)]
struct GetMessage {
    message: RawMessage,
}

#[derive(Deserialize)]
struct Deleted {
    success: bool,
}

#[derive(Debug)]
pub(super) struct LogStream {
    api: Api,
    name: String,
    options: JetStreamLogOptions,
}

impl LogStream {
    pub(super) fn new(client: Client, options: JetStreamLogOptions) -> LogStream {
        LogStream {
            api: Api::new(client, &options.api_prefix, options.answer_within),
            name: log_stream(options.partition),
            options,
        }
    }

    pub(super) fn client(&self) -> &Client {
        self.api.client()
    }

    pub(super) fn lost_after(&self) -> Duration {
        self.options.lost_after
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn open(&self, store_id: &str) -> Result<Standing, OpenError> {
        let too_old = |version| OpenError::TooOld { version };
        self.api.check_server(SERVER_MIN)?.map_err(too_old)?;
        let call = format!("STREAM.INFO.{}", self.name);
        let info = match self.api.call::<Info>(&call, &json!({})).await? {
            Ok(info) => info,
            Err(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                match self.options.if_missing {
                    IfMissing::Make => self.create(store_id).await?,
                    IfMissing::Refuse => {
                        let stream = self.name.clone();
                        return Err(OpenError::Gone { stream });
                    }
                }
            }
            Err(error) => return Err(self.refused(&error)),
        };
        let found = info.config.metadata.get(STORE_ID);
        if found.map(String::as_str) != Some(store_id) {
            let stream = self.name.clone();
            if info.config.metadata.contains_key(filling::MOVING) {
                return Err(OpenError::Unfinished { stream });
            }
            return Err(OpenError::OtherStore {
                stream,
                found: found.map_or("nobody", String::as_str).to_owned(),
                own: store_id.to_owned(),
            });
        }
        Ok(standing(&info))
    }

    async fn create(&self, store_id: &str) -> Result<Info, OpenError> {
        let config = self.wanted(store_id);
        let call = format!("STREAM.CREATE.{}", self.name);
        let created = self.api.call::<Info>(&call, &config).await?;
        created.map_err(|error| self.refused(&error))
    }

    /// The configuration of a store's log.
    fn wanted(&self, store_id: &str) -> Config {
        Config {
            name: self.name.clone(),
            subjects: vec![log_subjects(self.options.partition)],
            storage: StorageType::File,
            // Nothing may go by itself: a full stream refuses commits.
            discard: DiscardPolicy::New,
            deny_purge: true,
            num_replicas: self.options.replicas,
            metadata: [(STORE_ID.to_owned(), store_id.to_owned())].into(),
            ..Config::default()
        }
    }

    fn refused(&self, error: &async_nats::jetstream::Error) -> OpenError {
        if LATER.contains(&error.error_code()) {
            return OpenError::Unanswered(Unanswered::Unheard(error.to_string()));
        }
        OpenError::Refused {
            stream: self.name.clone(),
            text: error.to_string(),
        }
    }

    pub(super) async fn standing(&self) -> Result<Standing, ReadError> {
        Ok(standing(&self.info().await?))
    }

    async fn info(&self) -> Result<Info, ReadError> {
        let call = format!("STREAM.INFO.{}", self.name);
        let info = self.api.call::<Info>(&call, &json!({})).await;
        info.map_err(unreachable)?.map_err(unreachable)
    }

    /// Tells all nodes that history up to `position` may have gaps from now on.
    pub(super) async fn drop_through(&self, position: Position) -> Result<(), ReadError> {
        let mut config = self.info().await?.config;
        let metadata = &mut config.metadata;
        metadata.insert(DROPPED_THROUGH.to_owned(), position.to_string());
        let call = format!("STREAM.UPDATE.{}", self.name);
        let updated = self.api.call::<Info>(&call, &config).await;
        updated.map_err(unreachable)?.map_err(unreachable)?;
        Ok(())
    }

    /// Publishes one encoded record if the user's newest commit is at `expected`.
    pub(super) async fn publish(
        &self,
        user: &UserId,
        record: Bytes,
        expected: Position,
    ) -> Attempt {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_STREAM, self.name.as_str());
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        let subject = log_subject(self.options.partition, user);
        let reply = match self.api.send(subject, headers, record).await {
            Ok(reply) => reply.await,
            Err(unanswered) => Err(unanswered),
        };
        match reply {
            Ok(reply) => answered(&reply.payload),
            Err(unheard @ Unanswered::Unheard(_)) => Attempt::Unheard(unheard.to_string()),
            Err(never @ (Unanswered::NotSent(_) | Unanswered::NoResponders)) => {
                Attempt::Refused(never.to_string())
            }
        }
    }

    /// The commit at exactly this position.
    pub(super) async fn at(&self, position: Position) -> Result<Option<Stored>, ReadError> {
        self.get(&json!({ "seq": position.0 })).await
    }

    /// The first commit at or behind this position.
    pub(super) async fn first_from(&self, position: Position) -> Result<Option<Stored>, ReadError> {
        let all = log_subjects(self.options.partition);
        self.get(&json!({ "seq": position.0, "next_by_subj": all }))
            .await
    }

    /// The newest commit of a user, or of all.
    pub(super) async fn newest(&self, user: Option<&UserId>) -> Result<Option<Stored>, ReadError> {
        // All subjects by one word: the server then looks at the last message only.
        let subject = match user {
            Some(user) => log_subject(self.options.partition, user),
            None => ">".to_owned(),
        };
        self.get(&json!({ "last_by_subj": subject })).await
    }

    async fn get(&self, wanted: &Value) -> Result<Option<Stored>, ReadError> {
        let call = format!("STREAM.MSG.GET.{}", self.name);
        let found = self.api.call::<GetMessage>(&call, wanted).await;
        let found = match found.map_err(unreachable)? {
            Ok(found) => found.message,
            Err(error) if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => return Ok(None),
            Err(error) => return Err(unreachable(error)),
        };
        let sequence = found.sequence;
        let message = StreamMessage::try_from(found).map_err(unreachable)?;
        self.stored(sequence, &message.subject, &message.payload)
            .map(Some)
    }

    /// A message as a commit. The record does not know its position: the stream gives it.
    pub(super) fn stored(
        &self,
        sequence: u64,
        subject: &str,
        payload: &[u8],
    ) -> Result<Stored, ReadError> {
        let damaged = |what: String| ReadError::Damaged {
            place: format!("message {sequence} of {}", self.name),
            what,
        };
        let (mut record, bytes) =
            Record::decode(payload).map_err(|error| damaged(error.to_string()))?;
        if bytes != payload.len() || subject != log_subject(self.options.partition, &record.user) {
            return Err(damaged("it is not what its subject says".to_owned()));
        }
        record.position = Position(sequence);
        Ok(Stored {
            record: Arc::new(record),
            bytes,
        })
    }

    /// Deletes one commit for good: its bytes are overwritten.
    pub(super) async fn delete(&self, position: Position) -> Result<(), ReadError> {
        let call = format!("STREAM.MSG.DELETE.{}", self.name);
        let wanted = json!({ "seq": position.0, "no_erase": false });
        let deleted = self.api.call::<Deleted>(&call, &wanted).await;
        match deleted.map_err(unreachable)? {
            Ok(Deleted { success: true }) => Ok(()),
            Ok(Deleted { success: false }) => Err(unreachable("not deleted")),
            Err(error) if error.error_code() == ErrorCode::SEQUENCE_NOT_FOUND => Ok(()),
            // Also what the server says of a message that is gone already.
            Err(error) => match self.at(position).await? {
                None => Ok(()),
                Some(_) => Err(unreachable(error)),
            },
        }
    }
}

fn standing(info: &Info) -> Standing {
    let dropped = info.config.metadata.get(DROPPED_THROUGH);
    let dropped = dropped.and_then(|text| text.parse().ok());
    Standing {
        last: Position(info.state.last_sequence),
        created_ns: info.created.unix_timestamp_nanos(),
        dropped_through: Position(dropped.unwrap_or_default()),
    }
}

fn answered(payload: &Bytes) -> Attempt {
    match serde_json::from_slice::<Response<PublishAck>>(payload) {
        Ok(Response::Ok(ack)) => Attempt::Written(Position(ack.sequence)),
        Ok(Response::Err { error }) => match error.error_code() {
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE => Attempt::Fenced,
            // A conflict too, but the head to tell is not there yet: the next attempt meets it.
            WRITE_IN_PROCESS => Attempt::Refused(error.to_string()),
            code if LATER.contains(&code) => Attempt::Refused(error.to_string()),
            _ => Attempt::Unheard(error.to_string()),
        },
        Err(_) => Attempt::Unheard("an answer that is no ack".to_owned()),
    }
}

pub(super) fn unreachable(error: impl std::fmt::Display) -> ReadError {
    ReadError::Io(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: u64) -> Attempt {
        let error = json!({ "error": { "code": 400, "err_code": code, "description": "as said" } });
        answered(&Bytes::from(error.to_string()))
    }

    #[test]
    fn only_a_fence_is_a_conflict_and_only_what_is_known_is_certainly_not_written() {
        assert_eq!(refusal(10071), Attempt::Fenced);
        for code in [10164, 10163, 10008, 10167] {
            assert!(matches!(refusal(code), Attempt::Refused(_)), "{code}");
        }
        for code in [10077, 10202] {
            assert!(matches!(refusal(code), Attempt::Unheard(_)), "{code}");
        }
        let nonsense = answered(&Bytes::from_static(b"+OK"));
        assert!(matches!(nonsense, Attempt::Unheard(_)));
    }
}
