//! zitadel-api §2.3: which bodies are a message. Without a token, a message hears that the token is
//! missing and anything else that it is none: decoding comes first.

use http::Method;
use profile_tests::caller::Caller;
use profile_tests::http_client::answer;
use profile_tests::outcome::Failure;
use serde_json::{Value, json};

use super::world::{Who, World};

/// A body, and whether it is a message over REST and NATS.
#[rustfmt::skip]
const ROWS: &[(&[u8], bool)] = &[
    (b"", true),
    (b" \r\n\t", true),
    (b"{}", true),
    (b"null", false),
    (b"[]", false),
    (b"\"x\"", false),
    (b"5", false),
    (b"{", false),
    (b"{\"firstName\":\"a\"", false),
    (b"{\"firstName\":\"a", false),
    (b"{\"firstName\":\"a\",}", false),
    (b"not json", false),
    (b"<xml/>", false),
    (b"[\"a\"]", false),
    (b"{} trailing", true),
    (b"{}{\"firstName\":5}", true),
    (b"{\"unknown\":[1,{\"deep\":null}]}", true),
    (b"{\"first_name\":\"a\"}", true),
    (b"{\"firstName\":\"a\",\"first_name\":\"b\"}", false),
    (b"{\"firstName\":\"a\",\"firstName\":\"a\"}", false),
    (b"{\"firstName\":null}", true),
    (b"{\"firstName\":5}", false),
    (b"{\"firstName\":true}", false),
    (b"{\"firstName\":[\"a\"]}", false),
    (b"{\"firstName\":{}}", false),
    (b"{\"firstName\":\"\xff\"}", false),
    (b"{\"unknown\":\"\xff\"}", false),
    (b"{\"firstName\":\"\\ud800\"}", false),
    (b"{\"firstName\":\"\\ud83e\\udd92\"}", true),
    (b"{\"gender\":\"GENDER_MALE\"}", true),
    (b"{\"gender\":2}", true),
    (b"{\"gender\":2.0}", true),
    (b"{\"gender\":1.5}", false),
    (b"{\"gender\":true}", false),
    (b"{\"gender\":{}}", false),
    (b"{\"gender\":\"FEMALE\"}", true),
    (b"{\"gender\":\"1\"}", true),
    (b"{\"gender\":99}", true),
    (b"{\"gender\":-5}", true),
    (b"{\"gender\":null}", true),
];

/// What connect-go reads otherwise: it wants a body, and nothing behind it.
const CONNECT_REFUSES: &[&[u8]] = &[b"", b" \r\n\t", b"{} trailing", b"{}{\"firstName\":5}"];

/// The same row for a v2 call: its plain text is the user's id, its gender is in the profile.
fn of_v2(body: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(body) else {
        let from = [&b"{\"firstName\""[..], b"{\"userId\""];
        return match body.strip_prefix(from[0]) {
            Some(rest) => [from[1], rest].concat(),
            None => body.to_vec(),
        };
    };
    let text = text
        .replace("firstName", "userId")
        .replace("first_name", "user_id");
    match text.contains("gender") {
        true => format!("{{\"profile\":{text}}}").into_bytes(),
        false => text.into_bytes(),
    }
}

fn verdict(failure: &Failure, is_message: bool) -> bool {
    let plain = failure.detail.is_none() && failure.violations.is_empty();
    plain
        && match is_message {
            true => (failure.code, &*failure.message) == (16, "auth header missing"),
            false => failure.code == 3 && failure.message != "auth header missing",
        }
}

