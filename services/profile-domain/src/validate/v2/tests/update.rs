//! UpdateHumanUser and UpdateUser.

use profile_messages::command::PatchBody;
use proptest::prelude::*;

use super::*;

fn human(json: &Value) -> Result<Command, Violations> {
    update_human("u1", &body(json))
}

fn user(json: &Value) -> Result<Command, Violations> {
    update_user("u1", &body(json))
}

fn patched(result: Result<Command, Violations>) -> ProfilePatch {
    match result {
        Ok(Command::Patch { patch }) => patch,
        other => panic!("not a patch: {other:?}"),
    }
}

#[test]
fn each_rule_of_update_human_user_has_zitadels_text() {
    for (field, value, rule) in set_human_profile() {
        let sent = json!({"profile": profile_with(field, &value)});
        let expected =
            rule.map(|rule| format!("invalid UpdateHumanUserRequest.Profile: {EMBEDDED} {rule}"));
        assert_row(human(&sent), &format!("profile.{field}"), &value, expected);
    }
    for id in ["", &long()] {
        let expected = format!("invalid UpdateHumanUserRequest.UserId: {BETWEEN}");
        let refused = update_human(id, &UpdateHumanBody::default());
        assert_eq!(broken(refused), (expected, vec!["userId".to_owned()]));
    }
}

