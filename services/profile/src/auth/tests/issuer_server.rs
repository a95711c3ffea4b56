//! An issuer on loopback: discovery, keys and introspection, and what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use reqwest::Url;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(super) const DOCUMENT: &str = "/.well-known/openid-configuration";
pub(super) const KEYS: &str = "/keys";
pub(super) const INTROSPECT: &str = "/introspect";

/// One request, header names in lower case.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

pub(super) struct IssuerServer {
    pub(super) url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// By path; what is not here is 404, but introspection, which looks at `tokens`.
    answers: Mutex<HashMap<String, (u16, String)>>,
    /// Claims of active tokens.
    tokens: Mutex<HashMap<String, Value>>,
    asked: watch::Sender<Vec<Asked>>,
    /// How the paths begin that are not answered.
    held: watch::Sender<Option<&'static str>>,
}

impl IssuerServer {
    /// With a document that names its own endpoints.
    pub(super) async fn start() -> IssuerServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<State>::default();
        let server = IssuerServer {
            url: url.clone(),
            state: Arc::clone(&state),
        };
        server.set(DOCUMENT, 200, &server.document());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
        });
        server
    }

    pub(super) fn document(&self) -> Value {
        let url = &self.url;
        json!({
            "issuer": url,
            "jwks_uri": format!("{url}{KEYS}"),
            "introspection_endpoint": format!("{url}{INTROSPECT}"),
        })
    }

    pub(super) fn set(&self, path: &str, status: u16, body: &Value) {
        let mut answers = self.state.answers.lock().unwrap();
        answers.insert(path.to_owned(), (status, body.to_string()));
    }

    /// Introspection looks at the tokens again.
    pub(super) fn reset(&self, path: &str) {
        self.state.answers.lock().unwrap().remove(path);
    }

    pub(super) fn activate(&self, token: &str, claims: &Value) {
        let mut tokens = self.state.tokens.lock().unwrap();
        tokens.insert(token.to_owned(), claims.clone());
    }

    pub(super) fn revoke(&self, token: &str) {
        self.state.tokens.lock().unwrap().remove(token);
    }

    pub(super) fn asked(&self, path: &str) -> usize {
        let asked = self.state.asked.borrow();
        asked.iter().filter(|asked| asked.path == path).count()
    }

    pub(super) fn last(&self) -> Asked {
        self.state.asked.borrow().last().unwrap().clone()
    }

    /// Returns once so many requests for anything have come.
    pub(super) async fn asked_in_all(&self, requests: usize) {
        let mut asked = self.state.asked.subscribe();
        asked.wait_for(|all| all.len() >= requests).await.unwrap();
    }

    /// From now on no request is answered, until `release`.
    pub(super) fn hold(&self) {
        self.hold_only("/");
    }

    pub(super) fn hold_only(&self, path: &'static str) {
        self.state.held.send_replace(Some(path));
    }

    pub(super) fn release(&self) {
        self.state.held.send_replace(None);
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let Some(asked) = read(&mut stream).await else {
        return;
    };
    state.asked.send_modify(|all| all.push(asked.clone()));
    let mut held = state.held.subscribe();
    let answered = |held: &Option<&str>| held.is_none_or(|path| !asked.path.starts_with(path));
    let _ = held.wait_for(answered).await;
    let (status, body) = state.answer(&asked);
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    lines.read_line(&mut line).await.ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        lines.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    lines.read_exact(&mut body).await.ok()?;
    Some(Asked {
        path,
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

impl State {
    fn answer(&self, asked: &Asked) -> (u16, String) {
        if let Some(answer) = self.answers.lock().unwrap().get(&asked.path) {
            return answer.clone();
        }
        if !asked.path.ends_with(INTROSPECT) {
            return (404, String::new());
        }
        let form = Url::parse(&format!("form:?{}", asked.body)).unwrap();
        let token = form.query_pairs().find(|(name, _)| name == "token");
        let (_, token) = token.unwrap();
        let answer = match self.tokens.lock().unwrap().get(token.as_ref()) {
            Some(claims) => {
                let mut answer = claims.clone();
                answer["active"] = json!(true);
                answer
            }
            None => json!({"active": false}),
        };
        (200, answer.to_string())
    }
}
