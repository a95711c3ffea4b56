//! `[auth]`: issuers, claims, and what a role may do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jsonwebtoken::Algorithm;
use profile_messages::OrgId;
use reqwest::Url;
use serde::Deserialize;
use validator::{Validate, ValidationError};

use super::{Secret, nats, problem};

/// `iss` and `aud` of tokens signed with the development key.
pub const DEV_ISSUER: &str = "profile-service-dev";

const ISSUERS_MAX: usize = 16;
/// A token that is no JWT is shown to each of them in turn.
const INTROSPECTING_ISSUERS_MAX: usize = 4;
const ROLES_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "issuers_and_roles"))]
pub struct AuthConfig {
    /// The first owns the user and organization ids.
    #[validate(nested)]
    pub issuers: Vec<IssuerConfig>,
    #[validate(length(max = 64), custom(function = "ids"))]
    pub project_ids: Vec<String>,
    #[validate(custom(function = "id"))]
    pub instance_org: Option<String>,
    #[validate(length(max = 10_000), custom(function = "ids"))]
    pub organizations: Vec<String>,
    #[validate(range(max = 1_000_000))]
    pub token_cache_entries_max: usize,
    #[validate(nested)]
    pub claims: ClaimsConfig,
    pub roles: BTreeMap<String, BTreeSet<Permission>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "keys_and_algorithms"))]
pub struct IssuerConfig {
    #[validate(length(min = 1, max = 1000))]
    pub issuer: String,
    #[validate(length(min = 1, max = 16), custom(function = "not_blank"))]
    pub audiences: Vec<String>,
    pub algorithms: Vec<TokenAlgorithm>,
    /// Without a file and a URL the key set is found by discovery.
    pub jwks_file: Option<PathBuf>,
    pub jwks_url: Option<String>,
    /// Without it only JWTs of this issuer are accepted.
    #[validate(nested)]
    pub introspection: Option<IntrospectionConfig>,
    /// Empty: all, which only the first issuer may.
    #[serde(default)]
    #[validate(length(max = 10_000), custom(function = "ids"))]
    pub organizations: Vec<String>,
    #[serde(default = "leeway_s")]
    #[validate(range(max = 300))]
    pub leeway_s: u64,
    #[serde(default = "refetch_interval_s")]
    #[validate(range(min = 1, max = 86_400))]
    pub refetch_interval_s: u64,
    #[serde(default = "refresh_interval_s")]
    #[validate(range(min = 1, max = 86_400))]
    pub refresh_interval_s: u64,
}

impl IssuerConfig {
    /// The issuer behind `--dev`: its keys lie in the data directory.
    pub fn dev(data_dir: &Path) -> IssuerConfig {
        IssuerConfig {
            issuer: DEV_ISSUER.to_owned(),
            audiences: vec![DEV_ISSUER.to_owned()],
            algorithms: vec![TokenAlgorithm::EdDSA],
            jwks_file: Some(data_dir.join("dev-key").join("jwks.json")),
            jwks_url: None,
            introspection: None,
            organizations: Vec::new(),
            leeway_s: leeway_s(),
            refetch_interval_s: refetch_interval_s(),
            refresh_interval_s: refresh_interval_s(),
        }
    }
}

/// How an issuer is asked about tokens that are not JWTs (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "one_secret"))]
pub struct IntrospectionConfig {
    #[validate(length(min = 1, max = 1000))]
    pub client_id: String,
    pub client_secret: Option<Secret>,
    pub client_secret_file: Option<PathBuf>,
    /// Without it the endpoint is found by discovery.
    #[validate(custom(function = "introspection_url"))]
    pub url: Option<String>,
    #[serde(default = "cache_s")]
    #[validate(range(min = 1, max = 3600))]
    pub cache_s: u64,
}

fn cache_s() -> u64 {
    60
}

fn leeway_s() -> u64 {
    10
}

fn refetch_interval_s() -> u64 {
    60
}

fn refresh_interval_s() -> u64 {
    300
}

/// What a caller may do, as ZITADEL names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub enum Permission {
    #[serde(rename = "user.read")]
    UserRead,
    #[serde(rename = "user.write")]
    UserWrite,
    #[serde(rename = "events.read")]
    EventsRead,
}

