//! From the text of a token to its caller: signature, issuer, audience, lifetime, claims.

use std::collections::{BTreeMap, BTreeSet};

use jsonwebtoken::{Validation, dangerous, decode, decode_header};
use profile_messages::{OrgId, Timestamp, UserId};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::key_set::VerifyKey;
use super::keys::IssuerKeys;
use super::{AuthError, Principal};
use crate::config::{AuthConfig, IssuerConfig};

/// Longest `sub` in bytes: it becomes the actor in the log.
const SUBJECT_BYTES_MAX: usize = 200;

/// One issuer with its keys, and what its tokens are read by.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) name: String,
    pub(super) keys: IssuerKeys,
    audiences: Vec<String>,
    /// Empty: all.
    organizations: BTreeSet<String>,
    /// Not the first one: its subjects are told apart from the first one's.
    is_further: bool,
    leeway_s: i64,
    own_org_claim: String,
    role_claims: Vec<String>,
}

/// A token whose signature, issuer and audience are right; its lifetime is for the caller to check.
pub(super) struct Verified {
    pub(super) principal: Principal,
    pub(super) lifetime: Lifetime,
}

/// From (inclusive) and until (exclusive) when a token counts, leeway included, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    from: i64,
    until: i64,
}

impl Lifetime {
    pub(super) fn check(self, now: Timestamp) -> Result<(), AuthError> {
        match (self.from..self.until).contains(&now.0) {
            true => Ok(()),
            false => Err(AuthError::TokenInvalid),
        }
    }
}

/// `iss`, to know whose keys to ask. Nothing is verified yet.
pub(super) fn unverified_issuer(token: &str) -> Result<String, AuthError> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
    }
    match dangerous::insecure_decode::<Claims>(token) {
        Ok(data) => Ok(data.claims.iss),
        Err(_) => Err(AuthError::TokenInvalid),
    }
}

impl Issuer {
    pub(super) fn new(issuer: &IssuerConfig, auth: &AuthConfig, keys: IssuerKeys) -> Issuer {
        let names = &auth.claims;
        let of_project = |id: &String| names.project_roles.replace("{projectId}", id);
        let mut role_claims = vec![names.roles.clone()];
        role_claims.extend(auth.project_ids.iter().map(of_project));
        Issuer {
            name: issuer.issuer.clone(),
            keys,
            audiences: issuer.audiences.clone(),
            organizations: issuer.organizations.iter().cloned().collect(),
            is_further: auth
                .issuers
                .first()
                .is_some_and(|first| first.issuer != issuer.issuer),
            leeway_s: i64::try_from(issuer.leeway_s).unwrap_or(i64::MAX),
            own_org_claim: names.own_org.clone(),
            role_claims,
        }
    }

    /// Verifies the token and reads its claims. Also returns the generation of the key set that did it.
    pub(super) async fn verify(&self, token: &str) -> Result<(Verified, u64), AuthError> {
        let header = decode_header(token).map_err(|_| AuthError::TokenInvalid)?;
        // RFC 7515 §4.1.11: an extension that must be understood, and we understand none.
        if header.crit.is_some() {
            return Err(AuthError::TokenInvalid);
        }
        let (key, generation) = self.keys.find(header.kid.as_deref(), header.alg).await?;
        let claims = decode::<Map<String, Value>>(token, &key.key, &self.validation(&key))
            .map_err(|_| AuthError::TokenInvalid)?
            .claims;
        let verified = Verified {
            principal: self.principal(&claims)?,
            lifetime: self.lifetime(&claims)?,
        };
        Ok((verified, generation))
    }

    /// Everything but the lifetime, for which the library asks the system's clock.
    fn validation(&self, key: &VerifyKey) -> Validation {
        let mut validation = Validation::default();
        validation.algorithms.clone_from(&key.algorithms);
        validation.set_issuer(&[&self.name]);
        validation.set_audience(&self.audiences);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation
    }

    fn lifetime(&self, claims: &Map<String, Value>) -> Result<Lifetime, AuthError> {
        let exp = claims.get("exp").and_then(seconds);
        let from = match claims.get("nbf") {
            None => 0,
            Some(nbf) => seconds(nbf).ok_or(AuthError::TokenInvalid)? - self.leeway_s,
        };
        let until = exp.ok_or(AuthError::TokenInvalid)? + self.leeway_s;
        Ok(Lifetime {
            from: from * 1_000_000,
            until: until * 1_000_000,
        })
    }

    fn principal(&self, claims: &Map<String, Value>) -> Result<Principal, AuthError> {
        let subject = claims
            .get("sub")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if subject.is_empty() || subject.len() > SUBJECT_BYTES_MAX {
            return Err(AuthError::TokenInvalid);
        }
        let org = claims.get(&self.own_org_claim).and_then(Value::as_str);
        let org = org.and_then(|org| self.org(org));
        let user = UserId::parse(subject).ok();
        Ok(Principal {
            subject: subject.to_owned(),
            // User ids belong to the first issuer: another one's subject is a user only within an
            // organization that this issuer speaks for.
            user: user.filter(|_| self.organizations.is_empty() || org.is_some()),
            org,
            roles: self.roles(claims),
            further_issuer: self.is_further.then(|| self.name.clone()),
            speaks_for_all: self.organizations.is_empty(),
        })
    }

    /// `{role: {organization: domain}}` of every role claim. What has another form gives no right.
    fn roles(&self, claims: &Map<String, Value>) -> BTreeMap<String, BTreeSet<String>> {
        let mut roles = BTreeMap::<String, BTreeSet<String>>::new();
        let granted = self
            .role_claims
            .iter()
            .filter_map(|name| claims.get(name)?.as_object())
            .flatten();
        for (role, orgs) in granted {
            let orgs = orgs.as_object().into_iter().flat_map(Map::keys);
            let orgs: BTreeSet<String> = orgs
                .filter_map(|org| self.org(org))
                .map(|org| org.to_string())
                .collect();
            if !orgs.is_empty() {
                roles.entry(role.clone()).or_default().extend(orgs);
            }
        }
        roles
    }

    /// An organization that this issuer may speak for.
    fn org(&self, id: &str) -> Option<OrgId> {
        let allowed = self.organizations.is_empty() || self.organizations.contains(id);
        OrgId::parse(id).ok().filter(|_| allowed)
    }
}

/// A NumericDate (RFC 7519 §2) in whole seconds, from 1970 to the year 9999.
fn seconds(value: &Value) -> Option<i64> {
    const YEAR_10000_S: f64 = 253_402_300_800.0;
    let seconds = value.as_f64()?;
    #[allow(clippy::cast_possible_truncation)] // within the range just checked
    (0.0..YEAR_10000_S)
        .contains(&seconds)
        .then_some(seconds as i64)
}
