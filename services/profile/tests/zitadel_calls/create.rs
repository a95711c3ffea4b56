//! The creations: where the organization comes from, what is checked first, and that all are one operation.

use profile::auth::AuthError;
use profile::error::ServiceError;
use profile_domain::Rejection;
use profile_messages::command::CommandRequest;
use serde_json::{Value, json};

use crate::world::{Who, World, body, in_a_world, refused_by_auth, violation};

fn v1() -> Value {
    json!({"userName": "gigi", "profile": {"firstName": "Gigi", "lastName": "Giraffe", "gender": 1},
        "email": {"email": "gigi@zoo.example", "isEmailVerified": true}, "phone": {"phone": "+41"}})
}

/// The same user in v2's words.
fn v2_human() -> Value {
    json!({"profile": {"givenName": "Gigi", "familyName": "Giraffe", "gender": 1},
        "email": {"email": "gigi@zoo.example", "isVerified": true}, "phone": {"phone": "+41"}})
}

fn add_human(edit: impl FnOnce(&mut Value)) -> CommandRequest {
    let mut sent = v2_human();
    sent["username"] = json!("gigi");
    edit(&mut sent);
    CommandRequest::AddHuman(body(&sent))
}

fn create_user(org: &str) -> CommandRequest {
    let sent = json!({"organizationId": org, "username": "gigi", "human": v2_human()});
    CommandRequest::CreateUser(body(&sent))
}

fn import() -> CommandRequest {
    CommandRequest::Import(body(&v1()))
}

#[test]
fn one_key_makes_one_user_by_whichever_call_it_is_repeated() {
    in_a_world(async |world: &World| {
        let owner = Who::owner().keyed("k1");
        let create = CommandRequest::Create(body(&v1()));
        let first = world.execute(&owner, create).await.unwrap();
        assert!(first.user_id.is_some());
        for again in [import(), add_human(|_| {}), create_user("zoo")] {
            assert_eq!(world.execute(&owner, again).await, Ok(first.clone()));
        }
        assert_eq!(world.commits(), 1);
        let another = add_human(|sent| sent["profile"]["givenName"] = json!("Gina"));
        let reused = world.execute(&owner, another).await;
        assert_eq!(reused, Err(ServiceError::KeyReused));
        let other_key = world.execute(&Who::owner().keyed("k2"), import()).await;
        assert_ne!(other_key.unwrap().user_id, first.user_id);
    });
}

#[test]
fn a_user_is_what_its_creation_says() {
    in_a_world(async |world: &World| {
        let owner = Who::owner();
        let mut profiles = Vec::new();
        for request in [import(), add_human(|_| {}), create_user("zoo")] {
            let made = world.execute(&owner, request).await.unwrap();
            assert_eq!(made.details.resource_owner, "zoo");
            assert!(made.details.creation_date.is_some());
            let user = world.read(&made.user_id.unwrap()).await.unwrap();
            assert!(user.email.is_email_verified);
            let phone = user.phone.unwrap();
            profiles.push((user.profile, user.user_name, user.email, phone));
        }
        assert_eq!(profiles[0].0.display_name, "Gigi Giraffe");
        assert_eq!(profiles[0], profiles[1]);
        assert_eq!(profiles[0], profiles[2]);
    });
}

#[test]
fn a_chosen_id_is_taken_once() {
    in_a_world(async |world: &World| {
        let add = |id: &'static str| add_human(move |sent| sent["userId"] = json!(id));
        let made = world.execute(&Who::owner(), add("u1")).await.unwrap();
        assert_eq!(made.user_id.as_deref(), Some("u1"));
        let again = world.execute(&Who::owner(), add("u1")).await;
        assert_eq!(again, Err(ServiceError::Rejected(Rejection::AlreadyExists)));
        let bad_form = world.execute(&Who::owner(), add("a.b")).await;
        assert!(violation(bad_form).starts_with("invalid AddHumanUserRequest.UserId: "));
    });
}

