//! Traces of the real process, as a collector receives them.

mod away;
mod collector;

use async_nats::{HeaderMap, Message, Subscriber};
use futures::StreamExt;
use http::Method;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use profile::transport::api::Call;
use profile_tests::caller::{Caller, Identity, new_user, token};
use profile_tests::http_client::{HttpAnswer, HttpClient, answer};
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use profile_tests::service::Service;
use profile_tests::transports::{Sent, Transport, Transports};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::edge::WAIT_MAX;
use collector::{Collector, Span};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const STATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
const HTTP: &str = "[http]\nlisten = \"127.0.0.1:0\"\n";

/// The header of a caller whose trace has this number.
fn parent(number: u8, flags: u8) -> String {
    format!("00-{}-{CALLER}-{flags:02x}", trace(number))
}

fn trace(number: u8) -> String {
    TRACE.replacen("4b", &format!("{number:02x}"), 1)
}

struct World {
    server: NatsServer,
    service: Service,
    owner: Caller,
    events: Subscriber,
}

impl World {
    /// With one user, `gigi`, whose event has come.
    async fn start(extra: &str) -> World {
        let server = NatsServer::start(ServerOptions::default());
        let service = Service::start(&server, &format!("{HTTP}{extra}"));
        let owner = Caller::connect(&server, &service, &Identity::owner("zoo")).await;
        let consumer = server.connect(NatsUser::Consumer).await;
        let events = consumer.subscribe("profile-event.v1.>").await;
        consumer.flush().await.expect("the server hears it");
        let mut world = World {
            events: events.expect("a consumer may subscribe"),
            server,
            service,
            owner,
        };
        world.owner.call("create", new_user("gigi")).await.ok();
        world.event().await;
        world
    }

    async fn event(&mut self) -> Message {
        let event = timeout(WAIT_MAX, self.events.next()).await;
        event.expect("an event comes").expect("the stream is open")
    }

    async fn put(&self, nick_name: &str, headers: &[(&str, &str)]) -> HttpAnswer {
        let path = "/management/v1/users/gigi/profile";
        let token = token(&self.service, &Identity::owner("zoo"));
        let client = HttpClient::http1(self.service.http());
        let mut request = client.request(Method::PUT, path).bearer_auth(token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.body(profile(nick_name).to_string())).await
    }
}

fn profile(nick_name: &str) -> Value {
    json!({"firstName": "Gigi", "lastName": "Giraffe", "nickName": nick_name})
}

fn header<'a>(headers: &'a Option<HeaderMap>, name: &str) -> Option<&'a str> {
    headers.as_ref()?.get(name).map(|value| value.as_str())
}

#[track_caller]
fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:#?}");
    found[0]
}

/// What every accepted change leaves below its server span.
#[track_caller]
fn is_one_change(spans: &[Span], server: &Span, event: &Message) {
    for step in ["authenticate", "decide", "append"] {
        let span = named(spans, step);
        assert_eq!((&span.parent, span.kind), (&server.id, SpanKind::Internal));
    }
    let append = named(spans, "append");
    assert_eq!(append.attribute("user.id"), "gigi");
    assert_eq!(append.attribute("profile_service.version"), "2");
    let sync = named(spans, "sync");
    assert_eq!(sync.parent, append.id);
    assert_eq!(sync.attribute("profile_service.group.commits"), "1");
    assert!(sync.nanoseconds > 0 && sync.nanoseconds <= append.nanoseconds);
    let publish = named(spans, "publish profile-event.v1.{orgId}.{userId}");
    assert_eq!(
        (&publish.parent, publish.kind),
        (&append.id, SpanKind::Producer)
    );
    let subject = publish.attribute("messaging.destination.name");
    assert_eq!(subject, event.subject.as_str());
    // What a consumer goes on from.
    let context = format!("00-{}-{}-01", append.trace, append.id);
    assert_eq!(
        header(&event.headers, "traceparent"),
        Some(context.as_str())
    );
    assert_eq!(header(&event.headers, "tracestate"), Some(STATE));
    assert!(
        spans
            .iter()
            .all(|span| span.state == STATE && !span.is_error)
    );
}

#[tokio::test]
async fn a_rest_request_is_one_trace_from_its_caller_to_the_published_event() {
    let collector = Collector::start().await;
    let mut world = World::start(&collector.section()).await;
    let sent = [("traceparent", parent(1, 1)), ("tracestate", STATE.into())];
    let sent = sent.each_ref().map(|(name, value)| (*name, value.as_str()));
    let answered = world.put("Gi", &sent).await;
    answered.ok();
    let event = world.event().await;

    let spans = collector.spans_of(&trace(1), 6).await;
    assert_eq!(spans.len(), 6, "{spans:#?}");
    let server = named(&spans, "PUT /management/v1/users/{user_id}/profile");
    assert_eq!(
        (server.parent.as_str(), server.kind),
        (CALLER, SpanKind::Server)
    );
    assert_eq!(server.attribute("http.request.method"), "PUT");
    assert_eq!(server.attribute("http.response.status_code"), "200");
    assert_eq!(server.attribute("profile_service.outcome"), "OK");
    is_one_change(&spans, server, &event);
    let own = format!("00-{}-{}-01", server.trace, server.id);
    assert_eq!(answered.header("traceresponse"), Some(own.as_str()));
    let (name, id) = ("service.name", "service.instance.id");
    assert_eq!(server.resource.get(name).unwrap(), "profile-service");
    assert!(world.service.log().contains(&format!(
        "\"store\":\"{}\"",
        server.resource.get(id).unwrap()
    )));
}

