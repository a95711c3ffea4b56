//! What a browser asks and reads: preflights, exposed headers, gRPC-Web frame by frame.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use profile::transport::api::Call;
use profile_tests::http_client::{HttpAnswer, HttpClient, answer};
use profile_tests::outcome::{Failure, frame, frames, from_web_text, web_trailers};
use profile_tests::transports::Sent;

use super::cases::Case;
use super::world::{Who, World, profile};

const ORIGIN: &str = "https://console.zoo.example";

fn words(answer: &HttpAnswer, name: &str) -> Vec<String> {
    let values = answer.headers.get_all(name).iter();
    let values = values.map(|value| value.to_str().unwrap().to_ascii_lowercase());
    let values: Vec<_> = values.collect();
    let words = values.iter().flat_map(|value| value.split(','));
    words.map(|word| word.trim().to_owned()).collect()
}

#[track_caller]
fn holds(words: &[String], wanted: &[&str]) {
    for word in wanted {
        assert!(
            words.iter().any(|it| it == word),
            "{word} is not in {words:?}"
        );
    }
}

#[tokio::test]
async fn a_preflight_allows_what_zitadel_allows() {
    let world = World::start().await;
    for path in [
        Call::UpdateHumanProfile.rpc_path(),
        "/v2/users/human/gigi".to_owned(),
    ] {
        let request = world.transports.http1.request(Method::OPTIONS, &path);
        let request = request
            .header("origin", ORIGIN)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "x-grpc-web,content-type,authorization",
            );
        let answer = answer(request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            Some("true")
        );
        let methods = words(&answer, "access-control-allow-methods");
        holds(
            &methods,
            &["options", "get", "head", "post", "put", "patch", "delete"],
        );
        let headers = words(&answer, "access-control-allow-headers");
        holds(
            &headers,
            &[
                "origin",
                "content-type",
                "accept",
                "accept-language",
                "authorization",
                "x-zitadel-orgid",
                "x-user-agent",
                "x-grpc-web",
                "x-requested-with",
                "connect-protocol-version",
                "connect-timeout-ms",
                "grpc-timeout",
                "idempotency-key",
                "if-match",
            ],
        );
    }
}

#[tokio::test]
async fn an_answer_is_readable_from_every_origin() {
    let world = World::start().await;
    for origin in [ORIGIN, "http://localhost:4200", "null"] {
        let request = world
            .transports
            .http1
            .request(Method::GET, "/v2/users/gigi");
        let request = request
            .header("origin", origin)
            .header("authorization", world.bearer(Who::Owner));
        let answer = answer(request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            Some("true")
        );
        let exposed = words(&answer, "access-control-expose-headers");
        let wanted = [
            "location",
            "content-length",
            "grpc-status",
            "grpc-message",
            "etag",
        ];
        holds(&exposed, &wanted);
        holds(
            &exposed,
            &[
                "grpc-status-details-bin",
                "retry-after",
                "warning",
                "link",
                "deprecation",
            ],
        );
    }
}

fn mias(world: &World, who: Who, display_name: &str) -> Sent {
    world.sent(Call::UpdateMyProfile, who, None, profile(display_name))
}

async fn web(client: &HttpClient, sent: &Sent, content_type: &str, body: Vec<u8>) -> HttpAnswer {
    let mut request = client
        .request(Method::POST, &sent.call.rpc_path())
        .header("content-type", content_type)
        .header("x-grpc-web", "1")
        .header("origin", ORIGIN);
    for (name, value) in &sent.headers {
        request = request.header(name, value);
    }
    let answer = answer(request.body(body)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
    answer
}

#[tokio::test]
async fn a_success_is_a_message_and_a_frame_of_trailers() {
    let world = World::start().await;
    let binary = "application/grpc-web+proto";
    let clients = [&world.transports.http1, &world.transports.http2];
    for (client, name) in clients.into_iter().zip(["A", "B"]) {
        let sent = mias(&world, Who::User("mia"), name);
        let body = frame(&world.transports.encoded(&sent));
        let answer = web(client, &sent, binary, body).await;
        assert_eq!(answer.header("content-type"), Some(binary));
        let frames = frames(&answer.body);
        let flags: Vec<u8> = frames.iter().map(|(flag, _)| *flag).collect();
        assert_eq!(flags, [0, 0x80]);
        assert_eq!(web_trailers(&frames[1].1)["grpc-status"], "0");
    }
    let text = "application/grpc-web-text";
    let sent = mias(&world, Who::User("mia"), "C");
    let body = STANDARD.encode(frame(&world.transports.encoded(&sent)));
    let answer = web(&world.transports.http1, &sent, text, body.into_bytes()).await;
    assert!(answer.header("content-type").unwrap().starts_with(text));
    let frames = frames(&from_web_text(&answer.body));
    assert_eq!(
        world.transports.decoded(sent.call, &frames[0].1)["details"]["sequence"],
        "4"
    );
    assert_eq!(frames[1].0, 0x80);
}

#[tokio::test]
async fn an_error_is_in_the_headers_of_an_answer_without_a_body() {
    let world = World::start().await;
    let sent = mias(&world, Who::Nobody, "A");
    let body = frame(&world.transports.encoded(&sent));
    let binary = "application/grpc-web+proto";
    let answer = web(&world.transports.http1, &sent, binary, body).await;
    let failure = Failure::from_grpc(&answer.headers).unwrap();
    assert_eq!(
        (failure.code, &*failure.message),
        (16, "auth header missing")
    );
    assert_eq!(
        answer.header("www-authenticate"),
        Some("auth header missing")
    );
    assert_eq!(answer.body.len(), 0, "{:?}", answer.body);
}

#[tokio::test]
async fn what_is_no_grpc_web_is_refused_and_does_no_harm() {
    let world = World::start().await;
    let case = Case::of(Call::UpdateMyProfile);
    let sent = mias(&world, Who::User("mia"), "A");
    let bodies: [&[u8]; 4] = [b"", b"not base64!", b"AAAA", &[0, 255, 255, 255, 255, 1]];
    for content_type in ["application/grpc-web+proto", "application/grpc-web-text"] {
        for body in bodies {
            let client = &world.transports.http1;
            let answer = web(client, &sent, content_type, body.to_vec()).await;
            let text = content_type.ends_with("text");
            let said = match text && !answer.body.is_empty() {
                true => from_web_text(&answer.body),
                false => answer.body.to_vec(),
            };
            let mut headers = answer.headers.clone();
            for (flag, frame) in frames(&said) {
                assert_eq!(flag, 0x80, "no message");
                headers.extend(web_trailers(&frame));
            }
            let failure = Failure::from_grpc(&headers).unwrap();
            assert!([3, 13].contains(&failure.code), "{body:?} {failure:?}");
        }
    }
    let after = super::table::differences(&world, &[case]).await;
    super::table::judged(&after);
}
