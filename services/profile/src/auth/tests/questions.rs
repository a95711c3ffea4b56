//! How often issuers are asked about tokens, and how many at once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;

use super::introspection::{CACHE, World, answer, asking};
use super::issuer_server::{INTROSPECT, IssuerServer};
use super::support::{NOW_S, Setup, bearer, claims, clock, config, issuer};
use crate::auth::questions::{QUESTION_TIME_MAX, REFUSED_FOR};
use crate::auth::turns::{QUESTIONS_PER_ISSUER_MAX, SILENT_FOR};
use crate::auth::{AuthError, Authenticator};
use crate::clock::ManualClock;

const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_verified_jwt_is_not_verified_again() {
    let setup = Setup::new();
    let token = setup.token(&claims());
    let first = bearer(&setup.auth, &token).await.unwrap();
    let second = bearer(&setup.auth, &token).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
}

#[tokio::test]
async fn a_revoked_token_goes_on_until_its_answer_is_old_and_no_longer() {
    let world = World::new().await;
    world.server.activate("opaque", &answer(&world.server));
    assert_eq!(world.call("opaque").await, Ok(()));
    world.server.revoke("opaque");
    world.clock.advance(CACHE - MOMENT);
    assert_eq!(world.call("opaque").await, Ok(()));
    assert_eq!(world.server.asked(INTROSPECT), 1);
    world.clock.advance(MOMENT);
    assert_eq!(world.call("opaque").await, Err(AuthError::TokenInvalid));
    assert_eq!(world.server.asked(INTROSPECT), 2);
}

#[tokio::test]
async fn a_token_that_ends_earlier_ends_earlier() {
    let world = World::new().await;
    let mut short = answer(&world.server);
    short["exp"] = json!(NOW_S + 5);
    world.server.activate("opaque", &short);
    assert_eq!(world.call("opaque").await, Ok(()));
    // With the leeway of 10 s.
    world.clock.advance(Duration::from_secs(15) - MOMENT);
    assert_eq!(world.call("opaque").await, Ok(()));
    world.clock.advance(MOMENT);
    assert_eq!(world.call("opaque").await, Err(AuthError::TokenInvalid));
    assert_eq!(world.server.asked(INTROSPECT), 1);
}

#[tokio::test]
async fn a_bad_token_is_asked_about_once_in_a_while_however_often_it_comes() {
    let world = World::new().await;
    for _ in 0..100 {
        assert_eq!(world.call("bad").await, Err(AuthError::TokenInvalid));
    }
    assert_eq!(world.server.asked(INTROSPECT), 1);
    world.server.activate("bad", &answer(&world.server));
    world.clock.advance(REFUSED_FOR - MOMENT);
    assert_eq!(world.call("bad").await, Err(AuthError::TokenInvalid));
    world.clock.advance(MOMENT);
    assert_eq!(world.call("bad").await, Ok(()));
}

#[tokio::test]
async fn bad_tokens_do_not_displace_good_ones() {
    let world = World::with(|config| config.auth.token_cache_entries_max = 2).await;
    world.server.activate("good", &answer(&world.server));
    assert_eq!(world.call("good").await, Ok(()));
    for number in 0..10 {
        let refused = world.call(&format!("bad-{number}")).await;
        assert_eq!(refused, Err(AuthError::TokenInvalid));
    }
    assert_eq!(world.call("good").await, Ok(()));
    assert_eq!(world.server.asked(INTROSPECT), 11);
}

#[tokio::test]
async fn callers_with_the_same_token_share_one_question_also_when_its_first_caller_leaves() {
    let world = World::new().await;
    world.server.activate("opaque", &answer(&world.server));
    world.server.hold();
    let first = tokio::time::timeout(Duration::ZERO, world.call("opaque")).await;
    assert!(first.is_err());
    let all = join_all((0..8).map(|_| world.call("opaque")));
    let (all, ()) = tokio::join!(all, async {
        // The document, which is held as well.
        world.server.asked_in_all(1).await;
        world.server.release();
    });
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(world.server.asked(INTROSPECT), 1);
}

#[tokio::test]
async fn over_the_bound_on_questions_an_unknown_token_is_refused_at_once_and_a_known_one_goes_on() {
    let world = World::new().await;
    world.server.activate("known", &answer(&world.server));
    assert_eq!(world.call("known").await, Ok(()));
    world.server.hold();
    let tokens: Vec<String> = (0..QUESTIONS_PER_ISSUER_MAX)
        .map(|n| format!("t-{n}"))
        .collect();
    let all = join_all(tokens.iter().map(|token| world.call(token)));
    let (all, ()) = tokio::join!(all, async {
        world
            .server
            .asked_in_all(2 + QUESTIONS_PER_ISSUER_MAX)
            .await;
        assert_eq!(world.call("one-more").await, Err(AuthError::IssuerBusy));
        assert_eq!(world.call("known").await, Ok(()));
        world.server.release();
    });
    let invalid = |answer: &Result<(), AuthError>| *answer == Err(AuthError::TokenInvalid);
    assert!(all.iter().all(invalid));
    // Every place was given back.
    assert_eq!(world.call("one-more").await, Err(AuthError::TokenInvalid));
}

