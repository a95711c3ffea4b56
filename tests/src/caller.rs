//! A caller of the service: a NATS client with a token.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::{Client, HeaderMap};
use profilectl::token::{TokenClaims, mint};
use serde_json::Value;
use tokio::time::timeout;

use crate::bus::{self, Bus};
use crate::nats_server::NatsUser;
use crate::service::{AUDIENCE, ISSUER, Service};

/// Who a token speaks for.
#[derive(Clone, Debug)]
pub struct Identity {
    pub subject: String,
    pub org: String,
    /// Role and the organization in which it holds.
    pub roles: Vec<(String, String)>,
}

impl Identity {
    /// A user without any role.
    pub fn user(subject: &str, org: &str) -> Identity {
        Identity {
            subject: subject.into(),
            org: org.into(),
            roles: Vec::new(),
        }
    }

    /// An owner of the organization.
    pub fn owner(org: &str) -> Identity {
        let roles = vec![("ORG_OWNER".to_owned(), org.to_owned())];
        Identity {
            subject: format!("owner-of-{org}"),
            org: org.into(),
            roles,
        }
    }
}

/// What came back: the HTTP status of an error, or none, and the body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: Option<u16>,
    /// `Nats-Service-Error`.
    pub error: Option<String>,
    pub body: Value,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, None, "{}", self.body);
        self.body
    }

    /// The `message` of an error with this status.
    #[track_caller]
    pub fn refused(&self, status: u16) -> &str {
        assert_eq!(self.status, Some(status), "{}", self.body);
        self.body["message"]
            .as_str()
            .expect("an error has a message")
    }

    /// Names of the fields in the BadRequest detail.
    pub fn violated(&self) -> Vec<&str> {
        let details = self.body["details"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let fields = details
            .iter()
            .filter_map(|detail| detail["fieldViolations"].as_array());
        fields
            .flatten()
            .filter_map(|violation| violation["field"].as_str())
            .collect()
    }

    /// A value of the ErrorInfo detail's metadata.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        let details = self.body["details"].as_array()?;
        details
            .iter()
            .find_map(|detail| detail["metadata"][name].as_str())
    }
}

/// A requester with a token.
#[derive(Clone, Debug)]
pub struct Caller {
    client: Client,
    headers: Vec<(String, String)>,
    /// How often a call is made at most.
    attempts_max: u32,
}

/// Of a patient caller, with [`PAUSE`] between two of them.
const ATTEMPTS_MAX: u32 = 40;
const PAUSE: Duration = Duration::from_millis(500);

impl Caller {
    /// Connects as the requester of the shipped configuration, with a token for `identity`.
    pub async fn connect(bus: &impl Bus, service: &Service, identity: &Identity) -> Caller {
        Caller::anonymous(bus)
            .await
            .with_token(&token(service, identity))
    }

    pub async fn anonymous(bus: &impl Bus) -> Caller {
        Caller::over(bus::connect(bus, NatsUser::Requester).await)
    }

    /// Without a token, over a connection of its own kind.
    pub fn over(client: Client) -> Caller {
        Caller {
            client,
            headers: Vec::new(),
            attempts_max: 1,
        }
    }

    /// The same caller, who makes a call again that was refused as safe to make again: several nodes may have
    /// to find a new leader of their log at any time.
    #[must_use]
    pub fn patient(&self) -> Caller {
        let attempts_max = ATTEMPTS_MAX;
        Caller {
            attempts_max,
            ..self.clone()
        }
    }

    #[must_use]
    pub fn with_token(&self, token: &str) -> Caller {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    /// The same caller with one more header.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Caller {
        let mut caller = self.clone();
        caller.headers.retain(|(existing, _)| existing != name);
        caller.headers.push((name.to_owned(), value.to_owned()));
        caller
    }

    /// Calls `profile.v1.<operation>` with a JSON body.
    pub async fn call(&self, operation: &str, body: Value) -> Answer {
        self.try_call(operation, body)
            .await
            .expect("the service answers")
    }

    /// The same where no answer may come.
    pub async fn try_call(
        &self,
        operation: &str,
        body: Value,
    ) -> Result<Answer, async_nats::RequestError> {
        let (subject, body) = (format!("profile.v1.{operation}"), body.to_string());
        for _ in 1..self.attempts_max {
            let answer = self.send(subject.clone(), body.clone().into()).await?;
            if answer.status != Some(503) || answer.metadata("retry") != Some("safe") {
                return Ok(answer);
            }
            let _ = timeout(PAUSE, std::future::pending::<()>()).await;
        }
        self.send(subject, body.into_bytes()).await
    }

    /// Calls any subject with any bytes.
    pub async fn send(
        &self,
        subject: String,
        body: Vec<u8>,
    ) -> Result<Answer, async_nats::RequestError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.insert(name.as_str(), value.as_str());
        }
        let reply = self
            .client
            .request_with_headers(subject, headers, body.into())
            .await?;
        let header = |name: &str| {
            let headers = reply.headers.as_ref()?;
            headers.get(name).map(|value| value.as_str().to_owned())
        };
        Ok(Answer {
            status: header("Nats-Service-Error-Code").map(|code| code.parse().expect("a number")),
            error: header("Nats-Service-Error"),
            body: serde_json::from_slice(&reply.payload).expect("every answer has a JSON body"),
        })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// A token of the service's issuer. Valid for 12 hours: longer than any run, which mints once.
pub fn token(service: &Service, identity: &Identity) -> String {
    let mut roles: BTreeMap<String, std::collections::BTreeSet<String>> = BTreeMap::new();
    for (role, org) in &identity.roles {
        roles.entry(role.clone()).or_default().insert(org.clone());
    }
    let claims = TokenClaims {
        issuer: ISSUER.to_owned(),
        audience: vec![AUDIENCE.to_owned()],
        subject: identity.subject.clone(),
        org: Some(identity.org.clone()),
        roles,
        issued_at_s: now_s(),
        ttl_s: 43_200,
    };
    mint(service.key(), &claims).expect("a token can be minted")
}

#[allow(clippy::disallowed_methods)] // the service looks at the real clock too
fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The body of a `create` for a user of this id.
pub fn new_user(user: &str) -> Value {
    serde_json::json!({
        "userId": user,
        "userName": user,
        "profile": {"firstName": "Gigi", "lastName": "Giraffe"},
        "email": {"email": format!("{user}@zoo.example"), "isEmailVerified": true},
    })
}
