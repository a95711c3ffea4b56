//! Signing keys and the tokens signed with them: `profilectl token`, and callers in tests.
//!
//! A key directory holds `signing-key.pem` (PKCS#8, Ed25519, mode 0600) and `jwks.json`, the public half
//! that the service reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// `iss` and `aud` of tokens for `profiled --dev`.
pub const DEV_ISSUER: &str = "profile-service-dev";
/// Claim with the caller's own organization, as ZITADEL names it.
pub const OWN_ORG_CLAIM: &str = "urn:zitadel:iam:user:resourceowner:id";
/// Claim with `{role: {organization: domain}}`, as ZITADEL names it.
pub const ROLES_CLAIM: &str = "urn:zitadel:iam:org:project:roles";

const SIGNING_KEY_FILE: &str = "signing-key.pem";
const JWKS_FILE: &str = "jwks.json";
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// Why there is no key or no token. Never holds a part of either.
#[derive(Debug)]
pub enum TokenError {
    /// A file or directory, and what the system says about it.
    File(String),
    /// Neither PKCS#8 (PEM) nor a private JWK of an Ed25519 key.
    NotAKey,
    /// The random source or the signature failed.
    Crypto,
}

impl std::fmt::Display for TokenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TokenError::File(what) => f.write_str(what),
            TokenError::NotAKey => {
                f.write_str("this is neither an Ed25519 key in PEM (PKCS#8) nor a private JWK")
            }
            TokenError::Crypto => f.write_str("the key cannot be made or used"),
        }
    }
}

impl std::error::Error for TokenError {}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenClaims {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: Vec<String>,
    /// `sub`: the user id.
    pub subject: String,
    /// The user's own organization.
    pub org: Option<String>,
    /// Role -> organizations in which it holds.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// Seconds since 1970: `iat` and `nbf`.
    pub issued_at_s: u64,
    /// Seconds from then to `exp`.
    pub ttl_s: u64,
}

impl TokenClaims {
    /// Claims for a service started with `--dev`: its issuer, one hour, no organization, no roles.
    pub fn dev(subject: &str, issued_at_s: u64) -> TokenClaims {
        TokenClaims {
            issuer: DEV_ISSUER.to_owned(),
            audience: vec![DEV_ISSUER.to_owned()],
            subject: subject.to_owned(),
            org: None,
            roles: BTreeMap::new(),
            issued_at_s,
            ttl_s: 3600,
        }
    }

    fn to_json(&self) -> Value {
        let mut claims = Map::new();
        claims.insert("iss".into(), json!(self.issuer));
        claims.insert("aud".into(), json!(self.audience));
        claims.insert("sub".into(), json!(self.subject));
        claims.insert("iat".into(), json!(self.issued_at_s));
        claims.insert("nbf".into(), json!(self.issued_at_s));
        let expires_s = self.issued_at_s.saturating_add(self.ttl_s);
        claims.insert("exp".into(), json!(expires_s));
        if let Some(org) = &self.org {
            claims.insert(OWN_ORG_CLAIM.into(), json!(org));
        }
        let domains = |orgs: &BTreeSet<String>| -> Map<String, Value> {
            orgs.iter().map(|org| (org.clone(), json!(org))).collect()
        };
        let roles = self.roles.iter();
        let roles: Map<_, _> = roles
            .map(|(role, orgs)| (role.clone(), domains(orgs).into()))
            .collect();
        if !roles.is_empty() {
            claims.insert(ROLES_CLAIM.into(), roles.into());
        }
        claims.into()
    }
}

