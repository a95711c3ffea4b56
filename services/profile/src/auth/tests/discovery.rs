//! An issuer says itself where its keys are.

use std::sync::Arc;
use std::time::Duration;

use profilectl::token::{SigningKey, TokenClaims, mint};
use serde_json::{Value, json};

use super::issuer_server::{DOCUMENT, IssuerServer, KEYS};
use super::support::{bearer, claims, clock, config, issuer};
use crate::auth::discovery::Discovery;
use crate::auth::{AuthError, Authenticator, DiscoveryError};
use crate::clock::ManualClock;

struct World {
    server: IssuerServer,
    key: SigningKey,
    clock: Arc<ManualClock>,
    auth: Authenticator,
}

impl World {
    async fn new() -> World {
        World::named_with("").await
    }

    /// The issuer's name is its URL and this.
    async fn named_with(end: &str) -> World {
        let server = IssuerServer::start().await;
        let key = SigningKey::generate().unwrap();
        server.set(KEYS, 200, &key.jwks());
        let clock = clock();
        let issuer = issuer(&format!("{}{end}", server.url), None);
        let auth = Authenticator::new(&config(vec![issuer]), clock.clone()).unwrap();
        World {
            server,
            key,
            clock,
            auth,
        }
    }

    async fn call(&self, key: &SigningKey, issuer: &str) -> Result<(), AuthError> {
        let claims = TokenClaims {
            issuer: issuer.to_owned(),
            ..claims()
        };
        let token = mint(key, &claims).unwrap();
        bearer(&self.auth, &token).await.map(|_| ())
    }

    async fn call_with_own_key(&self) -> Result<(), AuthError> {
        self.call(&self.key, &self.server.url).await
    }
}

#[tokio::test]
async fn an_issuer_without_a_key_set_of_ours_is_asked_for_it() {
    let world = World::new().await;
    assert_eq!(world.call_with_own_key().await, Ok(()));
    assert_eq!(world.call_with_own_key().await, Ok(()));
    let asked = (world.server.asked(DOCUMENT), world.server.asked(KEYS));
    assert_eq!(asked, (1, 1));
}

#[tokio::test]
async fn a_terminating_slash_belongs_to_the_name_and_not_to_the_path() {
    let world = World::named_with("/").await;
    let name = format!("{}/", world.server.url);
    assert_eq!(
        world.call(&world.key, &name).await,
        Err(AuthError::KeysUnavailable)
    );
    let mut document = world.server.document();
    document["issuer"] = json!(name);
    world.server.set(DOCUMENT, 200, &document);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.call(&world.key, &name).await, Ok(()));
}

#[tokio::test]
async fn a_key_set_that_moved_is_followed_when_a_key_is_unknown_and_when_it_is_old() {
    let world = World::new().await;
    assert_eq!(world.call_with_own_key().await, Ok(()));
    let new = SigningKey::generate().unwrap();
    let mut document = world.server.document();
    document["jwks_uri"] = json!(format!("{}/moved", world.server.url));
    world.server.set(DOCUMENT, 200, &document);
    world.server.set("/moved", 200, &new.jwks());
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.call(&new, &world.server.url).await, Ok(()));
    assert_eq!(
        world.call_with_own_key().await,
        Err(AuthError::TokenInvalid)
    );

    document["jwks_uri"] = json!(format!("{}{KEYS}", world.server.url));
    world.server.set(DOCUMENT, 200, &document);
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(world.call_with_own_key().await, Ok(()));
}

/// Documents that must not be followed.
fn wrong_documents(server: &IssuerServer) -> Vec<(u16, Value)> {
    let with = |name: &str, value: Value| {
        let mut document = server.document();
        document[name] = value;
        (200, document)
    };
    let bare = server.url.trim_start_matches("http://");
    vec![
        with("issuer", json!(format!("{}/", server.url))),
        with("issuer", json!("https://id.example.com")),
        with("issuer", json!(server.url.to_uppercase())),
        with("issuer", Value::Null),
        with("jwks_uri", Value::Null),
        with("jwks_uri", json!("/keys")),
        with("jwks_uri", json!(format!("http://u:p@{bare}{KEYS}"))),
        with("filler", json!("x".repeat(300_000))),
        (302, server.document()),
        (503, server.document()),
        (200, json!([])),
    ]
}

#[tokio::test]
async fn a_document_that_is_not_the_issuers_leads_to_no_keys() {
    let world = World::new().await;
    for (status, document) in wrong_documents(&world.server) {
        world.server.set(DOCUMENT, status, &document);
        world.clock.advance(Duration::from_secs(60));
        assert_eq!(
            world.call_with_own_key().await,
            Err(AuthError::KeysUnavailable),
            "{status} {document}"
        );
    }
    assert_eq!(world.server.asked(KEYS), 0);
}

#[tokio::test]
async fn the_last_good_set_survives_an_issuer_that_is_away_or_says_nonsense() {
    let world = World::new().await;
    assert_eq!(world.call_with_own_key().await, Ok(()));
    for (status, document) in wrong_documents(&world.server) {
        world.server.set(DOCUMENT, status, &document);
        world.clock.advance(Duration::from_secs(300));
        assert_eq!(world.call_with_own_key().await, Ok(()));
    }
    assert_eq!(world.server.asked(KEYS), 1);
}

#[test]
fn a_document_never_leads_from_https_to_http_and_its_https_urls_are_the_issuers_word() {
    let checked = |issuer: &str, url: &str| {
        let discovery = Discovery::new(issuer).unwrap();
        discovery.checked("jwks_uri", Some(url.to_owned())).is_ok()
    };
    let far = "https://id.example.com";
    assert!(checked(far, "https://keys.example.com/keys"));
    assert!(checked(far, "https://127.0.0.1/keys"));
    assert!(!checked(far, "http://keys.example.com/keys"));
    assert!(!checked(far, "http://127.0.0.1:8080/keys"));
    assert!(!checked(far, "file:///etc/passwd"));
    assert!(!checked(far, "https://u:p@keys.example.com/keys"));
    let near = "http://127.0.0.1:8080";
    assert!(checked(near, "http://localhost:8081/keys"));
    assert!(!checked(near, "http://keys.example.com/keys"));
    let missing = Discovery::new(far).unwrap().checked("jwks_uri", None);
    assert_eq!(missing, Err(DiscoveryError::Missing("jwks_uri")));
}
