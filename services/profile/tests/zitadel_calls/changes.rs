//! ListUserChanges and ListMyUserChanges.

use profile::auth::AuthError;
use profile::error::ServiceError;
use profile_messages::command::CommandRequest;
use profile_messages::error::ErrorCode;
use profile_messages::query::QueryRequest;
use serde_json::{Value, json};

use crate::world::{
    PAGE_ROWS_MAX, Who, World, body, changes_of, in_a_world, refused_by_auth, violation,
};

fn of(user_id: &str, query: Value) -> QueryRequest {
    QueryRequest::Changes {
        user_id: user_id.to_owned(),
        body: body(&json!({"query": query})),
    }
}

fn mine(query: Value) -> QueryRequest {
    QueryRequest::ChangesMe {
        body: body(&json!({"query": query})),
    }
}

/// Gigi after `count` commits.
async fn has_changes(world: &World, count: u64) {
    world.has_gigi().await;
    for number in 1..count {
        let nick = json!({"nickName": format!("Gi {number}")});
        let patch = CommandRequest::Patch {
            user_id: "gigi".to_owned(),
            body: body(&nick),
        };
        world.execute(&Who::owner(), patch).await.unwrap();
    }
}

#[test]
fn a_page_begins_beyond_the_sequence_in_either_direction() {
    in_a_world(async |world: &World| {
        has_changes(world, 6).await;
        for (query, expected) in [
            (json!(null), vec![6, 5, 4, 3, 2, 1]),
            (json!({"limit": 2}), vec![6, 5]),
            (json!({"limit": 2, "sequence": "5"}), vec![4, 3]),
            (json!({"limit": 9, "sequence": "3"}), vec![2, 1]),
            (json!({"sequence": "1"}), vec![]),
            (json!({"sequence": "99", "limit": 1}), vec![6]),
            (json!({"asc": true}), vec![1, 2, 3, 4, 5, 6]),
            (json!({"asc": true, "limit": 2}), vec![1, 2]),
            (
                json!({"asc": true, "limit": 2, "sequence": "2"}),
                vec![3, 4],
            ),
            (json!({"asc": true, "sequence": "4"}), vec![5, 6]),
            (json!({"asc": true, "sequence": "6"}), vec![]),
            (
                json!({"asc": true, "limit": 0, "sequence": "0"}),
                vec![1, 2, 3, 4, 5, 6],
            ),
        ] {
            let page = |reply| {
                let changes = changes_of(reply).into_iter();
                changes.map(|change| change.sequence).collect::<Vec<_>>()
            };
            let theirs = world.query(&Who::viewer(), of("gigi", query.clone())).await;
            assert_eq!(page(theirs), expected, "{query}");
            let hers = world.query(&Who::user("gigi"), mine(query.clone())).await;
            assert_eq!(page(hers), expected, "{query}");
        }
    });
}

#[test]
fn every_change_is_read_once_by_paging_from_the_old_end() {
    in_a_world(async |world: &World| {
        has_changes(world, 7).await;
        let (mut after, mut read) = (0, Vec::new());
        for _ in 0..4 {
            let query = json!({"asc": true, "limit": 2, "sequence": after});
            let page = changes_of(world.query(&Who::viewer(), of("gigi", query)).await);
            after = page.last().unwrap().sequence;
            read.extend(page.into_iter().map(|change| change.sequence));
        }
        assert_eq!(read, [1, 2, 3, 4, 5, 6, 7]);
    });
}

#[test]
fn a_hundred_changes_are_a_page_unless_asked_otherwise() {
    in_a_world(async |world: &World| {
        has_changes(world, 105).await;
        let newest = changes_of(world.query(&Who::viewer(), of("gigi", json!(null))).await);
        assert_eq!(
            (newest.len(), newest[0].sequence, newest[99].sequence),
            (100, 105, 6)
        );
        let oldest = world
            .query(&Who::viewer(), of("gigi", json!({"asc": true})))
            .await;
        let oldest = changes_of(oldest);
        assert_eq!(
            (oldest.len(), oldest[0].sequence, oldest[99].sequence),
            (100, 1, 100)
        );
    });
}

#[test]
fn a_change_says_who_when_and_what_kind_and_no_value() {
    in_a_world(async |world: &World| {
        has_changes(world, 2).await;
        let details = world.read("gigi").await.unwrap().details;
        let changes = changes_of(world.query(&Who::viewer(), of("gigi", json!(null))).await);
        let kinds = changes.iter().map(|change| change.kind.as_str());
        assert_eq!(kinds.collect::<Vec<_>>(), ["changed", "created"]);
        assert_eq!(Some(changes[0].change_date), details.change_date);
        assert_eq!(Some(changes[1].change_date), details.creation_date);
        for change in changes {
            assert_eq!(
                (change.editor_id.as_str(), change.resource_owner.as_str()),
                ("owner", "zoo")
            );
            assert!(change.fields.is_empty());
        }
    });
}

