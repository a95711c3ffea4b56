//! AddHumanUser and CreateUser.

use super::*;

/// A valid AddHumanUserRequest with `field` set to `value`; null takes it out.
fn human_with(field: &str, value: &Value) -> Value {
    let profile = json!({"givenName": "Gigi", "familyName": "Giraffe"});
    let mut human = json!({"profile": profile, "email": {"email": "gigi@zoo.example"}});
    human[field] = value.clone();
    human
}

fn add(json: &Value) -> Result<NewUser, Violations> {
    add_human(&body(json))
}

fn create_human(human: &Value) -> Result<Option<NewUser>, Violations> {
    create_user(&body(&json!({"organizationId": "zoo", "human": human})))
}

const IN_HUMAN: &str = "invalid CreateUserRequest.Human: embedded message failed validation | \
                        caused by: invalid CreateUserRequest_Human";

#[test]
fn each_rule_of_a_new_users_profile_has_zitadels_text() {
    for (field, value, rule) in set_human_profile() {
        let sent = human_with("profile", &profile_with(field, &value));
        let added = rule.clone();
        let added =
            added.map(|rule| format!("invalid AddHumanUserRequest.Profile: {EMBEDDED} {rule}"));
        assert_row(add(&sent), &format!("profile.{field}"), &value, added);
        let created = rule.map(|rule| format!("{IN_HUMAN}.Profile: {EMBEDDED} {rule}"));
        let field = format!("human.profile.{field}");
        assert_row(create_human(&sent), &field, &value, created);
    }
}

#[test]
fn each_rule_of_a_new_users_contact_has_zitadels_text() {
    let at_most_50 = "value length must be at most 50 runes";
    for (message, field, value, rule) in [
        (
            "email",
            "email",
            json!(null),
            Some(format!("Email: {BETWEEN}")),
        ),
        (
            "email",
            "email",
            json!(""),
            Some(format!("Email: {BETWEEN}")),
        ),
        (
            "email",
            "email",
            json!(long()),
            Some(format!("Email: {BETWEEN}")),
        ),
        (
            "email",
            "email",
            json!("a\u{0}"),
            Some(format!("Email: {CONTROL}")),
        ),
        ("email", "email", json!("e"), None),
        ("phone", "phone", json!(null), None),
        ("phone", "phone", json!(""), None),
        ("phone", "phone", json!("+41"), None),
        (
            "phone",
            "phone",
            json!("41"),
            Some("Phone: value does not have prefix \"+\"".to_owned()),
        ),
        (
            "phone",
            "phone",
            json!(format!("+{}", "1".repeat(50))),
            Some(format!("Phone: {at_most_50}")),
        ),
    ] {
        let sent = human_with(message, &json!({field: value}));
        let (go_name, type_name) = match message {
            "email" => ("Email", "SetHumanEmail"),
            _ => ("Phone", "SetHumanPhone"),
        };
        let expected = |prefix: &str| {
            let rule = rule.as_ref()?;
            Some(format!("{prefix}.{go_name}: {EMBEDDED} {type_name}.{rule}"))
        };
        let name = format!("{message}.{field}");
        let added = expected("invalid AddHumanUserRequest");
        assert_row(add(&sent), &name, &value, added);
        let created = expected(IN_HUMAN);
        assert_row(
            create_human(&sent),
            &format!("human.{name}"),
            &value,
            created,
        );
    }
}

#[test]
fn a_new_user_needs_a_profile_and_an_email() {
    let (message, fields) = broken(add(&json!({})));
    assert_eq!(
        message,
        format!("invalid AddHumanUserRequest.Profile: {REQUIRED}")
    );
    assert_eq!(fields, ["profile", "email"]);
    let (message, fields) = broken(create_human(&json!({})));
    assert_eq!(message, format!("{IN_HUMAN}.Profile: {REQUIRED}"));
    assert_eq!(fields, ["human.profile", "human.email"]);
}

#[test]
fn an_id_and_a_user_name_have_zitadels_rules_and_ours_for_the_form_of_an_id() {
    let form = "an id is 1 to 200 characters of A-Z, a-z, 0-9, _ and -";
    for (field, value, rule) in [
        ("userId", json!(""), Some(format!("UserId: {BETWEEN}"))),
        ("userId", json!(long()), Some(format!("UserId: {BETWEEN}"))),
        ("userId", json!("a b"), Some(format!("UserId: {form}"))),
        ("userId", json!("69629023906488334"), None),
        ("username", json!(""), None),
        (
            "username",
            json!(long()),
            Some(format!("Username: {BETWEEN}")),
        ),
        (
            "username",
            json!("a\u{0}"),
            Some(format!("Username: {CONTROL}")),
        ),
    ] {
        let added = rule.clone();
        let added = added.map(|rule| format!("invalid AddHumanUserRequest.{rule}"));
        assert_row(add(&human_with(field, &value)), field, &value, added);
        let created = rule.map(|rule| format!("invalid CreateUserRequest.{rule}"));
        let mut sent = json!({"organizationId": "zoo", "human": human_with("phone", &json!(null))});
        sent[field] = value.clone();
        assert_row(create_user(&body(&sent)), field, &value, created);
    }
}

