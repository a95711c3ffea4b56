//! docs/errors.md has one row for each error, and each of its rows is an error.

use std::collections::BTreeSet;

use super::*;

/// A number that stands in no text by itself: what replaces it is written in the catalogue.
const NUMBER: usize = 424_242;
const COLUMN: usize = 515_151;

#[test]
fn the_catalogue_has_every_error_and_nothing_else() {
    let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    let catalogue = std::fs::read_to_string(catalogue).unwrap();
    let mut listed = BTreeSet::new();
    for row in catalogue.lines().filter_map(error_row) {
        let [facts @ .., why, remedy] = row.as_slice() else {
            panic!("too short: {row:?}");
        };
        assert!(!why.is_empty() && !remedy.is_empty(), "{row:?}");
        assert!(listed.insert(facts.join(" | ")), "twice: {row:?}");
    }
    let answered: BTreeSet<String> = every_error().iter().map(facts).collect();
    let missing: Vec<_> = answered.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&answered).collect();
    assert!(missing.is_empty(), "no row in docs/errors.md: {missing:#?}");
    assert!(
        stale.is_empty(),
        "in docs/errors.md and never answered: {stale:#?}"
    );
}

/// The cells of a row of the tables of errors: text, code, HTTP, retry, why, what to do.
fn error_row(line: &str) -> Option<Vec<&str>> {
    let cells = line.strip_prefix("| `")?.strip_suffix(" |")?;
    let cells: Vec<_> = cells.split(" | ").collect();
    (cells.len() == 6).then_some(cells)
}

/// The first four cells, without the backtick that begins the row.
fn facts(error: &ServiceError) -> String {
    let status = error.status();
    let retry = status.info().unwrap().retry.name();
    let message = status.message;
    let number = if matches!(error, ServiceError::Body(_)) {
        "<line>"
    } else if error.code() == ErrorCode::OutOfRange {
        "<position>"
    } else {
        "<version>"
    };
    let message = message.replace(&NUMBER.to_string(), number);
    let message = message.replace(&COLUMN.to_string(), "<column>");
    let code = error.code();
    format!(
        "{message}` | `{}` {} | {} | `{retry}`",
        code.name(),
        code.grpc(),
        code.http()
    )
}

fn every_error() -> Vec<ServiceError> {
    let bodies = from(BodyError::TooLong, after_body_error);
    let auth = from(AuthError::HeaderMissing, after_auth_error);
    let reads = from(Read::Profile, after_read);
    let rejections = Rejection::ALL.map(ServiceError::Rejected);
    let others = from(
        ServiceError::Headers(vec![violation("<name>", "<rule>")]),
        after,
    );
    let families = bodies.into_iter().map(ServiceError::Body);
    let families = families.chain(auth.into_iter().map(ServiceError::Auth));
    let families = families.chain(reads.into_iter().map(ServiceError::ReadNotFound));
    families.chain(rejections).chain(others).collect()
}

/// `first` and what comes after it. Each `after` names every variant, so that a new one does not compile
/// until it has its place in the row.
fn from<T: Clone>(first: T, after: impl Fn(&T) -> Option<T>) -> Vec<T> {
    std::iter::successors(Some(first), after).collect()
}

fn after(error: &ServiceError) -> Option<ServiceError> {
    Some(match error {
        // Families with rows of their own.
        ServiceError::Body(_)
        | ServiceError::Auth(_)
        | ServiceError::Rejected(_)
        | ServiceError::ReadNotFound(_) => return None,
        ServiceError::Headers(_) => ServiceError::UserMismatch,
        ServiceError::UserMismatch => ServiceError::Invalid {
            message: "invalid <Message>.<Field>: <rule>".to_owned(),
            violations: vec![violation("<field>", "<rule>")],
        },
        ServiceError::Invalid { .. } => ServiceError::Unsupported("<part>"),
        ServiceError::Unsupported(_) => ServiceError::NoUserType,
        ServiceError::NoUserType => ServiceError::VersionMismatch {
            current: Version(NUMBER as u64),
        },
        ServiceError::VersionMismatch { .. } => ServiceError::KeyReused,
        ServiceError::KeyReused => ServiceError::Overloaded("<bound>"),
        ServiceError::Overloaded(_) => ServiceError::DeadlineExceeded,
        ServiceError::DeadlineExceeded => ServiceError::BodyTimeout,
        ServiceError::BodyTimeout => ServiceError::VersionNotReached {
            wanted: Version(NUMBER as u64),
        },
        ServiceError::VersionNotReached { .. } => ServiceError::Unavailable("<what>"),
        ServiceError::Unavailable(_) => ServiceError::OutcomeUnknown { key: String::new() },
        ServiceError::OutcomeUnknown { .. } => ServiceError::Compacted {
            first_kept: Position(NUMBER as u64),
        },
        ServiceError::Compacted { .. } => ServiceError::PositionAhead {
            end: Position(NUMBER as u64),
        },
        ServiceError::PositionAhead { .. } => ServiceError::UnknownSubject,
        ServiceError::UnknownSubject => ServiceError::Internal,
        ServiceError::Internal => return None,
    })
}

fn after_body_error(error: &BodyError) -> Option<BodyError> {
    let (line, column) = (NUMBER, COLUMN);
    Some(match error {
        BodyError::TooLong => BodyError::Eof,
        BodyError::Eof => BodyError::Syntax { line, column },
        BodyError::Syntax { .. } => BodyError::Undecodable,
        BodyError::Undecodable => BodyError::Twice("<name>"),
        BodyError::Twice(_) => BodyError::Field {
            what: "<what>",
            line,
            column,
        },
        BodyError::Field { .. } => return None,
    })
}

fn after_auth_error(error: &AuthError) -> Option<AuthError> {
    Some(match error {
        AuthError::HeaderMissing => AuthError::HeaderInvalid,
        AuthError::HeaderInvalid => AuthError::TokenInvalid,
        AuthError::TokenInvalid => AuthError::OrgUnknown,
        AuthError::OrgUnknown => AuthError::NoMembership,
        AuthError::NoMembership => AuthError::NoPermission,
        AuthError::NoPermission => AuthError::NoPermissionInCommand,
        AuthError::NoPermissionInCommand => AuthError::KeysUnavailable,
        AuthError::KeysUnavailable => AuthError::IssuerUnavailable,
        AuthError::IssuerUnavailable => AuthError::IssuerBusy,
        AuthError::IssuerBusy => return None,
    })
}

fn after_read(read: &Read) -> Option<Read> {
    match read {
        Read::Profile => Some(Read::ManagementUser),
        Read::ManagementUser => Some(Read::User),
        Read::User => None,
    }
}

fn violation(field: &str, description: &str) -> FieldViolation {
    FieldViolation {
        field: field.to_owned(),
        description: description.to_owned(),
    }
}
