//! Where the bytes of a key set come from: a file or a URL, bounded in size and time.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::key_set::KeySetError;
use crate::config::{IssuerConfig, is_loopback_url};

/// A key set is a few kilobytes.
const KEY_SET_BYTES_MAX: usize = 256 * 1024;
/// From the request to the last byte of the answer. Callers with an unknown key wait this long at most.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) enum KeySource {
    File(PathBuf),
    Url { client: Client, url: Url },
}

impl KeySource {
    pub(super) fn new(issuer: &IssuerConfig) -> Result<KeySource, KeySetError> {
        if let Some(path) = &issuer.jwks_file {
            return Ok(KeySource::File(path.clone()));
        }
        let text = issuer.jwks_url.as_deref().unwrap_or_default();
        let url = Url::parse(text).map_err(|error| KeySetError::Unreadable(error.to_string()))?;
        // A redirect could lead from https to http, or into the own network.
        let mut builder = Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(Policy::none());
        if is_loopback_url(text) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(unreadable)?;
        Ok(KeySource::Url { client, url })
    }

    /// The bytes as they are now.
    pub(super) async fn read(&self) -> Result<Vec<u8>, KeySetError> {
        match self {
            KeySource::File(_) => self.read_file().unwrap_or(Ok(Vec::new())),
            KeySource::Url { client, url } => fetch(client, url).await,
        }
    }

    /// The bytes of a file, `None` for a URL. A local file of this size is read without handing it to
    /// another thread.
    pub(super) fn read_file(&self) -> Option<Result<Vec<u8>, KeySetError>> {
        let KeySource::File(path) = self else {
            return None;
        };
        let read = || {
            let mut bytes = Vec::new();
            let limit = KEY_SET_BYTES_MAX as u64 + 1;
            File::open(path)?.take(limit).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        Some(match read() {
            Ok(bytes) if bytes.len() > KEY_SET_BYTES_MAX => Err(KeySetError::TooLarge),
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                let error: std::io::Error = error;
                let text = format!("{}: {error}", path.display());
                Err(KeySetError::Unreadable(text))
            }
        })
    }
}

async fn fetch(client: &Client, url: &Url) -> Result<Vec<u8>, KeySetError> {
    let response = client.get(url.clone()).send().await.map_err(unreadable)?;
    let status = response.status();
    if !status.is_success() {
        return Err(KeySetError::Unreadable(format!("HTTP status {status}")));
    }
    let mut response = response;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreadable)? {
        if bytes.len() + chunk.len() > KEY_SET_BYTES_MAX {
            return Err(KeySetError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn unreadable(error: reqwest::Error) -> KeySetError {
    KeySetError::Unreadable(error.without_url().to_string())
}
