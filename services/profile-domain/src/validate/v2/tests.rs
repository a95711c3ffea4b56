mod create;
mod update;

use profile_messages::json::decode_body;
use serde_json::{Value, json};

use super::*;

const BETWEEN: &str = "value length must be between 1 and 200 runes, inclusive";
const AT_MOST: &str = "value length must be at most 200 runes";
const EMBEDDED: &str = "embedded message failed validation | caused by: invalid";
const REQUIRED: &str = "value is required";
const CONTROL: &str = "value must not contain control characters";

fn body<T: serde::de::DeserializeOwned + Default>(json: &Value) -> T {
    decode_body(json.to_string().as_bytes()).unwrap()
}

fn long() -> String {
    "x".repeat(201)
}

/// The first text, and the JSON names of all broken fields.
#[track_caller]
fn broken<T: std::fmt::Debug>(result: Result<T, Violations>) -> (String, Vec<String>) {
    let Violations { message, fields } = result.unwrap_err();
    let names = fields.into_iter().map(|field| field.field);
    (message, names.collect())
}

/// A rule of one field: value, and ZITADEL's text or `None` where the value is valid.
type Row = (&'static str, Value, Option<String>);

/// Rows that every `SetHumanProfile` follows, whatever it stands in.
fn set_human_profile() -> Vec<Row> {
    let text = |field: &str, rule: &str| Some(format!("SetHumanProfile.{field}: {rule}"));
    let emoji = "\u{1F992}".repeat(200);
    vec![
        ("givenName", json!(null), text("GivenName", BETWEEN)),
        ("givenName", json!(""), text("GivenName", BETWEEN)),
        ("givenName", json!(long()), text("GivenName", BETWEEN)),
        ("givenName", json!("a\u{0}"), text("GivenName", CONTROL)),
        ("givenName", json!(emoji), None),
        ("familyName", json!(null), text("FamilyName", BETWEEN)),
        ("familyName", json!(""), text("FamilyName", BETWEEN)),
        ("familyName", json!(long()), text("FamilyName", BETWEEN)),
        ("familyName", json!("\u{9b}"), text("FamilyName", CONTROL)),
        ("nickName", json!(""), None),
        ("nickName", json!(null), None),
        ("nickName", json!(long()), text("NickName", AT_MOST)),
        ("nickName", json!("a\nb"), text("NickName", CONTROL)),
        ("displayName", json!(""), None),
        ("displayName", json!(long()), text("DisplayName", AT_MOST)),
        ("displayName", json!("\u{7}"), text("DisplayName", CONTROL)),
        ("preferredLanguage", json!(""), None),
        ("preferredLanguage", json!("xx\u{0}"), None),
        (
            "preferredLanguage",
            json!("en-US-x-abc"),
            text("PreferredLanguage", "value length must be at most 10 runes"),
        ),
        ("gender", json!(99), None),
        ("gender", json!(-5), None),
        ("gender", json!("FEMALE"), None),
    ]
}

/// A valid profile with one field set to `value`; null takes it out.
fn profile_with(field: &str, value: &Value) -> Value {
    let mut profile = json!({"givenName": "Gigi", "familyName": "Giraffe"});
    profile[field] = value.clone();
    profile
}

#[track_caller]
fn assert_row<T: std::fmt::Debug>(
    result: Result<T, Violations>,
    field: &str,
    row: &Value,
    expected: Option<String>,
) {
    match expected {
        None => assert!(result.is_ok(), "{field} {row}: {result:?}"),
        Some(text) => assert_eq!(broken(result), (text, vec![field.to_owned()]), "{row}"),
    }
}
