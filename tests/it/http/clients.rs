//! ZITADEL's community client for Rust, as it is: only the base URL is ours.

use profile_tests::outcome::Failure;
use tonic::service::Interceptor;
use tonic::{Request, Status};
use zitadel::api::clients::ClientBuilder;
use zitadel::api::zitadel::auth::v1::{GetMyProfileRequest, UpdateMyProfileRequest};
use zitadel::api::zitadel::management::v1 as management;
use zitadel::api::zitadel::management::v1::{GetUserByIdRequest, UpdateHumanProfileRequest};
use zitadel::api::zitadel::user::v2 as user;

use super::world::{Who, World};

/// Code, message, id of the detail.
type Said = (i32, &'static str, Option<&'static str>);

const MISSING: Said = (16, "auth header missing", None);
const NO_MEMBER: Said = (5, "membership not found (AUTHZ-cdgFk)", Some("AUTHZ-cdgFk"));
const UNKNOWN_ORG: Said = (
    7,
    "Organisation doesn't exist (AUTH-Bs7Ds)",
    Some("AUTH-Bs7Ds"),
);
const NOT_CHANGED: Said = (
    9,
    "Profile not changed (COMMAND-2M0fs)",
    Some("COMMAND-2M0fs"),
);
const NOT_FOUND: Said = (
    9,
    "Profile not found (COMMAND-3M9sd)",
    Some("COMMAND-3M9sd"),
);

/// Sets the headers as the client's own interceptors would.
fn headers(world: &World, who: Who, org: Option<&'static str>) -> impl Interceptor + Clone {
    let authorization = world.authorization(who);
    move |mut request: Request<()>| {
        let metadata = request.metadata_mut();
        if let Some(authorization) = &authorization {
            metadata.insert("authorization", authorization.parse().unwrap());
        }
        if let Some(org) = org {
            metadata.insert("x-zitadel-orgid", org.parse().unwrap());
        }
        Ok(request)
    }
}

fn builder<I: Interceptor>(world: &World, interceptor: I) -> ClientBuilder<I> {
    let address = world.service.http();
    ClientBuilder::new(&format!("http://{address}")).with_interceptor(interceptor)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, said: Said) {
    let status = answer.unwrap_err();
    let (code, message, id) = said;
    assert_eq!(
        (i32::from(status.code()), status.message()),
        (code, message)
    );
    let failure = Failure::from_proto(status.details());
    assert_eq!((failure.code, &*failure.message), (code, message));
    assert_eq!(failure.detail.map(|(id, _)| id).as_deref(), id);
}

fn gigi(display_name: &str) -> UpdateHumanProfileRequest {
    UpdateHumanProfileRequest {
        user_id: "gigi".to_owned(),
        first_name: "Gigi".to_owned(),
        last_name: "Giraffe".to_owned(),
        display_name: display_name.to_owned(),
        preferred_language: "en".to_owned(),
        gender: 1,
        ..Default::default()
    }
}

macro_rules! client {
    ($world:expr, $build:ident, $who:expr, $org:expr) => {
        builder($world, headers($world, $who, $org))
            .$build()
            .await
            .unwrap()
    };
}

