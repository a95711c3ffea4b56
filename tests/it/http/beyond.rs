//! Headers of answers, routing, and the order of the refusals over REST.

use http::Method;
use profile::transport::api::Call;
use profile_tests::http_client::{HttpAnswer, answer};
use profile_tests::transports::Transport;
use serde_json::{Value, json};

use super::cases::Case;
use super::world::{Who, World};

async fn sent(
    world: &World,
    method: Method,
    path: &str,
    who: Who,
    body: &'static str,
) -> HttpAnswer {
    let mut request = world.transports.http1.request(method, path);
    if let Some(authorization) = world.authorization(who) {
        request = request.header("authorization", authorization);
    }
    answer(request.body(body)).await
}

#[tokio::test]
async fn no_answer_is_cached_or_indexed() {
    let world = World::start().await;
    for path in [
        "/v2/users/gigi",
        "/nowhere",
        "/debug/healthz",
        "/debug/ready",
        "/openapi.json",
    ] {
        let answer = world.transports.http1.get(path).await;
        let header = |name: &str| {
            answer
                .header(name)
                .unwrap_or_else(|| panic!("{path} {name}"))
        };
        assert_eq!(
            (header("cache-control"), header("pragma")),
            ("no-store", "no-cache")
        );
        assert_eq!(header("x-robots-tag"), "none");
        header("expires");
    }
}

#[tokio::test]
async fn a_deprecated_call_names_its_successor_and_no_other_does() {
    let world = World::start().await;
    for call in Call::ALL {
        let case = Case::of(call);
        for over in Transport::ALL
            .into_iter()
            .filter(|it| *it != Transport::Nats)
        {
            if !over.carries(call) {
                continue;
            }
            let mut body = case.body.clone();
            super::table::freshen(&mut body, &format!("{over:?}"));
            let request = world.sent(call, case.who, case.user.as_deref(), body);
            let outcome = world.transports.send(over, &request).await;
            let header = |name: &str| outcome.headers.get(name).map(|it| it.to_str().unwrap());
            let link = match (call.successor(), over) {
                (None, _) => None,
                (Some(successor), Transport::Rest) => {
                    let path = successor.http().1.replace("{user_id}", "gigi");
                    Some(format!("<{path}>; rel=\"successor-version\""))
                }
                (Some(successor), _) => Some(format!(
                    "<{}>; rel=\"successor-version\"",
                    successor.rpc_path()
                )),
            };
            assert_eq!(header("link"), link.as_deref(), "{call:?} over {over:?}");
            assert_eq!(
                header("deprecation").is_some(),
                link.is_some(),
                "{call:?} over {over:?}"
            );
        }
    }
    // An answer that is an error says it as well.
    let path = "/management/v1/users/a%2Fb/profile";
    let refused = sent(&world, Method::PUT, path, Who::Nobody, "{}").await;
    assert_eq!(
        refused.header("link"),
        Some("</v2/users/a%2Fb>; rel=\"successor-version\"")
    );
}

