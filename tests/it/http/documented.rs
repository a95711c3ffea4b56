//! The commands of ZITADEL's documentation: only host, user and token are ours.

use http::Method;
use profile_tests::http_client::{HttpAnswer, answer};
use serde_json::json;

use super::world::{Who, World};

const UPDATE_USER: &str = r#"{
"firstName": "Gigi",
"lastName": "Giraffe",
"nickName": "Gigi",
"displayName": "Gigi",
"preferredLanguage": "en",
"gender": "GENDER_UNSPECIFIED"
}"#;

const UPDATE_ME: &str = r#"{
"firstName": "Minnie",
"lastName": "Mouse",
"nickName": "Minnie",
"displayName": "Minnie Mouse",
"preferredLanguage": "en",
"gender": "GENDER_UNSPECIFIED"
}"#;

const USER_PATH: &str = "/management/v1/users/gigi/profile";
const ME_PATH: &str = "/auth/v1/users/me/profile";

/// `curl -L -X PUT ... -H 'Content-Type: ...' -H 'Accept: ...' -H 'Authorization: ...' -d ...`
async fn put(
    world: &World,
    path: &str,
    content_type: &str,
    who: Who,
    body: &'static str,
) -> HttpAnswer {
    let request = world.transports.http1.request(Method::PUT, path);
    let request = request
        .header("Content-Type", content_type)
        .header("Accept", "application/json")
        .header("Authorization", world.bearer(who))
        .body(body);
    answer(request).await
}

/// The documented answer: a version as text, a time in UTC, the organization.
#[track_caller]
fn is_documented(answer: &HttpAnswer, sequence: &str) {
    let body = answer.ok();
    let details = body["details"].as_object().unwrap();
    let keys: Vec<_> = details.keys().collect();
    assert_eq!(
        (body.as_object().unwrap().len(), keys.len()),
        (1, 3),
        "{body}"
    );
    assert_eq!(details["sequence"], json!(sequence));
    assert_eq!(details["resourceOwner"], json!("zoo"));
    let at = details["changeDate"].as_str().unwrap();
    assert!(at.ends_with('Z') && at.as_bytes()[10] == b'T', "{at}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn update_user_profile_as_documented() {
    let world = World::start().await;
    let done = put(
        &world,
        USER_PATH,
        "application/json",
        Who::Owner,
        UPDATE_USER,
    )
    .await;
    is_documented(&done, "2");
    let again = put(
        &world,
        USER_PATH,
        "application/json",
        Who::Owner,
        UPDATE_USER,
    )
    .await;
    assert_eq!(again.status, 400);
    let mut body = again.json();
    assert_eq!(
        (&body["code"], &body["message"]),
        (&json!(9), &json!("Profile not changed (COMMAND-2M0fs)"))
    );
    assert_eq!(
        body["details"][0].take(),
        json!({
            "@type": "type.googleapis.com/zitadel.v1.ErrorDetail",
            "id": "COMMAND-2M0fs", "message": "Profile not changed",
        })
    );
    let got = world
        .owner
        .call("get", json!({"userId": "gigi"}))
        .await
        .ok();
    assert_eq!(
        got["profile"],
        json!({
            "firstName": "Gigi", "lastName": "Giraffe", "nickName": "Gigi", "displayName": "Gigi",
            "preferredLanguage": "en",
        })
    );
}

#[tokio::test]
async fn update_my_profile_as_documented() {
    let world = World::start().await;
    let done = put(
        &world,
        ME_PATH,
        "application/json",
        Who::User("mia"),
        UPDATE_ME,
    )
    .await;
    is_documented(&done, "2");
}

/// The three types that the pages list are one: what is sent there is read as JSON.
#[tokio::test]
async fn each_listed_content_type_is_read_as_json() {
    let world = World::start().await;
    let bodies = [
        r#"{"firstName": "A", "lastName": "G", "displayName": "A"}"#,
        r#"{"firstName": "B", "lastName": "G", "displayName": "B"}"#,
        r#"{"firstName": "C", "lastName": "G", "displayName": "C"}"#,
    ];
    let types = [
        "application/json",
        "application/grpc",
        "application/grpc-web+proto",
    ];
    for (index, (content_type, body)) in types.into_iter().zip(bodies).enumerate() {
        let done = put(&world, USER_PATH, content_type, Who::Owner, body).await;
        is_documented(&done, &(index + 2).to_string());
    }
}

#[tokio::test]
async fn the_organization_header_chooses_where_to_look() {
    let world = World::start().await;
    let request = |org: &str| {
        let request = world.transports.http1.request(Method::PUT, USER_PATH);
        request
            .header("x-zitadel-orgid", org)
            .header("Authorization", world.bearer(Who::Owner))
            .body(UPDATE_USER)
    };
    let elsewhere = answer(request("farm")).await;
    assert_eq!(elsewhere.refused(404), "membership not found (AUTHZ-cdgFk)");
    let nowhere = answer(request("nowhere")).await;
    assert_eq!(
        nowhere.refused(403),
        "Organisation doesn't exist (AUTH-Bs7Ds)"
    );
    is_documented(&answer(request("zoo")).await, "2");
}
