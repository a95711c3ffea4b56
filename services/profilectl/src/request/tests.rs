use clap::Parser;
use serde_json::json;

use super::*;
use crate::args::Cli;
use crate::client::inbox_prefix;

fn global(line: &str) -> Global {
    Cli::try_parse_from(line.split_whitespace()).unwrap().global
}

fn sent(operation: Operation, user_id: Option<&str>) -> (String, String) {
    let (subject, body) = addressed(operation, user_id, json!({})).unwrap();
    (subject, String::from_utf8(body.to_vec()).unwrap())
}

fn header<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    request.headers.get(name).map(|value| value.as_str())
}

#[test]
fn a_user_is_named_by_the_subject_where_the_id_allows_it() {
    let own = ("profile.v1.me.get".to_owned(), "{}".to_owned());
    assert_eq!(sent(Operation::MeGet, None), own);
    let other = ("profile.v1.user.u1.get".to_owned(), "{}".to_owned());
    assert_eq!(sent(Operation::Get, Some("u1")), other);
    let odd = (
        "profile.v1.get".to_owned(),
        r#"{"userId":"a.>"}"#.to_owned(),
    );
    assert_eq!(sent(Operation::Get, Some("a.>")), odd);
    let nobody = addressed(Operation::Get, None, json!({}));
    assert!(matches!(nobody, Err(Failure::Usage(_))));
}

#[test]
fn a_change_carries_its_headers_and_always_a_key() {
    let global = global("profilectl --token secret --org o1 get u1");
    let write = WriteArgs {
        idempotency_key: None,
        expected_version: Some(0),
        deadline_ms: Some(250),
    };
    let addressed = ("s".to_owned(), Bytes::new());
    let first = change(&global, &write, addressed.clone()).unwrap();
    let second = change(&global, &write, addressed).unwrap();
    assert_eq!(
        header(&first, envelope::AUTHORIZATION),
        Some("Bearer secret")
    );
    assert_eq!(header(&first, envelope::ORG), Some("o1"));
    assert_eq!(header(&first, envelope::EXPECTED_VERSION), Some("0"));
    assert_eq!(header(&first, envelope::DEADLINE_MS), Some("250"));
    let key = header(&first, envelope::IDEMPOTENCY_KEY).unwrap();
    assert_eq!(
        first.effect,
        Effect::Change {
            key: key.to_owned()
        }
    );
    assert_eq!(key.len(), 32);
    assert_ne!(Some(key), header(&second, envelope::IDEMPOTENCY_KEY));
}

#[test]
fn a_value_that_cannot_stand_in_a_header_is_refused_without_being_shown() {
    let write = WriteArgs {
        idempotency_key: Some("s3cret\r\nX: y".to_owned()),
        ..WriteArgs::default()
    };
    let refused = change(
        &global("profilectl get u1"),
        &write,
        ("s".to_owned(), Bytes::new()),
    );
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("Idempotency-Key") && !text.contains("s3cret"),
        "{text}"
    );
}

#[test]
fn the_inbox_prefix_follows_the_nats_user() {
    for (line, prefix) in [
        ("profilectl get u1 --user n", Some("_INBOX.n")),
        (
            "profilectl get u1 --user n --inbox-prefix _R_.x",
            Some("_R_.x"),
        ),
    ] {
        assert_eq!(inbox_prefix(&global(line)).as_deref(), prefix, "{line}");
    }
}
