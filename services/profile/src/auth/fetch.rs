//! Requests to an issuer, bounded in size and time.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Url};

use crate::config::is_loopback_url;

/// Key sets, discovery documents and introspection answers are a few kilobytes.
pub(super) const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// From the request to the last byte of its answer. A key set takes two of them at most: discovery, and what
/// was discovered. Questions about tokens have a bound of their own.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no answer. Holds no part of one, and no URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("did not come in time")]
    Late,
    #[error("is larger than 256 KiB")]
    TooLarge,
}

/// A client for this URL and its neighbours.
pub(super) fn client(url: &str) -> Result<Client, FetchError> {
    // A redirect could lead from https to http, or into the own network.
    let mut builder = Client::builder()
        .timeout(ANSWER_TIMEOUT)
        .redirect(Policy::none());
    if is_loopback_url(url) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(unreadable)
}

pub(super) fn url(text: &str) -> Result<Url, FetchError> {
    Url::parse(text).map_err(|error| FetchError::Unreadable(error.to_string()))
}

/// The body of a successful answer.
pub(super) async fn answer(request: RequestBuilder) -> Result<Vec<u8>, FetchError> {
    let mut response = request.send().await.map_err(unreadable)?;
    let status = response.status();
    if !status.is_success() {
        return Err(FetchError::Unreadable(format!("HTTP status {status}")));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreadable)? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(FetchError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn unreadable(error: reqwest::Error) -> FetchError {
    if error.is_timeout() {
        return FetchError::Late;
    }
    FetchError::Unreadable(error.without_url().to_string())
}
