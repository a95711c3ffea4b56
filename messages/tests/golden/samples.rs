//! The values that the golden files hold: one user, ordinary and at the edges.

use bytes::Bytes;
use profile_messages::current::{CurrentUser, RecentCommand};
use profile_messages::error::{
    ErrorCode, ErrorMetadata, FieldViolation, Retry, Status, StatusDetail,
};
use profile_messages::event::{CloudEvent, EventData, EventKind, EventPayload};
use profile_messages::record::{CommandKey, KeyOrigin, Record};
use profile_messages::reply::{
    CommandReply, FieldChange, GetReply, HistoryChange, HistoryReply, ListReply, ObjectDetails,
    PhoneView, ProfileView, ReplayReply, ReplayedEvent,
};
use profile_messages::trace::TraceContext;
use profile_messages::{
    Contact, FieldChanges, Gender, OrgId, Position, ProfileFields, Timestamp, UserId, UserState,
    Version,
};
use serde::Serialize;
use serde_json::value::RawValue;

const CREATED: Timestamp = Timestamp(1_757_062_536_156_333);
const CHANGED: Timestamp = Timestamp(1_757_148_936_500_000);
const REMOVED: Timestamp = Timestamp(1_757_235_336_000_000);

fn before() -> ProfileFields {
    ProfileFields {
        first_name: "Ada".to_owned(),
        last_name: "Lovelace".to_owned(),
        nick_name: String::new(),
        display_name: "Ada Lovelace".to_owned(),
        preferred_language: "und".to_owned(),
        gender: Gender::Unspecified,
    }
}

fn after() -> ProfileFields {
    ProfileFields {
        nick_name: "Zoë \"日本\" 👩".to_owned(),
        preferred_language: "de-CH".to_owned(),
        gender: Gender::Diverse,
        ..before()
    }
}

fn contact() -> Contact {
    Contact {
        user_name: "ada.lovelace".to_owned(),
        email: "ada@example.com".to_owned(),
        email_verified: true,
        phone: "+41446681800".to_owned(),
        phone_verified: false,
    }
}

fn user() -> UserId {
    UserId::parse("69629023906488334").unwrap()
}

fn org() -> OrgId {
    OrgId::parse("org-1").unwrap()
}

fn details(sequence: u64, created: Option<Timestamp>, changed: Option<Timestamp>) -> ObjectDetails {
    ObjectDetails {
        sequence,
        creation_date: created,
        change_date: changed,
        resource_owner: org().to_string(),
    }
}

fn get() -> GetReply {
    GetReply {
        user_id: user().to_string(),
        details: details(2, Some(CREATED), Some(CHANGED)),
        profile: ProfileView::from(&after()),
        user_name: contact().user_name,
        email: (&contact()).into(),
        phone: PhoneView::of(&contact()),
    }
}

/// A user with as little as there can be: zero values are left out.
fn get_least() -> GetReply {
    let contact = Contact {
        email_verified: false,
        phone: String::new(),
        ..contact()
    };
    GetReply {
        details: details(u64::MAX, Some(CREATED), Some(CREATED)),
        profile: ProfileView::from(&before()),
        email: (&contact).into(),
        phone: PhoneView::of(&contact),
        ..get()
    }
}

fn history() -> HistoryReply {
    let change = |sequence, at, kind: EventKind, fields| HistoryChange {
        sequence,
        change_date: at,
        kind: kind.name().to_owned(),
        editor_id: "admin".to_owned(),
        resource_owner: org().to_string(),
        fields,
    };
    let field = |field: &str, old: Option<&str>, new: &str| FieldChange {
        field: field.to_owned(),
        old: old.map(str::to_owned),
        new: new.to_owned(),
    };
    HistoryReply {
        changes: vec![
            change(3, REMOVED, EventKind::Removed, vec![]),
            change(
                2,
                CHANGED,
                EventKind::Changed,
                vec![
                    field("nickName", Some(""), &after().nick_name),
                    field("gender", Some("GENDER_UNSPECIFIED"), "GENDER_DIVERSE"),
                ],
            ),
            change(
                1,
                CREATED,
                EventKind::Created,
                vec![field("firstName", None, "Ada")],
            ),
        ],
        next_cursor: Some("b3BhcXVl".to_owned()),
    }
}

fn replay() -> ReplayReply {
    let event = text(&event(EventKind::Changed, EventPayload::Changed));
    ReplayReply {
        events: vec![ReplayedEvent {
            position: 7,
            event: RawValue::from_string(event).unwrap(),
        }],
        position: 9,
        end: true,
    }
}

