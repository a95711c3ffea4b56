//! Tokens of an issuer that is only named: its keys by discovery, its opaque tokens by introspection.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use profile_tests::caller::{Answer, Caller, new_user};
use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::service::Service;
use profilectl::token::{SigningKey, TokenClaims, mint};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const WAIT_MAX: Duration = Duration::from_secs(60);
const SECRET: &str = "introspection-secret";
/// `Basic` of `api` and the secret.
const CREDENTIALS: &str = "Basic YXBpOmludHJvc3BlY3Rpb24tc2VjcmV0";
const INVALID: &str = "Errors.Token.Invalid (AUTH-7fs1e)";

/// An issuer on loopback.
struct Issuer {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    url: String,
    keys: Value,
    /// Claims of active opaque tokens.
    tokens: HashMap<String, Value>,
    away: bool,
    introspections: usize,
}

impl Issuer {
    async fn start(key: &SigningKey) -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            url: url.clone(),
            keys: key.jwks(),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Issuer { url, state }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    fn introspections(&self) -> usize {
        self.state.lock().unwrap().introspections
    }

    /// What it says of an owner of the organization `zoo`.
    fn owner_claims(&self) -> Value {
        json!({
            "iss": self.url, "sub": "owner", "aud": ["api"], "exp": now_s() + 3600,
            "urn:zitadel:iam:user:resourceowner:id": "zoo",
            "urn:zitadel:iam:org:project:roles": {"ORG_OWNER": {"zoo": "zoo.example"}},
        })
    }

