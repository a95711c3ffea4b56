use async_nats::{HeaderMap, HeaderName, HeaderValue};
use profile_messages::Version;
use profile_messages::json::BodyError;
use profile_messages::subject::parse_request;
use proptest::prelude::*;

use super::*;

fn read(subject: &str, body: &str) -> Result<Request, ServiceError> {
    request(&parse_request(subject).unwrap(), body.as_bytes())
}

fn update_target(subject: &str, body: &str) -> Result<String, ServiceError> {
    match read(subject, body)? {
        Request::Command(CommandRequest::Update { user_id, .. }) => Ok(user_id),
        other @ (Request::Command(_) | Request::Query(_)) => panic!("{other:?}"),
    }
}

#[test]
fn the_subject_names_the_target_and_the_body_may_repeat_it() {
    let subject = "profile.v1.user.u-1.update";
    for body in ["", "{}", r#"{"userId":""}"#, r#"{"user_id":"u-1"}"#] {
        assert_eq!(update_target(subject, body).unwrap(), "u-1", "{body}");
    }
    let other = update_target(subject, r#"{"userId":"u-2"}"#);
    assert_eq!(other, Err(ServiceError::UserMismatch));
}

#[test]
fn without_a_user_in_the_subject_the_body_names_the_target() {
    let named = update_target("profile.v1.update", r#"{"userId":"u-2"}"#);
    assert_eq!(named.unwrap(), "u-2");
    assert_eq!(update_target("profile.v1.update", "").unwrap(), "");
}

#[test]
fn every_user_form_refuses_another_user_in_the_body() {
    for operation in Operation::ALL.into_iter().filter(|o| o.has_user_form()) {
        let subject = format!("profile.v1.user.u-1.{}", operation.name());
        let refused = read(&subject, r#"{"userId":"u-2"}"#);
        assert_eq!(refused, Err(ServiceError::UserMismatch), "{operation:?}");
    }
}

#[test]
fn a_body_that_is_no_message_is_refused_by_every_operation() {
    for operation in Operation::ALL {
        let refused = read(&operation.subject(), "[]");
        let field = matches!(refused, Err(ServiceError::Body(BodyError::Field { .. })));
        assert!(field, "{operation:?}");
    }
}

#[test]
fn header_names_are_read_in_any_letter_case_and_the_first_value_counts() {
    let mut headers = HeaderMap::new();
    headers.append("AUTHORIZATION", "Bearer a");
    headers.append("AUTHORIZATION", "Bearer b");
    headers.append("profile-expected-version", "7");
    headers.append("profile-org", "lower");
    headers.append("Profile-Org", "as documented");
    headers.append("PROFILE-ORG", "upper");
    let envelope = envelope(Some(&headers)).unwrap();
    assert_eq!(envelope.authorization.as_deref(), Some("Bearer a"));
    assert_eq!(envelope.expected_version, Some(Version(7)));
    assert_eq!(envelope.org.as_deref(), Some("as documented"));
}

#[test]
fn no_headers_are_an_empty_envelope_and_bad_ones_are_all_named() {
    assert_eq!(envelope(None), Ok(Envelope::default()));
    let mut headers = HeaderMap::new();
    headers.append("Idempotency-Key", "");
    headers.append("Profile-Deadline-Ms", "soon");
    let Err(ServiceError::Headers(violations)) = envelope(Some(&headers)) else {
        panic!("accepted");
    };
    assert_eq!(violations.len(), 2);
}

fn any_subject() -> impl Strategy<Value = String> {
    prop_oneof![
        ".*",
        "profile\\.v1\\.[a-z.*>]{0,12}",
        (0..Operation::ALL.len(), ".{0,8}").prop_map(|(at, user)| {
            format!("profile.v1.user.{user}.{}", Operation::ALL[at].name())
        }),
        (0..Operation::ALL.len()).prop_map(|at| Operation::ALL[at].subject()),
    ]
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let member = (
        prop_oneof![
            Just("userId"),
            Just("gender"),
            Just("profile"),
            Just("email"),
            Just("limit"),
            Just("minVersion"),
            Just("after"),
        ],
        prop_oneof![
            Just("null".to_owned()),
            Just("{}".to_owned()),
            Just("[]".to_owned()),
            Just("1e400".to_owned()),
            Just("\"\\ud800\"".to_owned()),
            any::<f64>().prop_map(|number| number.to_string()),
            ".{0,8}".prop_map(|text| format!("{text:?}")),
        ],
    );
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(member, 0..5).prop_map(|members| {
            let members: Vec<String> = members
                .into_iter()
                .map(|(name, value)| format!("\"{name}\":{value}"))
                .collect();
            format!("{{{}}}", members.join(",")).into_bytes()
        }),
        // Deep nesting must end in an error, not in a stack overflow.
        (0_usize..60_000).prop_map(|depth| vec![b'['; depth]),
        (0_usize..9_000).prop_map(|depth| r#"{"a":"#.repeat(depth).into_bytes()),
    ]
}

proptest! {
    #[test]
    fn no_subject_and_no_body_make_decoding_panic(subject in any_subject(), body in any_body()) {
        if let Some(parsed) = parse_request(&subject) {
            let _ = request(&parsed, &body);
        }
    }

    #[test]
    fn no_headers_make_decoding_panic(
        fields in prop::collection::vec(("[!-9;-~]{1,24}", "[^\r\n]{0,40}"), 0..12),
        known in prop::sample::subsequence(
            vec!["Profile-Deadline-Ms", "profile-expected-version", "Idempotency-Key", "traceparent"],
            0..4,
        ),
        value in "[^\r\n]{0,40}",
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse::<HeaderValue>().unwrap());
        }
        for name in known {
            headers.append(name, value.as_str());
        }
        let _ = envelope(Some(&headers));
    }
}
