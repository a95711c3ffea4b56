//! Development keys work on one machine, and nowhere else.

use std::os::unix::fs::PermissionsExt;

use profilectl::token::{DEV_ISSUER, SigningKey, TokenClaims, mint};
use serde_json::json;

use super::support::{Directory, ISSUER, NOW_S, bearer, clock, config, issuer};
use crate::auth::dev::{DevError, check_dev_allowed, prepare_dev_key};
use crate::auth::{Authenticator, KeySetError};
use crate::config::Config;

fn dev_config(directory: &Directory, variables: &[(&str, &str)]) -> Config {
    let data_dir = directory.0.display().to_string();
    let own = [("PROFILE__DATA_DIR", data_dir.as_str())];
    let env = own.iter().chain(variables);
    let env = env.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load_dev(None, env).unwrap()
}

#[tokio::test]
async fn a_development_key_is_made_once_and_signs() {
    let directory = Directory::new();
    let config = dev_config(&directory, &[]);
    assert_eq!(config.auth.issuers[0].issuer, DEV_ISSUER);
    let file = prepare_dev_key(&config.data_dir, &*clock()).unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = std::fs::read(&file).unwrap();
    prepare_dev_key(&config.data_dir, &*clock()).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), before);

    let key = SigningKey::load(&file).unwrap();
    assert!(key.kid().is_some_and(|kid| kid.starts_with("dev-")));
    let auth = Authenticator::new(&config, clock()).unwrap();
    let token = mint(&key, &TokenClaims::dev("user1", NOW_S)).unwrap();
    assert_eq!(bearer(&auth, &token).await.unwrap().subject, "user1");
}

#[test]
fn a_private_key_without_its_public_half_is_made_again() {
    let directory = Directory::new();
    let file = prepare_dev_key(&directory.0, &*clock()).unwrap();
    std::fs::remove_file(file.with_file_name("jwks.json")).unwrap();
    prepare_dev_key(&directory.0, &*clock()).unwrap();
    assert!(SigningKey::load(&file).unwrap().kid().is_some());
}

#[test]
fn a_development_key_is_refused_in_production() {
    let directory = Directory::new();
    prepare_dev_key(&directory.0, &*clock()).unwrap();
    let marked = directory.0.join("dev-key").join("jwks.json");
    let mut by_kid = SigningKey::generate().unwrap().jwks();
    by_kid["keys"][0]["kid"] = json!("dev-1");
    let mut by_mark = SigningKey::generate().unwrap().jwks();
    by_mark["dev"] = json!(true);
    let by_kid = directory.write("by-kid.json", &by_kid);
    let by_mark = directory.write("by-mark.json", &by_mark);
    for file in [marked, by_kid, by_mark] {
        let mut config = config(vec![issuer(ISSUER, Some(&file))]);
        let refused = Authenticator::new(&config, clock()).unwrap_err();
        assert_eq!(refused, KeySetError::DevelopmentKey.into());
        config.dev = true;
        assert!(Authenticator::new(&config, clock()).is_ok());
    }
}

#[test]
fn development_stays_on_loopback() {
    let directory = Directory::new();
    let urls = |urls: &str| dev_config(&directory, &[("PROFILE__NATS__URLS", urls)]);
    for local in [
        r#"["nats://127.0.0.1:4222"]"#,
        r#"["nats://localhost:4222", "tls://[::1]:4222", "nats://127.8.9.1"]"#,
    ] {
        assert_eq!(check_dev_allowed(&urls(local)), Ok(()), "{local}");
    }
    for remote in [
        r#"["nats://10.0.0.5:4222"]"#,
        r#"["nats://127.0.0.1:4222", "nats://nats.example.com:4222"]"#,
        r#"["nats://localhost.example.com:4222"]"#,
        r#"["nats://0.0.0.0:4222"]"#,
        r#"["nats://127.0.0.1.example.com:4222"]"#,
    ] {
        let refused = Err(DevError::NotLoopback("nats.urls"));
        assert_eq!(check_dev_allowed(&urls(remote)), refused, "{remote}");
        let insecure = [
            ("PROFILE__NATS__URLS", remote),
            ("PROFILE__DEV_INSECURE", "1"),
        ];
        assert_eq!(
            check_dev_allowed(&dev_config(&directory, &insecure)),
            Ok(())
        );
    }
}

#[test]
fn development_opens_no_port_beyond_loopback() {
    let directory = Directory::new();
    let ports = [
        ("PROFILE__HTTP__LISTEN", "http.listen"),
        ("PROFILE__MONITORING__LISTEN", "monitoring.listen"),
    ];
    for (variable, option) in ports {
        for local in ["127.0.0.1:0", "[::1]:9464"] {
            let config = dev_config(&directory, &[(variable, local)]);
            assert_eq!(check_dev_allowed(&config), Ok(()), "{variable}={local}");
        }
        for remote in ["0.0.0.0:9464", "[::]:9464", "10.0.0.5:9464"] {
            let config = dev_config(&directory, &[(variable, remote)]);
            let refused = Err(DevError::NotLoopback(option));
            assert_eq!(check_dev_allowed(&config), refused, "{variable}={remote}");
            let insecure = [(variable, remote), ("PROFILE__DEV_INSECURE", "1")];
            let config = dev_config(&directory, &insecure);
            assert_eq!(check_dev_allowed(&config), Ok(()));
        }
    }
}
