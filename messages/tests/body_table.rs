//! Every row of how ZITADEL's gateway reads a JSON body (zitadel-api §2.3), against `decode_body`.

// The whole file is a test, its helpers too: clippy.toml allows these in `#[test]` functions only.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use profile_messages::command::{CreateBody, PatchBody, UpdateBody};
use profile_messages::json::{BODY_BYTES_MAX, BodyError, WireGender, decode_body};
use profile_messages::query::GetBody;

fn update(body: impl AsRef<[u8]>) -> Result<UpdateBody, BodyError> {
    decode_body(body.as_ref())
}

fn named(first_name: &str) -> UpdateBody {
    UpdateBody {
        first_name: Some(first_name.to_owned()),
        ..UpdateBody::default()
    }
}

fn is_syntax(body: impl AsRef<[u8]>) -> bool {
    matches!(update(body), Err(BodyError::Syntax { .. }))
}

fn refused_field(body: impl AsRef<[u8]>) -> Option<&'static str> {
    match update(body) {
        Err(BodyError::Field { what, .. }) => Some(what),
        Ok(_)
        | Err(
            BodyError::TooLong
            | BodyError::Eof
            | BodyError::Syntax { .. }
            | BodyError::Undecodable
            | BodyError::Twice(_),
        ) => None,
    }
}

const DUPLICATE: Option<&str> = Some("duplicate field");
const INVALID: Option<&str> = Some("invalid value for a field");

#[test]
fn an_empty_body_is_an_empty_message() {
    for body in ["", " ", "\n\t\r ", "{}", " {} "] {
        assert_eq!(update(body), Ok(UpdateBody::default()), "{body:?}");
    }
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    for body in ["null", "[]", r#"["a","b"]"#, r#""x""#, "5", "true"] {
        assert_eq!(refused_field(body), INVALID, "{body}");
    }
}

#[test]
fn a_body_that_ends_early_is_an_unexpected_eof() {
    for body in [
        "{",
        r#"{"firstName"#,
        r#"{"firstName":"a"#,
        r#"{"firstName":"a","#,
    ] {
        assert_eq!(update(body), Err(BodyError::Eof), "{body}");
    }
}

#[test]
fn a_body_that_is_no_json_is_a_syntax_error() {
    for body in [
        r#"{"firstName":"a",}"#,
        "not json",
        "<xml/>",
        "{firstName:1}",
        "\u{feff}{}",
    ] {
        assert!(is_syntax(body), "{body}");
    }
}

