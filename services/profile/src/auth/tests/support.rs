//! An issuer with its keys, a clock that stands still, and a key server on loopback.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use profile_messages::Timestamp;
use profilectl::token::{SigningKey, TokenClaims, mint};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::auth::{AuthError, Authenticator, Principal};
use crate::clock::ManualClock;
use crate::config::{Config, IssuerConfig, TokenAlgorithm};

pub(super) const NOW_S: u64 = 1_800_000_000;
pub(super) const ISSUER: &str = "https://id.example.com";

pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp(NOW_S as i64 * 1_000_000)))
}

/// A directory of its own that goes with the test.
#[derive(Debug)]
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn new() -> Directory {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("profile-auth-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    pub(super) fn write(&self, name: &str, value: &Value) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, value.to_string()).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn issuer(name: &str, jwks_file: Option<&Path>) -> IssuerConfig {
    IssuerConfig {
        issuer: name.to_owned(),
        audiences: vec!["profile".to_owned()],
        algorithms: vec![TokenAlgorithm::EdDSA],
        jwks_file: jwks_file.map(Path::to_owned),
        jwks_url: None,
        introspection: None,
        organizations: Vec::new(),
        leeway_s: 10,
        refetch_interval_s: 60,
        refresh_interval_s: 300,
    }
}

pub(super) fn config(issuers: Vec<IssuerConfig>) -> Config {
    let mut config = Config::defaults().unwrap();
    config.auth.issuers = issuers;
    config
}

/// The claims of a good token.
pub(super) fn claims() -> TokenClaims {
    TokenClaims {
        issuer: ISSUER.to_owned(),
        audience: vec!["profile".to_owned()],
        org: Some("org1".to_owned()),
        ..TokenClaims::dev("user1", NOW_S)
    }
}

/// One issuer with one key in a file.
pub(super) struct Setup {
    pub(super) key: SigningKey,
    pub(super) clock: Arc<ManualClock>,
    pub(super) directory: Directory,
    pub(super) auth: Authenticator,
}

impl Setup {
    pub(super) fn new() -> Setup {
        Setup::with(|_| {})
    }

    pub(super) fn with(edit: impl FnOnce(&mut Config)) -> Setup {
        let key = SigningKey::generate().unwrap();
        let directory = Directory::new();
        let file = directory.write("jwks.json", &key.jwks());
        let mut config = config(vec![issuer(ISSUER, Some(&file))]);
        edit(&mut config);
        let clock = clock();
        let auth = Authenticator::new(&config, clock.clone()).unwrap();
        Setup {
            key,
            clock,
            directory,
            auth,
        }
    }

    pub(super) fn token(&self, claims: &TokenClaims) -> String {
        mint(&self.key, claims).unwrap()
    }

    pub(super) async fn principal(&self, claims: &TokenClaims) -> Arc<Principal> {
        bearer(&self.auth, &self.token(claims)).await.unwrap()
    }
}

pub(super) async fn bearer(auth: &Authenticator, token: &str) -> Result<Arc<Principal>, AuthError> {
    auth.authenticate(Some(&format!("Bearer {token}"))).await
}

/// Answers every request with what `answer` holds, and counts.
pub(super) struct KeyServer {
    pub(super) url: String,
    pub(super) answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    pub(super) async fn start(body: String) -> KeyServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = KeyServer {
            url: format!("http://{}/keys", listener.local_addr().unwrap()),
            answer: Arc::new(Mutex::new((200, body))),
            asked: Arc::default(),
        };
        let (answer, asked) = (Arc::clone(&server.answer), Arc::clone(&server.asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                asked.fetch_add(1, Ordering::SeqCst);
                let (status, body) = answer.lock().unwrap().clone();
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        server
    }

    pub(super) fn set(&self, status: u16, body: &Value) {
        *self.answer.lock().unwrap() = (status, body.to_string());
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn authenticator(&self, clock: &Arc<ManualClock>) -> Authenticator {
        let mut issuer = issuer(ISSUER, None);
        issuer.jwks_url = Some(self.url.clone());
        Authenticator::new(&config(vec![issuer]), clock.clone()).unwrap()
    }
}

/// One set of several keys.
pub(super) fn joined(keys: &[&SigningKey]) -> Value {
    let all = keys.iter().map(|key| key.jwks()["keys"][0].clone());
    json!({ "keys": all.collect::<Vec<_>>() })
}
