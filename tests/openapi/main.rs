//! `messages/openapi.json` against the calls that are routed and against itself; `make contract-test` holds
//! it against the running service.

use std::collections::BTreeSet;
use std::fs;

use profile::transport::api::Call;
use profile_messages::envelope::{TRACEPARENT, TRACESTATE};
use profile_tests::repository;
use serde_json::{Map, Value, json};

/// What is served besides calls.
const OTHERS: [(&str, &str); 5] = [
    ("get", "/debug/healthz"),
    ("get", "/debug/ready"),
    ("get", "/openapi.json"),
    ("get", "/asyncapi.json"),
    ("get", "/docs"),
];

#[test]
fn the_document_names_every_route_and_nothing_else() {
    let document = document();
    let calls = Call::ALL.into_iter().map(|call| {
        let (method, path) = call.http();
        (method.as_str().to_lowercase(), path.to_owned())
    });
    let others = OTHERS.map(|(method, path)| (method.to_owned(), path.to_owned()));
    let served: BTreeSet<_> = calls.chain(others).collect();
    let named = operations(&document).map(|(method, path, _)| (method, path));
    assert_eq!(named.collect::<BTreeSet<_>>(), served);
}

#[test]
fn an_operation_with_a_successor_is_deprecated_and_says_so_in_its_headers() {
    let document = document();
    for call in Call::ALL {
        let (method, path) = call.http();
        let operation = &document["paths"][path][method.as_str().to_lowercase()];
        let deprecated = call.successor().is_some();
        assert_eq!(operation["deprecated"] == true, deprecated, "{path}");
        let success = resolved(&document, &operation["responses"]["200"]);
        for header in ["Deprecation", "Link"] {
            assert_eq!(success["headers"][header].is_object(), deprecated, "{path}");
        }
        assert_eq!(path.contains("{user_id}"), has_user_id(operation), "{path}");
    }
}

#[test]
fn every_call_takes_the_callers_trace_and_names_its_own() {
    let document = document();
    for call in Call::ALL {
        let (method, path) = call.http();
        let operation = &document["paths"][path][method.as_str().to_lowercase()];
        let parameters = operation["parameters"].as_array().expect("a list").iter();
        let names: Vec<_> = parameters
            .map(|parameter| &resolved(&document, parameter)["name"])
            .collect();
        for header in [TRACEPARENT, TRACESTATE] {
            assert!(names.contains(&&json!(header)), "{path}: {header}");
        }
        for (status, response) in object(&operation["responses"]) {
            let headers = &resolved(&document, response)["headers"];
            assert!(headers["traceresponse"].is_object(), "{path}: {status}");
        }
    }
}

#[test]
fn every_example_is_of_its_schema() {
    let document = document();
    let mut checked = 0;
    visit(&document, &mut |node| {
        let Some(schema) = node.get("schema") else {
            return;
        };
        let one = node.get("example").cloned();
        let many = node.get("examples").and_then(Value::as_object);
        let many = many.into_iter().flat_map(Map::values);
        let many = many.map(|example| resolved(&document, example)["value"].clone());
        for example in one.into_iter().chain(many) {
            let judged = judge(&document, schema, &example);
            assert!(judged.is_ok(), "{example}: {judged:?}");
            checked += 1;
        }
    });
    assert!(checked > 30, "only {checked} examples were found");
}

#[test]
fn every_component_is_there_and_used() {
    let document = document();
    let mut used = BTreeSet::new();
    visit(&document, &mut |node| {
        if let Some(Value::String(reference)) = node.get("$ref") {
            assert!(!resolved(&document, node).is_null(), "{reference}");
            used.insert(reference.clone());
        }
    });
    for (kind, components) in object(&document["components"]) {
        if kind != "securitySchemes" {
            for name in object(components).keys() {
                let reference = format!("#/components/{kind}/{name}");
                assert!(used.contains(&reference), "{reference} is used nowhere");
            }
        }
    }
}

#[test]
fn a_schema_that_is_broken_is_noticed() {
    let document = document();
    let schema = json!({"$ref": "#/components/schemas/UpdateHumanProfileRequest"});
    for wrong in [
        json!({"firstName": "Gigi"}),
        json!({"firstName": "Gigi", "lastName": "x".repeat(201)}),
        json!({"firstName": "Gigi", "lastName": "\u{7}"}),
        json!({"firstName": "Gigi", "lastName": "G", "gender": 1.5}),
    ] {
        assert!(judge(&document, &schema, &wrong).is_err(), "{wrong}");
    }
    // 200 code points of four bytes each.
    let right = json!({"firstName": "🦒".repeat(200), "lastName": "G", "nickName": null});
    assert_eq!(judge(&document, &schema, &right), Ok(()));
}

fn document() -> Value {
    let text = fs::read_to_string(repository::file("messages/openapi.json")).expect("the file");
    serde_json::from_str(&text).expect("JSON")
}

/// Method in lower case, path and operation.
fn operations(document: &Value) -> impl Iterator<Item = (String, String, &Value)> {
    object(&document["paths"]).iter().flat_map(|(path, item)| {
        let operations = object(item).iter();
        operations.map(|(method, operation)| (method.clone(), path.clone(), operation))
    })
}

fn has_user_id(operation: &Value) -> bool {
    let parameters = operation["parameters"].as_array().expect("a list");
    ["UserId", "AnyUserId"].into_iter().any(|name| {
        let reference = format!("#/components/parameters/{name}");
        parameters.contains(&json!({"$ref": reference}))
    })
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

/// What a reference names; another value is itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(Value::String(reference)) = value.get("$ref") else {
        return value;
    };
    let pointer = reference.strip_prefix('#').expect("a local reference");
    document.pointer(pointer).unwrap_or(&Value::Null)
}

fn judge(document: &Value, schema: &Value, instance: &Value) -> Result<(), String> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "allOf": [schema],
        "components": document["components"],
    });
    let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string())?;
    validator
        .validate(instance)
        .map_err(|error| error.to_string())
}

/// Every object of the document.
fn visit(value: &Value, see: &mut dyn FnMut(&Value)) {
    match value {
        Value::Object(fields) => {
            see(value);
            fields.values().for_each(|field| visit(field, see));
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