/// A private Ed25519 key and the id that its public half has in a key set.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    kid: Option<String>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new key with a random id.
    ///
    /// # Errors
    /// `Crypto`.
    pub fn generate() -> Result<SigningKey, TokenError> {
        let mut id = [0; 12];
        SystemRandom::new()
            .fill(&mut id)
            .map_err(|_| TokenError::Crypto)?;
        Ok(SigningKey {
            pair: Ed25519KeyPair::generate().map_err(|_| TokenError::Crypto)?,
            kid: Some(crate::hex(&id)),
        })
    }

    /// A PEM file (PKCS#8), whose id is looked up in the `jwks.json` beside it, or a private JWK file.
    ///
    /// # Errors
    /// `File` when it cannot be read, `NotAKey`.
    pub fn load(file: &Path) -> Result<SigningKey, TokenError> {
        let text = fs::read_to_string(file).map_err(|error| at(file, &error))?;
        if !text.contains(PEM_BEGIN) {
            return SigningKey::from_jwk(&text);
        }
        let mut key = SigningKey::from_pem(&text)?;
        key.kid = fs::read_to_string(file.with_file_name(JWKS_FILE))
            .ok()
            .and_then(|jwks| kid_in(&jwks, &key.public_x()));
        Ok(key)
    }

    /// # Errors
    /// `NotAKey`.
    pub fn from_pem(text: &str) -> Result<SigningKey, TokenError> {
        let body = text
            .split_once(PEM_BEGIN)
            .and_then(|(_, rest)| rest.split_once(PEM_END))
            .ok_or(TokenError::NotAKey)?
            .0;
        let body: String = body.split_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| TokenError::NotAKey)?;
        Ok(SigningKey {
            pair: Ed25519KeyPair::from_pkcs8(&der).map_err(|_| TokenError::NotAKey)?,
            kid: None,
        })
    }

    /// # Errors
    /// `NotAKey`.
    pub fn from_jwk(text: &str) -> Result<SigningKey, TokenError> {
        #[derive(Deserialize)]
        struct PrivateJwk {
            crv: String,
            x: String,
            d: String,
            kid: Option<String>,
        }
        let jwk: PrivateJwk = serde_json::from_str(text).map_err(|_| TokenError::NotAKey)?;
        let bytes = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| TokenError::NotAKey)
        };
        if jwk.crv != "Ed25519" {
            return Err(TokenError::NotAKey);
        }
        let pair = Ed25519KeyPair::from_seed_and_public_key(&bytes(&jwk.d)?, &bytes(&jwk.x)?);
        Ok(SigningKey {
            pair: pair.map_err(|_| TokenError::NotAKey)?,
            kid: jwk.kid,
        })
    }

    /// The key's id in its key set.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The public half as a JSON Web Key Set.
    pub fn jwks(&self) -> Value {
        let mut key = json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "x": self.public_x(),
        });
        if let (Some(kid), Some(members)) = (&self.kid, key.as_object_mut()) {
            members.insert("kid".to_owned(), json!(kid));
        }
        json!({ "keys": [key] })
    }

    fn public_x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref())
    }

    /// PKCS#8 in PEM (RFC 7468).
    fn pem(&self) -> Result<String, TokenError> {
        let der = self.pair.to_pkcs8v1().map_err(|_| TokenError::Crypto)?;
        let body = STANDARD.encode(der.as_ref());
        let mut text = format!("{PEM_BEGIN}\n");
        for (index, character) in body.chars().enumerate() {
            if index > 0 && index % 64 == 0 {
                text.push('\n');
            }
            text.push(character);
        }
        Ok(format!("{text}\n{PEM_END}\n"))
    }
}

/// Signs a token.
///
/// # Errors
/// `Crypto`.
pub fn mint(key: &SigningKey, claims: &TokenClaims) -> Result<String, TokenError> {
    mint_claims(key, &claims.to_json())
}

/// Signs any claims: for tokens that must be refused.
///
/// # Errors
/// `Crypto`.
pub fn mint_claims(key: &SigningKey, claims: &Value) -> Result<String, TokenError> {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid.clone_from(&key.kid);
    let der = key.pair.to_pkcs8v1().map_err(|_| TokenError::Crypto)?;
    let encoding = EncodingKey::from_ed_der(der.as_ref());
    jsonwebtoken::encode(&header, claims, &encoding).map_err(|_| TokenError::Crypto)
}

/// Makes a key set for production: `signing-key.pem` (mode 0600) and `jwks.json`. Overwrites nothing.
///
/// # Errors
/// `File` when one of the files is there or cannot be written, `Crypto`.
pub fn init_keys(directory: &Path) -> Result<SigningKey, TokenError> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(directory);
    made.map_err(|error| at(directory, &error))?;
    let key = SigningKey::generate()?;
    write_new(&directory.join(SIGNING_KEY_FILE), &key.pem()?, 0o600)?;
    let jwks = format!("{:#}\n", key.jwks());
    write_new(&directory.join(JWKS_FILE), &jwks, 0o644)?;
    Ok(key)
}

