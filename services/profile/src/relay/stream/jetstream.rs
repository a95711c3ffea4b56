//! The event stream in JetStream.

mod config;

use std::time::Duration;

use async_nats::header::{NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, Info, RawMessage};
use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use profile_messages::Position;
use profile_messages::envelope::{POSITION, TRACEPARENT, TRACESTATE};
use profile_messages::event::CONTENT_TYPE;
use profile_messages::subject::EVENT_STREAM;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Ack, AckFuture, Erasure, EventStream, READ_MESSAGES_MAX, StreamError, StreamState};
use crate::jetstream::{Api, Unanswered};
use crate::relay::message::{EventMessage, WITHHELD};
pub use config::{METADATA_EPOCH, METADATA_STORE_ID};

/// The oldest nats-server that can hold the stream: metadata and `first_seq` came with it.
const SERVER_MIN: (i64, i64) = (2, 10);
/// Reads that are under way at a time.
const READS_IN_FLIGHT_MAX: usize = 64;

/// How the stream is made and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// How long events are kept; zero for ever.
    pub max_age: Duration,
    /// Beyond this the oldest events go; 0 for no limit.
    pub bytes_max: u64,
    pub replicas: usize,
    /// How long the stream remembers message ids; at most `max_age`.
    pub duplicate_window: Duration,
    /// `$JS.API`, or `$JS.<domain>.API`.
    pub api_prefix: String,
    /// How long the acknowledgement of one message is awaited.
    pub ack_timeout: Duration,
}

impl Default for StreamOptions {
    fn default() -> Self {
        StreamOptions {
            max_age: Duration::from_secs(7 * 24 * 60 * 60),
            bytes_max: 0,
            replicas: 1,
            duplicate_window: Duration::from_secs(120),
            api_prefix: "$JS.API".to_owned(),
            ack_timeout: Duration::from_secs(5),
        }
    }
}

/// PROFILE_EVENTS on a nats-server. Every read and every look asks the stream's leader.
#[derive(Debug)]
pub struct JetStreamEvents {
    api: Api,
    options: StreamOptions,
    store_id: String,
    epoch: u32,
}

#[derive(Deserialize)]
struct GetMessage {
    message: RawMessage,
}

impl GetMessage {
    fn into_message(self) -> Result<(u64, EventMessage), StreamError> {
        let sequence = self.message.sequence;
        let message = StreamMessage::try_from(self.message)
            .map_err(|error| unavailable(&format!("message {sequence}: {error}")))?;
        Ok((sequence, event_message(message)))
    }
}

#[derive(Deserialize)]
struct Deleted {
    success: bool,
}

impl JetStreamEvents {
    pub fn new(client: Client, options: StreamOptions, store_id: &str, epoch: u32) -> Self {
        JetStreamEvents {
            api: Api::new(client, &options.api_prefix, options.ack_timeout),
            options,
            store_id: store_id.to_owned(),
            epoch,
        }
    }

    /// Where the stream stands and the epoch in its metadata, and changes nothing; `None` when there is
    /// no stream.
    ///
    /// # Errors
    /// [`StreamError::Refused`] when it is another store's.
    pub async fn look(&self) -> Result<Option<(StreamState, u32)>, StreamError> {
        self.check_server()?;
        let Some(info) = self.info().await? else {
            return Ok(None);
        };
        config::check_owner(&info, &self.store_id, self.epoch)?;
        Ok(Some((state(&info), config::epoch_of(&info))))
    }

    async fn info(&self) -> Result<Option<Info>, StreamError> {
        let call = format!("STREAM.INFO.{EVENT_STREAM}");
        match self.api::<Info>(&call, &json!({})).await? {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            Err(error) => Err(api_error("looking at the event stream", &error)),
        }
    }

