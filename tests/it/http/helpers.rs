//! What stands beside the calls: reflection, health, signs of life, the description.

use http::Method;
use profile::transport::api::{ApiService, Call};
use profile_tests::http_client::answer;
use profile_tests::service::Signal;
use prost_reflect::DescriptorPool;
use serde_json::Value;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::world::{Who, World};

async fn reflected(
    client: &mut ServerReflectionClient<tonic::transport::Channel>,
    asked: MessageRequest,
) -> MessageResponse {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(asked),
    };
    let requests = futures::stream::iter([request]);
    let mut answers = client
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    answers
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap()
}

#[tokio::test]
async fn reflection_tells_of_every_call() {
    let world = World::start().await;
    let address = format!("http://{}", world.service.http());
    let channel = Endpoint::new(address).unwrap().connect().await.unwrap();
    let mut client = ServerReflectionClient::new(channel);
    let asked = MessageRequest::ListServices(String::new());
    let MessageResponse::ListServicesResponse(listed) = reflected(&mut client, asked).await else {
        panic!("a list");
    };
    let listed: Vec<_> = listed
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    let health = "grpc.health.v1.Health".to_owned();
    for service in ApiService::ALL
        .iter()
        .map(|it| it.name().to_owned())
        .chain([health])
    {
        assert!(listed.contains(&service), "{service} is not in {listed:?}");
    }
    let pool = DescriptorPool::decode(profile::transport::api::DESCRIPTORS).unwrap();
    for service in ApiService::ALL {
        let asked = MessageRequest::FileContainingSymbol(service.name().to_owned());
        let MessageResponse::FileDescriptorResponse(files) = reflected(&mut client, asked).await
        else {
            panic!("a file");
        };
        let own = pool.get_service_by_name(service.name()).unwrap();
        let own = own.parent_file().encode_to_vec();
        assert!(
            files.file_descriptor_proto.contains(&own),
            "{}",
            service.name()
        );
        let calls = Call::ALL
            .iter()
            .filter(|call| call.service() == service)
            .count();
        let methods = pool
            .get_service_by_name(service.name())
            .unwrap()
            .methods()
            .count();
        assert_eq!(methods, calls, "{}", service.name());
    }
}

#[tokio::test]
async fn health_is_serving_and_the_signs_of_life_are_there() {
    let world = World::start().await;
    let address = format!("http://{}", world.service.http());
    let channel = Endpoint::new(address).unwrap().connect().await.unwrap();
    let mut client = HealthClient::new(channel);
    for service in [String::new()]
        .into_iter()
        .chain(ApiService::ALL.map(|it| it.name().to_owned()))
    {
        let answer = client.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status, 1);
    }
    for client in [&world.transports.http1, &world.transports.http2] {
        for path in ["/debug/healthz", "/debug/ready"] {
            let answer = client.get(path).await;
            assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]));
        }
        let description: Value = client.get("/openapi.json").await.ok();
        assert!(
            description["openapi"]
                .as_str()
                .is_some_and(|it| it.starts_with("3.1"))
        );
    }
}

#[tokio::test]
async fn every_read_can_be_asked_for_its_headers_alone() {
    let world = World::start().await;
    let bearer = world.bearer(Who::Owner);
    for client in [&world.transports.http1, &world.transports.http2] {
        for path in ["/debug/healthz", "/v2/users/gigi"] {
            let [whole, head] = [Method::GET, Method::HEAD].map(|method| {
                let request = client.request(method, path);
                request.header("authorization", bearer.clone())
            });
            let (whole, head) = (answer(whole).await, answer(head).await);
            assert_eq!((head.status, head.body.len()), (200, 0));
            let length = whole.body.len().to_string();
            assert_eq!(head.header("content-length"), Some(length.as_str()));
            assert_eq!(head.header("etag"), whole.header("etag"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_hears_that_the_service_stops_and_does_not_hold_it_up() {
    let mut world = World::start().await;
    let address = format!("http://{}", world.service.http());
    let channel = Endpoint::new(address).unwrap().connect().await.unwrap();
    let mut client = HealthClient::new(channel);
    let service = String::new();
    let watched = client.watch(HealthCheckRequest { service }).await;
    let mut states = watched.unwrap().into_inner();
    let (serving, not_serving) = (1, 2);
    assert_eq!(states.message().await.unwrap().unwrap().status, serving);
    world.service.signal(Signal::TERM);
    assert_eq!(states.message().await.unwrap().unwrap().status, not_serving);
    let end = states.message().await.unwrap_err();
    assert_eq!(end.code(), tonic::Code::Unavailable);
    assert!(world.service.ended().success());
    assert!(world.service.log().contains("\"http_drained\":true"));
}