/// Signatures with a public key; HMAC and `none` have no name here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum TokenAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl From<TokenAlgorithm> for Algorithm {
    fn from(algorithm: TokenAlgorithm) -> Algorithm {
        match algorithm {
            TokenAlgorithm::RS256 => Algorithm::RS256,
            TokenAlgorithm::RS384 => Algorithm::RS384,
            TokenAlgorithm::RS512 => Algorithm::RS512,
            TokenAlgorithm::PS256 => Algorithm::PS256,
            TokenAlgorithm::PS384 => Algorithm::PS384,
            TokenAlgorithm::PS512 => Algorithm::PS512,
            TokenAlgorithm::ES256 => Algorithm::ES256,
            TokenAlgorithm::ES384 => Algorithm::ES384,
            TokenAlgorithm::EdDSA => Algorithm::EdDSA,
        }
    }
}

/// Names of the claims that are read besides the registered ones.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ClaimsConfig {
    #[validate(length(min = 1, max = 200))]
    pub own_org: String,
    #[validate(length(min = 1, max = 200))]
    pub roles: String,
    /// `{projectId}` stands for one of `project_ids`.
    #[validate(length(min = 1, max = 200), contains(pattern = "{projectId}"))]
    pub project_roles: String,
}

fn issuers_and_roles(auth: &AuthConfig) -> Result<(), ValidationError> {
    if auth.issuers.len() > ISSUERS_MAX {
        return Err(problem::rule("issuers: at most 16"));
    }
    if auth.roles.len() > ROLES_MAX {
        return Err(problem::rule("roles: at most 256"));
    }
    let names: BTreeSet<&str> = auth.issuers.iter().map(|i| i.issuer.as_str()).collect();
    if names.len() != auth.issuers.len() {
        return Err(problem::rule("issuers: each issuer may stand there once"));
    }
    let introspecting = auth.issuers.iter().filter(|i| i.introspection.is_some());
    if introspecting.count() > INTROSPECTING_ISSUERS_MAX {
        return Err(problem::rule("issuers: at most 4 with introspection"));
    }
    if auth
        .issuers
        .iter()
        .skip(1)
        .any(|issuer| issuer.organizations.is_empty())
    {
        return Err(problem::rule(
            "issuers: every issuer after the first must list its organizations",
        ));
    }
    Ok(())
}

fn keys_and_algorithms(issuer: &IssuerConfig) -> Result<(), ValidationError> {
    if issuer.algorithms.is_empty() {
        return Err(problem::rule("algorithms must name at least one"));
    }
    if issuer.jwks_file.is_some() && issuer.jwks_url.is_some() {
        return Err(problem::rule("at most one of jwks_file and jwks_url"));
    }
    if issuer
        .jwks_url
        .as_deref()
        .is_some_and(|url| !is_private_url(url))
    {
        return Err(problem::rule(
            "jwks_url must be an https:// URL without credentials (http:// only on loopback)",
        ));
    }
    let asks_discovered = |introspection: &IntrospectionConfig| introspection.url.is_none();
    let discovers = issuer.jwks_file.is_none() && issuer.jwks_url.is_none()
        || issuer.introspection.as_ref().is_some_and(asks_discovered);
    if discovers && !is_discoverable(&issuer.issuer) {
        return Err(problem::rule(
            "without jwks_file and jwks_url, or without introspection.url, discovery is used: the issuer \
             must be an https:// URL without credentials, query and fragment (http:// only on loopback)",
        ));
    }
    Ok(())
}

fn one_secret(introspection: &IntrospectionConfig) -> Result<(), ValidationError> {
    if introspection.client_secret.is_some() == introspection.client_secret_file.is_some() {
        return Err(problem::rule(
            "exactly one of client_secret and client_secret_file",
        ));
    }
    Ok(())
}

fn introspection_url(url: &str) -> Result<(), ValidationError> {
    if is_private_url(url) {
        return Ok(());
    }
    Err(problem::rule(
        "must be an https:// URL without credentials (http:// only on loopback)",
    ))
}

/// Whether nobody on the way can change what this URL answers.
fn is_private_url(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let bare = url.username().is_empty() && url.password().is_none();
    let private = url.scheme() == "https" || url.scheme() == "http" && nats::is_loopback_url(text);
    bare && private
}

/// OIDC Discovery §3: an issuer has neither a query nor a fragment.
fn is_discoverable(issuer: &str) -> bool {
    is_private_url(issuer) && !issuer.contains(['?', '#'])
}

fn not_blank(texts: &[String]) -> Result<(), ValidationError> {
    if texts.iter().all(|text| !text.trim().is_empty()) {
        return Ok(());
    }
    Err(problem::rule("must not hold an empty text"))
}

fn id(text: &str) -> Result<(), ValidationError> {
    match OrgId::parse(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(problem::rule("must be 1 to 200 of A-Z, a-z, 0-9, _ and -")),
    }
}

fn ids(texts: &[String]) -> Result<(), ValidationError> {
    texts.iter().try_for_each(|text| id(text))
}
