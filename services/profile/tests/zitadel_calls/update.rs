//! UpdateHumanUser and UpdateUser.

use profile::auth::AuthError;
use profile::error::ServiceError;
use profile_domain::Rejection;
use profile_messages::command::CommandRequest;
use serde_json::{Value, json};

use crate::world::{Who, World, body, in_a_world, refused_by_auth, violation};

fn update_human(user_id: &str, profile: Value) -> CommandRequest {
    CommandRequest::UpdateHuman {
        user_id: user_id.to_owned(),
        body: body(&json!({"profile": profile})),
    }
}

fn update_user(user_id: &str, profile: Value) -> CommandRequest {
    CommandRequest::UpdateUser {
        user_id: user_id.to_owned(),
        body: body(&json!({"human": {"profile": profile}})),
    }
}

fn gina() -> Value {
    json!({"givenName": "Gina", "familyName": "Giraffe"})
}

fn both(user_id: &str) -> [CommandRequest; 2] {
    [update_human(user_id, gina()), update_user(user_id, gina())]
}

#[test]
fn what_is_set_is_changed_and_the_rest_stays() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        let owner = Who::owner();
        let renamed = world
            .execute(&owner, update_human("gigi", gina()))
            .await
            .unwrap();
        assert_eq!(renamed.details.sequence, 2);
        assert!(renamed.details.change_date.is_some());
        assert_eq!(renamed.details.creation_date, None);
        let user = world.read("gigi").await.unwrap();
        assert_eq!(user.profile.first_name, "Gina");
        assert_eq!(user.profile.display_name, "Gigi Giraffe");
        let mut cleared = gina();
        cleared["displayName"] = json!("");
        world
            .execute(&owner, update_human("gigi", cleared))
            .await
            .unwrap();
        assert_eq!(world.read("gigi").await.unwrap().profile.display_name, "");
        let nick = update_user("gigi", json!({"nickName": "Gi"}));
        assert_eq!(
            world.execute(&owner, nick).await.unwrap().details.sequence,
            4
        );
        let user = world.read("gigi").await.unwrap();
        assert_eq!(
            (
                user.profile.first_name.as_str(),
                user.profile.nick_name.as_str()
            ),
            ("Gina", "Gi")
        );
    });
}

#[test]
fn changing_nothing_succeeds_without_an_event() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        let same = json!({"givenName": "Gigi", "familyName": "Giraffe"});
        let nothing = CommandRequest::UpdateHuman {
            user_id: "gigi".to_owned(),
            body: body(&json!({})),
        };
        let made = world.read("gigi").await.unwrap().details;
        for request in [
            update_human("gigi", same.clone()),
            update_user("gigi", same),
            nothing,
        ] {
            let details = world.execute(&Who::owner(), request).await.unwrap().details;
            assert_eq!(
                (details.sequence, details.change_date),
                (1, made.change_date)
            );
        }
        assert_eq!(world.commits(), 1);
    });
}

#[test]
fn the_user_is_looked_up_after_validation_and_before_authorization() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        let stranger = Who::user("s").of("farm");
        let invalid = update_human("nobody", json!({}));
        assert!(
            violation(world.execute(&stranger, invalid).await)
                .contains("SetHumanProfile.GivenName")
        );
        for request in both("nobody").into_iter().chain(both("a b")) {
            let refused = world.execute(&stranger, request).await;
            assert_eq!(
                refused,
                Err(ServiceError::Rejected(Rejection::UserNotFound))
            );
        }
        for request in both("gigi") {
            let refused = world.execute(&stranger, request.clone()).await;
            refused_by_auth(refused, AuthError::NoMembership);
            let refused = world.execute(&Who::viewer(), request).await;
            refused_by_auth(refused, AuthError::NoPermissionInCommand);
        }
        assert_eq!(world.commits(), 1);
    });
}

#[test]
fn the_permission_counts_in_the_users_own_organization_whatever_the_header_says() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        let farmer = Who::user("f").of("farm").with("ORG_OWNER", "farm");
        let refused = world.execute(&farmer, update_user("gigi", gina())).await;
        refused_by_auth(refused, AuthError::NoMembership);
        let elsewhere = Who::owner().with("ORG_OWNER_VIEWER", "farm").in_org("farm");
        assert!(
            world
                .execute(&elsewhere, update_user("gigi", gina()))
                .await
                .is_ok()
        );
    });
}

#[test]
fn everybody_may_change_their_own_profile() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        for request in both("gigi") {
            assert!(world.execute(&Who::user("gigi"), request).await.is_ok());
        }
        // The same name from another organization is somebody else.
        let namesake = Who::user("gigi").of("farm");
        let refused = world.execute(&namesake, update_user("gigi", gina())).await;
        refused_by_auth(refused, AuthError::NoMembership);
    });
}

#[test]
fn one_key_is_one_change_by_whichever_call_it_is_repeated() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        let owner = Who::owner().keyed("k1");
        let first = world
            .execute(&owner, update_human("gigi", gina()))
            .await
            .unwrap();
        let patch = json!({"firstName": "Gina", "lastName": "Giraffe"});
        let patch = CommandRequest::Patch {
            user_id: "gigi".to_owned(),
            body: body(&patch),
        };
        for again in [update_user("gigi", gina()), patch] {
            assert_eq!(world.execute(&owner, again).await, Ok(first.clone()));
        }
        let other = update_user("gigi", json!({"givenName": "Gerda"}));
        assert_eq!(
            world.execute(&owner, other).await,
            Err(ServiceError::KeyReused)
        );
        assert_eq!(world.commits(), 2);
    });
}

#[test]
fn a_removed_user_could_not_be_found() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        let user_id = "gigi".to_owned();
        let remove = CommandRequest::Remove { user_id };
        world.execute(&Who::owner(), remove).await.unwrap();
        for who in [
            Who::owner(),
            Who::viewer(),
            Who::user("gigi"),
            Who::user("s").of("farm"),
        ] {
            for request in both("gigi") {
                let refused = world.execute(&who, request).await;
                assert_eq!(
                    refused,
                    Err(ServiceError::Rejected(Rejection::UserNotFound))
                );
            }
        }
    });
}
