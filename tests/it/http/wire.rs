//! Bytes captured from ZITADEL's real clients (zitadel-api §1.4), sent as they are over HTTP/2.

use http::Method;
use profile::transport::api::Call;
use profile_tests::caller::new_user;
use profile_tests::http_client::answer;
use profile_tests::outcome::frames;
use serde_json::{Value, json};

use super::world::{Who, World};

#[rustfmt::skip]
const VECTORS: [(Call, Who, &str); 3] = [
    (Call::UpdateHumanProfile, Who::Owner,
        "00000000210a0234321204476967691a07476972616666652a064769676920473202656e3801"),
    (Call::UpdateMyProfile, Who::User("42"),
        "00000000130a064d696e6e696512054d6f75736522024d4d"),
    (Call::V2UpdateHumanUser, Who::Owner,
        "00000000150a0234321a0f0a0447696769120747697261666665"),
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
    digits.map(|digits| pair(digits).unwrap()).collect()
}

async fn sent(world: &World, vector: &(Call, Who, &str), content_type: &str) -> Value {
    let (call, who, hex) = *vector;
    let request = world
        .transports
        .http2
        .request(Method::POST, &call.rpc_path());
    let request = request
        .header("content-type", content_type)
        .header("te", "trailers")
        .header("authorization", world.bearer(who))
        .body(bytes(hex));
    let answer = answer(request).await;
    assert_eq!(
        (answer.status, &answer.trailers["grpc-status"]),
        (200, &"0".parse().unwrap())
    );
    assert_eq!(answer.header("content-type"), Some("application/grpc"));
    let mut frames = frames(&answer.body);
    let (flag, message) = frames.pop().unwrap();
    assert_eq!((flag, frames.len()), (0, 0));
    world.transports.decoded(call, &message)
}

#[tokio::test]
async fn captured_requests_are_taken_and_answered() {
    let world = World::start().await;
    world.owner.call("create", new_user("42")).await.ok();
    let expected = [
        json!({
            "firstName": "Gigi", "lastName": "Giraffe", "displayName": "Gigi G",
            "preferredLanguage": "en", "gender": "GENDER_FEMALE",
        }),
        json!({
            "firstName": "Minnie", "lastName": "Mouse", "displayName": "MM",
            "preferredLanguage": "und",
        }),
        json!({
            "firstName": "Gigi", "lastName": "Giraffe", "displayName": "MM",
            "preferredLanguage": "und",
        }),
    ];
    for (index, (vector, expected)) in VECTORS.iter().zip(expected).enumerate() {
        let content_type = ["application/grpc", "application/grpc+proto"][index % 2];
        let body = sent(&world, vector, content_type).await;
        assert_eq!(body["details"]["sequence"], json!((index + 2).to_string()));
        assert_eq!(body["details"]["resourceOwner"], "zoo");
        let got = world.owner.call("get", json!({"userId": "42"})).await.ok();
        assert_eq!(got["profile"], expected, "{:?}", vector.0);
    }
}

/// A text field that is no UTF-8, a field of another type, a length that lies.
#[tokio::test]
async fn bytes_that_are_no_message_are_refused_and_the_connection_goes_on() {
    let world = World::start().await;
    let broken = [
        "00000000040a02fffe",
        "00000000020a0f",
        "0000000002080a",
        "00000000ff0a",
        "0000",
    ];
    for hex in broken {
        let call = Call::UpdateMyProfile;
        let request = world
            .transports
            .http2
            .request(Method::POST, &call.rpc_path());
        let request = request
            .header("content-type", "application/grpc")
            .header("authorization", world.bearer(Who::User("mia")))
            .body(bytes(hex));
        let answer = answer(request).await;
        let status = answer
            .trailers
            .get("grpc-status")
            .or(answer.headers.get("grpc-status"));
        let status = status.map(|it| it.to_str().unwrap().to_owned());
        assert!(
            status
                .as_deref()
                .is_some_and(|it| ["3", "13"].contains(&it)),
            "{hex}: {status:?}"
        );
    }
    let fine = (Call::UpdateMyProfile, Who::User("mia"), VECTORS[1].2);
    sent(&world, &fine, "application/grpc").await;
}
