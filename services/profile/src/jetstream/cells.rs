//! Small values that the nodes of a cluster share: one message for each name, in a stream of their own,
//! and a value is written only over the one that was read.

use std::time::Duration;

use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_EXPECTED_STREAM};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, Info, RawMessage, StorageType};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use profile_messages::subject::{CLUSTER, CLUSTER_STREAM, cluster_subject};
use serde::Deserialize;
use serde_json::json;

use super::{Api, Unanswered};

/// Another write of the same value is under way (nats-server 2.11 and newer).
const WRITE_IN_PROCESS: ErrorCode = ErrorCode(10164);
/// How long the servers may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Why a value was neither read nor written. It may have been written if nothing was heard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    #[error("the values that the nodes share cannot be reached: {0}")]
    Unanswered(#[from] Unanswered),
    #[error("the stream {CLUSTER_STREAM}: {0}")]
    Refused(String),
}

/// A value and the sequence of its message, which the next write names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub sequence: u64,
    pub value: Bytes,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Written {
        sequence: u64,
    },
    /// Somebody else was faster: read again.
    Overtaken,
}

#[derive(Debug)]
pub struct Cells {
    api: Api,
    replicas: usize,
}

#[derive(Deserialize)]
struct GetMessage {
    message: RawMessage,
}

impl Cells {
    pub fn new(client: Client, api_prefix: &str, replicas: usize) -> Cells {
        Cells {
            api: Api::new(client, api_prefix, ANSWER_WITHIN),
            replicas,
        }
    }

    /// Makes the stream where there is none.
    ///
    /// # Errors
    /// [`CellError`].
    pub async fn ensure(&self) -> Result<(), CellError> {
        let config = Config {
            name: CLUSTER_STREAM.to_owned(),
            subjects: vec![CLUSTER.to_owned()],
            storage: StorageType::File,
            max_messages_per_subject: 1,
            num_replicas: self.replicas,
            ..Config::default()
        };
        let info = format!("STREAM.INFO.{CLUSTER_STREAM}");
        match self.api.call::<Info>(&info, &json!({})).await? {
            Ok(_) => return Ok(()),
            Err(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            Err(error) => return Err(CellError::Refused(error.to_string())),
        }
        let create = format!("STREAM.CREATE.{CLUSTER_STREAM}");
        match self.api.call::<Info>(&create, &config).await? {
            Ok(_) => Ok(()),
            Err(error) => Err(CellError::Refused(error.to_string())),
        }
    }

    /// The value of `name`, from the stream's leader.
    ///
    /// # Errors
    /// [`CellError`].
    pub async fn get(&self, name: &str) -> Result<Option<Cell>, CellError> {
        let call = format!("STREAM.MSG.GET.{CLUSTER_STREAM}");
        let wanted = json!({ "last_by_subj": cluster_subject(name) });
        let found = match self.api.call::<GetMessage>(&call, &wanted).await? {
            Ok(found) => found,
            Err(error) if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => return Ok(None),
            Err(error) => return Err(CellError::Refused(error.to_string())),
        };
        let sequence = found.message.sequence;
        let message = StreamMessage::try_from(found.message);
        let message = message.map_err(|error| CellError::Refused(error.to_string()))?;
        Ok(Some(Cell {
            sequence,
            value: message.payload,
        }))
    }

    /// Writes `value` if the last one of this name is that at `expected`; 0 is for none so far.
    ///
    /// # Errors
    /// [`CellError`]; it may be written all the same.
    pub async fn put(&self, name: &str, value: Bytes, expected: u64) -> Result<Put, CellError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        self.write(name, value, headers).await
    }

    /// Writes `value` whatever was there.
    ///
    /// # Errors
    /// [`CellError`]; it may be written all the same.
    pub async fn set(&self, name: &str, value: Bytes) -> Result<(), CellError> {
        self.write(name, value, HeaderMap::new()).await.map(drop)
    }

    async fn write(
        &self,
        name: &str,
        value: Bytes,
        mut headers: HeaderMap,
    ) -> Result<Put, CellError> {
        headers.insert(NATS_EXPECTED_STREAM, CLUSTER_STREAM);
        let sent = self.api.send(cluster_subject(name), headers, value).await?;
        let reply = sent.await?;
        match serde_json::from_slice::<Response<PublishAck>>(&reply.payload) {
            Ok(Response::Ok(ack)) => Ok(Put::Written {
                sequence: ack.sequence,
            }),
            Ok(Response::Err { error }) => match error.error_code() {
                ErrorCode::STREAM_WRONG_LAST_SEQUENCE | WRITE_IN_PROCESS => Ok(Put::Overtaken),
                _ => Err(CellError::Refused(error.to_string())),
            },
            Err(_) => Err(CellError::Refused("an answer that is no ack".to_owned())),
        }
    }
}
