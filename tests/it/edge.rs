//! An edge on a real bus before a funnel that does what the user's name asks for.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Request};
use profile::clock::SystemClock;
use profile::error::{Read, ServiceError};
use profile::service::RequestContext;
use profile::transport::Funnel;
use profile::transport::micro::MicroOptions;
use profile::transport::nats::{NatsEdge, NatsLogin, NatsOptions, NatsTls, NatsUser};
use profile_messages::Timestamp;
use profile_messages::command::CommandRequest;
use profile_messages::query::QueryRequest;
use profile_messages::reply::{
    CommandReply, EmailView, GetReply, HistoryReply, ListReply, ObjectDetails, ProfileView,
    QueryReply, ReplayReply,
};
use profile_tests::nats_server::{NatsServer, NatsUser as Login};
use tokio::sync::{Semaphore, watch};

pub(crate) const WAIT_MAX: Duration = Duration::from_secs(10);

/// Users with a meaning to [`FakeFunnel`].
pub(crate) const PANICS: &str = "panics";
pub(crate) const UNKNOWN: &str = "unknown";
/// Waits until [`FakeFunnel::gate`] has a permit.
pub(crate) const HELD: &str = "held";

/// Answers every request with what it was asked, and counts.
#[derive(Debug)]
pub(crate) struct FakeFunnel {
    pub(crate) gate: Semaphore,
    calls: watch::Sender<u64>,
    /// Rows of every list.
    pub(crate) rows: usize,
}

impl FakeFunnel {
    pub(crate) fn new(rows: usize) -> Arc<FakeFunnel> {
        Arc::new(FakeFunnel {
            gate: Semaphore::new(0),
            calls: watch::Sender::new(0),
            rows,
        })
    }

    /// Waits until so many requests have come in.
    pub(crate) async fn called(&self, times: u64) {
        let mut calls = self.calls.subscribe();
        let reached = calls.wait_for(|calls| *calls >= times);
        let reached = tokio::time::timeout(WAIT_MAX, reached).await;
        reached.expect("the calls come").unwrap();
    }

