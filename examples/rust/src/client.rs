//! Requests to profile-service over NATS: bounded in time, and repeated where that is safe.
//!
//! A change that got no answer may have been made. So every change has an idempotency key before it is sent for
//! the first time, and is sent again with that same key: the service then gives the first answer instead of
//! making the change twice.

use std::time::Duration;

use async_nats::client::{RequestError, RequestErrorKind};
use async_nats::{Client, ConnectOptions, HeaderMap};
use profile_messages::envelope::{
    AUTHORIZATION, EXPECTED_VERSION, IDEMPOTENCY_KEY, SERVICE_ERROR_CODE,
};
use profile_messages::error::{ErrorCode, Retry, Status};
use profile_messages::subject::Operation;
use serde::de::DeserializeOwned;
use serde_json::Value;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS_MAX: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The service's answer, when it is no success: `code` and `retry` are made to branch on.
    #[error("{}", .0.message)]
    Refused(Box<Status>),
    #[error("no answer: {0}")]
    Unanswered(#[from] RequestError),
    #[error("an answer that is not of the contract: {0}")]
    Answer(#[from] serde_json::Error),
}

impl CallError {
    /// Such as [`ErrorCode::Aborted`]; none without an answer.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            CallError::Refused(status) => ErrorCode::from_grpc(status.code),
            CallError::Unanswered(_) | CallError::Answer(_) => None,
        }
    }

    fn may_be_repeated(&self) -> bool {
        match self {
            CallError::Refused(status) => match status.info().map(|info| info.retry) {
                Some(Retry::Safe | Retry::SameKey) => true,
                Some(Retry::No) | None => false,
            },
            CallError::Unanswered(error) => matches!(
                error.kind(),
                RequestErrorKind::TimedOut | RequestErrorKind::NoResponders
            ),
            CallError::Answer(_) => false,
        }
    }
}

/// What goes with a change and with no read.
#[derive(Clone, Debug)]
pub struct Change {
    /// The idempotency key.
    pub key: String,
    /// The version that the change is meant for.
    pub expected_version: Option<u64>,
}

/// A key that nobody has used.
pub fn new_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[derive(Clone, Debug)]
pub struct ProfileClient {
    connection: Client,
    token: String,
}

impl ProfileClient {
    /// As the user `requester` of config/nats-server.conf. Nobody else can read its inbox.
    ///
    /// # Errors
    /// When nats-server cannot be reached or does not take the password.
    pub async fn connect(
        url: &str,
        password: String,
        token: String,
    ) -> Result<ProfileClient, async_nats::ConnectError> {
        let options = ConnectOptions::with_user_and_password("requester".to_owned(), password)
            .custom_inbox_prefix("_INBOX.requester")
            .request_timeout(Some(REQUEST_TIMEOUT));
        let connection = options.connect(url).await?;
        Ok(ProfileClient { connection, token })
    }

    /// # Errors
    /// As [`ProfileClient::change`].
    pub async fn read<Reply: DeserializeOwned>(
        &self,
        operation: Operation,
        body: &Value,
    ) -> Result<Reply, CallError> {
        self.call(operation, body, self.headers()).await
    }

    /// # Errors
    /// What the service refuses, and no answer to any of the attempts.
    pub async fn change<Reply: DeserializeOwned>(
        &self,
        operation: Operation,
        body: &Value,
        change: &Change,
    ) -> Result<Reply, CallError> {
        let mut headers = self.headers();
        headers.insert(IDEMPOTENCY_KEY, change.key.as_str());
        if let Some(version) = change.expected_version {
            headers.insert(EXPECTED_VERSION, version.to_string());
        }
        self.call(operation, body, headers).await
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {}", self.token));
        headers
    }

    async fn call<Reply: DeserializeOwned>(
        &self,
        operation: Operation,
        body: &Value,
        headers: HeaderMap,
    ) -> Result<Reply, CallError> {
        let mut attempt = 1;
        loop {
            let error = match self.ask(operation, body, headers.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            if attempt == ATTEMPTS_MAX || !error.may_be_repeated() {
                return Err(error);
            }
            let name = operation.name();
            eprintln!("{name}: {error}, again with the same key");
            // Twice as long each time, and not all callers in the same moment.
            let pause = FIRST_PAUSE * 2_u32.pow(attempt - 1);
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
            attempt += 1;
        }
    }

    async fn ask<Reply: DeserializeOwned>(
        &self,
        operation: Operation,
        body: &Value,
        headers: HeaderMap,
    ) -> Result<Reply, CallError> {
        let body = body.to_string().into();
        let asked = self
            .connection
            .request_with_headers(operation.subject(), headers, body);
        let reply = asked.await?;
        let headers = reply.headers.as_ref();
        match headers.and_then(|headers| headers.get(SERVICE_ERROR_CODE)) {
            None => Ok(serde_json::from_slice(&reply.payload)?),
            Some(_) => Err(CallError::Refused(serde_json::from_slice(&reply.payload)?)),
        }
    }
}
