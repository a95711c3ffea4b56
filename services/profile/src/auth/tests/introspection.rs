//! Tokens that are no JWTs: what the issuer is asked, and what its answer is worth.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::issuer_server::{DOCUMENT, INTROSPECT, IssuerServer};
use super::support::{Directory, NOW_S, bearer, clock, config, issuer};
use crate::auth::{AuthError, Authenticator, IntrospectionError, SetupError};
use crate::clock::ManualClock;
use crate::config::{Config, IntrospectionConfig, Secret};

pub(super) const CACHE: Duration = Duration::from_secs(60);

pub(super) fn asking(url: Option<String>) -> IntrospectionConfig {
    IntrospectionConfig {
        client_id: "api@client".to_owned(),
        client_secret: Some(Secret::new("s:cret +%=".to_owned())),
        client_secret_file: None,
        url,
        cache_s: CACHE.as_secs(),
    }
}

/// What ZITADEL says of an access token.
pub(super) fn answer(server: &IssuerServer) -> Value {
    json!({
        "iss": server.url, "sub": "user1", "aud": ["profile", "other"], "exp": NOW_S + 3600,
        "iat": NOW_S, "nbf": NOW_S, "scope": "openid", "client_id": "app", "token_type": "Bearer",
        "urn:zitadel:iam:user:resourceowner:id": "org1",
        "urn:zitadel:iam:org:project:roles": {"ORG_OWNER": {"org1": "org1.example.com"}},
    })
}

pub(super) struct World {
    pub(super) server: IssuerServer,
    pub(super) clock: Arc<ManualClock>,
    pub(super) auth: Authenticator,
}

impl World {
    /// One issuer with discovery and introspection.
    pub(super) async fn new() -> World {
        World::with(|_| {}).await
    }

    pub(super) async fn with(edit: impl FnOnce(&mut Config)) -> World {
        let server = IssuerServer::start().await;
        let mut issuer = issuer(&server.url, None);
        issuer.introspection = Some(asking(None));
        let mut config = config(vec![issuer]);
        edit(&mut config);
        let clock = clock();
        let auth = Authenticator::new(&config, clock.clone()).unwrap();
        World {
            server,
            clock,
            auth,
        }
    }

    pub(super) async fn call(&self, token: &str) -> Result<(), AuthError> {
        bearer(&self.auth, token).await.map(|_| ())
    }
}

#[tokio::test]
async fn an_opaque_token_is_asked_about_once_and_its_answer_is_read_like_a_jwt() {
    let world = World::new().await;
    world.server.activate("opaque~1+/=", &answer(&world.server));
    let first = bearer(&world.auth, "opaque~1+/=").await.unwrap();
    assert_eq!(first.subject, "user1");
    assert_eq!(first.org.as_ref().unwrap().as_str(), "org1");
    assert!(first.roles["ORG_OWNER"].contains("org1"));

    let asked = world.server.last();
    assert_eq!(asked.path, INTROSPECT);
    let content = asked.headers["content-type"].as_str();
    assert_eq!(content, "application/x-www-form-urlencoded");
    let body = "token=opaque%7E1%2B%2F%3D&token_type_hint=access_token";
    assert_eq!(asked.body, body);
    // RFC 6749 §2.3.1: encoded, then joined.
    let basic = STANDARD.encode("api%40client:s%3Acret+%2B%25%3D");
    assert_eq!(asked.headers["authorization"], format!("Basic {basic}"));

    let second = bearer(&world.auth, "opaque~1+/=").await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(world.server.asked(INTROSPECT), 1);
}