/// Name and JSON of every kind of reply.
pub(crate) fn replies() -> Vec<(&'static str, String)> {
    let command = |user_id, details| CommandReply { user_id, details };
    let list = |users, next_cursor| ListReply {
        users,
        next_cursor,
        position: 9,
    };
    let created = details(1, Some(CREATED), None);
    vec![
        ("create", text(&command(Some(user().to_string()), created))),
        (
            "update",
            text(&command(None, details(2, None, Some(CHANGED)))),
        ),
        ("get", text(&get())),
        ("get-least", text(&get_least())),
        ("history", text(&history())),
        (
            "list",
            text(&list(vec![get()], Some("b3BhcXVl".to_owned()))),
        ),
        ("list-empty", text(&list(vec![], None))),
        ("replay", text(&replay())),
    ]
}

/// One status per code, with the details that go with it.
pub(crate) fn errors() -> Vec<Status> {
    ErrorCode::ALL.map(error).into()
}

fn error(code: ErrorCode) -> Status {
    let metadata = |retry| ErrorMetadata {
        retry,
        idempotency_key: None,
        current_version: None,
        position: None,
    };
    let (message, retry) = match code {
        ErrorCode::InvalidArgument => (
            "invalid UpdateHumanProfileRequest.FirstName: value length must be between 1 and 200 \
             runes, inclusive",
            Retry::No,
        ),
        ErrorCode::Unauthenticated => ("Errors.Token.Invalid (AUTH-7fs1e)", Retry::No),
        ErrorCode::PermissionDenied => ("No matching permissions found (AUTH-5mWD2)", Retry::No),
        ErrorCode::NotFound => ("User could not be found (QUERY-HNhb3)", Retry::No),
        ErrorCode::FailedPrecondition => ("Profile not changed (COMMAND-2M0fs)", Retry::No),
        ErrorCode::Aborted => (
            "expected version does not match, the current version is 5",
            Retry::No,
        ),
        ErrorCode::OutOfRange => ("events before position 7 are no longer kept", Retry::No),
        ErrorCode::Unimplemented => ("no such operation", Retry::No),
        ErrorCode::ResourceExhausted => {
            ("too many requests: the append queue is full", Retry::Safe)
        }
        ErrorCode::DeadlineExceeded => (
            "the deadline passed before the change was made",
            Retry::Safe,
        ),
        ErrorCode::Unavailable => ("service unavailable: the commit log is closed", Retry::Safe),
        ErrorCode::OutcomeUnknown => (
            "the outcome is unknown, repeat the request with the same idempotency key",
            Retry::SameKey,
        ),
        ErrorCode::Internal => ("internal error", Retry::No),
    };
    let mut info = metadata(retry);
    let mut details = Vec::new();
    // All violations, and both optional keys, stand in one golden file each.
    if code == ErrorCode::InvalidArgument {
        let description = "value length must be between 1 and 200 runes, inclusive";
        let violation = |field: &str| FieldViolation {
            field: field.to_owned(),
            description: description.to_owned(),
        };
        let field_violations = vec![violation("firstName"), violation("lastName")];
        details.push(StatusDetail::BadRequest { field_violations });
    }
    // ZITADEL's texts carry ZITADEL's id.
    if let Some((text, id)) = message
        .strip_suffix(')')
        .and_then(|text| text.split_once(" ("))
    {
        let (id, message) = (id.to_owned(), text.to_owned());
        details.push(StatusDetail::ErrorDetail { id, message });
    }
    if code == ErrorCode::Aborted {
        info.current_version = Some("5".to_owned());
    }
    if code == ErrorCode::OutOfRange {
        info.position = Some("7".to_owned());
    }
    if code == ErrorCode::OutcomeUnknown {
        info.idempotency_key = Some("000102030405060708090a0b0c0d0e0f".to_owned());
    }
    details.push(StatusDetail::ErrorInfo {
        reason: code.name().to_owned(),
        domain: "profile-service".to_owned(),
        metadata: info,
    });
    Status {
        code: code.grpc(),
        message: message.to_owned(),
        details,
    }
}

/// Name and event of every kind with every payload.
pub(crate) fn events() -> Vec<(String, CloudEvent)> {
    let payloads = [
        ("names", EventPayload::Names),
        ("changed", EventPayload::Changed),
        ("full", EventPayload::Full),
    ];
    let of_kind = |kind: EventKind| {
        payloads.map(|(name, payload)| (format!("{}-{name}", kind.name()), event(kind, payload)))
    };
    EventKind::ALL.into_iter().flat_map(of_kind).collect()
}

