//! `profilectl` from the command line, without a server.

// Everything here is a test, but clippy counts only the functions so marked.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use profile_messages::schema;

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

#[test]
fn every_part_of_the_contract_is_printed_and_written() {
    let printed = |part: &str| {
        let output = profilectl(&["schema", part]);
        assert!(output.status.success(), "{part}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(printed("openapi"), schema::OPENAPI);
    assert_eq!(printed("asyncapi"), schema::ASYNCAPI);
    let all: serde_json::Value = serde_json::from_str(&printed("json-schemas")).unwrap();
    assert_eq!(all.as_object().unwrap().len(), schema::FILES.len());
    assert!(printed("protos").contains("\n// zitadel/management.proto\n"));

    let folder = std::env::temp_dir().join(format!("profilectl-schema-{}", std::process::id()));
    let written = profilectl(&["schema", "--out", folder.to_str().unwrap()]);
    assert!(written.status.success());
    let read = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
    assert_eq!(read("openapi.json"), schema::OPENAPI);
    assert_eq!(read("asyncapi.json"), schema::ASYNCAPI);
    for (name, text) in schema::FILES {
        assert_eq!(read(&format!("json-schemas/{name}")), text, "{name}");
    }
    for (path, text) in schema::PROTOS {
        assert_eq!(read(&format!("protos/{path}")), text, "{path}");
    }
    std::fs::remove_dir_all(&folder).unwrap();

    // Which part, or where to: one of the two.
    assert_eq!(profilectl(&["schema"]).status.code(), Some(2));
    let nowhere = profilectl(&["schema", "openapi", "--out", "/dev/null/x"]);
    assert!(!nowhere.status.success() && nowhere.stdout.is_empty());
}