#[test]
fn update_human_user_names_all_violations_in_zitadels_order() {
    let all = json!({"profile": {
        "gender": 99, "preferredLanguage": "x".repeat(11), "displayName": long(), "nickName": long(),
    }});
    let (message, fields) = broken(update_human("", &body(&all)));
    assert_eq!(
        message,
        format!("invalid UpdateHumanUserRequest.UserId: {BETWEEN}")
    );
    let expected = [
        "userId",
        "profile.givenName",
        "profile.familyName",
        "profile.nickName",
        "profile.displayName",
        "profile.preferredLanguage",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn update_human_user_without_a_profile_changes_nothing() {
    assert_eq!(patched(human(&json!({}))), ProfilePatch::default());
    assert_eq!(
        patched(human(&json!({"profile": null}))),
        ProfilePatch::default()
    );
}

#[test]
fn update_human_user_keeps_what_is_not_set_and_stores_what_is_empty() {
    let names = json!({"profile": {"givenName": " Gigi ", "familyName": "Giraffe"}});
    let expected = ProfilePatch {
        first_name: Some(" Gigi ".into()),
        last_name: Some("Giraffe".into()),
        ..ProfilePatch::default()
    };
    assert_eq!(patched(human(&names)), expected);
    let cleared = json!({"profile": {"givenName": "Gigi", "familyName": "Giraffe", "nickName": "",
        "displayName": "", "preferredLanguage": "", "gender": "GENDER_UNSPECIFIED"}});
    let expected = ProfilePatch {
        first_name: Some("Gigi".into()),
        last_name: Some("Giraffe".into()),
        nick_name: Some(String::new()),
        display_name: Some(String::new()),
        preferred_language: Some("und".into()),
        gender: Some(Gender::Unspecified),
    };
    assert_eq!(patched(human(&cleared)), expected);
}

#[test]
fn a_gender_of_update_human_user_is_unspecified_for_an_unknown_number_and_absent_for_an_unknown_name()
 {
    for (sent, expected) in [
        (json!(2), Some(Gender::Male)),
        (json!("GENDER_DIVERSE"), Some(Gender::Diverse)),
        (json!(0), Some(Gender::Unspecified)),
        (json!(99), Some(Gender::Unspecified)),
        (json!(-1), Some(Gender::Unspecified)),
        (json!("FEMALE"), None),
        (json!(null), None),
    ] {
        let patch = patched(human(&json!({"profile": profile_with("gender", &sent)})));
        assert_eq!(patch.gender, expected, "{sent}");
    }
}

#[test]
fn each_rule_of_update_user_has_zitadels_text() {
    let name = |json_name: &'static str, go_name: &str| {
        let text = |rule: &str| Some(format!("{go_name}: {rule}"));
        [
            (json_name, json!(null), None),
            (json_name, json!("a"), None),
            (json_name, json!("\u{1F992}".repeat(200)), None),
            (json_name, json!(""), text(BETWEEN)),
            (json_name, json!(long()), text(BETWEEN)),
            (json_name, json!("a\u{1b}"), text(CONTROL)),
        ]
    };
    let mut rows: Vec<Row> = Vec::new();
    rows.extend(name("givenName", "GivenName"));
    rows.extend(name("familyName", "FamilyName"));
    rows.extend(name("nickName", "NickName"));
    rows.extend(name("displayName", "DisplayName"));
    let language = "PreferredLanguage: value length must be between 1 and 10 runes, inclusive";
    let gender = "Gender: value must be one of the defined enum values";
    rows.extend([
        ("preferredLanguage", json!("en-US"), None),
        ("preferredLanguage", json!(""), Some(language.to_owned())),
        (
            "preferredLanguage",
            json!("en-US-x-abc"),
            Some(language.to_owned()),
        ),
        ("gender", json!(0), None),
        ("gender", json!("GENDER_FEMALE"), None),
        ("gender", json!(3), None),
        ("gender", json!("FEMALE"), None),
        ("gender", json!(4), Some(gender.to_owned())),
        ("gender", json!(-1), Some(gender.to_owned())),
    ]);
    for (field, value, rule) in rows {
        let expected = rule.map(|rule| {
            format!(
                "invalid UpdateUserRequest.Human: {EMBEDDED} UpdateUserRequest_Human.Profile: \
                 {EMBEDDED} UpdateUserRequest_Human_Profile.{rule}"
            )
        });
        let sent = json!({"human": {"profile": {field: value}}});
        let field = format!("human.profile.{field}");
        assert_row(user(&sent), &field, &value, expected);
    }
    for id in ["", &long()] {
        let expected = format!("invalid UpdateUserRequest.UserId: {BETWEEN}");
        let refused = update_user(id, &UpdateUserBody::default());
        assert_eq!(broken(refused), (expected, vec!["userId".to_owned()]));
    }
}

#[test]
fn update_user_names_all_violations_in_the_order_of_declaration() {
    let all = json!({"human": {"profile": {"gender": 9, "preferredLanguage": "", "displayName": "",
        "nickName": "", "familyName": "", "givenName": ""}}});
    let (_, fields) = broken(update_user("", &body(&all)));
    let expected = [
        "userId",
        "human.profile.givenName",
        "human.profile.familyName",
        "human.profile.nickName",
        "human.profile.displayName",
        "human.profile.preferredLanguage",
        "human.profile.gender",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn update_user_changes_only_what_is_set() {
    for nothing in [
        json!({}),
        json!({"human": {}}),
        json!({"human": {"profile": {}}}),
        json!({"human": {"profile": {"gender": "FEMALE"}}}),
    ] {
        assert_eq!(patched(user(&nothing)), ProfilePatch::default());
    }
    let some = json!({"human": {"profile": {"familyName": "Gnu", "preferredLanguage": "EN_us",
        "gender": 0}}});
    let expected = ProfilePatch {
        last_name: Some("Gnu".into()),
        preferred_language: Some("en-US".into()),
        gender: Some(Gender::Unspecified),
        ..ProfilePatch::default()
    };
    assert_eq!(patched(user(&some)), expected);
}

fn maybe_text(longest: usize) -> impl Strategy<Value = Option<String>> {
    let text = prop_oneof![
        Just(String::new()),
        prop::collection::vec(any::<char>(), 0..longest + 3).prop_map(String::from_iter),
        Just("n".repeat(longest)),
    ];
    prop::option::of(text)
}

fn any_profile() -> impl Strategy<Value = ProfileBody> {
    let name = || maybe_text(LONGEST);
    (
        name(),
        name(),
        name(),
        name(),
        maybe_text(10),
        any::<Option<i32>>(),
    )
        .prop_map(
            |(given_name, family_name, nick_name, display_name, preferred_language, gender)| {
                ProfileBody {
                    given_name,
                    family_name,
                    nick_name,
                    display_name,
                    preferred_language,
                    gender: gender.map(|number| WireGender(Some(number % 6))),
                }
            },
        )
}

const LONGEST: usize = 200;

proptest! {
    #[test]
    fn a_valid_update_human_user_is_the_patch_of_the_same_fields(profile in any_profile()) {
        let sent = UpdateHumanBody {
            profile: Some(Message(profile.clone())),
            ..UpdateHumanBody::default()
        };
        let same = PatchBody {
            first_name: profile.given_name.map(Some),
            last_name: profile.family_name.map(Some),
            nick_name: profile.nick_name.map(Some),
            // Our own patch refuses the empty one.
            display_name: profile.display_name.clone().filter(|name| !name.is_empty()).map(Some),
            preferred_language: profile.preferred_language.map(Some),
            gender: profile.gender.map(Some),
            user_id: None,
        };
        if let Ok(Command::Patch { patch: v2 }) = update_human("u1", &sent) {
            let v2 = ProfilePatch {
                display_name: v2.display_name.filter(|name| !name.is_empty()),
                ..v2
            };
            prop_assert_eq!(crate::validate::patch(&same), Ok(Command::Patch { patch: v2 }));
        }
    }

    #[test]
    fn a_valid_update_user_is_the_patch_of_the_same_fields(profile in any_profile()) {
        let same = PatchBody {
            first_name: profile.given_name.clone().map(Some),
            last_name: profile.family_name.clone().map(Some),
            nick_name: profile.nick_name.clone().map(Some),
            display_name: profile.display_name.clone().map(Some),
            preferred_language: profile.preferred_language.clone().map(Some),
            gender: profile.gender.map(Some),
            user_id: None,
        };
        let human = profile_messages::command::v2::UpdateUserHumanBody {
            profile: Some(Message(profile)),
            ..Default::default()
        };
        let sent = UpdateUserBody { human: Some(Message(human)), ..UpdateUserBody::default() };
        if let Ok(command) = update_user("u1", &sent) {
            prop_assert_eq!(crate::validate::patch(&same), Ok(command));
        }
    }
}