#[test]
fn a_user_that_is_not_there_has_no_changes() {
    in_a_world(async |world: &World| {
        has_changes(world, 2).await;
        let farmer = Who::user("f").of("farm").with("ORG_OWNER", "farm");
        for (who, id) in [
            (Who::owner(), "nobody"),
            (Who::owner(), "a b"),
            (farmer.clone(), "gigi"),
            (Who::operator().of("farm"), "gigi"),
        ] {
            let none = world.query(&who, of(id, json!(null))).await;
            assert_eq!(changes_of(none), [], "{id}");
        }
        for nobody in [
            Who::user("nobody"),
            Who::user("gigi").of("farm"),
            Who::user("a|b"),
        ] {
            assert_eq!(
                changes_of(world.query(&nobody, mine(json!(null))).await),
                []
            );
        }
        let user_id = "gigi".to_owned();
        let remove = CommandRequest::Remove { user_id };
        world.execute(&Who::owner(), remove).await.unwrap();
        assert_eq!(
            changes_of(world.query(&Who::owner(), of("gigi", json!(null))).await),
            []
        );
        assert_eq!(
            changes_of(world.query(&Who::user("gigi"), mine(json!(null))).await),
            []
        );
    });
}

#[test]
fn changes_are_authorized_before_they_are_validated() {
    in_a_world(async |world: &World| {
        has_changes(world, 2).await;
        let too_many = || json!({"limit": PAGE_ROWS_MAX + 1});
        let refused = world
            .query(&Who::user("gigi"), of("gigi", too_many()))
            .await;
        refused_by_auth(refused, AuthError::NoMembership);
        let limit = "invalid ChangeQuery.Limit: value must be less than or equal to 1000";
        let refused = world.query(&Who::viewer(), of("gigi", too_many())).await;
        assert!(violation(refused).ends_with(limit));
        let refused = world.query(&Who::user("gigi"), mine(too_many())).await;
        assert!(violation(refused).ends_with(limit));
        let refused = world.query(&Who::viewer(), of("", json!(null))).await;
        assert!(violation(refused).starts_with("invalid ListUserChangesRequest.UserId: "));
        let all = of("gigi", json!({"limit": PAGE_ROWS_MAX}));
        assert_eq!(changes_of(world.query(&Who::viewer(), all).await).len(), 2);
    });
}

#[test]
fn my_changes_are_those_in_my_own_organization_whatever_the_header_says() {
    in_a_world(async |world: &World| {
        has_changes(world, 2).await;
        let elsewhere = Who::user("gigi").with("SOMETHING", "farm").in_org("farm");
        let hers = changes_of(world.query(&elsewhere, mine(json!(null))).await);
        assert_eq!(hers.len(), 2);
    });
}

#[test]
fn a_page_far_behind_the_newest_change_is_refused_by_a_bound_that_it_names() {
    in_a_world(async |world: &World| {
        world.has_commits_of_gigi(10_000).await;
        let first = json!({"asc": true, "limit": 1});
        let page = world.query(&Who::viewer(), of("gigi", first.clone())).await;
        assert_eq!(changes_of(page)[0].sequence, 1);
        let rename = CommandRequest::Patch {
            user_id: "gigi".to_owned(),
            body: body(&json!({"nickName": "Gi"})),
        };
        world.execute(&Who::owner(), rename).await.unwrap();
        for far in [first, json!({"sequence": "2"})] {
            for refused in [
                world.query(&Who::viewer(), of("gigi", far.clone())).await,
                world.query(&Who::user("gigi"), mine(far.clone())).await,
            ] {
                let refused = refused.unwrap_err();
                assert_eq!(refused.code(), ErrorCode::ResourceExhausted, "{far}");
                let text = refused.to_string();
                assert!(
                    text.contains("CHANGES_WALKED_RECORDS_MAX = 10000"),
                    "{text}"
                );
            }
        }
        for near in [
            json!({"limit": 1}),
            json!({"asc": true, "sequence": "10000"}),
        ] {
            let page = world.query(&Who::viewer(), of("gigi", near)).await;
            assert_eq!(changes_of(page)[0].sequence, 10_001);
        }
    });
}

#[test]
fn a_walk_ends_at_the_callers_deadline() {
    in_a_world(async |world: &World| {
        has_changes(world, 2).await;
        let late = Who::viewer().within_ms(0);
        let refused = world.query(&late, of("gigi", json!(null))).await;
        assert_eq!(refused.unwrap_err(), ServiceError::DeadlineExceeded);
        let herself = Who::user("gigi").within_ms(0);
        let refused = world.query(&herself, mine(json!(null))).await;
        assert_eq!(refused.unwrap_err(), ServiceError::DeadlineExceeded);
    });
}
