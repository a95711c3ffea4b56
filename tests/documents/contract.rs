//! The AsyncAPI document against itself, the code, and what is really sent.

use std::collections::BTreeSet;

use jsonschema::Validator;
use profile_messages::error::ErrorCode;
use profile_messages::event::EventKind;
use profile_messages::schema;
use profile_messages::subject::{Operation, RequestSubject, parse_request};
use serde_json::{Value, json};

use crate::asyncapi::{self, golden};
use crate::json::Json;
use crate::operations;

fn validator(schema: &str) -> Validator {
    let schema: Value = serde_json::from_str(schema).expect("JSON");
    let options = jsonschema::options().should_validate_formats(true);
    options.build(&schema).expect("a schema")
}

fn value(json: &Json) -> Value {
    serde_json::to_value(json).expect("JSON")
}

fn document() -> Value {
    serde_json::from_str(schema::ASYNCAPI).expect("JSON")
}

#[test]
fn the_document_names_every_subject_and_nothing_else() {
    let document = document();
    let channels = document["channels"].as_object().expect("channels");
    let addresses: BTreeSet<&str> = channels
        .values()
        .filter_map(|it| it["address"].as_str())
        .collect();
    for address in &addresses {
        if address.starts_with("profile.v1.") {
            let subject = address.replace("{userId}", "u-1");
            assert!(parse_request(&subject).is_some(), "{address}");
        }
    }
    let mut expected = BTreeSet::new();
    for operation in Operation::ALL {
        expected.insert(operation.subject());
        expected.extend(asyncapi::user_address(operation));
    }
    expected.extend(EventKind::ALL.map(asyncapi::event_address));
    assert_eq!(addresses, expected.iter().map(String::as_str).collect());
    for operation in Operation::ALL {
        let subject = operation.subject();
        let user = None;
        assert_eq!(
            parse_request(&subject),
            Some(RequestSubject { operation, user })
        );
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    collect_references(&document, &mut used);
    for place in &used {
        assert!(document.pointer(&place[1..]).is_some(), "{place}");
    }
    for (kind, components) in document["components"].as_object().expect("components") {
        for name in components.as_object().expect("an object").keys() {
            let place = format!("#/components/{kind}/{name}");
            assert!(used.contains(&place), "{place} is used nowhere");
        }
    }
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(
                fields
                    .get("$ref")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            fields
                .values()
                .for_each(|field| collect_references(field, found));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_example_request_and_golden_reply_is_of_its_schema() {
    for operation in Operation::ALL {
        let request = value(&operations::request(operation));
        let judged = validator(&schema::request(operation))
            .validate(&request)
            .map_err(|it| it.to_string());
        assert_eq!(judged, Ok(()), "{operation:?}");
        let reply = value(&golden(operations::reply(operation)));
        let judged = validator(&schema::response(operation))
            .validate(&reply)
            .map_err(|it| it.to_string());
        assert_eq!(judged, Ok(()), "{operation:?}");
    }
    for (name, operation) in [
        ("reply-get-least", Operation::Get),
        ("reply-list-empty", Operation::List),
    ] {
        assert!(
            validator(&schema::response(operation)).is_valid(&value(&golden(name))),
            "{name}"
        );
    }
}

#[test]
fn every_golden_event_is_of_the_schema_and_has_no_field_that_it_does_not_name() {
    let validator = validator(schema::EVENT);
    let schema = Json::read(schema::EVENT);
    let named: BTreeSet<String> = crate::fields::fields(&schema, &schema)
        .into_iter()
        .map(|field| field.path)
        .collect();
    let mut seen = BTreeSet::new();
    for kind in EventKind::ALL {
        for payload in ["names", "changed", "full"] {
            let event = golden(&format!("event-{}-{payload}", kind.name()));
            assert!(validator.is_valid(&value(&event)), "{kind:?} {payload}");
            collect_paths(&event, "", &mut seen);
        }
    }
    // No golden event changes a name.
    seen.extend(["firstName", "lastName", "displayName"].map(|it| format!("data.oldValues.{it}")));
    assert_eq!(seen, named);
}

/// The paths of all fields, as the fields of a schema are named.
fn collect_paths(json: &Json, path: &str, found: &mut BTreeSet<String>) {
    for (name, value) in json.fields() {
        let path = match path.is_empty() {
            true => name.clone(),
            false => format!("{path}.{name}"),
        };
        collect_paths(value, &path, found);
        found.insert(path);
    }
}

#[test]
fn an_event_that_is_broken_is_noticed() {
    let validator = validator(schema::EVENT);
    let good = value(&golden("event-changed-full"));
    assert!(validator.is_valid(&good));
    for (place, wrong) in [
        ("/id", json!("mia")),
        ("/specversion", json!("1.1")),
        ("/type", json!("profile.changed")),
        ("/time", json!("yesterday")),
        ("/userversion", json!(0)),
        ("/userversion", json!("2")),
        ("/data/changed/0", json!("email")),
        ("/data/profile/gender", json!(1)),
        ("/data", json!({"userId": "mia"})),
    ] {
        let mut event = good.clone();
        *event.pointer_mut(place).expect("it is there") = wrong;
        assert!(!validator.is_valid(&event), "{place}");
    }
}

#[test]
fn every_golden_error_is_of_the_schema_and_a_broken_one_is_noticed() {
    let validator = validator(schema::ERROR);
    for code in ErrorCode::ALL {
        let name = code.name().to_lowercase().replace('_', "-");
        let mut error = value(&golden(&format!("error-{name}")));
        assert!(validator.is_valid(&error), "{code:?}");
        let later = json!({"@type": "type.googleapis.com/new", "x": 1});
        error["details"]
            .as_array_mut()
            .expect("details")
            .push(later);
        assert!(
            validator.is_valid(&error),
            "{code:?} with a detail of a later release"
        );
        error["details"][0]["@type"] = json!(1);
        assert!(!validator.is_valid(&error), "{code:?}");
    }
    let domain = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "INTERNAL"});
    assert!(!validator.is_valid(&json!({"code": 13, "message": "m", "details": [domain]})));
}

/// AsyncAPI's own dialect is draft 7 with additions: what is in both is read by every tool.
#[test]
fn no_schema_uses_a_word_that_draft_7_has_not() {
    const NEW: &[&str] = &[
        "$anchor",
        "$defs",
        "$dynamicRef",
        "dependentRequired",
        "dependentSchemas",
        "maxContains",
        "minContains",
        "prefixItems",
        "unevaluatedItems",
        "unevaluatedProperties",
    ];
    for (name, text) in schema::FILES {
        let schema = Json::read(text);
        assert_eq!(
            schema.text("$schema"),
            "https://json-schema.org/draft/2020-12/schema",
            "{name}"
        );
        for word in NEW {
            assert!(!text.contains(&format!("\"{word}\"")), "{name}: {word}");
        }
    }
}
