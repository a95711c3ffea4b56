//! Who calls, for which organization, and what they may do.

//!
//! A request's token is verified here (`Authenticator`), its rights are looked up here (`authorize`); where
//! that happens in the order of a request is the funnel's business.

mod cache;
pub mod dev;
mod discovery;
mod fetch;
mod introspection;
mod key_set;
mod key_source;
mod keys;
mod questions;
mod roles;
#[cfg(test)]
mod tests;
mod token;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use profile_messages::{OrgId, UserId};

pub use discovery::DiscoveryError;
pub use fetch::FetchError;
pub use introspection::IntrospectionError;
pub use key_set::KeySetError;

use crate::clock::Clock;
pub use crate::config::Permission;
use crate::config::{Config, IssuerConfig};
pub use crate::error::AuthError;
pub use cache::CacheCounts;
use cache::{Digest, Entry, Proof, TokenCache};
use introspection::Introspection;
use key_set::DevKeys;
use keys::IssuerKeys;
use questions::Questions;
use roles::Policy;
use token::{Issuer, Kind};

/// The verified caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// `sub` as the token says it: the actor in the log. Never longer than 200 bytes.
    pub subject: String,
    /// The subject as a user id; `None` when it is not of the form: such a caller has no `me`.
    pub user: Option<UserId>,
    /// The caller's own organization.
    pub org: Option<OrgId>,
    /// Role -> organizations in which it holds. `IAM_*` roles count everywhere, see `authorize`.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// The issuer, unless it is the first one, which owns the ids: subjects are unique per issuer only.
    pub further_issuer: Option<String>,
    /// Whether the issuer speaks for all organizations: only then `IAM_*` roles may count everywhere.
    pub speaks_for_all: bool,
}

impl Principal {
    /// Issuer (empty for the first one) and subject: who this is, for ever and among all issuers.
    pub fn identity(&self) -> [&str; 2] {
        [
            self.further_issuer.as_deref().unwrap_or_default(),
            &self.subject,
        ]
    }

    /// Whether the caller is this user of this organization. The organization counts: a further issuer
    /// may name any subject, but speaks only for its own organizations.
    pub fn is_user(&self, user: &UserId, org: &OrgId) -> bool {
        self.user.as_ref() == Some(user) && self.org.as_ref() == Some(org)
    }
}

/// Why there is nobody to verify tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Keys(#[from] KeySetError),
    #[error(transparent)]
    Introspection(#[from] IntrospectionError),
}

/// Verifies bearer tokens and says what their callers may do.
#[derive(Debug)]
pub struct Authenticator {
    issuers: Arc<[Issuer]>,
    policy: Policy,
    cache: Arc<TokenCache<Entry>>,
    questions: Questions,
    clock: Arc<dyn Clock>,
}