/// Issuers; but for the first one they speak for `org1` only.
async fn several<const ISSUERS: usize>()
-> ([IssuerServer; ISSUERS], Arc<ManualClock>, Authenticator) {
    let servers = join_all((0..ISSUERS).map(|_| IssuerServer::start())).await;
    let issuers = servers.iter().enumerate().map(|(place, server)| {
        let mut issuer = issuer(&server.url, None);
        issuer.introspection = Some(asking(Some(format!("{}{INTROSPECT}", server.url))));
        if place > 0 {
            issuer.organizations = vec!["org1".to_owned()];
        }
        issuer
    });
    let clock = clock();
    let auth = Authenticator::new(&config(issuers.collect()), clock.clone()).unwrap();
    let servers = servers.try_into().ok().unwrap();
    (servers, clock, auth)
}

#[tokio::test]
async fn issuers_are_asked_in_order_until_one_knows_the_token() {
    let ([first, second], _clock, auth) = several().await;
    first.activate("of-first", &answer(&first));
    second.activate("of-second", &answer(&second));
    let principal = bearer(&auth, "of-first").await.unwrap();
    assert_eq!(principal.further_issuer, None);
    assert_eq!(second.asked(INTROSPECT), 0);
    let principal = bearer(&auth, "of-second").await.unwrap();
    assert_eq!(
        principal.further_issuer.as_deref(),
        Some(second.url.as_str())
    );
    assert!(!principal.speaks_for_all);
    // An answer about a token of somebody else is no answer.
    second.activate("of-nobody", &answer(&first));
    assert_eq!(
        bearer(&auth, "of-nobody").await,
        Err(AuthError::TokenInvalid)
    );
}

#[tokio::test]
async fn an_issuer_that_is_away_matters_only_when_no_other_knows_the_token() {
    let ([first, second], _clock, auth) = several().await;
    first.set(INTROSPECT, 503, &json!({}));
    second.activate("of-second", &answer(&second));
    assert!(bearer(&auth, "of-second").await.is_ok());
    let refused = bearer(&auth, "of-first").await;
    assert_eq!(refused, Err(AuthError::IssuerUnavailable));
    // That was no answer, so it is asked again at once.
    first.reset(INTROSPECT);
    first.activate("of-first", &answer(&first));
    assert!(bearer(&auth, "of-first").await.is_ok());
}

#[tokio::test]
async fn an_issuer_that_hangs_fills_its_own_places_and_the_tokens_of_another_go_on() {
    let ([first, second], _clock, auth) = several().await;
    second.activate("of-second", &answer(&second));
    first.hold();
    let tokens: Vec<String> = (0..QUESTIONS_PER_ISSUER_MAX)
        .map(|n| format!("t-{n}"))
        .collect();
    let all = join_all(tokens.iter().map(|token| bearer(&auth, token)));
    let (all, ()) = tokio::join!(all, async {
        first.asked_in_all(1).await;
        assert!(bearer(&auth, "of-second").await.is_ok());
        // Whether the first one knows this token is not known.
        let refused = bearer(&auth, "of-nobody").await;
        assert_eq!(refused, Err(AuthError::IssuerBusy));
        first.release();
    });
    assert!(all.iter().all(Result::is_err));
}

#[tokio::test]
async fn an_issuer_that_gave_no_answer_in_time_is_passed_over_for_a_while() {
    let ([first, second], clock, auth) = several().await;
    first.hold();
    for token in ["a", "b", "c"] {
        second.activate(token, &answer(&second));
        assert!(bearer(&auth, token).await.is_ok());
    }
    assert_eq!(first.asked(INTROSPECT), 1);
    first.activate("of-first", &answer(&first));
    first.release();
    let refused = bearer(&auth, "of-first").await;
    assert_eq!(refused, Err(AuthError::IssuerUnavailable));
    clock.advance(SILENT_FOR);
    assert!(bearer(&auth, "of-first").await.is_ok());
    assert_eq!(first.asked(INTROSPECT), 2);
}

#[tokio::test]
async fn a_silent_issuer_is_tried_again_by_one_question_while_the_others_pass_it_over() {
    let ([first, second], clock, auth) = several().await;
    first.hold();
    second.activate("a", &answer(&second));
    assert!(bearer(&auth, "a").await.is_ok());
    clock.advance(SILENT_FOR);
    second.activate("b", &answer(&second));
    let trying = bearer(&auth, "of-first");
    let ((), trying) = tokio::join!(
        async {
            first.asked_in_all(2).await;
            assert!(bearer(&auth, "b").await.is_ok());
            first.release();
        },
        trying
    );
    // The first one said that it is none of its own.
    assert_eq!(trying, Err(AuthError::TokenInvalid));
    assert_eq!(first.asked(INTROSPECT), 2);
}

#[tokio::test]
async fn a_question_has_one_bound_in_time_however_many_issuers_hang() {
    let (servers, _clock, auth) = several::<4>().await;
    for server in &servers {
        server.hold();
    }
    let question = bearer(&auth, "opaque");
    let answer = tokio::time::timeout(2 * QUESTION_TIME_MAX, question).await;
    assert_eq!(answer.unwrap(), Err(AuthError::IssuerUnavailable));
    // They are passed over.
    let refused = bearer(&auth, "another").await;
    assert_eq!(refused, Err(AuthError::IssuerUnavailable));
    let asked: Vec<usize> = servers.iter().map(|it| it.asked(INTROSPECT)).collect();
    assert_eq!(asked, [1, 1, 1, 1]);
}
