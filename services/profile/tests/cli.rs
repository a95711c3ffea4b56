//! `profiled` from the command line: what it says before it serves anything.

// Everything here is a test, but clippy counts only the functions so marked.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::{Command, Output};

fn profiled(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_profiled"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied());
    command.output().unwrap()
}

fn error_of(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = profiled(&["--version"], &[]);
    let version = String::from_utf8(output.stdout).unwrap();
    let expected = concat!("profiled ", env!("CARGO_PKG_VERSION"));
    let commit = version.trim().strip_prefix(expected).unwrap();
    // Release builds, and those with GIT_COMMIT, name their commit.
    let named = commit
        .strip_prefix(" (commit ")
        .and_then(|it| it.strip_suffix(')'));
    assert!(
        commit.is_empty() || named.is_some_and(|it| it.len() == 12),
        "{version}"
    );
}

#[test]
fn without_an_issuer_it_refuses_to_start_and_names_both_ways_out() {
    let error = error_of(&profiled(&[], &[]));
    assert!(error.contains("auth") && error.contains("--dev"), "{error}");
}

#[test]
fn development_keys_are_refused_beyond_loopback() {
    let data = std::env::temp_dir().join(format!("profiled-cli-{}", std::process::id()));
    let data = PathBuf::from(&data);
    let environment = [
        ("PROFILE__NATS__URLS", r#"["nats://192.0.2.1:4222"]"#),
        ("PROFILE__DATA_DIR", data.to_str().unwrap()),
    ];
    let error = error_of(&profiled(&["--dev"], &environment));
    assert!(error.contains("loopback"), "{error}");
    assert!(!data.exists(), "nothing was written");
}

#[test]
fn an_unknown_option_is_refused_by_its_name() {
    let error = error_of(&profiled(&["--dev"], &[("PROFILE__NATS__URI", "x")]));
    assert!(error.contains("uri"), "{error}");
}
