use profile_messages::UserId;
use profile_messages::json::decode_body;
use proptest::prelude::*;

use super::*;

const BETWEEN: &str = "value length must be between 1 and 200 runes, inclusive";

fn org() -> OrgId {
    OrgId::parse("zoo").unwrap()
}

fn body<T: serde::de::DeserializeOwned + Default>(json: &str) -> T {
    decode_body(json.as_bytes()).unwrap()
}

fn management(json: &str) -> Result<Command, Violations> {
    management_update("u1", &body(json), org())
}

fn fields(command: Command) -> ProfileFields {
    let Command::Update { fields, .. } = command else {
        panic!("not an update: {command:?}");
    };
    fields
}

#[track_caller]
fn names_of<T: std::fmt::Debug>(result: Result<T, Violations>) -> (String, Vec<String>) {
    let violations = result.unwrap_err();
    (
        violations.message,
        violations
            .fields
            .into_iter()
            .map(|field| field.field)
            .collect(),
    )
}

#[test]
fn an_empty_update_names_every_missing_field_and_the_first_in_zitadels_words() {
    let (message, names) = names_of(management_update("", &UpdateBody::default(), org()));
    assert_eq!(
        message,
        format!("invalid UpdateHumanProfileRequest.UserId: {BETWEEN}")
    );
    assert_eq!(names, ["userId", "firstName", "lastName"]);
    let (message, names) = names_of(my_update(&UpdateBody::default(), org()));
    assert_eq!(
        message,
        format!("invalid UpdateMyProfileRequest.FirstName: {BETWEEN}")
    );
    assert_eq!(names, ["firstName", "lastName", "displayName"]);
}

#[test]
fn each_rule_of_an_update_has_zitadels_text() {
    let long = "x".repeat(201);
    for (field, value, text) in [
        ("firstName", "", format!("FirstName: {BETWEEN}")),
        ("firstName", long.as_str(), format!("FirstName: {BETWEEN}")),
        ("lastName", long.as_str(), format!("LastName: {BETWEEN}")),
        (
            "nickName",
            long.as_str(),
            "NickName: value length must be at most 200 runes".into(),
        ),
        ("displayName", "", format!("DisplayName: {BETWEEN}")),
        (
            "displayName",
            long.as_str(),
            format!("DisplayName: {BETWEEN}"),
        ),
        (
            "preferredLanguage",
            "en-US-x-abc",
            "PreferredLanguage: value length must be at most 10 runes".into(),
        ),
        (
            "firstName",
            "a\u{0}",
            "FirstName: value must not contain control characters".into(),
        ),
        (
            "nickName",
            "\u{9b}",
            "NickName: value must not contain control characters".into(),
        ),
    ] {
        let mut json = serde_json::json!({"firstName": "a", "lastName": "b", "displayName": "c"});
        json[field] = value.into();
        let (message, names) = names_of(management(&json.to_string()));
        assert_eq!(
            message,
            format!("invalid UpdateHumanProfileRequest.{text}"),
            "{field}"
        );
        assert_eq!(names, [field]);
    }
}

#[test]
fn lengths_count_code_points() {
    let emoji = "\u{1F992}".repeat(200);
    let json = serde_json::json!({"firstName": emoji, "lastName": "b", "displayName": emoji});
    assert_eq!(
        fields(management(&json.to_string()).unwrap())
            .first_name
            .chars()
            .count(),
        200
    );
}