    async fn act(&self, user: &str) -> Result<(), ServiceError> {
        self.calls.send_modify(|calls| *calls += 1);
        match user {
            PANICS => panic!("as asked"),
            UNKNOWN => Err(ServiceError::ReadNotFound(Read::Profile)),
            HELD => {
                self.gate.acquire().await.unwrap().forget();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Funnel for FakeFunnel {
    async fn execute(
        &self,
        context: RequestContext,
        request: CommandRequest,
    ) -> Result<CommandReply, ServiceError> {
        let (name, user) = match request {
            CommandRequest::Create(body) => ("create", body.user_id.unwrap_or_default()),
            CommandRequest::Update { user_id, .. } => ("update", user_id),
            CommandRequest::UpdateMe { .. } => ("me.update", String::new()),
            CommandRequest::Patch { user_id, .. } => ("patch", user_id),
            CommandRequest::PatchMe { .. } => ("me.patch", String::new()),
            CommandRequest::Remove { user_id } => ("remove", user_id),
            CommandRequest::Import(_)
            | CommandRequest::AddHuman(_)
            | CommandRequest::CreateUser(_)
            | CommandRequest::UpdateHuman { .. }
            | CommandRequest::UpdateUser { .. } => panic!("not a call over NATS"),
        };
        self.act(&user).await?;
        let org = context.envelope.org.unwrap_or_default();
        Ok(CommandReply {
            user_id: Some(format!("{name} {user}")),
            details: details(&org),
        })
    }

    async fn query(
        &self,
        context: RequestContext,
        request: QueryRequest,
    ) -> Result<QueryReply, ServiceError> {
        let org = context.envelope.org.unwrap_or_default();
        let (name, user) = match request {
            QueryRequest::Get { user_id, .. } => ("get", user_id),
            QueryRequest::GetMe { .. } => ("me.get", String::new()),
            QueryRequest::History { user_id, .. } => ("history", user_id),
            QueryRequest::HistoryMe { .. } => ("me.history", String::new()),
            QueryRequest::List { .. } => ("list", String::new()),
            QueryRequest::Replay { .. } => ("replay", String::new()),
            QueryRequest::GetProfile { .. }
            | QueryRequest::GetUser { .. }
            | QueryRequest::GetAnyUser { .. }
            | QueryRequest::Changes { .. }
            | QueryRequest::ChangesMe { .. } => panic!("not a call over NATS"),
        };
        self.act(&user).await?;
        let said = format!("{name} {user}");
        Ok(match name {
            "history" | "me.history" => QueryReply::History(HistoryReply {
                changes: Vec::new(),
                next_cursor: Some(said),
            }),
            "list" => QueryReply::List(ListReply {
                users: vec![user_of(&said, &org); self.rows],
                next_cursor: Some(said),
                position: 1,
            }),
            "replay" => QueryReply::Replay(ReplayReply {
                events: Vec::new(),
                position: 1,
                end: true,
            }),
            _ => QueryReply::Get(Box::new(user_of(&said, &org))),
        })
    }
}

fn details(org: &str) -> ObjectDetails {
    ObjectDetails {
        sequence: 1,
        creation_date: None,
        change_date: Some(Timestamp(1)),
        resource_owner: org.to_owned(),
    }
}

fn user_of(id: &str, org: &str) -> GetReply {
    GetReply {
        user_id: id.to_owned(),
        details: details(org),
        profile: ProfileView {
            first_name: "Ada".to_owned(),
            last_name: "Lovelace".to_owned(),
            nick_name: String::new(),
            display_name: "Ada Lovelace".to_owned(),
            preferred_language: "en".to_owned(),
            gender: profile_messages::Gender::Female,
        },
        user_name: "ada".to_owned(),
        email: EmailView {
            email: "ada@example.com".to_owned(),
            is_email_verified: true,
        },
        phone: None,
    }
}

/// The users of the shipped configuration; a server of `Access::Open` takes them too.
pub(crate) fn options(server: &NatsServer) -> NatsOptions {
    let user = |login: Login| NatsUser {
        login: NatsLogin::Password {
            user: login.name().to_owned(),
            password: login.password().to_owned(),
        },
        inbox_prefix: login.inbox_prefix().to_owned(),
    };
    NatsOptions {
        servers: vec![server.url()],
        ingress: user(Login::Ingress),
        egress: user(Login::Egress),
        tls: NatsTls::default(),
        connect_timeout: Duration::from_secs(5),
        ping_interval: Duration::from_secs(5),
        ingress_capacity_messages: 4_096,
        in_flight_requests_max: 1_024,
        partition: None,
        reply_prefixes_allowed: vec!["_INBOX.".to_owned(), "_R_.".to_owned()],
        micro: MicroOptions {
            name: "profile".to_owned(),
            version: "0.1.0".to_owned(),
            description: "User profiles".to_owned(),
            metadata: [("store".to_owned(), "s-1".to_owned())].into(),
            prefix: "$SRV".to_owned(),
        },
    }
}

pub(crate) async fn start(options: NatsOptions, funnel: &Arc<FakeFunnel>) -> NatsEdge {
    let clock = Arc::new(SystemClock::default());
    NatsEdge::start(options, Arc::clone(funnel), clock)
        .await
        .expect("the edge starts")
}

pub(crate) async fn ask(client: &Client, subject: &str, body: &str) -> Message {
    ask_with(client, subject, HeaderMap::new(), body).await
}

pub(crate) async fn ask_with(
    client: &Client,
    subject: &str,
    headers: HeaderMap,
    body: &str,
) -> Message {
    client
        .request_with_headers(subject.to_owned(), headers, body.to_owned().into())
        .await
        .unwrap_or_else(|error| panic!("{subject}: {error}"))
}

/// The error headers and the body's code of an answer; `None` when it is a success.
pub(crate) fn error_of(answer: &Message) -> Option<(String, String, i64)> {
    let headers = answer.headers.as_ref()?;
    let text = headers.get("Nats-Service-Error")?.to_string();
    let number = headers.get("Nats-Service-Error-Code")?.to_string();
    Some((number, text, json(answer)["code"].as_i64()?))
}

pub(crate) fn json(answer: &Message) -> serde_json::Value {
    serde_json::from_slice(&answer.payload).expect("a JSON body")
}

/// Asks until somebody is there.
pub(crate) async fn ask_until_answered(client: &Client) -> Message {
    loop {
        let request = Request::new().timeout(Some(Duration::from_secs(1)));
        let answer = client.send_request("profile.v1.user.u-1.get", request);
        if let Ok(answer) = answer.await {
            return answer;
        }
    }
}