#[tokio::test]
async fn the_management_client_updates_reads_and_adds() {
    let world = World::start().await;
    let mut owner = client!(&world, build_management_client, Who::Owner, None);
    let done = owner.update_human_profile(gigi("Gigi G")).await.unwrap();
    let details = done.into_inner().details.unwrap();
    assert_eq!((details.sequence, &*details.resource_owner), (2, "zoo"));
    assert!(details.change_date.is_some() && details.creation_date.is_none());

    refused(
        owner.update_human_profile(gigi("Gigi G")).await,
        NOT_CHANGED,
    );
    let text = "invalid UpdateHumanProfileRequest.DisplayName: value length must be between 1 and 200 runes, inclusive";
    let long = gigi(&"x".repeat(201));
    refused(owner.update_human_profile(long).await, (3, text, None));
    let unknown = UpdateHumanProfileRequest {
        user_id: "nobody".to_owned(),
        ..gigi("Gigi")
    };
    refused(owner.update_human_profile(unknown).await, NOT_FOUND);

    let request = GetUserByIdRequest {
        id: "gigi".to_owned(),
    };
    let got = owner.get_user_by_id(request).await.unwrap().into_inner();
    let got = got.user.unwrap();
    assert_eq!((&*got.id, &*got.user_name, got.state), ("gigi", "gigi", 1));
    let request = GetUserByIdRequest {
        id: "nobody".to_owned(),
    };
    let text = "User could not be found (MANAG-fpo4B)";
    refused(
        owner.get_user_by_id(request).await,
        (5, text, Some("MANAG-fpo4B")),
    );

    let add = management::AddHumanUserRequest {
        user_name: "minnie".to_owned(),
        profile: Some(management::add_human_user_request::Profile {
            first_name: "Minnie".to_owned(),
            last_name: "Mouse".to_owned(),
            ..Default::default()
        }),
        email: Some(management::add_human_user_request::Email {
            email: "minnie@zoo.example".to_owned(),
            is_email_verified: true,
        }),
        initial_password: "taken and dropped".to_owned(),
        ..Default::default()
    };
    let added = owner.add_human_user(add).await.unwrap();
    let warning = added.metadata().get("warning").unwrap().to_str().unwrap();
    assert!(warning.contains("password"), "{warning}");
    let added = added.into_inner();
    assert!(!added.user_id.is_empty());
    let details = added.details.unwrap();
    assert!(details.creation_date.is_some() && details.change_date.is_none());
    let nameless = management::AddHumanUserRequest::default();
    let text = "invalid AddHumanUserRequest.UserName: value length must be between 1 and 200 runes, inclusive";
    refused(owner.add_human_user(nameless).await, (3, text, None));

    let mut nobody = client!(&world, build_management_client, Who::Nobody, None);
    refused(nobody.update_human_profile(gigi("x")).await, MISSING);
    let mut elsewhere = client!(&world, build_management_client, Who::Owner, Some("farm"));
    refused(elsewhere.update_human_profile(gigi("x")).await, NO_MEMBER);
    let mut nowhere = client!(&world, build_management_client, Who::Owner, Some("nowhere"));
    refused(nowhere.update_human_profile(gigi("x")).await, UNKNOWN_ORG);
}

#[tokio::test]
async fn the_auth_client_updates_the_callers_own_profile() {
    let world = World::start().await;
    let mut mia = client!(&world, build_auth_client, Who::User("mia"), None);
    let request = UpdateMyProfileRequest {
        first_name: "Minnie".to_owned(),
        last_name: "Mouse".to_owned(),
        display_name: "MM".to_owned(),
        ..Default::default()
    };
    let done = mia.update_my_profile(request.clone()).await.unwrap();
    assert_eq!(done.into_inner().details.unwrap().sequence, 2);
    refused(mia.update_my_profile(request.clone()).await, NOT_CHANGED);
    let text = "invalid UpdateMyProfileRequest.DisplayName: value length must be between 1 and 200 runes, inclusive";
    let nameless = UpdateMyProfileRequest {
        display_name: String::new(),
        ..request.clone()
    };
    refused(mia.update_my_profile(nameless).await, (3, text, None));
    let got = mia.get_my_profile(GetMyProfileRequest {}).await.unwrap();
    assert_eq!(got.into_inner().profile.unwrap().display_name, "MM");

    let mut robot = client!(&world, build_auth_client, Who::User("robot"), None);
    refused(robot.update_my_profile(request.clone()).await, NOT_FOUND);
    let mut nobody = client!(&world, build_auth_client, Who::Nobody, None);
    refused(nobody.update_my_profile(request.clone()).await, MISSING);
    let mut nowhere = client!(&world, build_auth_client, Who::User("mia"), Some("nowhere"));
    refused(nowhere.update_my_profile(request).await, UNKNOWN_ORG);
}