/// Copies the public half of the key set in `directory` to `jwks.json` in `public`, in place of one that
/// is there.
///
/// # Errors
/// `File` when the one cannot be read or the other not be written.
pub fn publish_keys(directory: &Path, public: &Path) -> Result<(), TokenError> {
    let from = directory.join(JWKS_FILE);
    let jwks = fs::read(&from).map_err(|error| at(&from, &error))?;
    fs::create_dir_all(public).map_err(|error| at(public, &error))?;
    // Under another name first: a service may be reading the file that is there.
    let (new, to) = (public.join("jwks.json.new"), public.join(JWKS_FILE));
    fs::write(&new, jwks).map_err(|error| at(&new, &error))?;
    fs::rename(&new, &to).map_err(|error| at(&to, &error))
}

/// Whether `directory` holds a private key together with its public half.
pub fn has_key_set(directory: &Path) -> bool {
    SigningKey::load(&directory.join(SIGNING_KEY_FILE)).is_ok_and(|key| key.kid.is_some())
}

fn write_new(file: &Path, text: &str, mode: u32) -> Result<(), TokenError> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode).open(file);
    opened
        .and_then(|mut open| {
            open.write_all(text.as_bytes())?;
            open.sync_all()
        })
        .map_err(|error| at(file, &error))
}

/// The id of the key with this public half.
fn kid_in(jwks: &str, x: &str) -> Option<String> {
    let set: Value = serde_json::from_str(jwks).ok()?;
    let mut keys = set.get("keys")?.as_array()?.iter();
    let key = keys.find(|key| key.get("x").and_then(Value::as_str) == Some(x))?;
    key.get("kid")?.as_str().map(str::to_owned)
}

fn at(path: &Path, error: &std::io::Error) -> TokenError {
    TokenError::File(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn directory(name: &str) -> std::path::PathBuf {
        let name = format!("profilectl-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn a_key_set_is_there_with_both_its_halves_only() {
        let path = directory("has-key-set");
        assert!(!has_key_set(&path));
        init_keys(&path).unwrap();
        assert!(has_key_set(&path));
        fs::remove_file(path.join(JWKS_FILE)).unwrap();
        assert!(!has_key_set(&path));
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_key_set_is_made_once_and_reads_back() {
        let keys = directory("made-once");
        let made = init_keys(&keys).unwrap();
        let file = keys.join(SIGNING_KEY_FILE);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let loaded = SigningKey::load(&file).unwrap();
        assert_eq!(loaded.kid(), made.kid());
        assert!(made.kid().is_some_and(|kid| !kid.starts_with("dev-")));
        assert_eq!(loaded.jwks(), made.jwks());
        assert!(matches!(init_keys(&keys), Err(TokenError::File(_))));
        fs::remove_dir_all(&keys).unwrap();
    }

    #[test]
    fn the_public_half_is_published_alone_and_again() {
        let (keys, public) = (directory("published-keys"), directory("published"));
        assert!(publish_keys(&keys, &public).is_err());
        init_keys(&keys).unwrap();
        for _ in 0..2 {
            publish_keys(&keys, &public).unwrap();
            let names = fs::read_dir(&public).unwrap();
            let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names, [JWKS_FILE]);
            let copy = fs::read(public.join(JWKS_FILE)).unwrap();
            assert_eq!(copy, fs::read(keys.join(JWKS_FILE)).unwrap());
        }
        fs::remove_dir_all(&keys).unwrap();
        fs::remove_dir_all(&public).unwrap();
    }

    #[test]
    fn a_private_jwk_signs_like_its_pem() {
        let key = SigningKey::generate().unwrap();
        let seed = key.pair.seed().unwrap();
        let seed = aws_lc_rs::encoding::AsBigEndian::<
            aws_lc_rs::encoding::Curve25519SeedBin<'_>,
        >::as_be_bytes(&seed)
        .unwrap();
        let jwk = json!({
            "kty": "OKP", "crv": "Ed25519", "kid": key.kid(), "x": key.public_x(),
            "d": URL_SAFE_NO_PAD.encode(seed.as_ref()),
        });
        let same = SigningKey::from_jwk(&jwk.to_string()).unwrap();
        let claims = TokenClaims::dev("u1", 1_000);
        assert_eq!(mint(&key, &claims).unwrap(), mint(&same, &claims).unwrap());
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_without_quoting_it() {
        for text in [
            "",
            "{}",
            "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----",
        ] {
            let refused = match text.contains("BEGIN") {
                true => SigningKey::from_pem(text),
                false => SigningKey::from_jwk(text),
            };
            assert!(!refused.unwrap_err().to_string().contains("c2VjcmV0"));
        }
    }
}
