//! The Connect protocol beside what the tables say of it: only unary calls of v2, JSON and protobuf.

use http::Method;
use profile::transport::api::{ApiService, Call};
use profile_tests::http_client::{HttpAnswer, answer};
use serde_json::{Value, json};

use super::world::{Who, World};

const UPDATE: &str = "/zitadel.user.v2.UserService/UpdateHumanUser";

async fn post(world: &World, path: &str, headers: &[(&str, &str)], body: Value) -> HttpAnswer {
    let mut request = world.transports.http1.request(Method::POST, path);
    request = request.header("authorization", world.bearer(Who::Owner));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(request.body(body.to_string())).await
}

fn gigi(given_name: &str) -> Value {
    json!({"userId": "gigi", "profile": {"givenName": given_name, "familyName": "Giraffe"}})
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn an_error_is_told_in_connects_words() {
    let world = World::start().await;
    let path = "/zitadel.user.v2.UserService/GetUserByID";
    let unknown = post(&world, path, &[JSON], json!({"userId": "nobody"})).await;
    assert_eq!(unknown.status, 404);
    let mut body = unknown.json();
    assert_eq!(
        (&body["code"], &body["message"]),
        (
            &json!("not_found"),
            &json!("User could not be found (QUERY-Dfbg2)")
        )
    );
    // zitadel.v1.ErrorDetail {1: the id, 2: the text}, base64 without padding.
    let detail = json!({
        "type": "zitadel.v1.ErrorDetail",
        "value": "CgtRVUVSWS1EZmJnMhIXVXNlciBjb3VsZCBub3QgYmUgZm91bmQ",
        "debug": {
            "id": "QUERY-Dfbg2", "message": "User could not be found",
        },
    });
    assert_eq!(body["details"][0].take(), detail);

    let invalid = post(&world, UPDATE, &[JSON], gigi("")).await;
    assert_eq!(
        (invalid.status, &invalid.json()["code"]),
        (400, &json!("invalid_argument"))
    );
    let request = world.transports.http1.request(Method::POST, UPDATE);
    let nobody = answer(request.header(JSON.0, JSON.1).body("{}")).await;
    assert_eq!(
        (nobody.status, &nobody.json()["code"]),
        (401, &json!("unauthenticated"))
    );
    assert_eq!(
        nobody.header("www-authenticate"),
        Some("auth header missing")
    );
}

#[tokio::test]
async fn the_content_type_chooses_the_encoding_and_another_is_refused() {
    let world = World::start().await;
    let charset = ("content-type", "application/json; charset=utf-8");
    assert_eq!(
        post(&world, UPDATE, &[charset], gigi("A")).await.ok()["details"]["sequence"],
        "2"
    );
    for content_type in ["text/plain", "application/xml", "application/connect+json"] {
        let refused = post(&world, UPDATE, &[("content-type", content_type)], gigi("B")).await;
        assert_eq!(refused.status, 415, "{content_type}");
        assert_eq!(
            refused.header("accept-post"),
            Some("application/json, application/proto")
        );
    }
    let gzip = post(
        &world,
        UPDATE,
        &[JSON, ("content-encoding", "gzip")],
        gigi("B"),
    )
    .await;
    assert_eq!(
        (gzip.status, &gzip.json()["code"]),
        (501, &json!("unimplemented"))
    );
    assert_eq!(gzip.header("accept-encoding"), Some("identity"));
    assert_eq!(
        world.version("gigi").await,
        2,
        "nothing was refused and done"
    );
}

#[tokio::test]
async fn only_post_is_a_call() {
    let world = World::start().await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let request = world.transports.http1.request(method, UPDATE);
        let refused = answer(request.header(JSON.0, JSON.1)).await;
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, Some("POST"))
        );
    }
}

#[tokio::test]
async fn the_headers_of_the_protocol_count() {
    let world = World::start().await;
    let with = |name: &'static str, value: &'static str| [JSON, (name, value)];
    let version = post(
        &world,
        UPDATE,
        &with("connect-protocol-version", "2"),
        gigi("A"),
    )
    .await;
    assert_eq!(
        version.refused(400),
        "invalid header connect-protocol-version: value must be 1"
    );
    for timeout in ["soon", "-1", "99999999999", ""] {
        let refused = post(
            &world,
            UPDATE,
            &with("connect-timeout-ms", timeout),
            gigi("A"),
        )
        .await;
        assert_eq!(
            refused.refused(400),
            "invalid header connect-timeout-ms: value must be at most 10 digits",
        );
    }
    let late = post(&world, UPDATE, &with("connect-timeout-ms", "0"), gigi("A")).await;
    assert_eq!(
        (late.status, &late.json()["code"]),
        (504, &json!("deadline_exceeded"))
    );
    assert_eq!(world.version("gigi").await, 1, "too late is not done");
    post(
        &world,
        UPDATE,
        &with("connect-timeout-ms", "60000"),
        gigi("A"),
    )
    .await
    .ok();
    assert_eq!(world.version("gigi").await, 2);
}

#[tokio::test]
async fn v1_does_not_speak_connect() {
    let world = World::start().await;
    let v1 = Call::ALL
        .into_iter()
        .filter(|call| call.service() != ApiService::UserV2);
    for call in v1 {
        for content_type in ["application/json", "application/proto"] {
            let headers = [("content-type", content_type)];
            let refused = post(&world, &call.rpc_path(), &headers, json!({})).await;
            assert_eq!(refused.refused(404), "Not Found", "{call:?}");
        }
    }
    let unknown = post(
        &world,
        "/zitadel.user.v2.UserService/DeleteUser",
        &[JSON],
        json!({}),
    )
    .await;
    assert_eq!(unknown.status, 404);
}