    /// One call of the JetStream API.
    async fn api<T: DeserializeOwned>(
        &self,
        call: &str,
        body: &impl Serialize,
    ) -> Result<Result<T, async_nats::jetstream::Error>, StreamError> {
        let answer = self.api.call(call, body).await;
        answer.map_err(|unanswered| match unanswered {
            Unanswered::NoResponders => no_jetstream(),
            Unanswered::NotSent(_) | Unanswered::Unheard(_) => unanswered.into(),
        })
    }

    /// Limits that the server does not take now leave a stream that is ours all the same: the events
    /// go on under the old ones, and the next look tries again.
    async fn updated(&self, info: Info, wanted: &Config) -> Result<Info, StreamError> {
        match self.apply("UPDATE", wanted).await {
            Err(StreamError::Unavailable(why)) => {
                tracing::warn!(why, "the event stream keeps its old limits for now");
                Ok(info)
            }
            updated => updated,
        }
    }

    async fn apply(&self, call: &str, config: &Config) -> Result<Info, StreamError> {
        self.api(&format!("STREAM.{call}.{EVENT_STREAM}"), config)
            .await?
            .map_err(|error| {
                let advice = no_room(&error, config.max_bytes);
                api_error(
                    &format!("the stream {EVENT_STREAM}: {call}{advice}"),
                    &error,
                )
            })
    }

    async fn read_one(&self, sequence: u64) -> Result<Option<(u64, EventMessage)>, StreamError> {
        let call = format!("STREAM.MSG.GET.{EVENT_STREAM}");
        match self
            .api::<GetMessage>(&call, &json!({ "seq": sequence }))
            .await?
        {
            Ok(found) => found.into_message().map(Some),
            Err(error) if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
            Err(error) => Err(api_error(&format!("message {sequence}"), &error)),
        }
    }

    fn check_server(&self) -> Result<(), StreamError> {
        let (major, minor) = SERVER_MIN;
        self.api.check_server(SERVER_MIN)?.map_err(|version| {
            StreamError::Unsupported(format!(
                "nats-server {version} cannot hold the event stream: run {major}.{minor} or newer"
            ))
        })
    }
}

#[async_trait]
impl EventStream for JetStreamEvents {
    async fn inspect(&self) -> Result<Option<StreamState>, StreamError> {
        self.check_server()?;
        let Some(info) = self.info().await? else {
            return Ok(None);
        };
        config::check_owner(&info, &self.store_id, self.epoch)?;
        // Its epoch stays until the stream was compared with the log.
        let epoch = config::epoch_of(&info);
        let (wanted, changes) = config::updated(&info.config, &self.options, &self.store_id, epoch);
        let info = if changes.is_empty() {
            info
        } else {
            tracing::info!(stream = EVENT_STREAM, ?changes, "updating the event stream");
            self.updated(info, &wanted).await?
        };
        Ok(Some(state(&info)))
    }

    async fn take_over(&self) -> Result<(), StreamError> {
        let Some(info) = self.info().await? else {
            return Err(StreamError::Surprise("the event stream is gone".to_owned()));
        };
        config::check_owner(&info, &self.store_id, self.epoch)?;
        if config::epoch_of(&info) == self.epoch {
            return Ok(());
        }
        tracing::info!(
            stream = EVENT_STREAM,
            epoch = self.epoch,
            "a new epoch of the event stream"
        );
        let mut wanted = info.config;
        config::set_owner(&mut wanted, &self.store_id, self.epoch);
        self.apply("UPDATE", &wanted).await.map(drop)
    }

    async fn create(&self, first_sequence: u64) -> Result<(), StreamError> {
        let mut config = config::wanted(&self.options, &self.store_id, self.epoch);
        config.first_sequence = Some(first_sequence);
        self.apply("CREATE", &config).await?;
        Ok(())
    }

    async fn read(&self, from: u64, to: u64) -> Result<Vec<(u64, EventMessage)>, StreamError> {
        let to = to.min(from.saturating_add(READ_MESSAGES_MAX - 1));
        stream::iter(from..=to)
            .map(|sequence| self.read_one(sequence))
            .buffered(READS_IN_FLIGHT_MAX)
            .try_filter_map(|found| async move { Ok(found) })
            .try_collect()
            .await
    }

