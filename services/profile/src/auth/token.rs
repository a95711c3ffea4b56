//! From a token to its caller: signature or the issuer's word, issuer, audience, lifetime, claims.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Validation, dangerous, decode, decode_header};
use profile_messages::{OrgId, Timestamp, UserId};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::introspection::Introspection;
use super::key_set::VerifyKey;
use super::keys::IssuerKeys;
use super::{AuthError, Principal};
use crate::config::{AuthConfig, IssuerConfig};

/// Longest `sub` in bytes: it becomes the actor in the log.
const SUBJECT_BYTES_MAX: usize = 200;

/// Longest token in bytes that an issuer is asked about; ZITADEL's are shorter than 200.
const OPAQUE_BYTES_MAX: usize = 4096;

/// What a bearer token is, by its looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Three parts, the first of them a JSON header: verified here.
    Jwt,
    /// Whatever else may be a token (RFC 6750 §2.1): only the issuer knows.
    Opaque,
    /// No token: nobody is asked.
    Nothing,
}

pub(super) fn kind(token: &str) -> Kind {
    let parts: Vec<&str> = token.split('.').take(4).collect();
    if let [header, _, _] = parts.as_slice()
        && let Ok(header) = URL_SAFE_NO_PAD.decode(header)
        && serde_json::from_slice::<Map<String, Value>>(&header).is_ok()
    {
        return Kind::Jwt;
    }
    let body = token.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    let well_formed = !body.is_empty() && body.bytes().all(allowed);
    match well_formed && token.len() <= OPAQUE_BYTES_MAX {
        true => Kind::Opaque,
        false => Kind::Nothing,
    }
}

/// One issuer with its keys, and what its tokens are read by.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) name: String,
    pub(super) keys: IssuerKeys,
    /// `None`: only JWTs of this issuer are accepted.
    pub(super) introspection: Option<Introspection>,
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
    pub(super) fn new(
        issuer: &IssuerConfig,
        auth: &AuthConfig,
        keys: IssuerKeys,
        introspection: Option<Introspection>,
    ) -> Issuer {
        let names = &auth.claims;
        let of_project = |id: &String| names.project_roles.replace("{projectId}", id);
        let mut role_claims = vec![names.roles.clone()];
        role_claims.extend(auth.project_ids.iter().map(of_project));
        Issuer {
            name: issuer.issuer.clone(),
            keys,
            introspection,
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
        if !claims.contains_key("exp") {
            return Err(AuthError::TokenInvalid);
        }
        Ok((self.read(&claims)?, generation))
    }

    /// Reads the claims of a token that the issuer, asked about it, called active. Issuer and end may be
    /// absent from its answer (RFC 7662 §2.2), but not wrong. The audience must be there: an issuer calls
    /// tokens for all of its services active, and without it nothing says that this one is for us.
    pub(super) fn accept(&self, claims: &Map<String, Value>) -> Result<Verified, AuthError> {
        let own = |issuer: &Value| issuer.as_str() == Some(&self.name);
        let issuer = claims.get("iss").is_none_or(own);
        let audience = claims.get("aud").is_some_and(|aud| self.is_for_us(aud));
        match issuer && audience && is_bearer_access_token(claims) {
            true => self.read(claims),
            false => Err(AuthError::TokenInvalid),
        }
    }

    /// ZITADEL adds the asking client to the audience of a personal access token, and nothing else of ours:
    /// so what is meant for that client is meant for us.
    fn is_for_us(&self, aud: &Value) -> bool {
        let client = self.introspection.as_ref().map(|i| &i.client_id);
        let ours = |aud: &Value| {
            let mut names = self.audiences.iter().chain(client);
            names.any(|name| aud.as_str() == Some(name))
        };
        match aud.as_array() {
            Some(several) => several.iter().any(ours),
            None => ours(aud),
        }
    }

    fn read(&self, claims: &Map<String, Value>) -> Result<Verified, AuthError> {
        Ok(Verified {
            principal: self.principal(claims)?,
            lifetime: self.lifetime(claims)?,
        })
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
        let from = match claims.get("nbf") {
            None => 0,
            Some(nbf) => seconds(nbf).ok_or(AuthError::TokenInvalid)? - self.leeway_s,
        };
        let until = match claims.get("exp") {
            None => YEAR_10000_S,
            Some(exp) => seconds(exp).ok_or(AuthError::TokenInvalid)? + self.leeway_s,
        };
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

/// Issuers answer about refresh tokens too, whatever the hint, and about tokens that are bound to a key which
/// nobody has proven here (RFC 9449 §7.1). Absent is right: RFC 7662 makes the one optional, the other is Ory
/// Hydra's.
fn is_bearer_access_token(claims: &Map<String, Value>) -> bool {
    let is = |name: &str, names: &[&str]| {
        let said = |value: &Value| {
            let value = value.as_str().unwrap_or_default();
            names.iter().any(|name| value.eq_ignore_ascii_case(name))
        };
        claims.get(name).is_none_or(said)
    };
    is("token_type", &["bearer", "access_token"]) && is("token_use", &["access_token"])
}

const YEAR_10000_S: i64 = 253_402_300_800;

/// A NumericDate (RFC 7519 §2) in whole seconds, from 1970 to the year 9999.
fn seconds(value: &Value) -> Option<i64> {
    let seconds = value.as_f64()?;
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    // within the range just checked
    (0.0..YEAR_10000_S as f64)
        .contains(&seconds)
        .then_some(seconds as i64)
}