#[tokio::test]
async fn a_nats_request_is_one_trace_from_its_caller_to_the_published_event() {
    let collector = Collector::start().await;
    let mut world = World::start(&collector.section()).await;
    let traced = world.owner.with("traceparent", &parent(1, 1));
    let traced = traced.with("tracestate", STATE);
    traced.call("user.gigi.update", profile("Gi")).await.ok();
    let event = world.event().await;

    let spans = collector.spans_of(&trace(1), 6).await;
    assert_eq!(spans.len(), 6, "{spans:#?}");
    let server = named(&spans, "profile.v1.user.{userId}.update");
    assert_eq!(
        (server.parent.as_str(), server.kind),
        (CALLER, SpanKind::Server)
    );
    assert_eq!(server.attribute("messaging.system"), "nats");
    is_one_change(&spans, server, &event);
}

#[tokio::test]
async fn a_request_without_a_trace_begins_one_and_its_answer_names_it() {
    let collector = Collector::start().await;
    let world = World::start(&collector.section()).await;
    let mut headers = HeaderMap::new();
    // Not of the W3C's form, so none.
    headers.insert("traceparent", format!("00-{TRACE}-{CALLER}").as_str());
    let body = json!({"userId": "gigi"}).to_string();
    let client = world.owner.client();
    let answered = client.request_with_headers("profile.v1.get", headers, body.into());
    let answered = answered.await.unwrap();
    assert_eq!(
        header(&answered.headers, "Nats-Service-Error-Code"),
        Some("401")
    );
    let named_there = header(&answered.headers, "traceparent").unwrap();
    let (trace, id) = (&named_there[3..35], &named_there[36..52]);
    let spans = collector.spans_of(trace, 2).await;
    let server = named(&spans, "profile.v1.get");
    assert_eq!((server.id.as_str(), server.parent.as_str()), (id, ""));
    // The caller's own mistake is no error of the service.
    assert!(!server.is_error);
    assert_eq!(
        server.attribute("profile_service.outcome"),
        "UNAUTHENTICATED"
    );
    let refused = named(&spans, "authenticate");
    assert_eq!(
        refused.attribute("profile_service.outcome"),
        "UNAUTHENTICATED"
    );
}

#[tokio::test]
async fn every_transport_names_the_call_in_its_own_way() {
    let collector = Collector::start().await;
    let world = World::start(&collector.section()).await;
    let transports = Transports::connect(&world.server, &world.service).await;
    let token = token(&world.service, &Identity::owner("zoo"));
    for (number, transport) in (10..).zip(Transport::ALL) {
        let call = match transport {
            Transport::ConnectJson | Transport::ConnectProto => Call::V2GetUserById,
            Transport::Nats
            | Transport::Rest
            | Transport::Grpc
            | Transport::GrpcWeb
            | Transport::GrpcWebText => Call::GetHumanProfile,
        };
        let sent = Sent {
            call,
            user: Some("gigi".to_owned()),
            body: json!({}),
            headers: vec![
                ("authorization".to_owned(), format!("Bearer {token}")),
                ("traceparent".to_owned(), parent(number, 1)),
            ],
        };
        let outcome = transports.send(transport, &sent).await;
        outcome.result.expect("the owner may read");
        let spans = collector.spans_of(&trace(number), 2).await;
        let v1 = "zitadel.management.v1.ManagementService/GetHumanProfile";
        let (name, system) = match transport {
            Transport::Nats => ("profile.v1.get", "messaging.system"),
            Transport::Rest => ("GET /management/v1/users/{user_id}/profile", "http.route"),
            Transport::Grpc | Transport::GrpcWeb | Transport::GrpcWebText => (v1, "rpc.system"),
            Transport::ConnectJson | Transport::ConnectProto => {
                ("zitadel.user.v2.UserService/GetUserByID", "rpc.system")
            }
        };
        let server = named(&spans, name);
        assert_eq!(server.parent, CALLER, "{transport:?}");
        server.attribute(system);
        let named_there = outcome.headers.get("traceresponse");
        let own = format!("00-{}-{}-01", server.trace, server.id);
        match transport {
            Transport::Nats => assert_eq!(named_there, None),
            Transport::Rest
            | Transport::Grpc
            | Transport::GrpcWeb
            | Transport::GrpcWebText
            | Transport::ConnectJson
            | Transport::ConnectProto => assert_eq!(named_there.unwrap(), own.as_str()),
        }
    }
}

