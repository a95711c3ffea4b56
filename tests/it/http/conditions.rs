//! Entity tags and idempotency keys, where ZITADEL has none.

use http::Method;
use profile::transport::api::Call;
use profile_tests::http_client::{HttpAnswer, answer};
use profile_tests::outcome::Failure;
use profile_tests::transports::Transport;
use serde_json::json;

use super::world::{Who, World, profile};

const PATH: &str = "/management/v1/users/gigi/profile";

async fn put(world: &World, name: &str, headers: &[(&str, &str)]) -> HttpAnswer {
    let mut request = world.transports.http1.request(Method::PUT, PATH);
    request = request.header("authorization", world.bearer(Who::Owner));
    for (header, value) in headers {
        request = request.header(*header, *value);
    }
    answer(request.body(profile(name).to_string())).await
}

async fn get(world: &World, path: &str, header: Option<(&str, &str)>) -> HttpAnswer {
    let mut request = world.transports.http1.request(Method::GET, path);
    request = request.header("authorization", world.bearer(Who::Owner));
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    answer(request).await
}

#[tokio::test]
async fn a_change_can_be_bound_to_the_version_that_was_read() {
    let world = World::start().await;
    let read = get(&world, PATH, None).await;
    assert_eq!(read.header("etag"), Some("\"1\""));
    let done = put(&world, "A", &[("if-match", "\"1\"")]).await;
    assert_eq!((done.status, done.header("etag")), (200, Some("\"2\"")));

    let late = put(&world, "B", &[("if-match", "\"1\"")]).await;
    assert_eq!((late.status, late.header("etag")), (412, Some("\"2\"")));
    let failure = Failure::from_json(&late.json());
    assert_eq!(
        (failure.code, failure.current_version.as_deref()),
        (10, Some("2"))
    );
    // The same mismatch named by our own header is a 409, over any transport.
    let late = put(&world, "B", &[("profile-expected-version", "1")]).await;
    assert_eq!((late.status, late.header("etag")), (409, Some("\"2\"")));

    let any = put(&world, "C", &[("if-match", "*")]).await;
    assert_eq!(any.header("etag"), Some("\"3\""));
    for refused in ["W/\"3\"", "\"3\", \"4\"", "3", ""] {
        let answer = put(&world, "D", &[("if-match", refused)]).await;
        let text =
            "invalid header If-Match: value must be * or one strong entity tag, the quoted version";
        assert_eq!(answer.refused(400), text, "{refused}");
    }
    // A tag of another form than ours is that of no version.
    for other in ["\"three\"", "\"03\"", "\"+3\"", "\"\""] {
        let answer = put(&world, "D", &[("if-match", other)]).await;
        assert_eq!(
            (answer.status, answer.header("etag")),
            (412, Some("\"3\"")),
            "{other}"
        );
    }
    let both = [("if-match", "\"3\""), ("profile-expected-version", "2")];
    assert_eq!(put(&world, "D", &both).await.status, 400);
    assert_eq!(world.version("gigi").await, 3);
    // A user that is not there matches nothing.
    let request = world
        .transports
        .http1
        .request(Method::PUT, "/v2/users/human/nobody");
    let request = request.header("authorization", world.bearer(Who::Owner));
    let body = r#"{"profile":{"givenName":"A","familyName":"B"}}"#;
    let nobody = answer(request.header("if-match", "*").body(body)).await;
    assert_eq!(
        nobody.refused(404),
        "User could not be found (COMMAND-ugjs0upun6)"
    );
}

#[tokio::test]
async fn an_expected_version_is_the_same_over_every_transport() {
    let world = World::start().await;
    for over in Transport::ALL {
        let call = match over.carries(Call::UpdateHumanProfile) {
            true => Call::UpdateHumanProfile,
            false => Call::V2UpdateHumanUser,
        };
        let body = match call {
            Call::UpdateHumanProfile => profile("A"),
            _ => json!({"profile": {"givenName": "A", "familyName": "B"}}),
        };
        for (name, value) in [("profile-expected-version", "7"), ("if-match", "\"7\"")] {
            if (over, name) == (Transport::Nats, "if-match") {
                continue;
            }
            let mut sent = world.sent(call, Who::Owner, Some("gigi"), body.clone());
            sent.headers.push((name.to_owned(), value.to_owned()));
            let failure = world.transports.send(over, &sent).await.result.unwrap_err();
            assert_eq!(
                (failure.code, failure.current_version.as_deref()),
                (10, Some("1")),
                "{over:?}, {name}"
            );
            assert_eq!(
                failure.message,
                "expected version does not match, the current version is 1"
            );
        }
    }
    assert_eq!(world.version("gigi").await, 1);
}

#[tokio::test]
async fn a_creation_with_a_condition_makes_nobody() {
    let world = World::start().await;
    let request = world
        .transports
        .http1
        .request(Method::POST, "/v2/users/human");
    let request = request.header("authorization", world.bearer(Who::Owner));
    let body = json!({
        "userId": "conditional",
        "profile": {"givenName": "A", "familyName": "B"}, "email": {"email": "a@zoo.example"},
    });
    let refused = answer(request.header("if-match", "*").body(body.to_string())).await;
    assert_eq!(
        refused.refused(400),
        "invalid header If-Match: a creation has nothing to match"
    );
    let read = get(&world, "/v2/users/conditional", None).await;
    assert_eq!(read.status, 404);
}

#[tokio::test]
async fn what_the_reader_already_has_is_not_sent_again() {
    let world = World::start().await;
    for path in [PATH, "/management/v1/users/gigi", "/v2/users/gigi"] {
        for tags in ["\"1\"", "W/\"1\"", "\"0\", \"1\"", "*"] {
            let known = get(&world, path, Some(("if-none-match", tags))).await;
            assert_eq!((known.status, known.body.len()), (304, 0), "{path} {tags}");
            assert_eq!(known.header("etag"), Some("\"1\""));
        }
        for tags in ["\"2\"", "1", "\"11\""] {
            let other = get(&world, path, Some(("if-none-match", tags))).await;
            assert_eq!(
                (other.status, other.header("etag")),
                (200, Some("\"1\"")),
                "{tags}"
            );
        }
    }
    // Errors are never "not modified".
    let path = "/v2/users/nobody";
    assert_eq!(
        get(&world, path, Some(("if-none-match", "*"))).await.status,
        404
    );
}

#[tokio::test]
async fn a_key_is_for_one_request() {
    let world = World::start().await;
    let key = [("idempotency-key", "one")];
    let first = put(&world, "A", &key).await.ok();
    put(&world, "B", &[]).await.ok();
    // Between them somebody else changed the user: still the first answer, and nothing is done.
    assert_eq!(put(&world, "A", &key).await.ok(), first);
    assert_eq!(world.version("gigi").await, 3);
    let other = put(&world, "C", &key).await;
    assert_eq!(
        other.refused(400),
        "the idempotency key was used with another request"
    );
    let long = "x".repeat(201);
    for refused in ["", "with blank", long.as_str()] {
        let answer = put(&world, "D", &[("idempotency-key", refused)]).await;
        let text =
            "invalid header Idempotency-Key: value must be 1 to 200 visible ASCII characters";
        assert_eq!(answer.refused(400), text);
    }
    assert_eq!(world.version("gigi").await, 3);
}