#[tokio::test]
async fn the_user_client_of_v2_updates_reads_and_adds() {
    let world = World::start().await;
    let mut owner = client!(&world, build_user_client, Who::Owner, None);
    let profile = |given_name: &str| {
        Some(user::SetHumanProfile {
            given_name: given_name.to_owned(),
            family_name: "Giraffe".to_owned(),
            ..Default::default()
        })
    };
    let request = |user_id: &str, given_name: &str| user::UpdateHumanUserRequest {
        user_id: user_id.to_owned(),
        profile: profile(given_name),
        ..Default::default()
    };
    for _ in 0..2 {
        // The second time nothing differs: no error, and no new version.
        let done = owner
            .update_human_user(request("gigi", "Georgina"))
            .await
            .unwrap();
        let details = done.into_inner().details.unwrap();
        assert_eq!((details.sequence, &*details.resource_owner), (2, "zoo"));
        assert!(details.change_date.is_some() && details.creation_date.is_none());
    }
    let text = "invalid UpdateHumanUserRequest.Profile: embedded message failed validation | caused by: \
        invalid SetHumanProfile.GivenName: value length must be between 1 and 200 runes, inclusive";
    refused(
        owner.update_human_user(request("gigi", "")).await,
        (3, text, None),
    );
    let text = "User could not be found (COMMAND-ugjs0upun6)";
    let unknown = owner.update_human_user(request("nobody", "x")).await;
    refused(unknown, (5, text, Some("COMMAND-ugjs0upun6")));
    refused(
        owner.update_human_user(request("fay", "x")).await,
        NO_MEMBER,
    );

    let by_id = |user_id: &str| user::GetUserByIdRequest {
        user_id: user_id.to_owned(),
    };
    let got = owner
        .get_user_by_id(by_id("gigi"))
        .await
        .unwrap()
        .into_inner();
    let Some(user::user::Type::Human(human)) = got.user.unwrap().r#type else {
        panic!("a human");
    };
    let read = human.profile.unwrap();
    // A changed name leaves the display name as it was made.
    assert_eq!(
        (&*read.given_name, read.display_name.as_deref()),
        ("Georgina", Some("Gigi Giraffe"))
    );
    let text = "User could not be found (QUERY-Dfbg2)";
    refused(
        owner.get_user_by_id(by_id("nobody")).await,
        (5, text, Some("QUERY-Dfbg2")),
    );

    let add = |email: &str| user::AddHumanUserRequest {
        user_id: Some("gustav".to_owned()),
        profile: profile("Gustav"),
        email: Some(user::SetHumanEmail {
            email: email.to_owned(),
            verification: None,
        }),
        ..Default::default()
    };
    let added = owner
        .add_human_user(add("gustav@zoo.example"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (&*added.user_id, added.details.unwrap().sequence),
        ("gustav", 1)
    );
    let text = "User already exists (COMMAND-k2unb)";
    let again = owner.add_human_user(add("gustav@zoo.example")).await;
    refused(again, (9, text, Some("COMMAND-k2unb")));
    let text = "invalid AddHumanUserRequest.Email: embedded message failed validation | caused by: \
        invalid SetHumanEmail.Email: value length must be between 1 and 200 runes, inclusive";
    refused(owner.add_human_user(add("")).await, (3, text, None));

    let mut nobody = client!(&world, build_user_client, Who::Nobody, None);
    refused(
        nobody.update_human_user(request("gigi", "x")).await,
        MISSING,
    );
    let mut nowhere = client!(&world, build_user_client, Who::Owner, Some("nowhere"));
    refused(
        nowhere.update_human_user(request("gigi", "x")).await,
        UNKNOWN_ORG,
    );
}