#[tokio::test]
async fn a_dropped_password_is_told_of_on_every_transport() {
    let world = World::start().await;
    let rows: [(Call, &str, Value, bool); 7] = [
        (Call::AddHumanUser, "initialPassword", json!("secret"), true),
        (Call::AddHumanUser, "initialPassword", json!(""), false),
        (Call::ImportHumanUser, "password", json!("secret"), true),
        (Call::ImportHumanUser, "hashedPassword", json!({}), true),
        (
            Call::ImportHumanUser,
            "passwordChangeRequired",
            json!(true),
            true,
        ),
        (
            Call::ImportHumanUser,
            "passwordChangeRequired",
            json!(false),
            false,
        ),
        (Call::UpdateHumanProfile, "gender", json!(1), false),
    ];
    for (call, place, value, warned) in rows {
        let case = Case::of(call).with(place, value.clone());
        for over in Transport::ALL
            .into_iter()
            .filter(|it| *it != Transport::Nats)
        {
            if !over.carries(call) {
                continue;
            }
            let mut body = case.body.clone();
            super::table::freshen(&mut body, &format!("{over:?}"));
            let request = world.sent(call, case.who, case.user.as_deref(), body);
            let outcome = world.transports.send(over, &request).await;
            outcome
                .result
                .unwrap_or_else(|failure| panic!("{over:?} {failure:?}"));
            let warning = outcome
                .headers
                .get("warning")
                .map(|it| it.to_str().unwrap());
            let expected =
                warned.then_some(r#"299 profile-service "password fields are not stored""#);
            assert_eq!(
                warning, expected,
                "{call:?} {place} = {value} over {over:?}"
            );
        }
    }
    assert!(!world.service.log().contains("secret"));
}

#[tokio::test]
async fn a_refused_caller_is_told_how_to_say_who_it_is() {
    let world = World::start().await;
    for (who, text) in [
        (Who::Nobody, "auth header missing"),
        (Who::Header("bearer x"), "invalid auth header (AUTH-toLo1)"),
        (Who::Header("Bearer x"), "Errors.Token.Invalid (AUTH-7fs1e)"),
    ] {
        let refused = sent(&world, Method::GET, "/v2/users/gigi", who, "").await;
        assert_eq!(
            (
                refused.refused(401).as_str(),
                refused.header("www-authenticate")
            ),
            (text, Some(text))
        );
    }
}

#[tokio::test]
async fn each_refusal_comes_before_those_that_need_more() {
    let world = World::start().await;
    let path = "/management/v1/users/gigi/profile";
    let nowhere = sent(
        &world,
        Method::PUT,
        "/management/v1/users/gigi/nothing",
        Who::Nobody,
        "{",
    )
    .await;
    assert_eq!(nowhere.json(), json!({"code": 5, "message": "Not Found"}));
    assert_eq!(
        (nowhere.status, nowhere.header("content-type")),
        (404, Some("application/json"))
    );
    let method = sent(&world, Method::DELETE, path, Who::Nobody, "{").await;
    assert_eq!(
        method.json(),
        json!({"code": 12, "message": "Method Not Allowed"})
    );
    assert_eq!(
        (method.status, method.header("allow")),
        (405, Some("PUT, GET, HEAD"))
    );
    assert_eq!(
        sent(&world, Method::PUT, path, Who::Nobody, "{")
            .await
            .refused(400),
        "unexpected EOF"
    );
    let empty = sent(&world, Method::PUT, path, Who::Nobody, "").await;
    assert_eq!(empty.refused(401), "auth header missing");

    let put = |org: &str, who: Who, body: &'static str| {
        let request = world.transports.http1.request(Method::PUT, path);
        let request = request.header("authorization", world.bearer(who));
        answer(request.header("x-zitadel-orgid", org).body(body))
    };
    let org = put("nowhere", Who::Owner, "{}").await;
    assert_eq!(org.refused(403), "Organisation doesn't exist (AUTH-Bs7Ds)");
    assert_eq!(
        put("zoo", Who::User("mia"), "{}").await.refused(404),
        "membership not found (AUTHZ-cdgFk)"
    );
    assert_eq!(
        put("zoo", Who::Viewer, "{}").await.refused(403),
        "No matching permissions found (AUTH-5mWD2)"
    );
    let text = "invalid UpdateHumanProfileRequest.FirstName: value length must be between 1 and 200 runes, inclusive";
    assert_eq!(put("zoo", Who::Owner, "").await.refused(400), text);
    let same = r#"{"firstName": "Gigi", "lastName": "Giraffe"}"#;
    assert_eq!(
        put("zoo", Who::Owner, same).await.refused(400),
        "Profile not changed (COMMAND-2M0fs)"
    );
}

#[tokio::test]
async fn what_is_not_about_profiles_is_unimplemented_and_says_what() {
    let world = World::start().await;
    let rows = [
        (Call::V2UpdateHumanUser, "username", json!("x"), "username"),
        (
            Call::V2UpdateHumanUser,
            "email",
            json!({"email": "x"}),
            "email",
        ),
        (Call::V2UpdateUser, "human.phone", json!({}), "phone"),
        (Call::V2UpdateUser, "metadata", json!([{}]), "metadata"),
        (Call::V2AddHumanUser, "idpLinks", json!([{}]), "idpLinks"),
        (Call::V2AddHumanUser, "password", json!({}), "password"),
        (
            Call::V2CreateUser,
            "human.totpSecret",
            json!("x"),
            "totpSecret",
        ),
        (
            Call::V2CreateUser,
            "human.metadata",
            json!([{}]),
            "metadata",
        ),
        (Call::ImportHumanUser, "otpCode", json!("x"), "otpCode"),
        (
            Call::ImportHumanUser,
            "requestPasswordlessRegistration",
            json!(true),
            "requestPasswordlessRegistration",
        ),
    ];
    let cases = rows.map(|(call, place, value, field)| {
        let case = Case::of(call).with(place, value).named(place);
        case.refused_plainly(12, &format!("{field} is not supported by profile-service"))
    });
    super::table::judged(&super::table::differences(&world, &cases).await);
}
