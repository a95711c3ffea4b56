use std::collections::BTreeSet;

use profile_messages::query::QueryRequest;
use prost::Message;
use prost_types::FileDescriptorSet;

use super::proto::zitadel::{auth, management, user};
use super::*;
use crate::transport::Request;

#[test]
fn every_call_has_its_own_paths_and_is_found_by_them() {
    let mut paths = BTreeSet::new();
    for call in Call::ALL {
        let path = call.rpc_path();
        assert_eq!(Call::from_rpc_path(&path), Some(call));
        let (method, rest) = call.http();
        assert!(paths.insert(path) && paths.insert(format!("{method} {rest}")));
    }
    for path in [
        "",
        "/",
        "//",
        "/a/b",
        "zitadel.auth.v1.AuthService/GetMyProfile",
    ] {
        assert_eq!(Call::from_rpc_path(path), None, "{path}");
    }
}

#[test]
fn the_protos_have_exactly_these_calls() {
    let files = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap().file;
    let declared: BTreeSet<String> = files
        .iter()
        .flat_map(|file| {
            let services = file.service.iter();
            services.flat_map(move |service| {
                let name = format!("/{}.{}/", file.package(), service.name());
                let methods = service.method.iter();
                methods.map(move |method| format!("{name}{}", method.name()))
            })
        })
        .collect();
    let served: BTreeSet<String> = Call::ALL.into_iter().map(Call::rpc_path).collect();
    assert_eq!(declared, served);
}

#[test]
fn a_successor_is_not_deprecated_itself() {
    for call in Call::ALL {
        let next = call.successor().and_then(Call::successor);
        assert_eq!(next, None, "{call:?}");
    }
}

fn of_json(call: Call, user_id: Option<&str>, body: &str) -> Request {
    json::request(call, user_id.map(str::to_owned), body.as_bytes()).unwrap()
}

fn of_proto(call: Call, message: &impl Message) -> Request {
    proto::request(call, &message.encode_to_vec()).unwrap()
}

#[test]
fn a_full_message_means_the_same_in_json_and_in_protobuf() {
    let update = management::v1::UpdateHumanProfileRequest {
        user_id: "42".into(),
        first_name: "Gigi".into(),
        last_name: "Giraffe".into(),
        nick_name: "G".into(),
        display_name: Some("Gigi G".into()),
        preferred_language: "en".into(),
        gender: 1,
    };
    let names = r#""firstName":"Gigi","lastName":"Giraffe","nickName":"G","displayName":"Gigi G",
        "preferredLanguage":"en","gender":"GENDER_FEMALE""#;
    let json = of_json(
        Call::UpdateHumanProfile,
        Some("42"),
        &format!("{{{names}}}"),
    );
    assert_eq!(json, of_proto(Call::UpdateHumanProfile, &update));

    let update = auth::v1::UpdateMyProfileRequest {
        first_name: "Gigi".into(),
        last_name: "Giraffe".into(),
        nick_name: "G".into(),
        display_name: "Gigi G".into(),
        preferred_language: "en".into(),
        gender: 1,
    };
    let json = of_json(Call::UpdateMyProfile, None, &format!("{{{names}}}"));
    assert_eq!(json, of_proto(Call::UpdateMyProfile, &update));

    let profile = user::v2::update_user_request::human::Profile {
        given_name: Some("Gigi".into()),
        gender: Some(9),
        ..Default::default()
    };
    let human = user::v2::update_user_request::Human {
        profile: Some(profile),
        email: Some(user::v2::SetHumanEmail::default()),
        ..Default::default()
    };
    let update = user::v2::UpdateUserRequest {
        user_id: "42".into(),
        user_type: Some(user::v2::update_user_request::UserType::Human(human)),
        ..Default::default()
    };
    let body = r#"{"human":{"profile":{"given_name":"Gigi","gender":9},"email":{}}}"#;
    let json = of_json(Call::V2UpdateUser, Some("42"), body);
    assert_eq!(json, of_proto(Call::V2UpdateUser, &update));
}

#[test]
fn the_path_names_the_user_whatever_the_body_says() {
    let body = r#"{"userId":"other","firstName":"a","lastName":"b"}"#;
    let user_of = |request: Request| match request {
        Request::Command(profile_messages::command::CommandRequest::Update { user_id, .. }) => {
            user_id
        }
        other @ (Request::Command(_) | Request::Query(_)) => panic!("{other:?}"),
    };
    assert_eq!(
        user_of(of_json(Call::UpdateHumanProfile, Some("u"), body)),
        "u"
    );
    assert_eq!(
        user_of(of_json(Call::UpdateHumanProfile, None, body)),
        "other"
    );
}