#[tokio::test]
async fn what_an_answer_may_leave_out_and_what_must_not_be_wrong() {
    let world = World::new().await;
    let good = answer(&world.server);
    let with = |name: &str, value: Value| {
        let mut answer = good.clone();
        answer[name] = value;
        answer
    };
    let without = |name: &str| {
        let mut answer = good.clone();
        answer.as_object_mut().unwrap().remove(name);
        answer
    };
    let rows = [
        (good.clone(), true),
        (without("iss"), true),
        (without("exp"), true),
        (without("nbf"), true),
        (without("urn:zitadel:iam:user:resourceowner:id"), true),
        (with("aud", json!("profile")), true),
        // A personal access token of ZITADEL: its audience is the asking client.
        (with("aud", json!(["api@client"])), true),
        (with("exp", json!(NOW_S - 9)), true),
        (without("token_type"), true),
        (with("token_type", json!("bearer")), true),
        (with("token_type", json!("access_token")), true),
        (with("token_use", json!("access_token")), true),
        (with("iss", json!("https://id.example.com")), false),
        (with("iss", Value::Null), false),
        // Of whom the token is meant for, an issuer must say something.
        (without("aud"), false),
        (with("aud", json!(["other"])), false),
        (with("aud", json!([])), false),
        (with("aud", Value::Null), false),
        // Whoever steals a refresh token, or one that is bound to a key, must not get in with it.
        (with("token_type", json!("refresh_token")), false),
        (with("token_type", json!("DPoP")), false),
        (with("token_type", Value::Null), false),
        (with("token_use", json!("refresh_token")), false),
        (without("sub"), false),
        (with("sub", json!("")), false),
        (with("sub", json!("x".repeat(201))), false),
        (with("exp", json!(NOW_S - 10)), false),
        (with("exp", json!("soon")), false),
        (with("nbf", json!(NOW_S + 11)), false),
    ];
    for (number, (claims, good)) in rows.iter().enumerate() {
        let token = format!("token-{number}");
        world.server.activate(&token, claims);
        let expected = match good {
            true => Ok(()),
            false => Err(AuthError::TokenInvalid),
        };
        assert_eq!(world.call(&token).await, expected, "{claims}");
    }
}