impl Authenticator {
    /// Reads every key set and client secret that is a file; what is behind a URL is fetched at its first
    /// use.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Authenticator, SetupError> {
        let issuers = config.auth.issuers.iter();
        let issuers = issuers.map(|issuer| issuer_of(issuer, config, &clock));
        let issuers: Arc<[Issuer]> = issuers.collect::<Result<_, SetupError>>()?;
        let cache = Arc::new(TokenCache::new(config.auth.token_cache_entries_max));
        Ok(Authenticator {
            questions: Questions::new(Arc::clone(&issuers), Arc::clone(&cache), Arc::clone(&clock)),
            issuers,
            policy: Policy::new(&config.auth),
            cache,
            clock,
        })
    }

    /// Of verified tokens, for metrics.
    pub fn cache_counts(&self) -> CacheCounts {
        self.cache.counts()
    }

    /// The caller behind an `Authorization` header.
    ///
    /// # Errors
    /// `HeaderMissing`, `HeaderInvalid`, `TokenInvalid` for whatever is wrong with the token (ZITADEL's order
    /// and texts); `KeysUnavailable` when its issuer's keys were never read, `IssuerUnavailable` and
    /// `IssuerBusy` when nobody could be asked about it.
    pub async fn authenticate(
        &self,
        authorization: Option<&str>,
    ) -> Result<Arc<Principal>, AuthError> {
        let token = bearer_token(authorization)?;
        let digest = cache::digest(token);
        if let Some(entry) = self.cache.get(&digest)
            && self.holds(entry.proof).await
        {
            entry.lifetime.check(self.clock.now())?;
            return Ok(entry.principal);
        }
        match token::kind(token) {
            Kind::Jwt => self.verify(token, digest).await,
            Kind::Opaque => self.questions.ask(token, digest).await,
            Kind::Nothing => Err(AuthError::TokenInvalid),
        }
    }

    /// Whether the issuer's keys are those of the signature, or its word is recent enough.
    async fn holds(&self, proof: Proof) -> bool {
        match proof {
            Proof::Signature {
                issuer,
                key_generation,
            } => match self.issuers.get(issuer) {
                Some(issuer) => issuer.keys.generation().await == Some(key_generation),
                None => false,
            },
            Proof::Introspection { until } => self.clock.monotonic() < until,
        }
    }

    async fn verify(&self, token: &str, digest: Digest) -> Result<Arc<Principal>, AuthError> {
        let name = token::unverified_issuer(token)?;
        let position = self.issuers.iter().position(|i| i.name == name);
        let (index, issuer) = position
            .and_then(|index| Some((index, self.issuers.get(index)?)))
            .ok_or(AuthError::TokenInvalid)?;
        let (verified, key_generation) = issuer.verify(token).await?;
        verified.lifetime.check(self.clock.now())?;
        let principal = Arc::new(verified.principal);
        let entry = Entry {
            principal: Arc::clone(&principal),
            proof: Proof::Signature {
                issuer: index,
                key_generation,
            },
            lifetime: verified.lifetime,
        };
        self.cache.put(digest, entry);
        Ok(principal)
    }

    /// Whether the caller holds the permission in the organization, as the v1 calls ask.
    ///
    /// # Errors
    /// `NoMembership` without any role there, `NoPermission` when none of them grants it.
    pub fn authorize(
        &self,
        principal: &Principal,
        permission: Permission,
        org: &OrgId,
    ) -> Result<(), AuthError> {
        let refused = AuthError::NoPermission;
        self.policy.authorize(principal, permission, org, refused)
    }

    /// The same where ZITADEL asks inside the command (v2, `patch`): only the error id differs.
    ///
    /// # Errors
    /// `NoMembership`, `NoPermissionInCommand`.
    pub fn authorize_in_command(
        &self,
        principal: &Principal,
        permission: Permission,
        org: &OrgId,
    ) -> Result<(), AuthError> {
        let refused = AuthError::NoPermissionInCommand;
        self.policy.authorize(principal, permission, org, refused)
    }

    /// Whether the caller holds the permission for all organizations: for what is not of one organization.
    ///
    /// # Errors
    /// `NoMembership` without an instance role, `NoPermission` when none of them grants it.
    pub fn authorize_everywhere(
        &self,
        principal: &Principal,
        permission: Permission,
    ) -> Result<(), AuthError> {
        self.policy.authorize_everywhere(principal, permission)
    }

    /// Whether the caller's token (own organization or any role) or the configuration names the
    /// organization: such a one exists even without users.
    pub fn org_named_by(&self, principal: &Principal, org: &OrgId) -> bool {
        self.policy.names(principal, org)
    }
}

fn issuer_of(
    issuer: &IssuerConfig,
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<Issuer, SetupError> {
    let dev = match config.dev {
        true => DevKeys::Accepted,
        false => DevKeys::Refused,
    };
    let keys = IssuerKeys::new(issuer, dev, Arc::clone(clock))?;
    let introspection = issuer.introspection.as_ref();
    let introspection = introspection.map(|how| Introspection::new(issuer, how, Arc::clone(clock)));
    let introspection = introspection.transpose()?;
    Ok(Issuer::new(issuer, &config.auth, keys, introspection))
}

/// ZITADEL splits at `"Bearer "` (case matters) and wants exactly two parts; an empty header is a missing
/// one.
fn bearer_token(authorization: Option<&str>) -> Result<&str, AuthError> {
    let header = authorization
        .filter(|header| !header.is_empty())
        .ok_or(AuthError::HeaderMissing)?;
    let mut parts = header.split("Bearer ");
    match (parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(token), None) => Ok(token),
        _ => Err(AuthError::HeaderInvalid),
    }
}
