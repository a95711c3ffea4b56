use bytes::Bytes;

use super::*;
use crate::exit::Exit;
use crate::output::decode;

const GET: &str = r#"{"userId":"u1","details":{"sequence":"3","creationDate":"2025-09-05T08:55:36Z",
    "changeDate":"2025-09-06T08:55:36.5Z","resourceOwner":"o1"},"profile":{"firstName":"Ada",
    "lastName":"L","displayName":"Ada L","preferredLanguage":"en","gender":"GENDER_FEMALE"},
    "userName":"ada","email":{"email":"a@b","isEmailVerified":true}}"#;

fn answer(body: &str, key: Option<&str>) -> Failure {
    Failure::Answer {
        status: serde_json::from_str(body).unwrap(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        key: key.map(str::to_owned),
    }
}

#[test]
fn a_profile_is_aligned_pairs() {
    let golden = "\
user          u1
organization  o1
version       3
created       2025-09-05T08:55:36Z
changed       2025-09-06T08:55:36.500Z
first name    Ada
last name     L
nick name
display name  Ada L
language      en
gender        female
user name     ada
e-mail        a@b (verified)
";
    assert_eq!(get(&decode(GET.as_bytes()).unwrap()), golden);
}

#[test]
fn a_change_shows_its_details() {
    let reply = r#"{"userId":"u1","details":{"sequence":"1","resourceOwner":"o1"}}"#;
    let golden = "user          u1\norganization  o1\nversion       1\n";
    assert_eq!(command(&decode(reply.as_bytes()).unwrap()), golden);
}

#[test]
fn a_list_is_a_table_whose_head_is_printed_once() {
    let reply = format!(r#"{{"users":[{GET}],"position":"9"}}"#);
    let page: ListReply = decode(reply.as_bytes()).unwrap();
    let golden = "\
USER  VERSION  DISPLAY NAME  USER NAME  E-MAIL  CHANGED
u1    3        Ada L         ada        a@b     2025-09-06T08:55:36.500Z
";
    assert_eq!(list(&page, Place::First), golden);
    assert!(!list(&page, Place::Later).contains("USER"));
}

#[test]
fn a_history_shows_old_and_new_values() {
    let reply = r#"{"changes":[{"sequence":"2","changeDate":"2025-09-05T08:55:36Z","type":"changed",
        "editorId":"u9","resourceOwner":"o1","fields":[{"field":"nickName","old":"","new":"N"}]}]}"#;
    let golden = "\
VERSION  CHANGED               TYPE     EDITOR  FIELDS
2        2025-09-05T08:55:36Z  changed  u9      nickName: \"\" → \"N\"
";
    assert_eq!(
        history(&decode(reply.as_bytes()).unwrap(), Place::First),
        golden
    );
}

#[test]
fn an_event_is_one_line() {
    let sent = r#"{"specversion":"1.0","id":"u1/1.2","source":"/profile/s",
        "type":"profile-service.profile.changed.v1","subject":"u1","time":"2025-09-05T08:55:36Z",
        "datacontenttype":"application/json","userversion":2,
        "data":{"userId":"u1","orgId":"o1","changed":["firstName","gender"]}}"#;
    let golden = "2025-09-05T08:55:36Z  7  changed  o1/u1  version 2  firstName,gender\n";
    assert_eq!(event(&decode(sent.as_bytes()).unwrap(), Some(7)), golden);
}

#[test]
fn an_error_lists_every_violation_and_the_retry_advice() {
    let body = r#"{"code":3,"message":"invalid X.FirstName: too long","details":[
        {"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[
            {"field":"firstName","description":"too long"},{"field":"gender","description":"b"}]},
        {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"INVALID_ARGUMENT",
            "domain":"profile-service","metadata":{"retry":"no"}}]}"#;
    let golden = "\
error: invalid X.FirstName: too long
code: INVALID_ARGUMENT
  - firstName: too long
  - gender: b
retry: no, the same request will fail again
";
    let refused = answer(body, Some("my-key"));
    assert_eq!(failure(&refused), golden);
    assert_eq!(refused.exit(), Exit::InvalidArgument);
}

#[test]
fn an_unknown_outcome_shows_the_key_to_repeat_with() {
    let timeout = Failure::OutcomeUnknown {
        cause: "no answer in time from s".to_owned(),
        key: "k1".to_owned(),
    };
    assert!(failure(&timeout).ends_with("idempotency key: k1\n"));
    assert_eq!(timeout.exit(), Exit::OutcomeUnknown);

    let body = r#"{"code":2,"message":"the outcome is unknown","details":[
        {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"OUTCOME_UNKNOWN",
            "domain":"profile-service","metadata":{"retry":"same-key"}}]}"#;
    let unknown = answer(body, Some("k2"));
    assert!(failure(&unknown).ends_with("idempotency key: k2\n"));
    assert_eq!(unknown.exit(), Exit::OutcomeUnknown);
}

#[test]
fn nobody_listening_is_explained() {
    let nobody = Failure::NoResponders {
        subject: "profile.v1.me.get".to_owned(),
    };
    assert!(failure(&nobody).contains("is profiled running"));
    assert_eq!(nobody.exit(), Exit::Unavailable);
}

#[test]
fn no_value_can_drive_the_terminal() {
    let hostile = "a\u{1b}[31mb\u{9b}2J\nforged  line\r\u{202e}x\u{200b}\u{7}\u{7f}\0";
    let golden = "a\\u{1b}[31mb\\u{9b}2J\\nforged  line\\r\\u{202e}x\\u{200b}\\u{7}\\u{7f}\\u{0}";
    assert_eq!(escaped(hostile), golden);
    assert_eq!(escaped("Zoë 日本 👩"), "Zoë 日本 👩");

    let json = serde_json::to_string(hostile).unwrap();
    let body = format!(r#"{{"code":13,"message":{json}}}"#);
    let reply = GET.replace(r#""Ada""#, &json);
    let page = format!(r#"{{"users":[{reply}],"position":"9"}}"#).replace(r#""Ada L""#, &json);
    let printed = [
        get(&decode(reply.as_bytes()).unwrap()),
        list(&decode(page.as_bytes()).unwrap(), Place::First),
        failure(&answer(&body, None)),
    ];
    for text in printed {
        let plain = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
        assert!(text.chars().all(plain), "{text:?}");
        assert!(!text.contains("\nforged"), "{text:?}");
    }
}

#[test]
fn a_reply_outside_the_contract_is_not_shown() {
    let refused = decode::<GetReply>(br#"{"userId":"s3cret"}"#).unwrap_err();
    assert!(!refused.to_string().contains("s3cret"));
    assert_eq!(refused.exit(), Exit::Other);
}
