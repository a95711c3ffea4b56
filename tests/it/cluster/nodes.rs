//! Nodes that are reached one by one over HTTP, and all together over the bus.

use std::collections::BTreeSet;

use async_nats::jetstream::{self, consumer::pull};
use futures::StreamExt;
use http::Method;
use profile_messages::event::CloudEvent;
use profile_messages::subject::EVENT_STREAM;
use profile_tests::caller::token;
use profile_tests::http_client::HttpAnswer;
use profile_tests::nats_server::NatsUser;

use super::*;

pub(super) const CLUSTER: &str =
    "[commit_log]\nengine = \"jetstream\"\nsync_always_confirmed = true\n";
const LISTEN: &str = "[http]\nlisten = \"127.0.0.1:0\"\n";
const WAIT: Duration = Duration::from_secs(30);

pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    pub(super) owner: Caller,
    pub(super) server: NatsServer,
}

pub(super) struct Node {
    pub(super) service: Service,
    http: HttpClient,
    token: String,
}

impl Cluster {
    /// `extra` is lines of the section `commit_log`, then whole sections.
    pub(super) async fn start(count: usize, extra: &str) -> Cluster {
        let server = NatsServer::start(ServerOptions::default());
        let service = Service::start(&server, &config(extra));
        let owner = Caller::connect(&server, &service, &Identity::owner("zoo")).await;
        let mut cluster = Cluster {
            nodes: vec![Node::of(service)],
            owner,
            server,
        };
        while cluster.nodes.len() < count {
            cluster.join(extra).await;
        }
        cluster
    }

    /// One more node.
    pub(super) async fn join(&mut self, extra: &str) {
        let first = &self.nodes[0].service;
        let mut service = first.prepared_beside(&self.server, &config(extra));
        service.start_again();
        self.nodes.push(Node::of(service));
    }

    /// The stream gets exactly versions 1 to `last` of the user, in order, each once.
    pub(super) async fn assert_events_are(&self, user: &str, last: usize) {
        let jetstream = jetstream::new(self.server.connect(NatsUser::Consumer).await);
        let stream = jetstream.get_stream_no_info(EVENT_STREAM).await.unwrap();
        let consumer = stream
            .create_consumer(pull::Config::default())
            .await
            .unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let mut versions = Vec::new();
        let mut sequences = BTreeSet::new();
        while versions.len() < last {
            let message = tokio::time::timeout(WAIT, messages.next()).await;
            let message = message.expect("an event in time").unwrap().unwrap();
            message.ack().await.unwrap();
            let event: CloudEvent = serde_json::from_slice(&message.payload).unwrap();
            let sequence = message.info().unwrap().stream_sequence;
            if sequences.insert(sequence) && event.subject == user {
                versions.push(event.userversion);
            }
        }
        let expected: Vec<u64> = (1..=last as u64).collect();
        assert_eq!(versions, expected);
    }
}

fn config(extra: &str) -> String {
    format!("{CLUSTER}{extra}\n{LISTEN}")
}

impl Node {
    fn of(service: Service) -> Node {
        Node {
            http: HttpClient::http1(service.http()),
            token: token(&service, &Identity::owner("zoo")),
            service,
        }
    }

    pub(super) fn start_again(&mut self) {
        self.service.start_again();
        self.http = HttpClient::http1(self.service.http());
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> HttpAnswer {
        let request = self.http.request(method, path).bearer_auth(&self.token);
        answer(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    pub(super) async fn create(&self, user: &str) -> HttpAnswer {
        let body = json!({
            "userId": user, "userName": user, "organization": {"orgId": "zoo"},
            "profile": {"givenName": "Gigi", "familyName": "Giraffe"},
            "email": {"email": format!("{user}@zoo.example"), "isVerified": true},
        });
        self.call(Method::POST, "/v2/users/human", Some(body)).await
    }

    pub(super) async fn update(&self, user: &str, display_name: &str) -> HttpAnswer {
        let path = format!("/management/v1/users/{user}/profile");
        let body = body_of_update(user, display_name);
        self.call(Method::PUT, &path, Some(body)).await
    }

    pub(super) async fn patch(&self, user: &str, nick_name: &str) -> HttpAnswer {
        let body = json!({"profile": {
            "givenName": "Gigi", "familyName": "Giraffe", "nickName": nick_name,
        }});
        self.call(Method::PUT, &format!("/v2/users/human/{user}"), Some(body))
            .await
    }

    pub(super) async fn get(&self, user: &str) -> HttpAnswer {
        let path = format!("/management/v1/users/{user}/profile");
        self.call(Method::GET, &path, None).await
    }
}

pub(super) fn body_of_update(user: &str, display_name: &str) -> Value {
    json!({
        "userId": user, "firstName": "Gigi", "lastName": "Giraffe", "displayName": display_name,
    })
}
