//! Whatever the token says about its algorithm, the key decides.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::support::{Directory, ISSUER, NOW_S, Setup, bearer, claims, clock, config, issuer};
use crate::auth::{AuthError, Authenticator, KeySetError};
use crate::config::TokenAlgorithm;

fn good_claims() -> Value {
    json!({ "iss": ISSUER, "aud": "profile", "sub": "user1", "exp": NOW_S + 60 })
}

fn header(algorithm: Algorithm, kid: &str) -> Header {
    Header {
        kid: Some(kid.to_owned()),
        ..Header::new(algorithm)
    }
}

/// A token by hand: any header, any signature.
fn by_hand(header: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = URL_SAFE_NO_PAD.encode(signature);
    format!("{}.{}.{signature}", part(header), part(&good_claims()))
}

/// An RSA and an EC key in one set.
struct TwoKeys {
    auth: Authenticator,
    rsa: EncodingKey,
    rsa_public: Vec<u8>,
    ec: EncodingKey,
    _directory: Directory,
}

fn two_keys() -> TwoKeys {
    let pair = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let pkcs1 = pkcs8_body(AsDer::as_der(&pair).unwrap().as_ref());
    let ec_der =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let ec_der = ec_der.unwrap();
    let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec_der.as_ref()).unwrap();
    let (x, y) = ec.public_key().as_ref()[1..].split_at(32);
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let set = json!({ "keys": [
        { "kty": "RSA", "kid": "rsa", "use": "sig",
          "n": text(public.modulus().big_endian_without_leading_zero()),
          "e": text(public.exponent().big_endian_without_leading_zero()) },
        { "kty": "EC", "crv": "P-256", "kid": "ec", "x": text(x), "y": text(y) },
        { "kty": "oct", "kid": "shared", "k": text(b"0123456789abcdef0123456789abcdef") },
        { "kty": "RSA", "kid": "encryption", "use": "enc", "n": "AQAB", "e": "AQAB" },
        { "kty": "new", "kid": "of a kind that is not known yet" },
    ] });
    let directory = Directory::new();
    let mut issuer = issuer(ISSUER, Some(&directory.write("jwks.json", &set)));
    issuer.algorithms = vec![TokenAlgorithm::RS256, TokenAlgorithm::ES256];
    TwoKeys {
        auth: Authenticator::new(&config(vec![issuer]), clock()).unwrap(),
        rsa: EncodingKey::from_rsa_der(&pkcs1),
        rsa_public: public.as_ref().to_vec(),
        ec: EncodingKey::from_ec_der(ec_der.as_ref()),
        _directory: directory,
    }
}

/// The library signs with the PKCS#1 key inside PKCS#8: the content of the OCTET STRING at its end.
fn pkcs8_body(der: &[u8]) -> Vec<u8> {
    let start = der
        .windows(2)
        .enumerate()
        .filter(|(_, w)| *w == [0x30, 0x82])
        .nth(1);
    der[start.unwrap().0..].to_vec()
}

#[tokio::test]
async fn keys_of_every_kind_verify_their_tokens() {
    let keys = two_keys();
    for (algorithm, kid, key) in [
        (Algorithm::RS256, "rsa", &keys.rsa),
        (Algorithm::ES256, "ec", &keys.ec),
    ] {
        let token = encode(&header(algorithm, kid), &good_claims(), key).unwrap();
        assert!(bearer(&keys.auth, &token).await.is_ok(), "{algorithm:?}");
        let without_kid = encode(&Header::new(algorithm), &good_claims(), key).unwrap();
        assert!(
            bearer(&keys.auth, &without_kid).await.is_ok(),
            "{algorithm:?}"
        );
    }
}

#[tokio::test]
async fn a_token_cannot_choose_its_algorithm() {
    let keys = two_keys();
    let shared = |secret: &[u8], kid: &str| {
        let key = EncodingKey::from_secret(secret);
        encode(&header(Algorithm::HS256, kid), &good_claims(), &key).unwrap()
    };
    let signed = |algorithm, kid: &str, key| encode(&header(algorithm, kid), &good_claims(), key);
    let rows = [
        ("HMAC with the public key", shared(&keys.rsa_public, "rsa")),
        (
            "HMAC with the shared key of the set",
            shared(b"0123456789abcdef0123456789abcdef", "shared"),
        ),
        (
            "an algorithm that is not allowed",
            signed(Algorithm::PS256, "rsa", &keys.rsa).unwrap(),
        ),
        (
            "an RSA key as an EC key",
            signed(Algorithm::ES256, "rsa", &keys.ec).unwrap(),
        ),
        (
            "an EC key as an RSA key",
            signed(Algorithm::RS256, "ec", &keys.rsa).unwrap(),
        ),
        ("none", by_hand(&json!({ "alg": "none" }), b"")),
        (
            "none with a key",
            by_hand(&json!({ "alg": "none", "kid": "rsa" }), b""),
        ),
        ("None", by_hand(&json!({ "alg": "None" }), b"")),
        (
            "an empty signature",
            by_hand(&json!({ "alg": "RS256", "kid": "rsa" }), b""),
        ),
        (
            "a zero signature",
            by_hand(&json!({ "alg": "ES256", "kid": "ec" }), &[0; 64]),
        ),
        (
            "a key of its own",
            by_hand(
                &json!({ "alg": "RS256", "jku": "http://127.0.0.1:1/", "kid": "mine" }),
                b"x",
            ),
        ),
    ];
    for (what, token) in rows {
        let refused = bearer(&keys.auth, &token).await;
        assert_eq!(refused, Err(AuthError::TokenInvalid), "{what}");
    }
    let mut critical = Header::new(Algorithm::RS256);
    critical.crit = Some(vec!["exp".into()]);
    let token = encode(&critical, &good_claims(), &keys.rsa).unwrap();
    assert_eq!(
        bearer(&keys.auth, &token).await,
        Err(AuthError::TokenInvalid)
    );
}

#[tokio::test]
async fn a_changed_token_is_invalid() {
    let setup = Setup::new();
    let token = setup.token(&claims());
    for position in [0, token.len() / 2, token.len() - 2] {
        let mut changed = token.clone().into_bytes();
        changed[position] = if changed[position] == b'A' {
            b'B'
        } else {
            b'A'
        };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(
            bearer(&setup.auth, &changed).await,
            Err(AuthError::TokenInvalid)
        );
    }
}

#[test]
fn a_set_without_a_public_signing_key_is_refused() {
    let rows = [
        (json!({ "keys": [] }), KeySetError::NoUsableKey),
        (
            json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] }),
            KeySetError::NoUsableKey,
        ),
        (json!({ "key": [] }), KeySetError::NotAKeySet),
        (json!([]), KeySetError::NotAKeySet),
        (
            json!({ "keys": [], "filler": "x".repeat(300_000) }),
            KeySetError::TooLarge,
        ),
    ];
    for (set, expected) in rows {
        let directory = Directory::new();
        let file = directory.write("jwks.json", &set);
        let config = config(vec![issuer(ISSUER, Some(&file))]);
        let refused = Authenticator::new(&config, clock()).unwrap_err();
        assert_eq!(refused, expected.into());
        assert!(!refused.to_string().contains("c2VjcmV0"));
    }
}
