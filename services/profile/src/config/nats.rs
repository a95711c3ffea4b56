//! `[nats]`: two connections, their credentials, and the bounds of the transport.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Deserialize;
use validator::{Validate, ValidationError};

use super::problem;
use super::secret::Secret;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct NatsConfig {
    #[validate(length(min = 1, max = 64), custom(function = "server_urls"))]
    pub urls: Vec<String>,
    #[validate(length(min = 1, max = 16), custom(function = "reply_prefixes"))]
    pub reply_prefixes_allowed: Vec<String>,
    #[validate(range(max = 1023))]
    pub partition: Option<u16>,
    #[validate(range(min = 1, max = 1_000_000))]
    pub in_flight_requests_max: usize,
    #[validate(range(min = 16, max = 1_000_000))]
    pub ingress_capacity_messages: usize,
    #[validate(range(min = 100, max = 120_000))]
    pub ping_interval_ms: u64,
    #[validate(custom(function = "subject"))]
    pub srv_prefix: String,
    /// The connection that receives requests.
    #[validate(nested)]
    pub ingress: NatsConnectionConfig,
    /// The connection that sends replies and publishes events.
    #[validate(nested)]
    pub egress: NatsConnectionConfig,
    #[validate(nested)]
    pub tls: NatsTlsConfig,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "one_kind_of_credentials"))]
pub struct NatsConnectionConfig {
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub nkey_seed_file: Option<PathBuf>,
    pub creds_file: Option<PathBuf>,
    #[validate(custom(function = "subject"))]
    pub inbox_prefix: String,
}

/// How a connection says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatsCredentials<'a> {
    None,
    Password {
        user: &'a str,
        password: &'a Secret,
    },
    /// A file with an NKey seed.
    NkeySeedFile(&'a Path),
    /// A file with a user JWT and its seed.
    CredsFile(&'a Path),
}

impl NatsConnectionConfig {
    /// What a validated section names; validation sees to it that it is at most one thing.
    pub fn credentials(&self) -> NatsCredentials<'_> {
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            return NatsCredentials::Password { user, password };
        }
        if let Some(file) = &self.nkey_seed_file {
            return NatsCredentials::NkeySeedFile(file);
        }
        match &self.creds_file {
            Some(file) => NatsCredentials::CredsFile(file),
            None => NatsCredentials::None,
        }
    }
}

fn one_kind_of_credentials(connection: &NatsConnectionConfig) -> Result<(), ValidationError> {
    if connection.user.is_some() != connection.password.is_some() {
        return Err(problem::rule("user and password go together"));
    }
    let kinds = [
        connection.user.is_some(),
        connection.nkey_seed_file.is_some(),
        connection.creds_file.is_some(),
    ];
    if kinds.into_iter().filter(|given| *given).count() > 1 {
        return Err(problem::rule(
            "at most one of user with password, nkey_seed_file and creds_file",
        ));
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "certificate_with_key"))]
pub struct NatsTlsConfig {
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

fn certificate_with_key(tls: &NatsTlsConfig) -> Result<(), ValidationError> {
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        return Err(problem::rule("cert_file and key_file go together"));
    }
    Ok(())
}

fn server_urls(urls: &[String]) -> Result<(), ValidationError> {
    if urls.iter().all(|url| is_server_url(url)) {
        return Ok(());
    }
    Err(problem::rule(
        "each must be nats://host:port or tls://host:port without credentials",
    ))
}

fn is_server_url(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    // A password in a URL would be printed with it: it belongs into `password`.
    let bare = url.username().is_empty() && url.password().is_none();
    matches!(url.scheme(), "nats" | "tls") && url.host_str().is_some() && bare
}

fn reply_prefixes(prefixes: &[String]) -> Result<(), ValidationError> {
    let allowed = |prefix: &String| {
        prefix.strip_suffix('.').is_some_and(is_subject)
            && !prefix.starts_with("profile")
            && !prefix.starts_with('$')
    };
    if prefixes.iter().all(allowed) {
        return Ok(());
    }
    Err(problem::rule(
        "each must be a subject prefix that ends in \".\" and starts neither with \"profile\" nor \"$\"",
    ))
}

fn subject(text: &str) -> Result<(), ValidationError> {
    if is_subject(text) {
        return Ok(());
    }
    Err(problem::rule(
        "must be a subject of at most 200 visible characters without wildcards",
    ))
}

fn is_subject(text: &str) -> bool {
    let token = |token: &str| {
        !token.is_empty()
            && token
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'*' && byte != b'>')
    };
    text.len() <= 200 && text.split('.').all(token)
}

/// Whether the URL's host is this machine. What cannot be read is not.
pub(crate) fn is_loopback_url(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
