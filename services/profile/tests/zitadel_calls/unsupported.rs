//! What is known of ZITADEL's bodies and not done here: refused as a whole, after everything else.

use profile::auth::AuthError;
use profile::error::ServiceError;
use profile_domain::Rejection;
use profile_messages::command::CommandRequest;
use profile_messages::error::ErrorCode;
use serde_json::{Value, json};

use crate::world::{Who, World, body, in_a_world, refused_by_auth, violation};

type Make = fn(&Value) -> CommandRequest;

fn import(json: &Value) -> CommandRequest {
    CommandRequest::Import(body(json))
}

fn add_human(json: &Value) -> CommandRequest {
    CommandRequest::AddHuman(body(json))
}

fn create_user(json: &Value) -> CommandRequest {
    CommandRequest::CreateUser(body(json))
}

fn update_human(json: &Value) -> CommandRequest {
    let (user_id, body) = ("gigi".to_owned(), body(json));
    CommandRequest::UpdateHuman { user_id, body }
}

fn update_user(json: &Value) -> CommandRequest {
    let (user_id, body) = ("gigi".to_owned(), body(json));
    CommandRequest::UpdateUser { user_id, body }
}

fn imported() -> Value {
    json!({"userName": "g", "profile": {"firstName": "G", "lastName": "G"}, "email": {"email": "e"}})
}

fn human() -> Value {
    json!({"profile": {"givenName": "Gina", "familyName": "Giraffe"}, "email": {"email": "e"}, "phone": {"phone": "+1"}})
}

fn new_human() -> Value {
    json!({"organizationId": "zoo", "human": human()})
}

fn changed() -> Value {
    json!({"profile": {"givenName": "Gina", "familyName": "Giraffe"}})
}

fn changed_user() -> Value {
    json!({"human": {"profile": {"givenName": "Gina"}}})
}

/// Call, valid body, place of the field, its value.
fn rows() -> Vec<(Make, Value, &'static str, Value)> {
    let code = || json!({});
    let password = || json!({"password": "p"});
    let list = || json!([{}]);
    let mut rows: Vec<(Make, Value, &'static str, Value)> = vec![
        (
            import,
            imported(),
            "/requestPasswordlessRegistration",
            json!(true),
        ),
        (import, imported(), "/otpCode", json!("123")),
        (import, imported(), "/idps", list()),
        (import, imported(), "/recoveryCodes", json!(["a"])),
        (
            add_human,
            human(),
            "/organization/orgDomain",
            json!("zoo.example"),
        ),
        (create_user, new_human(), "/metadata", list()),
        (create_user, new_human(), "/human/metadata", list()),
        (create_user, new_human(), "/machine", code()),
        (update_human, changed(), "/username", json!("g")),
        (update_human, changed(), "/email", code()),
        (update_human, changed(), "/phone", code()),
        (update_human, changed(), "/password", password()),
        (update_user, changed_user(), "/username", json!("g")),
        (update_user, changed_user(), "/human/email", code()),
        (update_user, changed_user(), "/human/phone", code()),
        (update_user, changed_user(), "/human/password", password()),
        (update_user, changed_user(), "/machine", code()),
        (update_user, changed_user(), "/metadata", list()),
    ];
    let creations: [(Make, Value, [&'static str; 8]); 2] = [
        (
            add_human,
            human(),
            [
                "/email/sendCode",
                "/email/returnCode",
                "/phone/sendCode",
                "/phone/returnCode",
                "/metadata",
                "/password",
                "/hashedPassword",
                "/idpLinks",
            ],
        ),
        (
            create_user,
            new_human(),
            [
                "/human/email/sendCode",
                "/human/email/returnCode",
                "/human/phone/sendCode",
                "/human/phone/returnCode",
                "/human/metadata",
                "/human/password",
                "/human/hashedPassword",
                "/human/idpLinks",
            ],
        ),
    ];
    for (make, valid, places) in creations {
        for place in places {
            let is_list = place.ends_with("metadata") || place.ends_with("idpLinks");
            let value = if is_list { list() } else { code() };
            rows.push((make, valid.clone(), place, value));
        }
    }
    rows.push((add_human, human(), "/totpSecret", json!("s")));
    rows.push((create_user, new_human(), "/human/totpSecret", json!("s")));
    rows
}

fn with(valid: &Value, place: &str, value: &Value) -> Value {
    let mut sent = valid.clone();
    let mut inner = &mut sent;
    for segment in place.split('/').skip(1) {
        inner = &mut inner[segment];
    }
    *inner = value.clone();
    sent
}

#[test]
fn a_body_that_asks_for_more_is_refused_by_the_name_of_the_field_and_nothing_is_done() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        for (make, valid, place, value) in rows() {
            let sent = with(&valid, place, &value);
            let refused = world.execute(&Who::owner(), make(&sent)).await.unwrap_err();
            let name = place.rsplit('/').next().unwrap();
            assert_eq!(
                refused.to_string(),
                format!("{name} is not supported by profile-service"),
                "{sent}"
            );
            assert_eq!(refused.code(), ErrorCode::Unimplemented);
            assert_eq!(world.commits(), 1, "{place}");
            // The field alone is the reason.
            if !place.contains("machine") {
                let empty = json!(null);
                let fine = make(&with(&valid, place, &empty));
                assert_eq!(
                    world
                        .execute(&Who::viewer(), fine)
                        .await
                        .unwrap_err()
                        .code(),
                    ErrorCode::PermissionDenied
                );
            }
        }
    });
}

