//! JetStream's API over an inbox of our own: what the event stream and the commit log have in common.

pub mod cells;
mod inbox;

use std::time::Duration;

use async_nats::jetstream::response::Response;
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use inbox::{Inbox, ReplyFuture};

/// Why there is no answer: the three ways differ in what may have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It never left this process.
    #[error("{0}")]
    NotSent(String),
    /// The server knows nobody who would take it.
    #[error("nobody answers on the subject")]
    NoResponders,
    /// It may have been done.
    #[error("{0}")]
    Unheard(String),
}

/// A connection to JetStream. The first call is to be made on the runtime that outlives all others:
/// the task that reads answers runs there.
#[derive(Debug)]
pub struct Api {
    client: Client,
    inbox: Inbox,
    prefix: String,
}

impl Api {
    /// `prefix` is `$JS.API`, or `$JS.<domain>.API`; an answer is awaited for `timeout`.
    pub fn new(client: Client, prefix: &str, timeout: Duration) -> Api {
        Api {
            inbox: Inbox::new(client.clone(), timeout),
            client,
            prefix: prefix.to_owned(),
        }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// One call of the API.
    ///
    /// # Errors
    /// [`Unanswered`]; what is no answer of the API counts as none.
    pub async fn call<T: DeserializeOwned>(
        &self,
        call: &str,
        body: &impl Serialize,
    ) -> Result<Result<T, async_nats::jetstream::Error>, Unanswered> {
        let subject = format!("{}.{call}", self.prefix);
        let body = serde_json::to_vec(body);
        let body = body.map_err(|error| Unanswered::NotSent(error.to_string()))?;
        let reply = self.send(subject, HeaderMap::new(), body.into()).await?;
        match serde_json::from_slice(&reply.await?.payload) {
            Ok(Response::Ok(value)) => Ok(Ok(value)),
            Ok(Response::Err { error }) => Ok(Err(error)),
            Err(error) => Err(Unanswered::Unheard(format!(
                "{call}: not an answer: {error}"
            ))),
        }
    }

    /// Sends a message that is answered, in the order of the calls.
    ///
    /// # Errors
    /// [`Unanswered::NotSent`].
    pub(crate) async fn send(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<ReplyFuture, Unanswered> {
        self.inbox.send(subject, headers, payload).await
    }

    /// Whether the server is of this release or newer.
    ///
    /// # Errors
    /// [`Unanswered::NotSent`] without a connection; the inner one is the server's release.
    pub fn check_server(&self, oldest: (i64, i64)) -> Result<Result<(), String>, Unanswered> {
        let Some(info) = self.client.try_server_info() else {
            return Err(Unanswered::NotSent("not connected to NATS".to_owned()));
        };
        if self.client.is_server_compatible(oldest.0, oldest.1, 0) {
            return Ok(Ok(()));
        }
        Ok(Err(info.version))
    }
}
