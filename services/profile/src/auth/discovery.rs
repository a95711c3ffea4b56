//! OpenID Connect Discovery 1.0: where an issuer's key set and introspection endpoint are.

use reqwest::{Client, Url};
use serde::Deserialize;

use super::fetch::{self, FetchError};
use crate::config::is_loopback_url;

/// Why an issuer's document leads nowhere. Holds no part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    #[error("the issuer's discovery document {0}")]
    Fetch(#[from] FetchError),
    #[error("the issuer's discovery document is not one")]
    NotADocument,
    /// OIDC Discovery §4.3: else whoever answers there could sign for this issuer.
    #[error("the issuer's discovery document names another issuer")]
    OtherIssuer,
    #[error("the issuer's discovery document has no {0}")]
    Missing(&'static str),
    #[error(
        "{0} in the issuer's discovery document is not an https:// URL without credentials (http:// is for \
         an issuer on loopback)"
    )]
    Unsafe(&'static str),
}

/// The fields that are used.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: Option<String>,
    introspection_endpoint: Option<String>,
}

/// The document of one issuer, read whenever it is asked for.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: String,
    url: Url,
    client: Client,
}

impl Discovery {
    pub(super) fn new(issuer: &str) -> Result<Discovery, FetchError> {
        // §4.1: a terminating slash goes before the path is added.
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        Ok(Discovery {
            issuer: issuer.to_owned(),
            url: fetch::url(&format!("{base}/.well-known/openid-configuration"))?,
            client: fetch::client(issuer)?,
        })
    }

    /// For requests to what was discovered.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) async fn keys_url(&self) -> Result<Url, DiscoveryError> {
        let document = self.read().await?;
        self.checked("jwks_uri", document.jwks_uri)
    }

    pub(super) async fn introspection_url(&self) -> Result<Url, DiscoveryError> {
        let document = self.read().await?;
        self.checked("introspection_endpoint", document.introspection_endpoint)
    }

    async fn read(&self) -> Result<Document, DiscoveryError> {
        let bytes = fetch::answer(self.client.get(self.url.clone())).await?;
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|_| DiscoveryError::NotADocument)?;
        match document.issuer == self.issuer {
            true => Ok(document),
            false => Err(DiscoveryError::OtherIssuer),
        }
    }

    /// A document must not lead from https to http: what is asked and answered there stays private. Where an
    /// `https://` URL leads is the issuer's word, also into the own network or to this machine.
    pub(super) fn checked(
        &self,
        name: &'static str,
        text: Option<String>,
    ) -> Result<Url, DiscoveryError> {
        let text = text.ok_or(DiscoveryError::Missing(name))?;
        let url = Url::parse(&text).map_err(|_| DiscoveryError::Unsafe(name))?;
        let bare = url.username().is_empty() && url.password().is_none();
        let private = match url.scheme() {
            "https" => true,
            "http" => self.url.scheme() == "http" && is_loopback_url(&text),
            _ => false,
        };
        match bare && private {
            true => Ok(url),
            false => Err(DiscoveryError::Unsafe(name)),
        }
    }
}
