//! Keys come, go, and cannot be reached.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use profilectl::token::{SigningKey, mint};
use serde_json::json;

use super::issuer_server::{IssuerServer, KEYS};
use super::support::{ISSUER, KeyServer, Setup, bearer, claims, clock, config, issuer, joined};
use crate::auth::{AuthError, Authenticator};
use crate::clock::ManualClock;

fn minute() -> Duration {
    Duration::from_secs(60)
}

#[tokio::test]
async fn an_unknown_key_asks_once_in_an_interval_whoever_calls() {
    let (known, unknown) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let server = KeyServer::start(known.jwks().to_string()).await;
    let clock = clock();
    let auth = server.authenticator(&clock);
    let good = mint(&known, &claims()).unwrap();
    assert!(bearer(&auth, &good).await.is_ok());
    assert_eq!(server.asked(), 1);

    clock.advance(minute());
    let bad = mint(&unknown, &claims()).unwrap();
    let answers = join_all((0..8).map(|_| bearer(&auth, &bad))).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer == &Err(AuthError::TokenInvalid))
    );
    assert_eq!(server.asked(), 2);

    clock.advance(minute() - Duration::from_millis(1));
    assert_eq!(bearer(&auth, &bad).await, Err(AuthError::TokenInvalid));
    assert_eq!(server.asked(), 2);
    clock.advance(Duration::from_millis(1));
    assert_eq!(bearer(&auth, &bad).await, Err(AuthError::TokenInvalid));
    assert_eq!(server.asked(), 3);
}

#[tokio::test]
async fn callers_before_the_first_answer_share_it() {
    let key = SigningKey::generate().unwrap();
    let server = KeyServer::start(key.jwks().to_string()).await;
    let auth = server.authenticator(&clock());
    let token = mint(&key, &claims()).unwrap();
    let answers = join_all((0..8).map(|_| bearer(&auth, &token))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_and_a_withdrawn_one_goes_out_of_use() {
    let (old, new) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let server = KeyServer::start(old.jwks().to_string()).await;
    let clock = clock();
    let auth = server.authenticator(&clock);
    let by_old = mint(&old, &claims()).unwrap();
    let by_new = mint(&new, &claims()).unwrap();
    assert!(bearer(&auth, &by_old).await.is_ok());

    server.set(200, &joined(&[&old, &new]));
    clock.advance(minute());
    assert!(bearer(&auth, &by_new).await.is_ok());
    assert!(bearer(&auth, &by_old).await.is_ok());

    server.set(200, &new.jwks());
    clock.advance(Duration::from_secs(300));
    assert_eq!(bearer(&auth, &by_old).await, Err(AuthError::TokenInvalid));
    assert!(bearer(&auth, &by_new).await.is_ok());
}

#[tokio::test]
async fn a_cached_token_dies_with_its_key() {
    let setup = Setup::new();
    let token = setup.token(&claims());
    assert!(bearer(&setup.auth, &token).await.is_ok());
    let other = SigningKey::generate().unwrap();
    setup.directory.write("jwks.json", &other.jwks());
    setup.clock.advance(Duration::from_secs(299));
    assert!(bearer(&setup.auth, &token).await.is_ok());
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(
        bearer(&setup.auth, &token).await,
        Err(AuthError::TokenInvalid)
    );
}

#[tokio::test]
async fn the_last_good_set_stays_while_the_issuer_is_away() {
    let key = SigningKey::generate().unwrap();
    let server = KeyServer::start(key.jwks().to_string()).await;
    let clock = clock();
    let auth = server.authenticator(&clock);
    let token = mint(&key, &claims()).unwrap();
    assert!(bearer(&auth, &token).await.is_ok());
    let failures = [
        (503, json!({})),
        (200, json!({ "keys": [] })),
        (200, json!("no set")),
        (200, json!({ "keys": [], "filler": "x".repeat(300_000) })),
        (302, key.jwks()),
    ];
    for (asked, (status, body)) in failures.iter().enumerate() {
        server.set(*status, body);
        clock.advance(Duration::from_secs(300));
        assert!(bearer(&auth, &token).await.is_ok());
        assert!(bearer(&auth, &token).await.is_ok());
        assert_eq!(server.asked(), asked + 2);
    }
}

#[tokio::test]
async fn without_any_keys_nothing_is_said_about_a_token() {
    let key = SigningKey::generate().unwrap();
    let server = KeyServer::start(String::new()).await;
    server.set(503, &json!({}));
    let clock = clock();
    let auth = server.authenticator(&clock);
    let token = mint(&key, &claims()).unwrap();
    for _ in 0..3 {
        assert_eq!(bearer(&auth, &token).await, Err(AuthError::KeysUnavailable));
    }
    assert_eq!(server.asked(), 1);
    server.set(200, &key.jwks());
    clock.advance(Duration::from_secs(1));
    assert!(bearer(&auth, &token).await.is_ok());
}

/// A server that can hang, whose one key was read.
async fn with_known_key(key: &SigningKey) -> (IssuerServer, Arc<ManualClock>, Authenticator) {
    let server = IssuerServer::start().await;
    server.set(KEYS, 200, &key.jwks());
    let mut issuer = issuer(ISSUER, None);
    issuer.jwks_url = Some(format!("{}{KEYS}", server.url));
    let clock = clock();
    let auth = Authenticator::new(&config(vec![issuer]), clock.clone()).unwrap();
    let token = mint(key, &claims()).unwrap();
    assert!(bearer(&auth, &token).await.is_ok());
    (server, clock, auth)
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_take_the_new_keys_with_it() {
    let generate = || SigningKey::generate().unwrap();
    let (old, new, unknown) = (generate(), generate(), generate());
    let (server, clock, auth) = with_known_key(&old).await;
    server.set(KEYS, 200, &joined(&[&old, &new]));
    clock.advance(minute());
    server.hold();
    let junk = mint(&unknown, &claims()).unwrap();
    let gone = tokio::time::timeout(Duration::ZERO, bearer(&auth, &junk)).await;
    assert!(gone.is_err());
    server.release();
    let by_new = mint(&new, &claims()).unwrap();
    assert!(bearer(&auth, &by_new).await.is_ok());
    assert_eq!(server.asked(KEYS), 2);
}

#[tokio::test]
async fn an_issuer_that_hangs_stops_nobody_whose_key_is_known() {
    let key = SigningKey::generate().unwrap();
    let (server, clock, auth) = with_known_key(&key).await;
    server.hold();
    clock.advance(Duration::from_secs(300));
    let token = mint(&key, &claims()).unwrap();
    // An answer is waited for 5 s.
    let soon = Duration::from_secs(4);
    for _ in 0..2 {
        let answer = tokio::time::timeout(soon, bearer(&auth, &token)).await;
        assert!(answer.unwrap().is_ok());
    }
    // That reading goes on.
    assert_eq!(server.asked(KEYS), 2);
    let new = SigningKey::generate().unwrap();
    server.set(KEYS, 200, &new.jwks());
    server.release();
    let by_new = mint(&new, &claims()).unwrap();
    assert!(bearer(&auth, &by_new).await.is_ok());
}
