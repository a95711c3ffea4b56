//! zitadel-api §2.1 and §2.2, field by field, at both ends of each bound.

use profile::transport::api::Call;
use serde_json::{Value, json};

use super::cases::{Case, FRESH};
use super::table::{differences, judged};
use super::world::World;

/// A rule of one field.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// Between 1 and this many code points.
    Between(usize),
    AtMost(usize),
}

use Rule::{AtMost, Between};

/// Call, place in the body, place in Go's words from the outside in, rule.
type Row = (Call, &'static str, &'static [&'static str], Rule);

const FLAT: [(&str, &str, Rule); 5] = [
    ("firstName", "FirstName", Between(200)),
    ("lastName", "LastName", Between(200)),
    ("nickName", "NickName", AtMost(200)),
    ("displayName", "DisplayName", Between(200)),
    ("preferredLanguage", "PreferredLanguage", AtMost(10)),
];

#[rustfmt::skip]
const NESTED: [Row; 37] = [
    (Call::AddHumanUser, "userName", &["AddHumanUserRequest.UserName"], Between(200)),
    (Call::AddHumanUser, "profile.firstName", &["AddHumanUserRequest.Profile", "AddHumanUserRequest_Profile.FirstName"], Between(200)),
    (Call::AddHumanUser, "profile.lastName", &["AddHumanUserRequest.Profile", "AddHumanUserRequest_Profile.LastName"], Between(200)),
    (Call::AddHumanUser, "profile.nickName", &["AddHumanUserRequest.Profile", "AddHumanUserRequest_Profile.NickName"], AtMost(200)),
    (Call::AddHumanUser, "profile.displayName", &["AddHumanUserRequest.Profile", "AddHumanUserRequest_Profile.DisplayName"], AtMost(200)),
    (Call::AddHumanUser, "profile.preferredLanguage", &["AddHumanUserRequest.Profile", "AddHumanUserRequest_Profile.PreferredLanguage"], AtMost(10)),
    (Call::AddHumanUser, "email.email", &["AddHumanUserRequest.Email", "AddHumanUserRequest_Email.Email"], Between(200)),
    (Call::ImportHumanUser, "userName", &["ImportHumanUserRequest.UserName"], Between(200)),
    (Call::ImportHumanUser, "profile.firstName", &["ImportHumanUserRequest.Profile", "ImportHumanUserRequest_Profile.FirstName"], Between(200)),
    (Call::ImportHumanUser, "profile.lastName", &["ImportHumanUserRequest.Profile", "ImportHumanUserRequest_Profile.LastName"], Between(200)),
    (Call::ImportHumanUser, "profile.nickName", &["ImportHumanUserRequest.Profile", "ImportHumanUserRequest_Profile.NickName"], AtMost(200)),
    (Call::ImportHumanUser, "profile.displayName", &["ImportHumanUserRequest.Profile", "ImportHumanUserRequest_Profile.DisplayName"], AtMost(200)),
    (Call::ImportHumanUser, "profile.preferredLanguage", &["ImportHumanUserRequest.Profile", "ImportHumanUserRequest_Profile.PreferredLanguage"], AtMost(10)),
    (Call::ImportHumanUser, "email.email", &["ImportHumanUserRequest.Email", "ImportHumanUserRequest_Email.Email"], Between(200)),
    (Call::V2UpdateHumanUser, "profile.givenName", &["UpdateHumanUserRequest.Profile", "SetHumanProfile.GivenName"], Between(200)),
    (Call::V2UpdateHumanUser, "profile.familyName", &["UpdateHumanUserRequest.Profile", "SetHumanProfile.FamilyName"], Between(200)),
    (Call::V2UpdateHumanUser, "profile.nickName", &["UpdateHumanUserRequest.Profile", "SetHumanProfile.NickName"], AtMost(200)),
    (Call::V2UpdateHumanUser, "profile.displayName", &["UpdateHumanUserRequest.Profile", "SetHumanProfile.DisplayName"], AtMost(200)),
    (Call::V2UpdateHumanUser, "profile.preferredLanguage", &["UpdateHumanUserRequest.Profile", "SetHumanProfile.PreferredLanguage"], AtMost(10)),
    (Call::V2AddHumanUser, "profile.givenName", &["AddHumanUserRequest.Profile", "SetHumanProfile.GivenName"], Between(200)),
    (Call::V2AddHumanUser, "profile.familyName", &["AddHumanUserRequest.Profile", "SetHumanProfile.FamilyName"], Between(200)),
    (Call::V2AddHumanUser, "profile.nickName", &["AddHumanUserRequest.Profile", "SetHumanProfile.NickName"], AtMost(200)),
    (Call::V2AddHumanUser, "profile.displayName", &["AddHumanUserRequest.Profile", "SetHumanProfile.DisplayName"], AtMost(200)),
    (Call::V2AddHumanUser, "profile.preferredLanguage", &["AddHumanUserRequest.Profile", "SetHumanProfile.PreferredLanguage"], AtMost(10)),
    (Call::V2AddHumanUser, "email.email", &["AddHumanUserRequest.Email", "SetHumanEmail.Email"], Between(200)),
    (Call::V2CreateUser, "organizationId", &["CreateUserRequest.OrganizationId"], Between(200)),
    (Call::V2CreateUser, "human.profile.givenName", &["CreateUserRequest.Human", "CreateUserRequest_Human.Profile", "SetHumanProfile.GivenName"], Between(200)),
    (Call::V2CreateUser, "human.profile.familyName", &["CreateUserRequest.Human", "CreateUserRequest_Human.Profile", "SetHumanProfile.FamilyName"], Between(200)),
    (Call::V2CreateUser, "human.profile.nickName", &["CreateUserRequest.Human", "CreateUserRequest_Human.Profile", "SetHumanProfile.NickName"], AtMost(200)),
    (Call::V2CreateUser, "human.profile.displayName", &["CreateUserRequest.Human", "CreateUserRequest_Human.Profile", "SetHumanProfile.DisplayName"], AtMost(200)),
    (Call::V2CreateUser, "human.profile.preferredLanguage", &["CreateUserRequest.Human", "CreateUserRequest_Human.Profile", "SetHumanProfile.PreferredLanguage"], AtMost(10)),
    (Call::V2CreateUser, "human.email.email", &["CreateUserRequest.Human", "CreateUserRequest_Human.Email", "SetHumanEmail.Email"], Between(200)),
    (Call::V2UpdateUser, "human.profile.givenName", &["UpdateUserRequest.Human", "UpdateUserRequest_Human.Profile", "UpdateUserRequest_Human_Profile.GivenName"], Between(200)),
    (Call::V2UpdateUser, "human.profile.familyName", &["UpdateUserRequest.Human", "UpdateUserRequest_Human.Profile", "UpdateUserRequest_Human_Profile.FamilyName"], Between(200)),
    (Call::V2UpdateUser, "human.profile.nickName", &["UpdateUserRequest.Human", "UpdateUserRequest_Human.Profile", "UpdateUserRequest_Human_Profile.NickName"], Between(200)),
    (Call::V2UpdateUser, "human.profile.displayName", &["UpdateUserRequest.Human", "UpdateUserRequest_Human.Profile", "UpdateUserRequest_Human_Profile.DisplayName"], Between(200)),
    (Call::V2UpdateUser, "human.profile.preferredLanguage", &["UpdateUserRequest.Human", "UpdateUserRequest_Human.Profile", "UpdateUserRequest_Human_Profile.PreferredLanguage"], Between(10)),
];

/// The validator's text: a rule of the innermost field, told through the messages around it.
fn text(places: &[&str], rule: &str) -> String {
    let (field, around) = places.split_last().unwrap();
    let told =
        |place: &&str| format!("invalid {place}: embedded message failed validation | caused by: ");
    let around: String = around.iter().map(told).collect();
    format!("{around}invalid {field}: {rule}")
}

fn cases_of(call: Call, place: &str, places: &[&str], rule: Rule) -> Vec<Case> {
    let (max, rule_text) = match rule {
        Between(max) => (
            max,
            format!("value length must be between 1 and {max} runes, inclusive"),
        ),
        AtMost(max) => (max, format!("value length must be at most {max} runes")),
    };
    let text = text(places, &rule_text);
    let sent = |name: &str, value: String| {
        let case = Case::of(call).with(place, Value::String(value));
        case.named(format!("{place}: {name}"))
    };
    let refused = |name: &str, value: String| sent(name, value).invalid(&text, &[place]);
    let empty = match rule {
        Between(_) => refused("empty", String::new()),
        AtMost(_) => sent("empty", String::new()),
    };
    let mut cases = vec![
        empty,
        refused("one too long", "x".repeat(max + 1)),
        refused(
            "one code point of four bytes too long",
            "🦒".repeat(max + 1),
        ),
    ];
    // An organization of such a name does not exist.
    if place != "organizationId" {
        cases.push(sent("longest, four bytes each", "🦒".repeat(max)));
    }
    cases
}

#[tokio::test]
async fn every_field_has_zitadels_bounds_and_texts() {
    let world = World::start().await;
    let mut cases = Vec::new();
    for (call, message) in [
        (Call::UpdateHumanProfile, "UpdateHumanProfileRequest"),
        (Call::UpdateMyProfile, "UpdateMyProfileRequest"),
    ] {
        for (place, field, rule) in FLAT {
            cases.extend(cases_of(
                call,
                place,
                &[&format!("{message}.{field}")],
                rule,
            ));
        }
    }
    for (call, place, places, rule) in NESTED {
        cases.extend(cases_of(call, place, places, rule));
    }
    judged(&differences(&world, &cases).await);
}

#[tokio::test]
async fn an_id_has_at_most_200_characters_and_none_is_no_id() {
    let world = World::start().await;
    let between = "value length must be between 1 and 200 runes, inclusive";
    let long = "x".repeat(201);
    let cases: Vec<Case> = [
        (
            Call::UpdateHumanProfile,
            "UpdateHumanProfileRequest.UserId",
            "userId",
        ),
        (
            Call::V2UpdateHumanUser,
            "UpdateHumanUserRequest.UserId",
            "userId",
        ),
        (Call::V2UpdateUser, "UpdateUserRequest.UserId", "userId"),
        (Call::GetUserById, "GetUserByIDRequest.Id", "id"),
        (Call::V2GetUserById, "GetUserByIDRequest.UserId", "userId"),
        (
            Call::ListUserChanges,
            "ListUserChangesRequest.UserId",
            "userId",
        ),
    ]
    .into_iter()
    .map(|(call, place, field)| {
        let case = Case::of(call).on(&long).named("an id of 201");
        case.invalid(&format!("invalid {place}: {between}"), &[field])
    })
    .collect();
    judged(&differences(&world, &cases).await);
}

#[tokio::test]
async fn the_rules_that_are_not_lengths_hold_too() {
    let world = World::start().await;
    let set = |call, place: &str, value: Value| {
        let name = format!("{place} = {value}");
        Case::of(call).with(place, value).named(name)
    };
    let genderless = "invalid UpdateUserRequest.Human: embedded message failed validation | caused by: \
        invalid UpdateUserRequest_Human.Profile: embedded message failed validation | caused by: \
        invalid UpdateUserRequest_Human_Profile.Gender: value must be one of the defined enum values";
    let gender = "human.profile.gender";
    let control = "value must not contain control characters";
    let mut cases = vec![
        // Only PATCH knows the enum's values.
        set(Call::V2UpdateUser, gender, json!(99)).invalid(genderless, &[gender]),
        set(Call::V2UpdateUser, gender, json!(-1)).invalid(genderless, &[gender]),
        set(Call::V2UpdateUser, gender, json!("GENDER_DIVERSE")),
        set(Call::V2UpdateHumanUser, "profile.gender", json!(99)),
        set(Call::UpdateHumanProfile, "gender", json!(99)),
        set(Call::UpdateMyProfile, "gender", json!(-5)),
        set(Call::AddHumanUser, "profile.gender", json!(4)),
        // Nothing is trimmed in an update, so blanks are a name.
        set(Call::UpdateHumanProfile, "lastName", json!("   ")),
        // §0: the documentation's optional display name, and the control characters that ZITADEL takes.
        Case::of(Call::UpdateHumanProfile).without("displayName").named("no display name"),
        set(Call::UpdateHumanProfile, "lastName", json!("a\u{0}b")).invalid(
            &format!("invalid UpdateHumanProfileRequest.LastName: {control}"),
            &["lastName"],
        ),
        Case::of(Call::UpdateMyProfile).without("displayName").named("no display name").invalid(
            "invalid UpdateMyProfileRequest.DisplayName: value length must be between 1 and 200 runes, inclusive",
            &["displayName"],
        ),
        Case::of(Call::AddHumanUser).without("profile").named("no profile").invalid(
            "invalid AddHumanUserRequest.Profile: value is required",
            &["profile"],
        ),
        Case::of(Call::AddHumanUser).without("email").named("no e-mail").invalid(
            "invalid AddHumanUserRequest.Email: value is required",
            &["email"],
        ),
        Case::of(Call::V2AddHumanUser).without("profile").named("no profile").invalid(
            "invalid AddHumanUserRequest.Profile: value is required",
            &["profile"],
        ),
        // Names of creations are trimmed, and a blank one is refused by the command.
        set(Call::AddHumanUser, "profile.firstName", json!("  "))
            .refused(3, "PROFILE-RF5z2", "First name in profile is empty"),
        set(Call::V2AddHumanUser, "profile.familyName", json!("  "))
            .refused(3, "PROFILE-DSUkN", "Last name in profile is empty"),
    ];
    let phone = "invalid AddHumanUserRequest.Phone: embedded message failed validation | caused by: \
        invalid AddHumanUserRequest_Phone.Phone: value does not have prefix \"+\"";
    cases.push(
        set(Call::AddHumanUser, "phone", json!({"phone": "0711"})).invalid(phone, &["phone.phone"]),
    );
    judged(&differences(&world, &cases).await);
}

#[tokio::test]
async fn the_first_violation_is_the_message_and_all_are_in_the_details() {
    let world = World::start().await;
    let long = "x".repeat(201);
    let everything = json!({
        "firstName": "", "lastName": long, "nickName": long, "displayName": "",
        "preferredLanguage": "x".repeat(11),
    });
    let fields = [
        "firstName",
        "lastName",
        "nickName",
        "displayName",
        "preferredLanguage",
    ];
    let between = "value length must be between 1 and 200 runes, inclusive";
    // Plain fields come before optional ones, in the order of declaration.
    let profile = json!({
        "displayName": long, "nickName": long, "familyName": "", "givenName": "",
        "preferredLanguage": "x".repeat(11),
    });
    let in_profile = [
        "profile.givenName",
        "profile.familyName",
        "profile.nickName",
        "profile.displayName",
        "profile.preferredLanguage",
    ];
    let cases = [
        Case {
            body: everything.clone(),
            ..Case::of(Call::UpdateHumanProfile)
        }
        .invalid(
            &format!("invalid UpdateHumanProfileRequest.FirstName: {between}"),
            &fields,
        ),
        Case {
            body: everything,
            ..Case::of(Call::UpdateMyProfile)
        }
        .invalid(
            &format!("invalid UpdateMyProfileRequest.FirstName: {between}"),
            &fields,
        ),
        Case::of(Call::V2UpdateHumanUser)
            .with("profile", profile)
            .invalid(
                &text(
                    &[
                        "UpdateHumanUserRequest.Profile",
                        "SetHumanProfile.GivenName",
                    ],
                    between,
                ),
                &in_profile,
            ),
        // Nothing at all is a first name that is missing.
        Case {
            body: json!({"nickName": FRESH}),
            ..Case::of(Call::UpdateMyProfile)
        }
        .invalid(
            &format!("invalid UpdateMyProfileRequest.FirstName: {between}"),
            &["firstName", "lastName", "displayName"],
        ),
    ];
    judged(&differences(&world, &cases).await);
}
