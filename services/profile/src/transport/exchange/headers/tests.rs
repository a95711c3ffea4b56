use super::*;

fn sent(entries: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in entries {
        let name = HeaderName::try_from(*name).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn refused_names(error: &ServiceError) -> Vec<&str> {
    let ServiceError::Headers(violations) = error else {
        panic!("{error:?}");
    };
    violations.iter().map(|it| it.field.as_str()).collect()
}

/// What these lines of `If-Match` mean for a change.
fn matched(tags: &[&str], envelope: &mut Envelope) -> Result<Condition, ServiceError> {
    let lines: Vec<_> = tags.iter().map(|tag| ("if-match", *tag)).collect();
    if_match(&sent(&lines), Call::UpdateHumanProfile, envelope)
}

#[test]
fn a_deadline_of_grpc_or_connect_counts_like_ours_and_the_shortest_counts() {
    for (entries, expected) in [
        (vec![("grpc-timeout", "250m")], 250),
        (vec![("grpc-timeout", "2S")], 2_000),
        (vec![("grpc-timeout", "1H")], DEADLINE_MS_MAX),
        (vec![("grpc-timeout", "1500u")], 1),
        (vec![("grpc-timeout", "99999999n")], 99),
        (vec![("connect-timeout-ms", "0")], 0),
        (vec![("connect-timeout-ms", "9999999999")], DEADLINE_MS_MAX),
        (
            vec![("profile-deadline-ms", "40"), ("grpc-timeout", "2S")],
            40,
        ),
        (
            vec![("profile-deadline-ms", "4000"), ("grpc-timeout", "2S")],
            2_000,
        ),
    ] {
        let envelope = envelope(&sent(&entries)).unwrap();
        assert_eq!(envelope.deadline_ms, Some(expected), "{entries:?}");
    }
}

#[test]
fn a_deadline_that_is_not_of_its_form_is_refused_by_name() {
    for (name, value) in [
        ("grpc-timeout", "5"),
        ("grpc-timeout", "S"),
        ("grpc-timeout", "123456789S"),
        ("grpc-timeout", "1 S"),
        ("grpc-timeout", "é"),
        ("connect-timeout-ms", "-1"),
        ("connect-timeout-ms", "12345678901"),
    ] {
        let error = envelope(&sent(&[(name, value)])).unwrap_err();
        assert_eq!(refused_names(&error), [name], "{value}");
    }
}

#[test]
fn a_value_that_is_no_utf_8_is_refused_by_name_where_it_is_read() {
    let mut headers = HeaderMap::new();
    let bytes = HeaderValue::from_bytes(b"Bearer \xff").unwrap();
    headers.insert("cookie", bytes.clone());
    assert!(envelope(&headers).is_ok());
    headers.insert("authorization", bytes);
    let error = envelope(&headers).unwrap_err();
    assert_eq!(refused_names(&error), ["Authorization"]);
    assert!(!error.to_string().contains("Bearer"));
}

#[test]
fn one_strong_tag_is_an_expected_version() {
    for (tag, expected) in [
        ("\"7\"", Some(Version(7))),
        (" \"0\" ", Some(Version(0))),
        ("*", None),
    ] {
        let mut envelope = Envelope::default();
        let condition = matched(&[tag], &mut envelope).unwrap();
        assert_eq!(condition, Condition::IfMatch);
        assert_eq!(envelope.expected_version, expected, "{tag}");
    }
    let mut envelope = Envelope::default();
    let none = matched(&[], &mut envelope).unwrap();
    assert_eq!((none, envelope), (Condition::None, Envelope::default()));
}

#[test]
fn a_tag_that_is_none_of_ours_matches_no_version() {
    for tag in ["\"\"", "\"x\"", "\"-1\"", "\"+7\"", "\"007\""] {
        let mut envelope = Envelope::default();
        let condition = matched(&[tag], &mut envelope).unwrap();
        assert_eq!(condition, Condition::IfMatch);
        assert_eq!(envelope.expected_version, Some(NO_VERSION), "{tag}");
    }
}

#[test]
fn weak_tags_lists_and_contradictions_are_refused() {
    for tags in [
        &["W/\"7\""] as &[&str],
        &["\"7\", \"8\""],
        &["\"7\"", "\"8\""],
        &["7"],
        &[""],
    ] {
        let error = matched(tags, &mut Envelope::default()).unwrap_err();
        assert_eq!(refused_names(&error), ["If-Match"], "{tags:?}");
    }
    let mut envelope = Envelope {
        expected_version: Some(Version(6)),
        ..Envelope::default()
    };
    let error = matched(&["\"7\""], &mut envelope).unwrap_err();
    assert_eq!(refused_names(&error), ["If-Match"]);
}

#[test]
fn a_read_passes_a_condition_over_and_a_creation_refuses_it() {
    let headers = sent(&[("if-match", "\"7\"")]);
    for call in Call::ALL {
        let mut envelope = Envelope::default();
        let judged = if_match(&headers, call, &mut envelope);
        match call.effect() {
            Effect::Read => assert_eq!(judged, Ok(Condition::None)),
            Effect::Change => assert_eq!(judged, Ok(Condition::IfMatch)),
            Effect::Creation => assert_eq!(refused_names(&judged.unwrap_err()), ["If-Match"]),
        }
    }
}

#[test]
fn a_known_version_is_found_in_a_list_of_tags_strong_or_weak() {
    for (tags, known) in [
        ("\"7\"", true),
        ("\"6\", W/\"7\"", true),
        ("*", true),
        ("\"6\"", false),
        ("7", false),
    ] {
        assert_eq!(
            has_version(&sent(&[("if-none-match", tags)]), 7),
            known,
            "{tags}"
        );
    }
    assert!(!has_version(&HeaderMap::new(), 7));
}

#[test]
fn only_refusals_that_pass_tell_when_to_come_back() {
    let retry_after = |error: ServiceError| {
        let mut headers = HeaderMap::new();
        add_error(&mut headers, &error);
        headers.contains_key(RETRY_AFTER)
    };
    assert!(retry_after(ServiceError::Overloaded("requests in flight")));
    assert!(retry_after(ServiceError::Unavailable("shutting down")));
    assert!(!retry_after(ServiceError::KeyReused));
    let mut headers = HeaderMap::new();
    let missing = ServiceError::Auth(crate::error::AuthError::HeaderMissing);
    add_error(&mut headers, &missing);
    assert_eq!(headers[WWW_AUTHENTICATE], "auth header missing");
}