#[tokio::test]
async fn bodies_are_read_as_zitadels_gateway_reads_them() {
    let world = World::start().await;
    let nats = Caller::anonymous(&world.server).await;
    let mut wrong = Vec::new();
    for (body, is_message) in ROWS {
        let shown = String::from_utf8_lossy(body);
        let request = world
            .transports
            .http1
            .request(Method::PUT, "/auth/v1/users/me/profile");
        let rest = answer(request.body(*body)).await;
        let failure = Failure::from_json(&rest.json());
        let status = if *is_message { 401 } else { 400 };
        if rest.status != status || !verdict(&failure, *is_message) {
            wrong.push(format!("REST {shown}: {} {failure:?}", rest.status));
        }
        let over_nats = nats
            .send("profile.v1.me.update".to_owned(), body.to_vec())
            .await;
        let failure = Failure::from_json(&over_nats.unwrap().body);
        if !verdict(&failure, *is_message) {
            wrong.push(format!("NATS {shown}: {failure:?}"));
        }
        let is_message = *is_message && !CONNECT_REFUSES.contains(body);
        let path = "/zitadel.user.v2.UserService/UpdateHumanUser";
        let request = world.transports.http1.request(Method::POST, path);
        let request = request.header("content-type", "application/json");
        let connect = answer(request.body(of_v2(body))).await;
        let failure = Failure::from_connect(&connect.json());
        if !verdict(&failure, is_message) {
            wrong.push(format!("Connect {shown}: {} {failure:?}", connect.status));
        }
    }
    super::table::judged(&wrong);
}

#[tokio::test]
async fn nothing_of_a_body_is_in_an_answer_or_in_the_log() {
    let world = World::start().await;
    let bodies: [&str; 4] = [
        r#"{"firstName": 48151623}"#,
        r#"{"48151623": "48151623", "firstName": "48151623}"#,
        r#"{"gender": "48151623", "gender": 1}"#,
        "48151623",
    ];
    for body in bodies {
        let request = world
            .transports
            .http1
            .request(Method::PUT, "/auth/v1/users/me/profile");
        let request = request.header("authorization", world.bearer(Who::User("mia")));
        let refused = answer(request.body(body)).await;
        assert!(!refused.refused(400).contains("48151623"));
    }
    assert!(!world.service.log().contains("48151623"));
}

/// What a gender means, not only whether it is read.
#[tokio::test]
async fn a_gender_is_a_name_or_a_whole_number_and_any_other_is_none() {
    let world = World::start().await;
    for (index, (sent, meant)) in [
        (json!("GENDER_MALE"), Some("GENDER_MALE")),
        (json!("FEMALE"), None),
        (json!(2), Some("GENDER_MALE")),
        (json!("1"), None),
        (json!(2.0), Some("GENDER_MALE")),
        (json!(99), None),
        (json!(3), Some("GENDER_DIVERSE")),
        (json!(-5), None),
        (json!(1), Some("GENDER_FEMALE")),
        (Value::Null, None),
    ]
    .into_iter()
    .enumerate()
    {
        let name = index.to_string();
        let body = json!({"firstName": name, "lastName": "G", "displayName": "G", "gender": sent});
        let path = "/management/v1/users/gigi/profile";
        let request = world.transports.http1.request(Method::PUT, path);
        let request = request.header("authorization", world.bearer(Who::Owner));
        answer(request.body(body.to_string())).await.ok();
        let got = world
            .owner
            .call("get", json!({"userId": "gigi"}))
            .await
            .ok();
        assert_eq!(got["profile"]["gender"].as_str(), meant, "{sent}");
    }
}

#[tokio::test]
async fn the_path_names_the_user_whatever_body_and_query_say() {
    let world = World::start().await;
    for path in [
        "/management/v1/users/gigi/profile?firstName=Query&userId=mia",
        "/management/v1/users/%67igi/profile",
    ] {
        let body = json!({"userId": "mia", "firstName": path.len().to_string(), "lastName": "G"});
        let request = world.transports.http1.request(Method::PUT, path);
        let request = request.header("authorization", world.bearer(Who::Owner));
        answer(request.body(body.to_string())).await.ok();
        let got = world
            .owner
            .call("get", json!({"userId": "gigi"}))
            .await
            .ok();
        assert_eq!(got["profile"]["firstName"], json!(path.len().to_string()));
    }
    assert_eq!(world.version("mia").await, 1);
    let body = json!({"userId": "mia", "profile": {"givenName": "X", "familyName": "Y"}});
    let request = world
        .transports
        .http1
        .request(Method::PUT, "/v2/users/human/gigi");
    let request = request.header("authorization", world.bearer(Who::Owner));
    answer(request.body(body.to_string())).await.ok();
    assert_eq!(world.version("mia").await, 1);
}