#[test]
fn bytes_after_the_first_value_are_ignored() {
    for tail in ["x", "{}", "]", " \u{0}", r#"{"firstName":"b"}"#] {
        let body = format!(r#"{{"firstName":"a"}}{tail}"#);
        assert_eq!(update(&body), Ok(named("a")), "{body}");
    }
    assert_eq!(update(b"{\"firstName\":\"a\"}\xff"), Ok(named("a")));
}

#[test]
fn an_unknown_field_is_ignored() {
    let body = r#"{"unknown":{"a":[1,null,"x"]},"firstName":"a","password":5}"#;
    assert_eq!(update(body), Ok(named("a")));
}

#[test]
fn both_names_of_a_field_are_read_but_not_twice() {
    assert_eq!(update(r#"{"first_name":"a"}"#), Ok(named("a")));
    for body in [
        r#"{"firstName":"a","first_name":"b"}"#,
        r#"{"firstName":"a","firstName":"a"}"#,
        r#"{"firstName":null,"firstName":"a"}"#,
        r#"{"gender":1,"gender":1}"#,
    ] {
        assert_eq!(refused_field(body), DUPLICATE, "{body}");
    }
}

#[test]
fn a_null_field_is_absent() {
    let body = r#"{"firstName":null,"gender":null,"userId":null}"#;
    assert_eq!(update(body), Ok(UpdateBody::default()));
    let create: CreateBody = decode_body(br#"{"profile":null,"email":null}"#).unwrap();
    assert_eq!(create, CreateBody::default());
}

#[test]
fn a_null_field_of_a_patch_clears() {
    let patch: PatchBody =
        decode_body(br#"{"nickName":null,"gender":null,"userId":null}"#).unwrap();
    let cleared = PatchBody {
        nick_name: Some(None),
        gender: Some(None),
        ..PatchBody::default()
    };
    assert_eq!(patch, cleared);
}

#[test]
fn a_value_of_the_wrong_type_is_refused_without_being_shown() {
    for value in ["5", "true", "{}", "[]", r#"["s3cret"]"#] {
        let body = format!(r#"{{"firstName":{value}}}"#);
        assert_eq!(refused_field(&body), INVALID, "{body}");
    }
    let shown = update(r#"{"gender":{"s3cret":1}}"#)
        .unwrap_err()
        .to_string();
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn an_array_for_a_nested_message_is_refused() {
    for body in [
        r#"{"profile":["a","b"]}"#,
        r#"{"profile":"a"}"#,
        r#"{"email":[]}"#,
    ] {
        let read = decode_body::<CreateBody>(body.as_bytes());
        assert!(matches!(read, Err(BodyError::Field { .. })), "{body}");
    }
}

#[test]
fn invalid_utf_8_in_a_string_is_refused() {
    assert!(is_syntax(b"{\"firstName\":\"\xff\"}"));
    assert!(is_syntax(b"{\"\xff\":1}"));
    // In an ignored field as well, with its place.
    let place = BodyError::Syntax { line: 2, column: 8 };
    assert_eq!(update(b"{\n\"xyz\":\"\xff\"}"), Err(place));
}

#[test]
fn a_lone_surrogate_is_refused() {
    for body in [r#"{"firstName":"\ud800"}"#, r#"{"firstName":"\ud800x"}"#] {
        assert!(update(body).is_err(), "{body}");
    }
    let pair = r#"{"firstName":"\ud83d\ude00"}"#;
    assert_eq!(update(pair), Ok(named("😀")));
}

/// Found while the fuzz targets were written: serde_json does not look into what is ignored.
#[test]
fn a_lone_surrogate_is_refused_in_an_ignored_field_too() {
    for ignored in [
        r"\ud800",
        r"\udc00",
        r"\ud800\ud800",
        r"\uD83D\n",
        r"\\\ud800",
        r"x\ud83d",
    ] {
        for body in [
            format!(r#"{{"other":"{ignored}"}}"#),
            format!(r#"{{"other":{{"a":["{ignored}"]}}}}"#),
            format!(r#"{{"{ignored}":1}}"#),
        ] {
            assert!(is_syntax(&body), "{body}");
        }
    }
    for fine in [r"\ud83d\ude00", r"\\ud800", r"\u0041\n\\", ""] {
        let body = format!(r#"{{"firstName":"a","other":"{fine}"}}"#);
        assert_eq!(update(&body), Ok(named("a")), "{body}");
    }
    assert_eq!(
        update(r#"{"firstName":"a"}"\ud800""#),
        Ok(named("a")),
        "behind the value"
    );
}

#[test]
fn a_gender_is_a_known_name_or_a_whole_number() {
    for (value, number) in [
        (r#""GENDER_MALE""#, Some(2)),
        ("2", Some(2)),
        ("2.0", Some(2)),
        ("2e0", Some(2)),
        ("99", Some(99)),
        ("-5", Some(-5)),
        ("2147483647", Some(i32::MAX)),
        ("-2147483648.0", Some(i32::MIN)),
        (r#""FEMALE""#, None),
        (r#""1""#, None),
        (r#""gender_male""#, None),
    ] {
        let body = format!(r#"{{"gender":{value}}}"#);
        let read = update(&body).unwrap();
        assert_eq!(read.gender, Some(WireGender(number)), "{body}");
    }
}

#[test]
fn another_gender_is_refused() {
    for value in [
        "1.5",
        "true",
        "{}",
        "[]",
        "2147483648",
        "-2147483649",
        "1e300",
    ] {
        let body = format!(r#"{{"gender":{value}}}"#);
        assert_eq!(refused_field(&body), INVALID, "{body}");
    }
}

#[test]
fn a_uint64_is_a_number_or_a_decimal_string() {
    for (value, number) in [
        ("7", 7),
        (r#""7""#, 7),
        (r#""18446744073709551615""#, u64::MAX),
        ("18446744073709551615", u64::MAX),
        ("20.0", 20),
        ("2e1", 20),
    ] {
        let body = format!(r#"{{"minVersion":{value}}}"#);
        let read: GetBody = decode_body(body.as_bytes()).unwrap();
        assert_eq!(read.min_version.unwrap().0, number, "{body}");
    }
    for value in ["-1", "1.5", "1e30", r#""x""#, r#""""#, "true"] {
        let body = format!(r#"{{"minVersion":{value}}}"#);
        assert!(decode_body::<GetBody>(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let body = |length| vec![b' '; length];
    assert_eq!(update(body(BODY_BYTES_MAX)), Ok(UpdateBody::default()));
    assert_eq!(update(body(BODY_BYTES_MAX + 1)), Err(BodyError::TooLong));
}
