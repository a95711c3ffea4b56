//! Development keys: made once in the data directory, and refused wherever somebody else could use them.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::key_set::DEV_KID_PREFIX;
use crate::clock::Clock;
use crate::config::{Config, is_loopback_url};

/// Why `--dev` does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DevError {
    #[error(
        "--dev is refused: {0} is not a loopback address, and whoever reaches the service could sign \
         tokens with its key; PROFILE__DEV_INSECURE=1 allows it"
    )]
    NotLoopback(&'static str),
    #[error("the development key cannot be made in {}: {cause}", path.display())]
    Key { path: PathBuf, cause: String },
}

/// Development keys are for one machine: every address must be loopback, or `dev_insecure` set. A
/// configuration without [`Config::dev`] always passes.
///
/// # Errors
/// [`DevError::NotLoopback`] with the option that is not.
pub fn check_dev_allowed(config: &Config) -> Result<(), DevError> {
    if !config.dev || config.dev_insecure {
        return Ok(());
    }
    // Every listener of the service belongs into this check.
    if !config.nats.urls.iter().all(|url| is_loopback_url(url)) {
        return Err(DevError::NotLoopback("nats.urls"));
    }
    let listeners = [
        ("http.listen", config.http.listen),
        ("monitoring.listen", config.monitoring.listen),
    ];
    for (option, listen) in listeners {
        if !listen.is_none_or(|it| it.ip().is_loopback()) {
            return Err(DevError::NotLoopback(option));
        }
    }
    Ok(())
}

/// Makes `dev-key/signing-key.pem` (PKCS#8, mode 0600) and `dev-key/jwks.json` in the data directory unless
/// they are there. Returns the path of the signing key.
///
/// # Errors
/// [`DevError::Key`] with the file system's reason.
pub fn prepare_dev_key(data_dir: &Path, clock: &dyn Clock) -> Result<PathBuf, DevError> {
    let directory = data_dir.join("dev-key");
    let key = directory.join("signing-key.pem");
    let failed = |cause: String| DevError::Key {
        path: directory.clone(),
        cause,
    };
    let made = make(&directory, &key, clock);
    made.map_err(|error| failed(error.to_string()))?;
    Ok(key)
}

fn make(directory: &Path, key: &Path, clock: &dyn Clock) -> std::io::Result<()> {
    let jwks = directory.join("jwks.json");
    if key.exists() && jwks.exists() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let refused = |_| std::io::Error::other("no random bytes");
    let pair = Ed25519KeyPair::generate().map_err(refused)?;
    let pkcs8 = pair.to_pkcs8v1().map_err(refused)?;
    // The public half last: with it the key is complete. A private key without it is from a start that was
    // cut short.
    match fs::remove_file(key) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(key)?;
    file.write_all(pem(pkcs8.as_ref()).as_bytes())?;
    file.sync_all()?;
    let kid = format!("{DEV_KID_PREFIX}{}", clock.random_id());
    let public = serde_json::json!({
        "dev": true,
        "keys": [{
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid,
            "x": URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
        }],
    });
    fs::write(jwks, format!("{public:#}\n"))
}

/// RFC 7468: lines of 64 characters.
fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN PRIVATE KEY-----\n");
    for (index, character) in STANDARD.encode(der).chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END PRIVATE KEY-----\n");
    text
}
