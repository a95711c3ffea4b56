//! Where the bytes of a key set come from: a file, a URL, or the URL that the issuer's discovery names.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use reqwest::{Client, Url};

use super::discovery::Discovery;
use super::fetch::{self, ANSWER_BYTES_MAX};
use super::key_set::KeySetError;
use crate::config::IssuerConfig;

#[derive(Debug)]
pub(super) enum KeySource {
    File(PathBuf),
    Url { client: Client, url: Url },
    Discovered(Discovery),
}

impl KeySource {
    pub(super) fn new(issuer: &IssuerConfig) -> Result<KeySource, KeySetError> {
        match (&issuer.jwks_file, &issuer.jwks_url) {
            (Some(path), _) => Ok(KeySource::File(path.clone())),
            (None, Some(url)) => Ok(KeySource::Url {
                client: fetch::client(url)?,
                url: fetch::url(url)?,
            }),
            (None, None) => Ok(KeySource::Discovered(Discovery::new(&issuer.issuer)?)),
        }
    }

    /// The bytes as they are now. The discovery document is read each time, so that a key set that moved is
    /// followed.
    pub(super) async fn read(&self) -> Result<Vec<u8>, KeySetError> {
        match self {
            KeySource::File(_) => self.read_file().unwrap_or(Ok(Vec::new())),
            KeySource::Url { client, url } => Ok(fetch::answer(client.get(url.clone())).await?),
            KeySource::Discovered(discovery) => {
                let url = discovery.keys_url().await?;
                Ok(fetch::answer(discovery.client().get(url)).await?)
            }
        }
    }

    /// The bytes of a file, `None` for what is not one. A local file of this size is read without handing it
    /// to another thread.
    pub(super) fn read_file(&self) -> Option<Result<Vec<u8>, KeySetError>> {
        let KeySource::File(path) = self else {
            return None;
        };
        let read = || {
            let mut bytes = Vec::new();
            let limit = ANSWER_BYTES_MAX as u64 + 1;
            File::open(path)?.take(limit).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        Some(match read() {
            Ok(bytes) if bytes.len() > ANSWER_BYTES_MAX => Err(KeySetError::TooLarge),
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                let error: std::io::Error = error;
                let text = format!("{}: {error}", path.display());
                Err(KeySetError::Unreadable(text))
            }
        })
    }
}
