use clap::Parser;

use super::*;
use crate::args::{Action, Cli};

fn action(line: &[&str]) -> Action {
    let line = ["profilectl"].iter().chain(line);
    Cli::try_parse_from(line).unwrap().action
}

fn patch_body(line: &[&str]) -> Result<String, Failure> {
    let Action::Patch(args) = action(line) else {
        panic!("not a patch");
    };
    patch(&args).map(|body| body.to_string())
}

#[test]
fn an_update_sends_every_given_field_and_no_other() {
    let all = [
        "update",
        "u1",
        "--first-name",
        "Ada",
        "--last-name",
        "L",
        "--nick-name",
        "",
        "--display-name",
        "Ada L",
        "--preferred-language",
        "de-CH",
        "--gender",
        "female",
    ];
    let Action::Update(args) = action(&all) else {
        panic!("not an update");
    };
    let golden = json!({
        "firstName": "Ada", "lastName": "L", "nickName": "", "displayName": "Ada L",
        "preferredLanguage": "de-CH", "gender": "GENDER_FEMALE",
    });
    assert_eq!(update(&args.fields), golden);

    let Action::Update(args) = action(&["update", "u1", "--first-name", "Ada"]) else {
        panic!("not an update");
    };
    assert_eq!(update(&args.fields), json!({ "firstName": "Ada" }));
}

#[test]
fn a_patch_sends_null_for_what_is_cleared() {
    let line = [
        "patch",
        "u1",
        "--last-name",
        "L",
        "--clear",
        "nick-name,preferred-language,gender",
    ];
    let golden = json!({
        "lastName": "L", "nickName": null, "preferredLanguage": null, "gender": null,
    });
    assert_eq!(patch_body(&line).unwrap(), golden.to_string());
}

#[test]
fn a_patch_of_nothing_or_of_a_field_both_set_and_cleared_is_wrong_usage() {
    for line in [
        ["patch", "u1"].as_slice(),
        &["patch", "u1", "--nick-name", "N", "--clear", "nick-name"],
    ] {
        assert!(
            matches!(patch_body(line), Err(Failure::Usage(_))),
            "{line:?}"
        );
    }
    let twice = ["patch", "u1", "--clear", "gender,gender"];
    assert_eq!(patch_body(&twice).unwrap(), r#"{"gender":null}"#);
}

#[test]
fn a_create_nests_profile_email_and_phone() {
    let line = [
        "create",
        "--user-id",
        "u1",
        "--user-name",
        "ada",
        "--first-name",
        "Ada",
        "--email",
        "a@b",
        "--email-verified",
        "--phone",
        "+41",
    ];
    let Action::Create(args) = action(&line) else {
        panic!("not a create");
    };
    let golden = json!({
        "userId": "u1", "userName": "ada", "profile": { "firstName": "Ada" },
        "email": { "email": "a@b", "isEmailVerified": true },
        "phone": { "phone": "+41", "isPhoneVerified": false },
    });
    assert_eq!(create(&args), golden);
}

#[test]
fn the_service_reads_what_is_sent() {
    use profile_messages::command::PatchBody;
    use profile_messages::query::{GetBody, PageBody, ReplayBody};
    let body = patch_body(&["patch", "u1", "--gender", "male", "--clear", "nick-name"]).unwrap();
    let read: PatchBody = profile_messages::json::decode_body(body.as_bytes()).unwrap();
    assert_eq!(read.nick_name, Some(None));
    assert_eq!(read.gender.unwrap().unwrap().0, Some(2));

    let body = get(Some(7)).to_string();
    let read: GetBody = profile_messages::json::decode_body(body.as_bytes()).unwrap();
    assert_eq!(read.min_version.unwrap().0, 7);

    let Action::List(args) = action(&["list", "--limit", "5"]) else {
        panic!("not a list");
    };
    let body = page(&args.page, Some("a"), Some("c")).to_string();
    let read: PageBody = profile_messages::json::decode_body(body.as_bytes()).unwrap();
    assert_eq!(read.limit.unwrap().0, 5);
    assert_eq!(
        (read.prefix.as_deref(), read.cursor.as_deref()),
        (Some("a"), Some("c"))
    );

    let Action::Replay(args) = action(&["replay", "--after", "3", "--limit", "5"]) else {
        panic!("not a replay");
    };
    let body = replay(&args, 18_446_744_073_709_551_615).to_string();
    let read: ReplayBody = profile_messages::json::decode_body(body.as_bytes()).unwrap();
    assert_eq!(read.after.unwrap().0, u64::MAX);
    assert_eq!(read.limit.unwrap().0, 5);
}
