//! RFC 7662: one issuer is asked about one token.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Url};
use serde_json::{Map, Value};

use super::discovery::{Discovery, DiscoveryError};
use super::fetch::{self, FetchError};
use super::turns::Turns;
use crate::clock::Clock;
use crate::config::{IntrospectionConfig, IssuerConfig, Secret};

const CLIENT_SECRET_BYTES_MAX: u64 = 4096;
/// How soon discovery is tried again when it never said where to ask.
const FIRST_READ_RETRY: Duration = Duration::from_secs(1);
/// How long a question waits for a newer document when the endpoint of the last one would do: it must not use
/// up the question's time.
const REFRESH_WAIT_MAX: Duration = Duration::from_millis(500);

/// Why there is no answer about a token. Holds no part of the token or of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntrospectionError {
    #[error("the client secret for introspection cannot be read: {0}")]
    ClientSecret(String),
    #[error("the introspection answer {0}")]
    Fetch(#[from] FetchError),
    #[error("the introspection endpoint cannot be found: {0}")]
    Discovery(#[from] DiscoveryError),
    #[error("the introspection endpoint was not found a moment ago")]
    NotFoundYet,
    #[error("the introspection answer is no JSON object with a boolean `active`")]
    NotAnAnswer,
}

impl IntrospectionError {
    /// Whether the issuer gave no answer at all within its time, as against a useless one at once.
    pub(super) fn is_silence(&self) -> bool {
        matches!(
            self,
            IntrospectionError::Fetch(FetchError::Late)
                | IntrospectionError::Discovery(DiscoveryError::Fetch(FetchError::Late))
        )
    }
}

/// What an issuer says of a token.
pub(super) enum Answer {
    Inactive,
    /// With the answer's other fields: they are the token's claims.
    Active(Map<String, Value>),
}

/// How one issuer is asked.
#[derive(Debug)]
pub(super) struct Introspection {
    endpoint: Endpoint,
    pub(super) client_id: String,
    client_secret: Secret,
    /// How long a positive answer counts.
    pub(super) cache: Duration,
    pub(super) turns: Turns,
}

#[derive(Debug)]
enum Endpoint {
    Configured { client: Client, url: Url },
    Discovered(Box<DiscoveredEndpoint>),
}

#[derive(Debug)]
struct DiscoveredEndpoint {
    discovery: Discovery,
    refetch_interval: Duration,
    refresh_interval: Duration,
    clock: Arc<dyn Clock>,
    /// Held while the document is read, so that questions share one reading.
    known: tokio::sync::Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    url: Option<Url>,
    /// Until then the document is not read again, whatever came of it.
    settled_until: Option<Instant>,
}

impl Introspection {
    pub(super) fn new(
        issuer: &IssuerConfig,
        config: &IntrospectionConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Introspection, IntrospectionError> {
        let endpoint = match &config.url {
            Some(url) => Endpoint::Configured {
                client: fetch::client(url)?,
                url: fetch::url(url)?,
            },
            None => Endpoint::Discovered(Box::new(DiscoveredEndpoint {
                discovery: Discovery::new(&issuer.issuer)?,
                refetch_interval: Duration::from_secs(issuer.refetch_interval_s),
                refresh_interval: Duration::from_secs(issuer.refresh_interval_s),
                clock,
                known: tokio::sync::Mutex::default(),
            })),
        };
        Ok(Introspection {
            endpoint,
            client_id: config.client_id.clone(),
            client_secret: client_secret(config)?,
            cache: Duration::from_secs(config.cache_s),
            turns: Turns::new(),
        })
    }

    /// Within `time`, discovery included.
    pub(super) async fn ask(
        &self,
        token: &str,
        time: Duration,
    ) -> Result<Answer, IntrospectionError> {
        let late = IntrospectionError::Fetch(FetchError::Late);
        let asking = tokio::time::timeout(time, self.answer(token));
        asking.await.unwrap_or(Err(late))
    }

    async fn answer(&self, token: &str) -> Result<Answer, IntrospectionError> {
        let (client, url) = match &self.endpoint {
            Endpoint::Configured { client, url } => (client, url.clone()),
            Endpoint::Discovered(endpoint) => {
                (endpoint.discovery.client(), endpoint.current().await?)
            }
        };
        let mut body = form(Some("token"), token);
        body.push_str("&token_type_hint=access_token");
        // RFC 6749 §2.3.1: both are form-encoded before they are joined.
        let id = form(None, &self.client_id);
        let secret = form(None, self.client_secret.expose());
        let request = client
            .post(url)
            .basic_auth(id, Some(secret))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        let bytes = fetch::answer(request).await?;
        let answer: Map<String, Value> =
            serde_json::from_slice(&bytes).map_err(|_| IntrospectionError::NotAnAnswer)?;
        match answer.get("active") {
            Some(Value::Bool(true)) => Ok(Answer::Active(answer)),
            Some(Value::Bool(false)) => Ok(Answer::Inactive),
            _ => Err(IntrospectionError::NotAnAnswer),
        }
    }
}

impl DiscoveredEndpoint {
    /// The endpoint by the intervals of the issuer's keys. An issuer whose document is away keeps its last
    /// one.
    async fn current(&self) -> Result<Url, IntrospectionError> {
        let mut known = self.known.lock().await;
        let now = self.clock.monotonic();
        if known.settled_until.is_some_and(|until| now < until) {
            return known.url.clone().ok_or(IntrospectionError::NotFoundYet);
        }
        let reading = self.discovery.introspection_url();
        let read = match known.url {
            Some(_) => tokio::time::timeout(REFRESH_WAIT_MAX, reading)
                .await
                .unwrap_or(Err(FetchError::Late.into())),
            None => reading.await,
        };
        match (read, &known.url) {
            (Ok(url), _) => {
                known.settled_until = Some(now + self.refresh_interval);
                known.url = Some(url.clone());
                Ok(url)
            }
            (Err(error), Some(url)) => {
                tracing::warn!(%error, "an issuer's introspection endpoint was not looked up again");
                let url = url.clone();
                known.settled_until = Some(now + self.refetch_interval);
                Ok(url)
            }
            (Err(error), None) => {
                known.settled_until = Some(now + self.refetch_interval.min(FIRST_READ_RETRY));
                Err(error.into())
            }
        }
    }
}

/// A pair of `application/x-www-form-urlencoded`, as the URL library writes a query; without a name, the
/// encoded value alone.
fn form(name: Option<&str>, value: &str) -> String {
    let mut encoder = Url::parse("form:").ok();
    if let Some(url) = encoder.as_mut() {
        match name {
            Some(name) => url.query_pairs_mut().append_pair(name, value),
            None => url.query_pairs_mut().append_key_only(value),
        };
    }
    let query = encoder.as_ref().and_then(Url::query);
    query.unwrap_or_default().to_owned()
}

fn client_secret(config: &IntrospectionConfig) -> Result<Secret, IntrospectionError> {
    match (&config.client_secret, &config.client_secret_file) {
        (Some(secret), _) => Ok(secret.clone()),
        (None, Some(path)) => secret_of_file(path).map_err(|cause| {
            IntrospectionError::ClientSecret(format!("{}: {cause}", path.display()))
        }),
        (None, None) => Err(IntrospectionError::ClientSecret(
            "none is configured".to_owned(),
        )),
    }
}

/// A line break at the end is the editor's.
fn secret_of_file(path: &Path) -> Result<Secret, std::io::Error> {
    let mut text = String::new();
    File::open(path)?
        .take(CLIENT_SECRET_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() || text.len() as u64 > CLIENT_SECRET_BYTES_MAX {
        return Err(std::io::Error::other("1 to 4096 bytes are expected"));
    }
    Ok(Secret::new(secret.to_owned()))
}
