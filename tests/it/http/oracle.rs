//! Our own protobuf JSON against the one that a generic library makes of the protobuf answer. A change
//! is made once: by its idempotency key every further transport gets the first answer.

use profile::transport::api::Call;
use profile_tests::transports::Transport;
use serde_json::{Value, json};

use super::cases::Case;
use super::world::World;

const READS: [Call; 6] = [
    Call::GetHumanProfile,
    Call::GetUserById,
    Call::ListUserChanges,
    Call::GetMyProfile,
    Call::ListMyUserChanges,
    Call::V2GetUserById,
];

async fn said(
    world: &World,
    over: Transport,
    case: &Case,
    body: &Value,
    key: Option<&str>,
) -> Value {
    let mut sent = world.sent(case.call, case.who, case.user.as_deref(), body.clone());
    if let Some(key) = key {
        sent.headers
            .push(("idempotency-key".to_owned(), key.to_owned()));
    }
    let outcome = world.transports.send(over, &sent).await;
    let result = outcome.result;
    result.unwrap_or_else(|failure| panic!("{:?} over {over:?}: {failure:?}", case.call))
}

/// The same answer over every transport that carries the call; only NATS has its own shape of reads.
async fn agree(world: &World, case: &Case, body: &Value, key: Option<&str>) -> Value {
    let over = Transport::ALL
        .into_iter()
        .filter(|it| it.carries(case.call));
    let mut first = None;
    for over in over.filter(|it| key.is_some() || *it != Transport::Nats) {
        let said = said(world, over, case, body, key).await;
        let first = first.get_or_insert_with(|| said.clone());
        assert_eq!(&said, first, "{:?} over {over:?}", case.call);
    }
    first.expect("a transport")
}

#[tokio::test]
async fn our_json_of_a_read_is_that_of_its_protobuf() {
    let world = World::start().await;
    let everything = json!({
        "userId": "gigi", "firstName": "Gigi", "lastName": "Giraffe", "nickName": "Gi",
        "displayName": "Gigi \"G\" 🦒", "preferredLanguage": "de-CH", "gender": "GENDER_DIVERSE",
    });
    let full = json!({
        "userId": "full", "userName": "full", "profile": {"firstName": "F", "lastName": "L"},
        "email": {"email": "full@zoo.example"},
        "phone": {"phone": "+41791234567", "isPhoneVerified": true},
    });
    world.owner.call("update", everything).await.ok();
    world.owner.call("create", full).await.ok();
    for call in READS {
        for user in ["gigi", "full"] {
            let mut case = Case::of(call);
            case.user = case.user.map(|_| user.to_owned());
            let body = agree(&world, &case, &json!({}), None).await;
            assert!(
                body.as_object().is_some_and(|fields| !fields.is_empty()),
                "{body}"
            );
        }
    }
    let nothing = agree(
        &world,
        &Case::of(Call::ListUserChanges).on("nobody"),
        &json!({}),
        None,
    )
    .await;
    assert_eq!(nothing, json!({}), "an empty list is left out");
    let page = json!({"query": {"sequence": "1", "limit": 1, "asc": true}});
    let page = agree(&world, &Case::of(Call::ListUserChanges), &page, None).await;
    assert_eq!(page["result"][0]["sequence"], "2");
    let kind = &page["result"][0]["eventType"];
    assert_eq!(kind["key"], "EventTypes.user.human.profile.changed");
    assert_eq!(kind["localizedMessage"], "User profile changed");
}

#[tokio::test]
async fn a_repeated_change_gets_the_first_answer_on_every_transport() {
    let world = World::start().await;
    let changes = [
        (Call::UpdateHumanProfile, "gigi"),
        (Call::V2UpdateHumanUser, "gigi"),
        (Call::V2UpdateUser, "gigi"),
        (Call::UpdateMyProfile, "mia"),
    ];
    for (call, user) in changes {
        let key = format!("key-of-{call:?}");
        let mut case = Case::of(call);
        super::table::freshen(&mut case.body, &key);
        let body = case.body.clone();
        let first = said(&world, Transport::Rest, &case, &body, Some(&key)).await;
        // Done again now, it would be another change.
        let between = json!({"firstName": "Between", "lastName": "Others", "nickName": "B"});
        let operation = format!("user.{user}.patch");
        world.owner.call(&operation, between).await.ok();
        let version = world.version(user).await;
        assert_eq!(
            agree(&world, &case, &body, Some(&key)).await,
            first,
            "{call:?}"
        );
        assert_eq!(world.version(user).await, version, "{call:?}");
    }
}

#[tokio::test]
async fn a_repeated_creation_makes_one_user() {
    let world = World::start().await;
    let creations = [
        Call::AddHumanUser,
        Call::ImportHumanUser,
        Call::V2AddHumanUser,
        Call::V2CreateUser,
    ];
    for call in creations {
        let key = format!("key-of-{call:?}");
        let mut case = Case::of(call);
        super::table::freshen(&mut case.body, &key);
        let body = agree(&world, &case, &case.body.clone(), Some(&key)).await;
        let user = body["userId"].as_str().or(body["id"].as_str()).unwrap();
        assert_eq!(world.version(user).await, 1, "{call:?}");
    }
}
