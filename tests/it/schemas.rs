//! The announced JSON Schemas against the types that really read and write the bodies.

use jsonschema::Validator;
use profile_messages::schema;
use profile_messages::subject::Operation;
use serde_json::{Value, json};

fn validator(schema: &str) -> Validator {
    jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap()
}

fn is_request(operation: Operation, body: &Value) -> bool {
    validator(&schema::request(operation)).is_valid(body)
}

#[test]
fn example_requests_validate() {
    let names = json!({"firstName": "A", "lastName": "B", "displayName": "A B"});
    let create = json!({"userName": "a", "profile": names, "email": {"email": "a@b.c"}});
    for operation in Operation::ALL {
        let body = match operation {
            Operation::Create => create.clone(),
            Operation::Update => json!({"firstName": "A", "lastName": "B"}),
            Operation::MeUpdate => names.clone(),
            Operation::Patch | Operation::MePatch => json!({"nickName": null, "gender": 1}),
            Operation::MeGet | Operation::Get => json!({"minVersion": "7"}),
            Operation::MeHistory | Operation::History => json!({"limit": 10}),
            Operation::List => json!({"prefix": "a", "limit": "10"}),
            Operation::Replay => json!({"after": "0"}),
            Operation::Remove => json!({"userId": "u"}),
        };
        assert!(is_request(operation, &body), "{operation:?}");
    }
}

#[test]
fn bodies_over_a_limit_or_of_a_wrong_type_do_not() {
    let long = "x".repeat(201);
    for (operation, body) in [
        (Operation::Create, json!({"userName": "a"})),
        (
            Operation::MeUpdate,
            json!({"firstName": "A", "lastName": "B"}),
        ),
        (Operation::Patch, json!({"displayName": long})),
        (Operation::Patch, json!({"firstName": null})),
        (Operation::Get, json!({"minVersion": "x"})),
        (Operation::List, json!({"limit": 1001})),
        (Operation::Remove, json!([])),
    ] {
        assert!(!is_request(operation, &body), "{operation:?} {body}");
    }
}