#[test]
fn an_empty_text_or_list_asks_for_nothing() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        for (make, valid, place, value) in rows() {
            let nothing = match value {
                // An `optional` text, and a member of a oneof, was sent, also when it is empty.
                Value::String(_)
                    if ["/username", "totpSecret", "orgDomain"]
                        .iter()
                        .any(|it| place.ends_with(it)) =>
                {
                    continue;
                }
                Value::String(_) => json!(""),
                Value::Array(_) => json!([]),
                Value::Bool(_) => json!(false),
                // An empty message was sent as well.
                Value::Object(_) | Value::Null | Value::Number(_) => continue,
            };
            let sent = with(&valid, place, &nothing);
            let done = world.execute(&Who::owner(), make(&sent)).await;
            assert!(done.is_ok(), "{sent}: {done:?}");
        }
    });
}

#[test]
fn validation_and_authorization_come_before_it() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        for (make, valid, place, value) in rows() {
            let sent = with(&valid, place, &value);
            let refused = world
                .execute(&Who::viewer(), make(&sent))
                .await
                .unwrap_err();
            assert_eq!(refused.code(), ErrorCode::PermissionDenied, "{sent}");
            let long = json!("x".repeat(201));
            let name = match valid.pointer("/human/profile") {
                Some(_) => "/human/profile/nickName",
                None => "/profile/nickName",
            };
            let sent = with(&sent, name, &long);
            violation(world.execute(&Who::owner(), make(&sent)).await);
        }
        let unknown = CommandRequest::UpdateHuman {
            user_id: "nobody".to_owned(),
            body: body(&json!({"password": {}})),
        };
        let refused = world.execute(&Who::owner(), unknown).await;
        assert_eq!(
            refused,
            Err(ServiceError::Rejected(Rejection::UserNotFound))
        );
    });
}

#[test]
fn neither_a_human_nor_a_machine_is_a_user_type_that_is_not_implemented() {
    in_a_world(async |world: &World| {
        let nobody = CommandRequest::UpdateUser {
            user_id: "nobody".to_owned(),
            body: body(&json!({"username": "g"})),
        };
        let new = create_user(&json!({"organizationId": "zoo"}));
        for request in [nobody, new] {
            let refused = world.execute(&Who::user("u"), request).await.unwrap_err();
            assert_eq!(refused, ServiceError::NoUserType);
            assert_eq!(refused.to_string(), "user type is not implemented");
            assert_eq!(refused.code(), ErrorCode::Unimplemented);
        }
        let machine = create_user(&json!({"organizationId": "zoo", "machine": {"name": "m"}}));
        let refused = world.execute(&Who::owner(), machine.clone()).await;
        assert_eq!(refused, Err(ServiceError::Unsupported("machine")));
        let refused = world.execute(&Who::viewer(), machine).await;
        refused_by_auth(refused, AuthError::NoPermissionInCommand);
    });
}

#[test]
fn passwords_of_the_v1_creations_are_taken_and_dropped() {
    in_a_world(async |world: &World| {
        let mut sent = imported();
        sent["password"] = json!("p");
        sent["hashedPassword"] = json!({"value": "h"});
        sent["passwordChangeRequired"] = json!(true);
        let request = import(&sent);
        assert!(request.drops_password());
        assert!(world.execute(&Who::owner(), request).await.is_ok());
        let mut sent = imported();
        sent["initialPassword"] = json!("p");
        let request = CommandRequest::Create(body(&sent));
        assert!(request.drops_password());
        assert!(world.execute(&Who::owner(), request).await.is_ok());
    });
}
