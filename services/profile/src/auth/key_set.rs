//! A JSON Web Key Set (RFC 7517) as we read it: public signing keys with the algorithms of their kind.

use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::discovery::DiscoveryError;
use super::fetch::FetchError;

/// Keys that are looked at in one set.
const KEYS_MAX: usize = 64;
/// Development keys carry this prefix, besides the mark on their set.
pub(super) const DEV_KID_PREFIX: &str = "dev-";

/// Why a key set cannot be used. Holds no part of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error("the key set cannot be read: {0}")]
    Unreadable(String),
    #[error("the key set is larger than 256 KiB")]
    TooLarge,
    #[error("the key set cannot be found: {0}")]
    Discovery(#[from] DiscoveryError),
    #[error("this is not a JSON Web Key Set")]
    NotAKeySet,
    #[error("the key set has no public signing key for the issuer's algorithms")]
    NoUsableKey,
    #[error("the key set is for development: it is accepted with --dev alone")]
    DevelopmentKey,
}

impl From<FetchError> for KeySetError {
    fn from(error: FetchError) -> KeySetError {
        match error {
            FetchError::Unreadable(cause) => KeySetError::Unreadable(cause),
            FetchError::Late => KeySetError::Unreadable("it did not come in time".to_owned()),
            FetchError::TooLarge => KeySetError::TooLarge,
        }
    }
}

/// Whether sets with the development mark count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DevKeys {
    Accepted,
    Refused,
}

/// One public key, with the algorithms that it may verify: what the token says about that is not asked.
#[derive(Debug)]
pub(super) struct VerifyKey {
    pub(super) kid: Option<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

#[derive(Deserialize)]
struct RawKeySet {
    keys: Vec<Value>,
    #[serde(default)]
    dev: bool,
}

/// The public signing keys of a set for the allowed algorithms. Keys of another kind are passed over, as
/// RFC 7517 §5 wants it.
pub(super) fn parse(
    bytes: &[u8],
    allowed: &[Algorithm],
    dev: DevKeys,
) -> Result<Vec<Arc<VerifyKey>>, KeySetError> {
    let set: RawKeySet = serde_json::from_slice(bytes).map_err(|_| KeySetError::NotAKeySet)?;
    let dev_kid = |key: &Value| {
        let kid = key.get("kid").and_then(Value::as_str);
        kid.is_some_and(|kid| kid.starts_with(DEV_KID_PREFIX))
    };
    if dev == DevKeys::Refused && (set.dev || set.keys.iter().any(dev_kid)) {
        return Err(KeySetError::DevelopmentKey);
    }
    let raw = set.keys.into_iter().take(KEYS_MAX);
    let keys: Vec<_> = raw.filter_map(|key| verify_key(key, allowed)).collect();
    if keys.is_empty() {
        return Err(KeySetError::NoUsableKey);
    }
    Ok(keys)
}

fn verify_key(raw: Value, allowed: &[Algorithm]) -> Option<Arc<VerifyKey>> {
    let jwk: Jwk = serde_json::from_value(raw).ok()?;
    if !matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    ) {
        return None;
    }
    let mut algorithms = algorithms_of(&jwk.algorithm);
    algorithms.retain(|algorithm| allowed.contains(algorithm));
    if let Some(named) = jwk.common.key_algorithm {
        let named = Algorithm::try_from(named).ok()?;
        algorithms.retain(|&algorithm| algorithm == named);
    }
    if algorithms.is_empty() {
        return None;
    }
    Some(Arc::new(VerifyKey {
        key: DecodingKey::from_jwk(&jwk).ok()?,
        kid: jwk.common.key_id,
        algorithms,
    }))
}

/// What a key of this kind can verify. A shared secret is no public key: nothing.
fn algorithms_of(parameters: &AlgorithmParameters) -> Vec<Algorithm> {
    match parameters {
        AlgorithmParameters::RSA(_) => vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            vec![Algorithm::ES256]
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
            vec![Algorithm::ES384]
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        AlgorithmParameters::EllipticCurve(_)
        | AlgorithmParameters::OctetKeyPair(_)
        | AlgorithmParameters::OctetKey(_)
        | AlgorithmParameters::Other(_) => Vec::new(),
        // The library's enum may grow.
        _ => Vec::new(),
    }
}