    async fn publish(
        &self,
        message: EventMessage,
        expected_last: u64,
    ) -> Result<AckFuture, StreamError> {
        let headers = headers(&message, expected_last);
        let reply = self
            .api
            .send(message.subject, headers, message.payload)
            .await?;
        Ok(Box::pin(async move { ack(&reply.await?.payload) }))
    }

    async fn find(
        &self,
        subject: &str,
        from: u64,
    ) -> Result<Option<(u64, EventMessage)>, StreamError> {
        let call = format!("STREAM.MSG.GET.{EVENT_STREAM}");
        let wanted = json!({ "seq": from, "next_by_subj": subject });
        match self.api::<GetMessage>(&call, &wanted).await? {
            Ok(found) => found.into_message().map(Some),
            Err(error) if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
            Err(error) => Err(api_error("looking for a removed user's events", &error)),
        }
    }

    async fn erase(&self, sequence: u64) -> Result<Erasure, StreamError> {
        let call = format!("STREAM.MSG.DELETE.{EVENT_STREAM}");
        let wanted = json!({ "seq": sequence, "no_erase": false });
        let error = match self.api::<Deleted>(&call, &wanted).await? {
            Ok(Deleted { success: true }) => return Ok(Erasure::Erased),
            Ok(Deleted { success: false }) => return Err(unavailable("DELETE: no success")),
            Err(error) => error,
        };
        match error.error_code() {
            ErrorCode::SEQUENCE_NOT_FOUND => Ok(Erasure::AlreadyGone),
            // One code for "expired meanwhile", for "not permitted" (`deny_delete`) and for more.
            ErrorCode::STREAM_MESSAGE_DELETE_FAILED => match self.read_one(sequence).await? {
                None => Ok(Erasure::AlreadyGone),
                Some(_) => Err(StreamError::Refused(format!(
                    "message {sequence} cannot be deleted: {error}"
                ))),
            },
            _ => Err(api_error(&format!("message {sequence}: DELETE"), &error)),
        }
    }
}

fn state(info: &Info) -> StreamState {
    StreamState {
        first: info.state.first_sequence,
        last: info.state.last_sequence,
    }
}

fn headers(message: &EventMessage, expected_last: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_STREAM, EVENT_STREAM);
    headers.insert(NATS_EXPECTED_LAST_SEQUENCE, expected_last.to_string());
    if let Some(id) = &message.id {
        headers.insert(NATS_MESSAGE_ID, id.as_str());
    }
    if let Some(position) = message.position {
        headers.insert(POSITION, position.to_string());
    }
    if let Some(trace) = &message.trace {
        headers.insert(TRACEPARENT, trace.traceparent());
        if !trace.tracestate().is_empty() {
            headers.insert(TRACESTATE, trace.tracestate());
        }
    }
    if message.withheld {
        headers.insert(WITHHELD, "1");
    } else {
        headers.insert("Content-Type", CONTENT_TYPE);
    }
    headers
}

fn event_message(stored: StreamMessage) -> EventMessage {
    let header = |name: &str| stored.headers.get(name).map(|value| value.as_str());
    let position = header(POSITION).and_then(|text| text.parse().ok());
    EventMessage {
        id: stored
            .headers
            .get(NATS_MESSAGE_ID)
            .map(|id| id.as_str().to_owned()),
        position: position.map(Position),
        withheld: header(WITHHELD).is_some(),
        subject: stored.subject.to_string(),
        payload: stored.payload,
        trace: None,
    }
}