#[test]
fn the_organization_of_add_human_user_is_the_one_that_its_body_names() {
    in_a_world(async |world: &World| {
        let in_farm = || add_human(|sent| sent["organization"] = json!({"orgId": "farm"}));
        let both = Who::owner().with("ORG_USER_MANAGER", "farm");
        let made = world.execute(&both, in_farm()).await.unwrap();
        assert_eq!(made.details.resource_owner, "farm");
        // The header does not count beside it, and does without it.
        let header = both.clone().in_org("zoo");
        let made = world.execute(&header, in_farm()).await.unwrap();
        assert_eq!(made.details.resource_owner, "farm");
        for empty in [json!(null), json!({}), json!({"orgId": ""})] {
            let elsewhere = add_human(|sent| sent["organization"] = empty);
            let made = world.execute(&both.clone().in_org("farm"), elsewhere).await;
            assert_eq!(made.unwrap().details.resource_owner, "farm");
        }
        let made = world.execute(&both, add_human(|_| {})).await.unwrap();
        assert_eq!(made.details.resource_owner, "zoo");
    });
}

#[test]
fn add_human_user_is_authorized_before_it_is_validated() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        let invalid = |org: &'static str| {
            CommandRequest::AddHuman(body(&json!({"organization": {"orgId": org}})))
        };
        let owner = Who::owner();
        for unknown in ["moon", "a b"] {
            let refused = world.execute(&owner, invalid(unknown)).await;
            refused_by_auth(refused, AuthError::OrgUnknown);
            let everywhere = world.execute(&Who::operator(), invalid(unknown)).await;
            refused_by_auth(everywhere, AuthError::OrgUnknown);
        }
        let stranger = Who::user("s").of("farm");
        let refused = world.execute(&stranger, invalid("zoo")).await;
        refused_by_auth(refused, AuthError::NoMembership);
        let refused = world.execute(&Who::viewer(), invalid("zoo")).await;
        refused_by_auth(refused, AuthError::NoPermission);
        let refused = world.execute(&owner, invalid("zoo")).await;
        assert!(violation(refused).starts_with("invalid AddHumanUserRequest.Profile: "));
        assert_eq!(world.commits(), 1);
    });
}

#[test]
fn an_import_is_authorized_before_it_is_validated() {
    in_a_world(async |world: &World| {
        let invalid = || CommandRequest::Import(body(&json!({})));
        let refused = world.execute(&Who::viewer(), invalid()).await;
        refused_by_auth(refused, AuthError::NoPermission);
        let refused = world.execute(&Who::owner(), invalid()).await;
        assert!(violation(refused).starts_with("invalid ImportHumanUserRequest.UserName: "));
    });
}

#[test]
fn create_user_is_validated_before_it_is_authorized() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        let invalid = CommandRequest::CreateUser(body(&json!({"human": {}})));
        let refused = world.execute(&Who::viewer(), invalid).await;
        assert!(violation(refused).starts_with("invalid CreateUserRequest.OrganizationId: "));
        let stranger = Who::user("s").of("farm");
        let refused = world.execute(&stranger, create_user("zoo")).await;
        refused_by_auth(refused, AuthError::NoMembership);
        let refused = world.execute(&Who::viewer(), create_user("zoo")).await;
        refused_by_auth(refused, AuthError::NoPermissionInCommand);
        // Whether an organization exists is told only to who could write there.
        let refused = world.execute(&stranger, create_user("moon")).await;
        refused_by_auth(refused, AuthError::NoMembership);
        for unknown in ["moon", "a b"] {
            let refused = world.execute(&Who::operator(), create_user(unknown)).await;
            refused_by_auth(refused, AuthError::OrgUnknown);
        }
        assert_eq!(world.commits(), 1);
        let made = world.execute(&Who::operator(), create_user("zoo")).await;
        assert_eq!(made.unwrap().details.resource_owner, "zoo");
    });
}

#[test]
fn a_blank_name_is_refused_as_zitadel_refuses_it() {
    in_a_world(async |world: &World| {
        let blank = add_human(|sent| sent["profile"]["givenName"] = json!("  "));
        let refused = world.execute(&Who::owner(), blank).await;
        let rejected = ServiceError::Rejected(Rejection::FirstNameEmpty);
        assert_eq!(refused, Err(rejected));
    });
}
