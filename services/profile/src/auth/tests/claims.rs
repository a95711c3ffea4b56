//! The header, and what a token must say.

use std::time::Duration;

use profilectl::token::{TokenClaims, mint_claims};
use serde_json::{Value, json};

use super::support::{NOW_S, Setup, bearer, claims};
use crate::auth::AuthError;

#[tokio::test]
async fn a_header_is_answered_as_zitadel_does() {
    let setup = Setup::new();
    let good = setup.token(&claims());
    let rows = [
        (None, AuthError::HeaderMissing),
        (Some(String::new()), AuthError::HeaderMissing),
        (Some(format!("bearer {good}")), AuthError::HeaderInvalid),
        (Some(format!("BEARER {good}")), AuthError::HeaderInvalid),
        (Some(good.clone()), AuthError::HeaderInvalid),
        (Some("Bearer".to_owned()), AuthError::HeaderInvalid),
        (
            Some(format!("Bearer Bearer {good}")),
            AuthError::HeaderInvalid,
        ),
        (
            Some("Basic dXNlcjpwYXNz".to_owned()),
            AuthError::HeaderInvalid,
        ),
        (Some("Bearer ".to_owned()), AuthError::TokenInvalid),
        (Some("Bearer x".to_owned()), AuthError::TokenInvalid),
        (Some("Bearer a.b.c".to_owned()), AuthError::TokenInvalid),
        (Some(format!("Bearer {good} ")), AuthError::TokenInvalid),
        (Some(format!("Bearer  {good}")), AuthError::TokenInvalid),
    ];
    for (header, expected) in rows {
        let refused = setup
            .auth
            .authenticate(header.as_deref())
            .await
            .unwrap_err();
        assert_eq!(refused, expected, "{header:?}");
        assert_eq!((refused.code().grpc(), refused.code().http()), (16, 401));
    }
    assert!(bearer(&setup.auth, &good).await.is_ok());
}

#[test]
fn a_refusal_has_zitadels_text_code_and_id() {
    let rows = [
        (
            AuthError::HeaderMissing,
            16,
            401,
            "auth header missing",
            None,
        ),
        (
            AuthError::HeaderInvalid,
            16,
            401,
            "invalid auth header (AUTH-toLo1)",
            Some("AUTH-toLo1"),
        ),
        (
            AuthError::TokenInvalid,
            16,
            401,
            "Errors.Token.Invalid (AUTH-7fs1e)",
            Some("AUTH-7fs1e"),
        ),
        (
            AuthError::OrgUnknown,
            7,
            403,
            "Organisation doesn't exist (AUTH-Bs7Ds)",
            Some("AUTH-Bs7Ds"),
        ),
        (
            AuthError::NoMembership,
            5,
            404,
            "membership not found (AUTHZ-cdgFk)",
            Some("AUTHZ-cdgFk"),
        ),
        (
            AuthError::NoPermission,
            7,
            403,
            "No matching permissions found (AUTH-5mWD2)",
            Some("AUTH-5mWD2"),
        ),
        (
            AuthError::NoPermissionInCommand,
            7,
            403,
            "No matching permissions found (AUTH-AWfge)",
            Some("AUTH-AWfge"),
        ),
    ];
    for (error, grpc, http, text, id) in rows {
        assert_eq!((error.code().grpc(), error.code().http()), (grpc, http));
        assert_eq!(error.to_string(), text);
        let detail = error.detail();
        assert_eq!(detail.as_ref().map(|(id, _)| *id), id);
        if let Some((id, short)) = detail {
            assert_eq!(format!("{short} ({id})"), text);
        }
    }
}

/// A good token with one claim changed, or taken away by null.
fn changed(claim: &str, value: Value) -> Value {
    let mut all = json!({
        "iss": super::support::ISSUER, "aud": ["profile"], "sub": "user1",
        "exp": NOW_S + 3600, "nbf": NOW_S, "iat": NOW_S,
    });
    let members = all.as_object_mut().unwrap();
    match value.is_null() {
        true => members.remove(claim),
        false => members.insert(claim.to_owned(), value),
    };
    all
}