/// Every refusal of a message is a surprise: what to do is seen by looking at the stream, not by the
/// code (10071 and 10164 for a sequence, 10163, 10008 and 10167 for "later", and more to come).
fn ack(payload: &Bytes) -> Result<Ack, StreamError> {
    match serde_json::from_slice::<Response<PublishAck>>(payload) {
        Ok(Response::Ok(ack)) => Ok(Ack {
            sequence: ack.sequence,
            duplicate: ack.duplicate,
        }),
        Ok(Response::Err { error }) => Err(StreamError::Surprise(error.to_string())),
        Err(_) => Err(StreamError::Surprise("an answer that is no ack".to_owned())),
    }
}

/// What only the operator can change. Most of the API's errors pass by themselves, whatever their HTTP
/// class: a restarting cluster answers 400 10005 ("no suitable peers") and 400 10002 ("resource limits").
const PERMANENT: [ErrorCode; 7] = [
    ErrorCode::BAD_REQUEST,
    ErrorCode::INVALID_JSON,
    ErrorCode::STREAM_INVALID_CONFIG,
    ErrorCode::STREAM_SUBJECT_OVERLAP,
    ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED,
    ErrorCode::STREAM_MAX_BYTES_REQUIRED,
    ErrorCode::STREAM_MAX_STREAM_BYTES_EXCEEDED,
];

/// What may not fit into the server. It passes when there is room, so it is waited for.
const NO_ROOM: [ErrorCode; 3] = [
    ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
    ErrorCode::INSUFFICIENT_RESOURCES,
    ErrorCode::STORAGE_RESOURCES_EXCEEDED,
];

/// A nats-server sets the stream's bytes aside when it makes it.
fn no_room(error: &async_nats::jetstream::Error, bytes_max: i64) -> String {
    if !NO_ROOM.contains(&error.error_code()) {
        return String::new();
    }
    format!(
        " of relay.max_bytes = {} does not fit into what nats-server may store: make it smaller, or give \
         nats-server more (free disk, max_file_store, the limits of the account)",
        bytes_max.max(0)
    )
}

/// A refusal of a call: what the operator has to change is [`StreamError::Refused`].
fn api_error(what: &str, error: &async_nats::jetstream::Error) -> StreamError {
    let text = format!("{what}: {error}");
    match error.error_code() {
        ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            no_jetstream()
        }
        ErrorCode::STREAM_NOT_FOUND | ErrorCode::STREAM_NAME_EXIST => StreamError::Surprise(text),
        code if PERMANENT.contains(&code) => StreamError::Refused(text),
        _ => StreamError::Unavailable(text),
    }
}

fn unavailable(why: &str) -> StreamError {
    StreamError::Unavailable(why.to_owned())
}

fn no_jetstream() -> StreamError {
    StreamError::Unsupported(
        "JetStream does not answer: enable it (`jetstream {}` in the configuration of nats-server, \
         and for the account), and check the API prefix (domain) and the permission to publish to it"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: usize, code: u64) -> StreamError {
        let error = json!({ "code": status, "err_code": code, "description": "as said" });
        api_error("a call", &serde_json::from_value(error).unwrap())
    }

    #[test]
    fn what_passes_by_itself_is_waited_for_whatever_its_class() {
        for (status, code) in [
            (400, 10005), // no suitable peers for placement
            (400, 10002), // resource limits exceeded for account
            (400, 10202), // not in the table of this release
            (409, 10124), // stream move in progress
            (400, 10027), // maximum number of streams reached
            (503, 10008), // system temporarily unavailable
            (500, 10118), // stream is offline
        ] {
            let error = refusal(status, code);
            assert!(matches!(error, StreamError::Unavailable(_)), "{code}");
        }
    }

    #[test]
    fn what_only_the_operator_can_change_is_a_refusal() {
        for (status, code) in [(400, 10065), (500, 10052), (500, 10074), (400, 10025)] {
            let error = refusal(status, code);
            assert!(matches!(error, StreamError::Refused(_)), "{code}");
        }
        let missing = refusal(503, 10076);
        assert!(matches!(missing, StreamError::Unsupported(_)));
    }
}
