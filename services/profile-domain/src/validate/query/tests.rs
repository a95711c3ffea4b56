use profile_messages::json::decode_body;

use super::*;

const BETWEEN: &str = "value length must be between 1 and 200 runes, inclusive";

fn body(json: &str) -> ChangesBody {
    decode_body(json.as_bytes()).unwrap()
}

#[test]
fn each_read_has_zitadels_text_for_an_id_that_is_empty_or_too_long() {
    type Rule = fn(&str) -> Result<(), Violations>;
    let rules: [(Rule, &str, &str); 4] = [
        (human_profile, "GetHumanProfileRequest.UserId", "userId"),
        (management_user, "GetUserByIDRequest.Id", "id"),
        (any_user, "GetUserByIDRequest.UserId", "userId"),
        (
            |id| user_changes(id, &ChangesBody::default(), 1_000).map(drop),
            "ListUserChangesRequest.UserId",
            "userId",
        ),
    ];
    for (rule, name, field) in rules {
        for bad in ["", &"x".repeat(201)] {
            let violations = rule(bad).unwrap_err();
            assert_eq!(violations.message, format!("invalid {name}: {BETWEEN}"));
            assert_eq!(violations.fields[0].field, field);
        }
        // A form that no id has is a user that does not exist, not a violation.
        for good in ["u1", "a b", &"ä".repeat(200)] {
            assert_eq!(rule(good), Ok(()), "{name} {good}");
        }
    }
}

#[test]
fn changes_come_newest_first_and_a_hundred_at_a_time_unless_asked_otherwise() {
    let newest = |before| ChangesOrder::NewestFirst { before };
    let oldest = |after| ChangesOrder::OldestFirst {
        after: Version(after),
    };
    for (json, order, rows_max) in [
        ("", newest(None), 100),
        (r#"{"query":null}"#, newest(None), 100),
        (r#"{"query":{"sequence":"0","limit":0}}"#, newest(None), 100),
        (
            r#"{"query":{"sequence":"7","limit":2}}"#,
            newest(Some(Version(7))),
            2,
        ),
        (r#"{"query":{"asc":false}}"#, newest(None), 100),
        (r#"{"query":{"asc":true}}"#, oldest(0), 100),
        (
            r#"{"query":{"asc":true,"sequence":3,"limit":1000}}"#,
            oldest(3),
            1_000,
        ),
    ] {
        let page = ChangesPage { order, rows_max };
        assert_eq!(user_changes("u1", &body(json), 1_000), Ok(page), "{json}");
        assert_eq!(my_changes(&body(json), 1_000), Ok(page), "{json}");
    }
    let few = my_changes(&body("{}"), 20).unwrap();
    assert_eq!(few.rows_max, 20, "a service with smaller pages");
}

#[test]
fn a_page_of_changes_over_the_limit_is_refused_with_nested_texts() {
    let too_many = body(r#"{"query":{"limit":1001}}"#);
    let inner = "invalid ChangeQuery.Limit: value must be less than or equal to 1000";
    let nested = |outer: &str| {
        format!("invalid {outer}.Query: embedded message failed validation | caused by: {inner}")
    };
    let refused = user_changes("", &too_many, 1_000).unwrap_err();
    assert_eq!(refused.message, nested("ListUserChangesRequest"));
    let fields = refused.fields.iter().map(|it| it.field.as_str());
    assert_eq!(fields.collect::<Vec<_>>(), ["query.limit", "userId"]);
    let refused = my_changes(&too_many, 1_000).unwrap_err();
    assert_eq!(refused.message, nested("ListMyUserChangesRequest"));
}