#[tokio::test]
async fn a_trace_that_its_caller_does_not_record_is_handed_on_and_not_sent() {
    let collector = Collector::start().await;
    let mut world = World::start(&collector.section()).await;
    world.put("a", &[("traceparent", &parent(1, 0))]).await.ok();
    let event = world.event().await;
    let handed_on = header(&event.headers, "traceparent").unwrap();
    assert!(handed_on.starts_with(&format!("00-{}-", trace(1))));
    assert!(handed_on.ends_with("-00"), "{handed_on}");
    // Sent later, and so in no earlier batch.
    world.put("b", &[("traceparent", &parent(2, 1))]).await.ok();
    world.event().await;
    collector.spans_of(&trace(2), 6).await;
    let spans = collector.spans();
    assert!(
        spans.iter().all(|span| span.trace != trace(1)),
        "{spans:#?}"
    );
}

#[tokio::test]
async fn of_the_traces_that_begin_here_no_more_are_sent_than_wanted() {
    let collector = Collector::start().await;
    let section = collector.section() + "sampled_traces_per_1000 = 0\n";
    let mut world = World::start(&section).await;
    for nick_name in ["a", "b", "c"] {
        world.put(nick_name, &[]).await.ok();
        world.event().await;
    }
    world.put("d", &[("traceparent", &parent(1, 1))]).await.ok();
    collector.spans_of(&trace(1), 6).await;
    assert_eq!(collector.spans().len(), 6, "{:#?}", collector.spans());
}

// The collector goes on while the test waits for the end of the service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_of_a_profile_and_no_token_is_in_what_is_sent() {
    let collector = Collector::start().await;
    let mut world = World::start(&collector.section()).await;
    let values = [
        "Zebulon",
        "Zebra",
        "Zebby",
        "zeb@zoo.example",
        "+4155500099",
    ];
    let [first, last, nick, email, phone] = values;
    let user = json!({
        "userId": "zeb", "userName": "zeb",
        "profile": {"firstName": first, "lastName": last, "nickName": nick},
        "email": {"email": email}, "phone": {"phone": phone},
    });
    let traced = world.owner.with("traceparent", &parent(1, 1));
    traced.call("create", user.clone()).await.ok();
    world.event().await;
    traced.call("create", user).await.refused(400);
    // As an id that is none, in a query, in a path, in a subject that is none.
    traced
        .call("get", json!({"userId": email}))
        .await
        .refused(404);
    traced
        .call("list", json!({"displayNamePrefix": first}))
        .await
        .ok();
    traced
        .call(&format!("user.{nick}.update"), json!({"firstName": first}))
        .await
        .refused(400);
    traced
        .call(&format!("{last}.update"), json!({}))
        .await
        .refused(501);
    let client = HttpClient::http1(world.service.http());
    for path in [
        format!("/management/v1/users/{last}/profile?name={first}"),
        format!("/v2/users/{email}"),
    ] {
        let request = client.request(Method::GET, &path);
        let refused = answer(request.header("traceparent", parent(1, 1))).await;
        assert_eq!(refused.status, 401);
    }
    let mut service = world.service;
    assert!(service.stop().success());
    // What was queued was sent before the end.
    let spans = collector.spans();
    let servers = spans.iter().filter(|span| span.kind == SpanKind::Server);
    assert_eq!(servers.filter(|span| span.trace == trace(1)).count(), 8);
    assert!(collector.has("profile.v1.create"), "what is there is found");
    let token = token(&service, &Identity::owner("zoo"));
    for hidden in values.into_iter().chain(token.split('.').skip(1)) {
        assert!(!collector.has(hidden), "{hidden} was sent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_sent_again_after_a_restart_has_its_trace_still() {
    let collector = Collector::start().await;
    let mut world = World::start(&collector.section()).await;
    world
        .put(
            "a",
            &[("traceparent", &parent(1, 1)), ("tracestate", STATE)],
        )
        .await
        .ok();
    let first = world.event().await;
    assert!(world.service.stop().success());
    // What is in the stream is recognised.
    world.service.start_again();
    assert!(world.service.stop().success());
    world.server.stop();
    world.server.wipe_store();
    world.server.start_again();
    let consumer = world.server.connect(NatsUser::Consumer).await;
    world.events = consumer
        .subscribe("profile-event.v1.*.*.changed")
        .await
        .unwrap();
    consumer.flush().await.unwrap();
    world.service.start_again();
    let again = world.event().await;
    assert_eq!(again.payload, first.payload);
    for name in ["traceparent", "tracestate"] {
        let header = |message: &Message| header(&message.headers, name).map(str::to_owned);
        assert!(header(&first).is_some());
        assert_eq!(header(&again), header(&first));
    }
}
