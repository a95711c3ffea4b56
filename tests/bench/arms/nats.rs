//! Calls over NATS: our service, and a responder that does no work and shows what NATS alone costs.

use std::process::{Child, Command, Stdio};

use async_nats::{Client, ConnectOptions, HeaderMap, Subject};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use profile_tests::bus::{self, Bus};
use profile_tests::caller::{Identity, new_user, token};
use profile_tests::nats_server::{NatsServer, NatsUser};
use profile_tests::service::Service;
use serde_json::json;

use crate::load::Call;

/// The organization of every user.
pub(crate) const ORG: &str = "zoo";
/// What the responder without work listens to, and the first word of its command line.
pub(crate) const ECHO: &str = "echo";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A request like an update, answered with as many bytes, by nobody who does any work.
    Echo,
    Create,
    Update,
    /// By the subject of the user.
    UpdateOfUser,
    Get,
}

/// Requests by async-nats' own `request`, as a service in Rust would send them.
#[derive(Debug)]
pub(crate) struct OverNats {
    client: Client,
    headers: HeaderMap,
    asked: Asked,
}

impl OverNats {
    pub(crate) async fn connect(bus: &impl Bus, service: &Service, asked: Asked) -> OverNats {
        let token = token(service, &Identity::owner(ORG));
        let mut headers = HeaderMap::new();
        headers.insert("Authorization", format!("Bearer {token}"));
        let client = match asked {
            Asked::Echo => unlimited().connect(bus.urls()).await.expect("a server"),
            Asked::Create | Asked::Update | Asked::UpdateOfUser | Asked::Get => {
                bus::connect(bus, NatsUser::Requester).await
            }
        };
        OverNats {
            client,
            headers,
            asked,
        }
    }

    fn request(&self, user: usize, salt: u64) -> (Subject, Vec<u8>) {
        let id = user_id(user);
        let body = match self.asked {
            Asked::Echo => return (ECHO.into(), update_of(&id, salt)),
            Asked::Update => return ("profile.v1.update".into(), update_of(&id, salt)),
            Asked::UpdateOfUser => {
                let subject = format!("profile.v1.user.{id}.update");
                return (subject.into(), update_of(&id, salt));
            }
            Asked::Create => return ("profile.v1.create".into(), new_user(&id).to_string().into()),
            Asked::Get => json!({"userId": id}),
        };
        ("profile.v1.get".into(), body.to_string().into())
    }
}

#[async_trait]
impl Call for OverNats {
    async fn call(&self, _caller: usize, user: usize, salt: u64) -> Result<(), String> {
        let (subject, body) = self.request(user, salt);
        let headers = self.headers.clone();
        let request = self
            .client
            .request_with_headers(subject, headers, Bytes::from(body));
        let reply = request.await.map_err(|error| error.to_string())?;
        let error = reply
            .headers
            .as_ref()
            .and_then(|headers| headers.get("Nats-Service-Error"));
        match error {
            None => Ok(()),
            Some(error) => Err(error.to_string()),
        }
    }
}

/// A user without limits, so that the server spends nothing on what it may do.
fn unlimited() -> ConnectOptions {
    ConnectOptions::with_user_and_password("bench".to_owned(), "bench-on-loopback".to_owned())
}

pub(crate) fn user_id(user: usize) -> String {
    format!("user-{user}")
}

/// Some 250 bytes, different for each salt.
pub(crate) fn update_of(id: &str, salt: u64) -> Vec<u8> {
    format!(
        r#"{{"userId":"{id}","firstName":"Minnie-{salt:016x}","lastName":"Mouse","nickName":"Mini","displayName":"Minnie Mouse {salt:016x} of the house of the mice by the river","preferredLanguage":"en","gender":"GENDER_FEMALE"}}"#
    )
    .into_bytes()
}

/// The responder without work, in a process of its own; ended with the value.
#[derive(Debug)]
pub(crate) struct EchoProcess(Child);

impl EchoProcess {
    pub(crate) fn start(server: &NatsServer) -> EchoProcess {
        let own = std::env::current_exe().expect("a program knows its own file");
        let child = Command::new(own)
            .args([ECHO, &server.url()])
            .stdin(Stdio::null())
            .spawn();
        EchoProcess(child.expect("the benchmark can start itself"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for EchoProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the process does: answers each request with a reply as long as the service's, until it is killed.
pub(crate) async fn respond(url: &str) {
    let client = unlimited().connect(url).await.expect("nats answers");
    let mut requests = client.subscribe(ECHO).await.expect("a subscription");
    let reply = Bytes::from_static(br#"{"details":{"sequence":"12","changeDate":"2026-11-26T15:43:05.123456Z","resourceOwner":"zoo"}}"#);
    while let Some(request) = requests.next().await {
        let Some(inbox) = request.reply else { continue };
        client
            .publish(inbox, reply.clone())
            .await
            .expect("nats takes it");
    }
}
