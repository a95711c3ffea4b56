//! zitadel-api §3.1, §3.4, §3.5 and §4: what the commands and reads say, and who may call.

use profile::transport::api::Call;
use serde_json::json;

use super::cases::Case;
use super::table::{differences, judged};
use super::world::{Who, World};

const NOT_FOUND: (i32, &str, &str) = (9, "COMMAND-3M9sd", "Profile not found");
const NO_USER: (i32, &str, &str) = (5, "COMMAND-ugjs0upun6", "User could not be found");
const NO_MEMBER: (i32, &str, &str) = (5, "AUTHZ-cdgFk", "membership not found");

fn refused(case: Case, (code, id, text): (i32, &'static str, &str)) -> Case {
    case.refused(code, id, text)
}

/// A call of every kind.
const ALL: [Call; 14] = Call::ALL;

/// Those that ask for a permission before anything else.
const MANAGEMENT: [Call; 7] = [
    Call::UpdateHumanProfile,
    Call::GetHumanProfile,
    Call::GetUserById,
    Call::ListUserChanges,
    Call::AddHumanUser,
    Call::ImportHumanUser,
    Call::V2AddHumanUser,
];

#[tokio::test]
async fn every_call_is_answered_on_every_transport() {
    let world = World::start().await;
    let cases = ALL.map(|call| Case::of(call).named("as it should be"));
    judged(&differences(&world, &cases).await);
}

#[tokio::test]
async fn an_update_of_a_user_that_is_not_there_is_no_404() {
    let world = World::start().await;
    let update = || Case::of(Call::UpdateHumanProfile);
    let cases = [
        refused(update().on("nobody").named("unknown"), NOT_FOUND),
        refused(update().on("rex").named("removed"), NOT_FOUND),
        refused(
            update().on("fay").named("of another organization"),
            NOT_FOUND,
        ),
        refused(
            update().on("not an id").named("outside the form of ids"),
            NOT_FOUND,
        ),
        // The header chooses where to look: from the farm, Gigi is as unknown as Fay is from the zoo.
        refused(
            update().by(Who::Farmer).named("of the zoo, from the farm"),
            NOT_FOUND,
        ),
        update()
            .by(Who::Farmer)
            .on("fay")
            .in_org("farm")
            .named("in the organization named"),
        refused(
            Case::of(Call::UpdateMyProfile)
                .by(Who::User("robot"))
                .named("a caller without a profile"),
            NOT_FOUND,
        ),
        // ... and cannot redirect "me".
        Case::of(Call::UpdateMyProfile)
            .in_org("farm")
            .named("with another organization named"),
    ];
    judged(&differences(&world, &cases).await);
}

#[tokio::test]
async fn no_change_is_an_error_in_v1_and_none_in_v2() {
    let world = World::start().await;
    let same = json!({"firstName": "Gigi", "lastName": "Giraffe", "displayName": "Gigi Giraffe"});
    let not_changed = (9, "COMMAND-2M0fs", "Profile not changed");
    let v1 = [Call::UpdateHumanProfile, Call::UpdateMyProfile].map(|call| {
        let case = Case {
            body: same.clone(),
            ..Case::of(call)
        };
        refused(case.named("nothing differs"), not_changed)
    });
    let names = json!({"givenName": "Gigi", "familyName": "Giraffe"});
    let v2 = [
        Case::of(Call::V2UpdateHumanUser).with("profile", names.clone()),
        Case::of(Call::V2UpdateHumanUser).without("profile"),
        Case::of(Call::V2UpdateUser).with("human.profile", names),
        Case::of(Call::V2UpdateUser).without("human.profile"),
    ];
    let before = world.version("gigi").await;
    judged(&differences(&world, &v1).await);
    judged(&differences(&world, &v2).await);
    assert_eq!(world.version("gigi").await, before, "nothing was written");
}

#[tokio::test]
async fn v2_looks_the_user_up_and_then_asks_for_the_permission_there() {
    let world = World::start().await;
    let mut cases = Vec::new();
    for call in [Call::V2UpdateHumanUser, Call::V2UpdateUser] {
        let case = || Case::of(call);
        cases.extend([
            refused(case().on("nobody").named("unknown"), NO_USER),
            refused(case().on("rex").named("removed"), NO_USER),
            refused(
                case().on("not an id").named("outside the form of ids"),
                NO_USER,
            ),
            refused(case().on("fay").named("of another organization"), NO_MEMBER),
            case()
                .by(Who::Viewer)
                .named("a role that may read only")
                .refused(7, "AUTH-AWfge", "No matching permissions found"),
            refused(case().by(Who::User("mia")).named("another user"), NO_MEMBER),
            case().by(Who::User("gigi")).named("the user itself"),
            case()
                .by(Who::Farmer)
                .on("fay")
                .named("the owner over there"),
        ]);
    }
    let nothing = json!({});
    for call in [Call::V2UpdateUser, Call::V2CreateUser] {
        let mut case = Case::of(call).named("neither human nor machine");
        case.body = if call == Call::V2CreateUser {
            json!({"organizationId": "zoo", "username": "x"})
        } else {
            nothing.clone()
        };
        cases.push(case.refused_plainly(12, "user type is not implemented"));
    }
    cases.push(
        Case::of(Call::V2CreateUser)
            .with("organizationId", json!("nowhere"))
            .named("no such organization")
            .refused(5, "AUTHZ-cdgFk", "membership not found"),
    );
    cases.push(
        Case::of(Call::V2CreateUser)
            .by(Who::Viewer)
            .named("a role that may read only")
            .refused(7, "AUTH-AWfge", "No matching permissions found"),
    );
    for call in [Call::V2AddHumanUser, Call::V2CreateUser] {
        let case = Case::of(call)
            .with("userId", json!("gigi"))
            .named("an id that exists");
        cases.push(case.refused(9, "COMMAND-k2unb", "User already exists"));
        let case = Case::of(call)
            .with("userId", json!("rex"))
            .named("an id that was removed");
        cases.push(case.refused(9, "COMMAND-k2unb", "User already exists"));
    }
    judged(&differences(&world, &cases).await);
}

#[tokio::test]
async fn each_read_has_its_own_error_for_a_user_that_is_not_there() {
    let world = World::start().await;
    let text = "User could not be found";
    let mut cases = Vec::new();
    for (call, id) in [
        (Call::GetHumanProfile, "QUERY-HNhb3"),
        (Call::GetUserById, "MANAG-fpo4B"),
    ] {
        for user in ["nobody", "rex", "fay", "not an id"] {
            let case = Case::of(call).on(user).named(user);
            cases.push(case.refused(5, id, text));
        }
        cases.push(Case::of(call).by(Who::Viewer).named("a reader"));
    }
    for user in ["nobody", "rex", "not an id"] {
        let case = Case::of(Call::V2GetUserById).on(user).named(user);
        cases.push(case.refused(5, "QUERY-Dfbg2", text));
    }
    cases.extend([
        refused(
            Case::of(Call::V2GetUserById)
                .on("fay")
                .named("of another organization"),
            NO_MEMBER,
        ),
        Case::of(Call::V2GetUserById)
            .by(Who::User("gigi"))
            .named("oneself"),
        Case::of(Call::GetMyProfile)
            .by(Who::User("robot"))
            .named("a caller without a profile")
            .refused(5, "QUERY-HNhb3", text),
        Case::of(Call::ListUserChanges)
            .on("nobody")
            .named("no user, no changes"),
    ]);
    judged(&differences(&world, &cases).await);
}

#[tokio::test]
async fn who_does_not_say_who_calls_is_refused_on_every_call() {
    let world = World::start().await;
    let stranger = world.authorization(Who::Stranger).expect("a token").leak();
    let mut cases = Vec::new();
    for call in ALL {
        let case = || Case::of(call);
        let malformed = |value| {
            let case = case().by(Who::Header(value)).named(value);
            case.refused(16, "AUTH-toLo1", "invalid auth header")
        };
        let invalid = |value, name: &str| {
            let case = case().by(Who::Header(value)).named(name);
            case.refused(16, "AUTH-7fs1e", "Errors.Token.Invalid")
        };
        cases.extend([
            case()
                .by(Who::Nobody)
                .named("no header")
                .refused_plainly(16, "auth header missing"),
            malformed("bearer x"),
            malformed("Basic Z2lnaTpnaXJhZmZl"),
            malformed("Bearer"),
            invalid("Bearer not-a-token", "no token at all"),
            invalid(stranger, "another key"),
        ]);
    }
    judged(&differences(&world, &cases).await);
}

#[tokio::test]
async fn organization_and_permission_are_asked_for_in_zitadels_order() {
    let world = World::start().await;
    let unknown_org = (7, "AUTH-Bs7Ds", "Organisation doesn't exist");
    let mut cases = Vec::new();
    for call in ALL {
        let case = Case::of(call)
            .in_org("nowhere")
            .named("an organization that is not there");
        cases.push(refused(case, unknown_org));
    }
    for call in MANAGEMENT {
        let case = || Case::of(call);
        cases.push(refused(
            case().by(Who::User("gigi")).named("no role at all"),
            NO_MEMBER,
        ));
        cases.push(refused(
            case().in_org("farm").named("no role over there"),
            NO_MEMBER,
        ));
        let writes = !call.method().starts_with("Get") && !call.method().starts_with("List");
        let viewer = case().by(Who::Viewer).named("a role that may read only");
        cases.push(match writes {
            true => viewer.refused(7, "AUTH-5mWD2", "No matching permissions found"),
            false => viewer,
        });
    }
    // v1 asks for the permission before it looks at the fields, v2 after.
    let long = json!("x".repeat(201));
    let v1 = Case::of(Call::UpdateHumanProfile).with("firstName", long.clone());
    cases.push(refused(
        v1.by(Who::User("mia")).named("v1, invalid and not allowed"),
        NO_MEMBER,
    ));
    let v2 = Case::of(Call::V2UpdateHumanUser).with("profile.nickName", long);
    cases.push(v2.by(Who::User("mia")).on("nobody").named("v2, invalid and not allowed").invalid(
        "invalid UpdateHumanUserRequest.Profile: embedded message failed validation | caused by: \
         invalid SetHumanProfile.NickName: value length must be at most 200 runes",
        &["profile.nickName"],
    ));
    // A missing token comes before invalid fields.
    let nameless = Case::of(Call::UpdateMyProfile).with("firstName", json!(""));
    cases.push(
        nameless
            .by(Who::Nobody)
            .named("no token")
            .refused_plainly(16, "auth header missing"),
    );
    judged(&differences(&world, &cases).await);
}
