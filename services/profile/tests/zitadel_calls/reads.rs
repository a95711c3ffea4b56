//! GetHumanProfile, and GetUserByID of both versions.

use profile::auth::AuthError;
use profile::error::{Read, ServiceError};
use profile_messages::command::CommandRequest;
use profile_messages::query::{GetBody, QueryRequest};

use crate::world::{Who, World, got, in_a_world, refused_by_auth, violation};

type Make = fn(String) -> QueryRequest;

const GET_PROFILE: Make = |user_id| QueryRequest::GetProfile { user_id };
const GET_USER: Make = |user_id| QueryRequest::GetUser { user_id };
const GET_ANY_USER: Make = |user_id| QueryRequest::GetAnyUser { user_id };

const BETWEEN: &str = "value length must be between 1 and 200 runes, inclusive";

fn not_found(read: Read) -> ServiceError {
    ServiceError::ReadNotFound(read)
}

#[test]
fn each_read_answers_the_user_with_its_details() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        for make in [GET_PROFILE, GET_USER, GET_ANY_USER] {
            let read = world.query(&Who::viewer(), make("gigi".to_owned())).await;
            let user = got(read);
            assert_eq!((user.user_id.as_str(), user.details.sequence), ("gigi", 1));
            assert_eq!(user.profile.display_name, "Gigi Giraffe");
            assert_eq!(user.email.email, "gigi@zoo.example");
        }
    });
}

#[test]
fn each_read_has_its_own_error_for_a_user_that_is_not_there() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        let farmer = Who::operator().in_org("zoo");
        let user_id = "gone".to_owned();
        for (make, read, id) in [
            (GET_PROFILE, Read::Profile, "QUERY-HNhb3"),
            (GET_USER, Read::ManagementUser, "MANAG-fpo4B"),
            (GET_ANY_USER, Read::User, "QUERY-Dfbg2"),
        ] {
            for unknown in [user_id.as_str(), "a b", "a.b"] {
                let missing = world.query(&farmer, make(unknown.to_owned())).await;
                let error = missing.unwrap_err();
                assert_eq!(error, not_found(read));
                assert_eq!(error.to_string(), format!("User could not be found ({id})"));
            }
        }
        let user_id = "gigi".to_owned();
        let remove = CommandRequest::Remove { user_id };
        world.execute(&Who::owner(), remove).await.unwrap();
        for (make, read) in [
            (GET_PROFILE, Read::Profile),
            (GET_USER, Read::ManagementUser),
            (GET_ANY_USER, Read::User),
        ] {
            let removed = world.query(&Who::owner(), make("gigi".to_owned())).await;
            assert_eq!(removed.unwrap_err(), not_found(read));
        }
    });
}

#[test]
fn a_v1_read_is_authorized_in_the_context_organization_and_sees_no_other() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        for (make, read, field) in [
            (GET_PROFILE, Read::Profile, "GetHumanProfileRequest.UserId"),
            (GET_USER, Read::ManagementUser, "GetUserByIDRequest.Id"),
        ] {
            let of_gigi = || make("gigi".to_owned());
            let farmer = Who::user("f").of("farm").with("ORG_OWNER", "farm");
            let foreign = world.query(&farmer, of_gigi()).await;
            assert_eq!(foreign.unwrap_err(), not_found(read));
            let named = farmer.in_org("zoo");
            refused_by_auth(
                world.query(&named, of_gigi()).await,
                AuthError::NoMembership,
            );
            // Not even themselves, without the permission; and the id is looked at last.
            let herself = Who::user("gigi");
            for id in ["gigi", ""] {
                let refused = world.query(&herself, make(id.to_owned())).await;
                refused_by_auth(refused, AuthError::NoMembership);
            }
            let empty = world.query(&Who::viewer(), make(String::new())).await;
            assert_eq!(violation(empty), format!("invalid {field}: {BETWEEN}"));
        }
    });
}

#[test]
fn a_v2_read_looks_the_user_up_and_asks_for_the_permission_in_the_users_organization() {
    in_a_world(async |world: &World| {
        world.has_gigi().await;
        let of_gigi = || GET_ANY_USER("gigi".to_owned());
        let stranger = Who::user("s").of("farm");
        let refused = world.query(&stranger, of_gigi()).await;
        refused_by_auth(refused, AuthError::NoMembership);
        let unknown = world
            .query(&stranger, GET_ANY_USER("nobody".to_owned()))
            .await;
        assert_eq!(unknown.unwrap_err(), not_found(Read::User));
        let powerless = Who::user("p").with("SOMETHING_ELSE", "zoo");
        let refused = world.query(&powerless, of_gigi()).await;
        refused_by_auth(refused, AuthError::NoPermissionInCommand);
        let elsewhere = Who::viewer().with("ORG_OWNER", "farm").in_org("farm");
        assert_eq!(
            got(world.query(&elsewhere, of_gigi()).await).user_id,
            "gigi"
        );
        assert_eq!(
            got(world.query(&Who::user("gigi"), of_gigi()).await).user_id,
            "gigi"
        );
        let namesake = Who::user("gigi").of("farm");
        let refused = world.query(&namesake, of_gigi()).await;
        refused_by_auth(refused, AuthError::NoMembership);
        let empty = world.query(&stranger, GET_ANY_USER(String::new())).await;
        let text = format!("invalid GetUserByIDRequest.UserId: {BETWEEN}");
        assert_eq!(violation(empty), text);
    });
}

#[test]
fn get_over_nats_still_calls_an_empty_id_a_user_that_is_not_there() {
    in_a_world(async |world: &World| {
        let get = QueryRequest::Get {
            user_id: String::new(),
            body: GetBody::default(),
        };
        let read = world.query(&Who::owner(), get).await;
        assert_eq!(read.unwrap_err(), not_found(Read::Profile));
    });
}