fn event(kind: EventKind, payload: EventPayload) -> CloudEvent {
    let unset = ProfileFields {
        first_name: String::new(),
        last_name: String::new(),
        display_name: String::new(),
        ..before()
    };
    let (version, at, old, new, profile) = match kind {
        EventKind::Created => {
            let values = FieldChanges::between(&unset, &before());
            (1, CREATED, None, Some(values), Some(before()))
        }
        EventKind::Changed => {
            let old = FieldChanges::between(&after(), &before());
            let new = FieldChanges::between(&before(), &after());
            (2, CHANGED, Some(old), Some(new), Some(after()))
        }
        EventKind::Removed => (3, REMOVED, None, None, None),
    };
    let names = new.iter().flat_map(FieldChanges::names);
    let changed = names.map(str::to_owned).collect();
    let (values, old_values, profile) = match payload {
        EventPayload::Names => (None, None, None),
        EventPayload::Changed => (new, None, None),
        EventPayload::Full => (new, old, profile),
    };
    CloudEvent {
        specversion: "1.0".to_owned(),
        id: profile_messages::event::event_id(&user(), 1, Version(version)),
        source: "/profile/5f1e".to_owned(),
        event_type: kind.type_name().to_owned(),
        subject: user().to_string(),
        time: at,
        datacontenttype: "application/json".to_owned(),
        userversion: version,
        data: EventData {
            user_id: user().to_string(),
            org_id: org().to_string(),
            changed,
            values,
            old_values,
            profile,
        },
    }
}

fn state(fields: ProfileFields) -> UserState {
    UserState {
        fields,
        contact: contact(),
        created_at: CREATED,
    }
}

fn key(byte: u8, origin: KeyOrigin) -> CommandKey {
    let hash = [byte; 16];
    CommandKey { hash, origin }
}

/// Name and record of every kind, with and without a key.
pub(crate) fn records() -> Vec<(String, Record)> {
    let keys = [
        ("no-key", None),
        ("caller-key", Some(key(0xaa, KeyOrigin::Caller))),
        ("generated-key", Some(key(0xbb, KeyOrigin::Generated))),
    ];
    let of_kind = |kind: EventKind| {
        keys.map(|(name, key)| (format!("{}-{name}", kind.name()), record(kind, key)))
    };
    let mut records: Vec<_> = EventKind::ALL.into_iter().flat_map(of_kind).collect();
    let traced = Record {
        trace: TraceContext::new([0xdd; 16], [0xee; 8], 1, "vendor=state"),
        ..record(EventKind::Changed, None)
    };
    records.push(("changed-traced".to_owned(), traced));
    records
}

fn record(kind: EventKind, key: Option<CommandKey>) -> Record {
    let (position, previous, version, at, state) = match kind {
        EventKind::Created => (5, 0, 1, CREATED, Some(state(before()))),
        EventKind::Changed => (0x0102_0304_0506_0708, 5, 2, CHANGED, Some(state(after()))),
        EventKind::Removed => (u64::MAX, 0x0102_0304_0506_0708, 3, REMOVED, None),
    };
    Record {
        position: Position(position),
        previous: Position(previous),
        user: user(),
        org: org(),
        version: Version(version),
        epoch: 0x0a0b_0c0d,
        at,
        kind,
        key,
        request_hash: [0xcc; 16],
        event: Bytes::from(text(&event(kind, EventPayload::Changed))),
        actor: "admin".to_owned(),
        actor_issuer: "https://issuer.example".to_owned(),
        state,
        trace: None,
    }
}

/// Name and entry of a user with and without remembered commands, and of a removed one.
pub(crate) fn currents() -> Vec<(&'static str, CurrentUser)> {
    let recent = |byte, origin, kind, version, at| RecentCommand {
        key: key(byte, origin),
        request_hash: [0xcc; 16],
        kind,
        version: Version(version),
        at,
    };
    let changed = CurrentUser {
        user: user(),
        org: org(),
        version: Version(2),
        position: Position(6),
        epoch: 1,
        at: CHANGED,
        state: Some(state(after())),
        recent: vec![
            recent(0xaa, KeyOrigin::Caller, EventKind::Created, 1, CREATED),
            recent(0xbb, KeyOrigin::Generated, EventKind::Changed, 2, CHANGED),
        ],
    };
    let fresh = CurrentUser {
        version: Version(1),
        position: Position(5),
        at: CREATED,
        state: Some(state(before())),
        recent: vec![],
        ..changed.clone()
    };
    let removed = CurrentUser {
        version: Version(3),
        position: Position(7),
        at: REMOVED,
        state: None,
        recent: vec![recent(
            0xdd,
            KeyOrigin::Caller,
            EventKind::Removed,
            3,
            REMOVED,
        )],
        ..changed.clone()
    };
    vec![
        ("no-commands", fresh),
        ("commands", changed),
        ("removed", removed),
    ]
}

fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}