#[test]
fn create_user_needs_an_organization() {
    for organization in [json!(null), json!(""), json!(long())] {
        let sent =
            json!({"organizationId": organization, "human": human_with("phone", &json!(null))});
        let expected = format!("invalid CreateUserRequest.OrganizationId: {BETWEEN}");
        let refused = create_user(&body(&sent));
        assert_eq!(
            broken(refused),
            (expected, vec!["organizationId".to_owned()])
        );
    }
}

/// Plain fields, then oneofs, then optional fields; on every level.
#[test]
fn a_new_users_violations_come_in_zitadels_order() {
    let human = json!({"phone": {"phone": "1"}, "email": {}, "profile": {"displayName": long()}});
    let mut sent = human.clone();
    sent["username"] = json!(long());
    sent["userId"] = json!("a b");
    let in_human = [
        "profile.givenName",
        "profile.familyName",
        "profile.displayName",
        "email.email",
        "phone.phone",
    ];
    let (_, fields) = broken(add(&sent));
    assert_eq!(fields, [&in_human[..], &["userId", "username"]].concat());
    let sent = json!({"username": long(), "userId": "a b", "human": human});
    let (_, fields) = broken(create_user(&body(&sent)));
    let in_human = in_human.map(|field| format!("human.{field}"));
    let in_human = in_human.each_ref().map(String::as_str);
    let expected = [&["organizationId"][..], &in_human, &["userId", "username"]].concat();
    assert_eq!(fields, expected);
}

#[test]
fn a_new_user_is_trimmed_and_defaulted_as_in_v1() {
    let sent = json!({
        "userId": "u1",
        "username": " gigi ",
        "profile": {"givenName": " Gigi ", "familyName": "Giraffe ", "preferredLanguage": "DE_ch", "gender": 1},
        "email": {"email": "gigi@zoo.example", "isVerified": true},
        "phone": {"phone": "+4171", "isVerified": true},
    });
    let new = add(&sent).unwrap();
    assert_eq!(new.user, UserId::parse("u1").ok());
    let fields = ProfileFields {
        first_name: "Gigi".into(),
        last_name: "Giraffe".into(),
        nick_name: String::new(),
        display_name: "Gigi Giraffe".into(),
        preferred_language: "de-CH".into(),
        gender: Gender::Female,
    };
    assert_eq!(new.fields, fields);
    let contact = Contact {
        user_name: "gigi".into(),
        email: "gigi@zoo.example".into(),
        email_verified: true,
        phone: "+4171".into(),
        phone_verified: true,
    };
    assert_eq!(new.contact, contact);
    let human = json!({"profile": sent["profile"], "email": sent["email"], "phone": sent["phone"]});
    let created =
        json!({"organizationId": "zoo", "userId": "u1", "username": "gigi", "human": human});
    assert_eq!(create_user(&body(&created)), Ok(Some(new)));
}

#[test]
fn what_a_new_user_omits_is_defaulted() {
    for absent in [json!(null), json!(""), json!("  ")] {
        let new = add(&human_with("username", &absent)).unwrap();
        assert_eq!(new.contact.user_name, "gigi@zoo.example", "{absent}");
    }
    for absent in [json!(null), json!("")] {
        let profile = profile_with("displayName", &absent);
        let new = add(&human_with("profile", &profile)).unwrap();
        assert_eq!(new.fields.display_name, "Gigi Giraffe");
    }
    let new = add(&human_with("phone", &json!({"isVerified": true}))).unwrap();
    assert_eq!(
        (new.contact.phone.as_str(), new.contact.phone_verified),
        ("", false)
    );
    assert!(!new.contact.email_verified);
    assert_eq!(new.user, None);
    assert_eq!(new.fields.preferred_language, "und");
    assert_eq!(new.fields.gender, Gender::Unspecified);
    let long = "x".repeat(200);
    let profile = json!({"givenName": long, "familyName": long});
    let new = add(&human_with("profile", &profile)).unwrap();
    assert_eq!(new.fields.display_name, long, "cut to 200 code points");
}

#[test]
fn create_user_without_a_human_is_valid_and_nobody() {
    let machine = json!({"organizationId": "zoo", "machine": {"name": "m"}});
    assert_eq!(create_user(&body(&machine)), Ok(None));
    assert_eq!(
        create_user(&body(&json!({"organizationId": "zoo"}))),
        Ok(None)
    );
}
