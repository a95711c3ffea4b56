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

#[test]
fn init_writes_every_option_once_and_keeps_what_is_there() {
    let file = std::env::temp_dir().join(format!("profilectl-init-{}.toml", std::process::id()));
    let out = file.to_str().unwrap();
    let written = profilectl(&["init", "--out", out]);
    assert!(written.status.success());
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, include_str!("../../../config/default.toml"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    std::fs::write(&file, "mine").unwrap();
    let refused = profilectl(&["init", "--out", out]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = profilectl(&["completions", shell]);
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        for command in ["doctor", "history", "watch"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}