#[test]
fn the_wire_vectors_of_real_clients_are_read() {
    // zitadel-api §1.4, without the five bytes of the frame.
    let vectors = [
        (
            Call::UpdateHumanProfile,
            "0a0234321204476967691a07476972616666652a064769676920473202656e3801",
            Some("42"),
            r#"{"firstName":"Gigi","lastName":"Giraffe","nickName":"","displayName":"Gigi G",
                "preferredLanguage":"en","gender":1}"#,
        ),
        (
            Call::UpdateMyProfile,
            "0a064d696e6e696512054d6f75736522024d4d",
            None,
            r#"{"firstName":"Minnie","lastName":"Mouse","nickName":"","displayName":"MM",
                "preferredLanguage":"","gender":0}"#,
        ),
        (
            Call::V2UpdateHumanUser,
            "0a0234321a0f0a0447696769120747697261666665",
            Some("42"),
            r#"{"profile":{"givenName":"Gigi","familyName":"Giraffe"}}"#,
        ),
    ];
    for (call, hex, user_id, json) in vectors {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        let read = proto::request(call, &bytes).unwrap();
        assert_eq!(read, of_json(call, user_id, json), "{call:?}");
    }
}

#[test]
fn a_password_is_known_and_not_kept() {
    let body = r#"{"userName":"u","initialPassword":"Secr3t-9"}"#;
    let Request::Command(command) = of_json(Call::AddHumanUser, None, body) else {
        panic!("a command");
    };
    assert!(command.drops_password());
    assert!(!format!("{command:?}").contains("Secr3t-9"));
    let Request::Command(command) = of_json(Call::AddHumanUser, None, r#"{"userName":"u"}"#) else {
        panic!("a command");
    };
    assert!(!command.drops_password());
}

/// Found while the fuzz targets were written: `id` is v1's name of the field, and v1 reads have no body over JSON.
#[test]
fn a_read_over_connect_names_its_user_as_its_proto_does() {
    for (body, named) in [
        (r#"{"userId":"a"}"#, "a"),
        (r#"{"user_id":"a"}"#, "a"),
        (r#"{"id":"a"}"#, ""),
    ] {
        let user_id = named.to_owned();
        let expected = QueryRequest::GetAnyUser { user_id }.into();
        assert_eq!(of_json(Call::V2GetUserById, None, body), expected, "{body}");
    }
}

#[test]
fn a_second_member_of_a_oneof_is_no_message() {
    use profile_messages::json::BodyError::Twice;
    for (call, body, oneof) in [
        (
            Call::V2UpdateUser,
            r#"{"human":{},"machine":{}}"#,
            "user_type",
        ),
        (
            Call::V2CreateUser,
            r#"{"human":{},"machine":{}}"#,
            "user_type",
        ),
        (
            Call::V2CreateUser,
            r#"{"human":{"phone":{"sendCode":{},"returnCode":{}}}}"#,
            "verification",
        ),
        (
            Call::V2AddHumanUser,
            r#"{"email":{"sendCode":{},"isVerified":true}}"#,
            "verification",
        ),
        (
            Call::V2AddHumanUser,
            r#"{"organization":{"orgId":"a","orgDomain":"b"}}"#,
            "org",
        ),
        (
            Call::V2AddHumanUser,
            r#"{"password":{},"hashedPassword":{}}"#,
            "password_type",
        ),
    ] {
        let read = json::request(call, None, body.as_bytes());
        assert_eq!(read, Err(Twice(oneof)), "{body}");
    }
    let once = r#"{"human":{},"machine":null}"#;
    assert!(json::request(Call::V2UpdateUser, None, once.as_bytes()).is_ok());
}

#[test]
fn a_member_of_a_oneof_was_sent_also_when_it_is_empty() {
    use super::proto::zitadel::object::v2::{Organization, organization::Org};
    let org = Some(Org::OrgDomain(String::new()));
    let message = user::v2::AddHumanUserRequest {
        organization: Some(Organization { org }),
        ..Default::default()
    };
    let json = of_json(
        Call::V2AddHumanUser,
        None,
        r#"{"organization":{"orgDomain":""}}"#,
    );
    assert_eq!(json, of_proto(Call::V2AddHumanUser, &message));
}