    fn owner_jwt(&self, key: &SigningKey, subject: &str) -> String {
        let zoo = BTreeSet::from(["zoo".to_owned()]);
        let claims = TokenClaims {
            issuer: self.url.clone(),
            audience: vec!["profile".to_owned()],
            subject: subject.to_owned(),
            org: Some("zoo".to_owned()),
            roles: BTreeMap::from([("ORG_OWNER".to_owned(), zoo)]),
            issued_at_s: now_s(),
            ttl_s: 3600,
        };
        mint(key, &claims).unwrap()
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) -> Option<()> {
    let mut lines = BufReader::new(&mut stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let header = |name: &str| {
        let mut all = head.lines().filter_map(|line| line.split_once(": "));
        let found = all.find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    lines.read_exact(&mut body).await.ok()?;
    let path = head.split(' ').nth(1)?;
    let body = String::from_utf8(body).unwrap();
    let (status, answer) = state
        .lock()
        .unwrap()
        .answer(path, header("authorization"), &body);
    let text = answer.to_string();
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
    );
    stream.write_all(answer.as_bytes()).await.ok()
}

impl State {
    fn answer(&mut self, path: &str, credentials: Option<String>, body: &str) -> (u16, Value) {
        let url = &self.url;
        if self.away {
            return (503, json!({}));
        }
        match path {
            "/.well-known/openid-configuration" => {
                let document = json!({
                    "issuer": url, "jwks_uri": format!("{url}/oauth/v2/keys"),
                    "introspection_endpoint": format!("{url}/oauth/v2/introspect"),
                });
                (200, document)
            }
            "/oauth/v2/keys" => (200, self.keys.clone()),
            "/oauth/v2/introspect" if credentials.as_deref() == Some(CREDENTIALS) => {
                self.introspections += 1;
                let token = body
                    .strip_prefix("token=")
                    .and_then(|rest| rest.strip_suffix("&token_type_hint=access_token"));
                let mut answer = self.tokens.get(token.unwrap_or_default()).cloned();
                match &mut answer {
                    Some(claims) => claims["active"] = json!(true),
                    None => answer = Some(json!({"active": false})),
                }
                (200, answer.unwrap_or_default())
            }
            _ => (401, json!({})),
        }
    }
}

struct Bench {
    issuer: Issuer,
    service: Service,
    /// Of the service's log, since it is ready.
    lines: Receiver<String>,
    anonymous: Caller,
    _server: NatsServer,
}

/// The issuer is the service's second one: it speaks for the organization `zoo` alone.
async fn bench(key: &SigningKey) -> Bench {
    let issuer = Issuer::start(key).await;
    let extra = format!(
        r#"
[[auth.issuers]]
issuer = "{}"
audiences = ["profile"]
algorithms = ["EdDSA"]
organizations = ["zoo"]
refetch_interval_s = 1

[auth.issuers.introspection]
client_id = "api"
client_secret = "{SECRET}"
cache_s = 1
"#,
        issuer.url
    );
    let server = NatsServer::start(ServerOptions::default());
    let mut service = Service::prepared(&server, &extra);
    let lines = service.start_until_logged("\"message\":\"ready\"");
    Bench {
        service,
        lines,
        anonymous: Caller::anonymous(&server).await,
        issuer,
        _server: server,
    }
}

/// Calls until the answer is of the wanted kind.
async fn list_until(caller: &Caller, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let asking = async {
        loop {
            let answer = caller.call("list", json!({})).await;
            if wanted(&answer) {
                return answer;
            }
        }
    };
    timeout(WAIT_MAX, asking).await.unwrap()
}

#[tokio::test]
async fn a_discovered_issuer_may_change_its_key() {
    let (old, new) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let bench = bench(&old).await;
    let by_old = bench
        .anonymous
        .with_token(&bench.issuer.owner_jwt(&old, "a"));
    let by_new = bench
        .anonymous
        .with_token(&bench.issuer.owner_jwt(&new, "a"));
    by_old.call("create", new_user("gigi")).await.ok();
    assert_eq!(by_new.call("list", json!({})).await.refused(401), INVALID);

    bench.issuer.set(|state| state.keys = new.jwks());
    list_until(&by_new, |answer| answer.status.is_none()).await;
    assert_eq!(by_old.call("list", json!({})).await.refused(401), INVALID);

    bench.issuer.set(|state| state.away = true);
    by_new.call("list", json!({})).await.ok();
    // One that was not seen before: the last good set stays.
    let newer = bench.issuer.owner_jwt(&new, "b");
    bench
        .anonymous
        .with_token(&newer)
        .call("list", json!({}))
        .await
        .ok();
}

#[tokio::test]
async fn an_opaque_token_counts_until_a_while_after_its_revocation() {
    let key = SigningKey::generate().unwrap();
    let bench = bench(&key).await;
    let owner = bench.anonymous.with_token("opaque-1");
    let claims = bench.issuer.owner_claims();
    bench.issuer.set(|state| {
        state.tokens.insert("opaque-1".to_owned(), claims);
    });
    owner.call("create", new_user("gigi")).await.ok();
    let got = owner.call("user.gigi.get", json!({})).await.ok();
    assert_eq!(got["details"]["resourceOwner"], "zoo");
    let elsewhere = owner.with("x-zitadel-orgid", "farm");
    assert_eq!(
        elsewhere.call("list", json!({})).await.refused(403),
        "Organisation doesn't exist (AUTH-Bs7Ds)"
    );
    for _ in 0..200 {
        owner.call("list", json!({})).await.ok();
    }
    assert!(bench.issuer.introspections() < 200);

    bench.issuer.set(|state| {
        state.tokens.clear();
    });
    let refused = list_until(&owner, |answer| answer.status.is_some()).await;
    assert_eq!(refused.refused(401), INVALID);
    let before = bench.issuer.introspections();
    assert_eq!(owner.call("list", json!({})).await.refused(401), INVALID);
    assert_eq!(bench.issuer.introspections(), before);
}

#[tokio::test]
async fn an_issuer_that_is_away_is_told_from_a_bad_token_and_secrets_are_in_no_log() {
    let key = SigningKey::generate().unwrap();
    let bench = bench(&key).await;
    let caller = |token: &str| bench.anonymous.with_token(token);
    let bad = caller("opaque-bad").call("list", json!({})).await;
    assert_eq!(bad.refused(401), INVALID);
    bench.issuer.set(|state| state.away = true);
    let unknown = caller("opaque-unknown").call("list", json!({})).await;
    assert_eq!(
        unknown.refused(503),
        "the token issuer cannot be asked about the token"
    );
    let told = |line: &String| line.contains("an issuer could not be asked about a token");
    while !told(&bench.lines.recv_timeout(WAIT_MAX).unwrap()) {}
    let log = bench.service.log();
    for secret in ["opaque-bad", "opaque-unknown", SECRET, CREDENTIALS] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[allow(clippy::disallowed_methods)] // the service looks at the real clock too
fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
