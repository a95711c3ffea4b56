//! `profilectl` from the command line, without a server.

// Everything here is a test, but clippy counts only the functions so marked.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn profilectl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_profilectl"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn wrong_usage_exits_with_2() {
    assert_eq!(profilectl(&["get"]).status.code(), Some(2));
    assert_eq!(profilectl(&["nonsense"]).status.code(), Some(2));
}

#[test]
fn without_a_server_it_exits_with_10_and_says_what_to_look_at() {
    // Port 1 of loopback: nobody listens there.
    let server = [
        "--server",
        "nats://127.0.0.1:1",
        "--token",
        "t",
        "--timeout",
        "2s",
    ];
    let output = profilectl(&[&["get", "u"], server.as_slice()].concat());
    assert_eq!(
        output.status.code(),
        Some(10),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stdout.is_empty());
    assert!(!output.stderr.is_empty());
}