#[test]
fn what_an_update_omits_becomes_empty() {
    let update = fields(management(r#"{"firstName":"Gigi","lastName":"Giraffe"}"#).unwrap());
    assert_eq!(update.nick_name, "");
    assert_eq!(update.preferred_language, "und");
    assert_eq!(update.gender, Gender::Unspecified);
    assert_eq!(update.display_name, "Gigi Giraffe");
}

#[test]
fn a_derived_display_name_is_cut_to_its_limit() {
    let long = "x".repeat(200);
    let json = serde_json::json!({"firstName": long, "lastName": long}).to_string();
    assert_eq!(fields(management(&json).unwrap()).display_name, long);
}

#[test]
fn names_are_not_trimmed_on_update_and_blank_ones_are_valid() {
    let update = fields(management(r#"{"firstName":"   ","lastName":" b "}"#).unwrap());
    assert_eq!(
        (update.first_name.as_str(), update.last_name.as_str()),
        ("   ", " b ")
    );
}

#[test]
fn an_unknown_gender_is_unspecified() {
    for gender in ["99", "-5", "\"FEMALE\"", "0", "null"] {
        let json = format!(r#"{{"firstName":"a","lastName":"b","gender":{gender}}}"#);
        assert_eq!(
            fields(management(&json).unwrap()).gender,
            Gender::Unspecified,
            "{gender}"
        );
    }
}

#[test]
fn a_new_user_is_trimmed_and_defaulted() {
    let new = create(&body(
        r#"{"userName":" gigi ","profile":{"firstName":" Gigi ","lastName":"Giraffe"},
            "email":{"email":"g@zoo.example","isEmailVerified":true},"phone":{"phone":"+4171"}}"#,
    ))
    .unwrap();
    assert_eq!(new.user, None);
    assert_eq!(new.contact.user_name, "gigi");
    assert_eq!(new.fields.first_name, "Gigi");
    assert_eq!(new.fields.display_name, "Gigi Giraffe");
    assert!(new.contact.email_verified);
    assert_eq!(new.contact.phone, "+4171");
}

#[test]
fn a_bad_new_user_names_everything_with_nested_texts() {
    let result = create(&body(
        r#"{"profile":{"firstName":"a"},"email":{},"phone":{"phone":"1"},"userId":"a b"}"#,
    ));
    let (message, names) = names_of(result);
    assert_eq!(
        message,
        format!("invalid AddHumanUserRequest.UserName: {BETWEEN}")
    );
    let expected = [
        "userName",
        "profile.lastName",
        "email.email",
        "phone.phone",
        "userId",
    ];
    assert_eq!(names, expected);
    let (message, _) = names_of(create(&body(r#"{"userName":"g","profile":{},"email":{}}"#)));
    let inner = format!("invalid AddHumanUserRequest_Profile.FirstName: {BETWEEN}");
    let outer = "invalid AddHumanUserRequest.Profile: embedded message failed validation";
    assert_eq!(message, format!("{outer} | caused by: {inner}"));
    let (message, names) = names_of(create(&body(r#"{"userName":"g"}"#)));
    assert_eq!(
        message,
        "invalid AddHumanUserRequest.Profile: value is required"
    );
    assert_eq!(names, ["profile", "email"]);
}

#[test]
fn an_import_has_the_rules_of_a_create_under_its_own_names() {
    let (message, names) = names_of(import(&body("{}")));
    assert_eq!(
        message,
        format!("invalid ImportHumanUserRequest.UserName: {BETWEEN}")
    );
    assert_eq!(names, ["userName", "profile", "email"]);
    let nested = |field: &str, rule: &str| {
        format!(
            "invalid ImportHumanUserRequest.{field}: embedded message failed validation | caused by: \
             invalid ImportHumanUserRequest_{field}.{rule}"
        )
    };
    let at_most = "value length must be at most 200 runes";
    let long = "x".repeat(201);
    for (field, value, text) in [
        (
            "/profile/firstName",
            "",
            nested("Profile", &format!("FirstName: {BETWEEN}")),
        ),
        (
            "/profile/firstName",
            "\0",
            nested(
                "Profile",
                "FirstName: value must not contain control characters",
            ),
        ),
        (
            "/profile/lastName",
            &long,
            nested("Profile", &format!("LastName: {BETWEEN}")),
        ),
        (
            "/profile/nickName",
            &long,
            nested("Profile", &format!("NickName: {at_most}")),
        ),
        (
            "/profile/displayName",
            &long,
            nested("Profile", &format!("DisplayName: {at_most}")),
        ),
        (
            "/profile/preferredLanguage",
            "en-US-x-abc",
            nested(
                "Profile",
                "PreferredLanguage: value length must be at most 10 runes",
            ),
        ),
        (
            "/email/email",
            "",
            nested("Email", &format!("Email: {BETWEEN}")),
        ),
        (
            "/phone/phone",
            "1",
            nested("Phone", "Phone: value does not have prefix \"+\""),
        ),
        (
            "/userName",
            &long,
            format!("invalid ImportHumanUserRequest.UserName: {BETWEEN}"),
        ),
    ] {
        let mut json = serde_json::json!({
            "userName": "gigi",
            "profile": {"firstName": "Gigi", "lastName": "Giraffe", "nickName": "", "displayName": "",
                "preferredLanguage": "", "gender": 99},
            "email": {"email": "g@zoo.example"}, "phone": {"phone": "+41"},
        });
        let imported = import(&body(&json.to_string())).unwrap();
        assert_eq!(Ok(imported), create(&body(&json.to_string())), "when valid");
        *json.pointer_mut(field).unwrap() = value.into();
        let (message, names) = names_of(import(&body(&json.to_string())));
        assert_eq!(message, text);
        assert_eq!(names, [field[1..].replace('/', ".")]);
    }
}

#[test]
fn a_patch_clears_with_null_and_refuses_null_for_a_required_name() {
    let cleared = patch(&body(
        r#"{"nickName":null,"preferredLanguage":null,"gender":null}"#,
    ));
    let expected = ProfilePatch {
        nick_name: Some(String::new()),
        preferred_language: Some("und".into()),
        gender: Some(Gender::Unspecified),
        ..ProfilePatch::default()
    };
    assert_eq!(cleared, Ok(Command::Patch { patch: expected }));
    let (message, names) = names_of(patch(&body(
        r#"{"firstName":null,"lastName":"","displayName":null,"nickName":""}"#,
    )));
    assert_eq!(
        message,
        "invalid PatchProfileRequest.FirstName: value is required"
    );
    assert_eq!(names, ["firstName", "lastName", "displayName"]);
    let nothing = Command::Patch {
        patch: ProfilePatch::default(),
    };
    assert_eq!(patch(&PatchBody::default()), Ok(nothing));
}

proptest! {
    #[test]
    fn no_string_makes_validate_or_decide_panic(texts in prop::collection::vec(any::<String>(), 6)) {
        let json = serde_json::json!({
            "firstName": texts[0], "lastName": texts[1], "nickName": texts[2],
            "displayName": texts[3], "preferredLanguage": texts[4], "gender": texts[5],
        })
        .to_string();
        let first = management(&json);
        let _ = my_update(&body(&json), org());
        let _ = patch(&body(&json));
        let new = create(&body(&format!(
            r#"{{"userName":"u","profile":{json},"email":{{"email":"e"}}}}"#
        )));
        if let (Ok(command), Ok(new)) = (first, new) {
            let user = UserId::parse("u").unwrap();
            let (fields, contact) = (new.fields, new.contact);
            let create = Command::Create { user, org: org(), fields, contact };
            let mut profile = crate::Profile::default();
            if let Ok(Some(event)) = crate::decide(&profile, &create) {
                profile.apply(&event, profile_messages::Timestamp(0));
            }
            let _ = crate::decide(&profile, &command);
        }
    }
}