#[tokio::test]
async fn a_jwt_and_what_is_no_token_are_shown_to_nobody() {
    let world = World::new().await;
    let header = |json: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
    let jwt = format!("{}.{}.c2ln", header(r#"{"alg":"HS1"}"#), header("{}"));
    let long = "x".repeat(4097);
    for token in [jwt.as_str(), "", "=", "two words", "a\u{e9}", "a\"b", &long] {
        assert_eq!(
            world.call(token).await,
            Err(AuthError::TokenInvalid),
            "{token}"
        );
    }
    assert_eq!(world.server.asked(INTROSPECT), 0);
    // Three parts without a header, and the five of an encrypted token, are for the issuer.
    for (asked, token) in ["a.b.c", "e30.b.c.d.e", &"x".repeat(4096)]
        .iter()
        .enumerate()
    {
        assert_eq!(world.call(token).await, Err(AuthError::TokenInvalid));
        assert_eq!(world.server.asked(INTROSPECT), asked + 1);
    }
}

#[tokio::test]
async fn without_introspection_an_opaque_token_is_invalid() {
    let world = World::with(|config| config.auth.issuers[0].introspection = None).await;
    world.server.activate("opaque", &answer(&world.server));
    assert_eq!(world.call("opaque").await, Err(AuthError::TokenInvalid));
    assert_eq!(world.server.asked(INTROSPECT), 0);
}

#[tokio::test]
async fn a_token_that_is_not_active_is_invalid_whatever_else_the_answer_says() {
    let world = World::new().await;
    let mut inactive = answer(&world.server);
    inactive["active"] = json!(false);
    world.server.set(INTROSPECT, 200, &inactive);
    assert_eq!(world.call("opaque").await, Err(AuthError::TokenInvalid));
}

#[tokio::test]
async fn an_answer_that_is_none_says_nothing_about_the_token() {
    let world = World::new().await;
    let answers = [
        (200, json!({})),
        (200, json!({"active": "true", "sub": "user1"})),
        (200, json!({"active": 1, "sub": "user1"})),
        (200, json!([{"active": true}])),
        (
            200,
            json!({"active": true, "sub": "user1", "filler": "x".repeat(300_000)}),
        ),
        (302, json!({"active": true, "sub": "user1"})),
        (401, json!({"active": true, "sub": "user1"})),
        (503, json!({"active": false})),
    ];
    for (asked, (status, body)) in answers.iter().enumerate() {
        world.server.set(INTROSPECT, *status, body);
        let refused = world.call("opaque").await;
        assert_eq!(refused, Err(AuthError::IssuerUnavailable), "{body}");
        assert_eq!(world.server.asked(INTROSPECT), asked + 1);
    }
    world.server.reset(INTROSPECT);
    world.server.activate("opaque", &answer(&world.server));
    assert_eq!(world.call("opaque").await, Ok(()));
}

#[tokio::test]
async fn an_endpoint_that_moved_is_followed_and_the_last_one_survives_an_issuer_without_document() {
    let world = World::new().await;
    assert_eq!(world.call("a").await, Err(AuthError::TokenInvalid));
    let mut document = world.server.document();
    document["introspection_endpoint"] = json!(format!("{}/moved{INTROSPECT}", world.server.url));
    world.server.set(DOCUMENT, 200, &document);
    assert_eq!(world.call("b").await, Err(AuthError::TokenInvalid));
    assert_eq!(world.server.last().path, INTROSPECT);
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(world.call("c").await, Err(AuthError::TokenInvalid));
    assert_eq!(world.server.last().path, "/moved/introspect");

    world.server.set(DOCUMENT, 503, &json!({}));
    world.clock.advance(Duration::from_secs(300));
    for token in ["d", "e"] {
        assert_eq!(world.call(token).await, Err(AuthError::TokenInvalid));
        assert_eq!(world.server.last().path, "/moved/introspect");
    }
    assert_eq!(world.server.asked(DOCUMENT), 3);
}

#[tokio::test]
async fn an_endpoint_stays_in_use_while_its_document_hangs() {
    let world = World::new().await;
    assert_eq!(world.call("a").await, Err(AuthError::TokenInvalid));
    world.server.activate("opaque", &answer(&world.server));
    world.server.hold_only(DOCUMENT);
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(world.call("opaque").await, Ok(()));
}

#[tokio::test]
async fn an_endpoint_that_was_never_found_is_looked_for_once_a_second() {
    let world = World::new().await;
    world.server.activate("opaque", &answer(&world.server));
    let mut other = world.server.document();
    other["issuer"] = json!("https://id.example.com");
    world.server.set(DOCUMENT, 200, &other);
    for _ in 0..3 {
        let refused = world.call("opaque").await;
        assert_eq!(refused, Err(AuthError::IssuerUnavailable));
    }
    assert_eq!(world.server.asked(DOCUMENT), 1);
    world.server.set(DOCUMENT, 200, &world.server.document());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.call("opaque").await, Ok(()));
}

#[tokio::test]
async fn a_secret_comes_from_its_file_and_a_bad_file_is_an_error_at_start() {
    let directory = Directory::new();
    let file = directory.0.join("secret");
    std::fs::write(&file, "from-file\n").unwrap();
    let with = |path: PathBuf| {
        move |config: &mut Config| {
            let introspection = config.auth.issuers[0].introspection.as_mut().unwrap();
            introspection.client_secret = None;
            introspection.client_secret_file = Some(path);
        }
    };
    let world = World::with(with(file.clone())).await;
    assert_eq!(world.call("opaque").await, Err(AuthError::TokenInvalid));
    let basic = STANDARD.encode("api%40client:from-file");
    let sent = &world.server.last().headers["authorization"];
    assert_eq!(sent, &format!("Basic {basic}"));
    assert!(!format!("{:?}", world.auth).contains("from-file"));

    let empty = directory.0.join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let long = directory.0.join("long");
    std::fs::write(&long, "x".repeat(4097)).unwrap();
    for file in [empty, long, directory.0.join("missing")] {
        let mut issuer = issuer("https://id.example.com", None);
        issuer.introspection = Some(asking(None));
        let mut config = config(vec![issuer]);
        with(file)(&mut config);
        let refused = Authenticator::new(&config, clock()).unwrap_err();
        assert!(matches!(
            refused,
            SetupError::Introspection(IntrospectionError::ClientSecret(_))
        ));
    }
}