#[tokio::test]
async fn a_token_that_says_something_wrong_is_invalid() {
    let setup = Setup::new();
    let rows = [
        ("iss", json!("https://other.example.com")),
        ("iss", json!([super::support::ISSUER])),
        ("iss", Value::Null),
        ("aud", json!("other")),
        ("aud", json!(["other", "another"])),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("exp", json!(NOW_S - 10)),
        ("exp", json!("1900000000")),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", Value::Null),
        ("nbf", json!(NOW_S + 11)),
        ("nbf", json!("now")),
        ("sub", json!("")),
        ("sub", json!("x".repeat(201))),
        ("sub", json!(7)),
        ("sub", Value::Null),
    ];
    for (claim, value) in rows {
        let token = mint_claims(&setup.key, &changed(claim, value.clone())).unwrap();
        let refused = bearer(&setup.auth, &token).await;
        assert_eq!(refused, Err(AuthError::TokenInvalid), "{claim} = {value}");
    }
    let good = [
        ("aud", json!("profile")),
        ("aud", json!(["other", "profile"])),
        ("exp", json!(NOW_S as f64 + 1.5)),
        ("exp", json!(NOW_S - 9)),
        ("nbf", json!(NOW_S + 10)),
        ("nbf", Value::Null),
        ("sub", json!("x".repeat(200))),
    ];
    for (claim, value) in good {
        let token = mint_claims(&setup.key, &changed(claim, value.clone())).unwrap();
        assert!(
            bearer(&setup.auth, &token).await.is_ok(),
            "{claim} = {value}"
        );
    }
}

#[tokio::test]
async fn a_token_names_its_caller() {
    let setup = Setup::new();
    let mut claims = claims();
    claims
        .roles
        .insert("ORG_OWNER".into(), ["org1".into(), "org2".into()].into());
    let caller = setup.principal(&claims).await;
    assert_eq!(caller.subject, "user1");
    assert_eq!(caller.user.as_ref().unwrap().as_str(), "user1");
    assert_eq!(caller.org.as_ref().unwrap().as_str(), "org1");
    assert_eq!(caller.roles, claims.roles);
}

#[tokio::test]
async fn a_subject_outside_the_id_form_is_no_user() {
    let setup = Setup::new();
    let subject = "service account @ example.com";
    let caller = setup
        .principal(&TokenClaims {
            subject: subject.into(),
            ..claims()
        })
        .await;
    assert_eq!(
        (caller.subject.as_str(), caller.user.as_ref()),
        (subject, None)
    );
}

#[tokio::test]
async fn a_cached_token_dies_when_it_expires() {
    let setup = Setup::new();
    let token = setup.token(&claims());
    assert!(bearer(&setup.auth, &token).await.is_ok());
    setup.clock.advance(Duration::from_secs(3609));
    assert!(bearer(&setup.auth, &token).await.is_ok());
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(
        bearer(&setup.auth, &token).await,
        Err(AuthError::TokenInvalid)
    );
}

#[tokio::test]
async fn the_token_cache_keeps_to_its_bound_and_to_its_callers() {
    let setup = Setup::with(|config| config.auth.token_cache_entries_max = 10);
    for round in 0..2 {
        for number in 0..50 {
            let subject = format!("user{number}");
            let claims = TokenClaims {
                subject: subject.clone(),
                ..claims()
            };
            assert_eq!(setup.principal(&claims).await.subject, subject, "{round}");
            assert!(setup.auth.cache.len() <= 10);
        }
    }
    let again = setup.principal(&claims()).await;
    assert!(std::sync::Arc::ptr_eq(
        &again,
        &setup.principal(&claims()).await
    ));
    let off = Setup::with(|config| config.auth.token_cache_entries_max = 0);
    off.principal(&claims()).await;
    assert_eq!(off.auth.cache.len(), 0);
}
