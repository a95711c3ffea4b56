//! What the service answers is what the contract's golden files say.

use std::path::Path;

use super::*;

mod catalogue;

fn golden(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../messages/golden");
    std::fs::read_to_string(folder.join(name))
        .unwrap()
        .trim_end()
        .to_owned()
}

/// One error of each code, with the values of the golden file.
fn of(code: ErrorCode) -> ServiceError {
    match code {
        ErrorCode::InvalidArgument => {
            let description = "value length must be between 1 and 200 runes, inclusive".to_owned();
            let violation = |field: &str| FieldViolation {
                field: field.to_owned(),
                description: description.clone(),
            };
            ServiceError::Invalid {
                message: format!("invalid UpdateHumanProfileRequest.FirstName: {description}"),
                violations: vec![violation("firstName"), violation("lastName")],
            }
        }
        ErrorCode::Unauthenticated => ServiceError::Auth(AuthError::TokenInvalid),
        ErrorCode::PermissionDenied => ServiceError::Auth(AuthError::NoPermission),
        ErrorCode::NotFound => ServiceError::ReadNotFound(Read::Profile),
        ErrorCode::FailedPrecondition => ServiceError::Rejected(Rejection::NotChanged),
        ErrorCode::Aborted => ServiceError::VersionMismatch {
            current: Version(5),
        },
        ErrorCode::OutOfRange => ServiceError::Compacted {
            first_kept: Position(7),
        },
        ErrorCode::Unimplemented => ServiceError::UnknownSubject,
        ErrorCode::ResourceExhausted => ServiceError::Overloaded("the append queue is full"),
        ErrorCode::DeadlineExceeded => ServiceError::DeadlineExceeded,
        ErrorCode::Unavailable => ServiceError::Unavailable("the commit log is closed"),
        ErrorCode::OutcomeUnknown => ServiceError::OutcomeUnknown {
            key: "000102030405060708090a0b0c0d0e0f".to_owned(),
        },
        ErrorCode::Internal => ServiceError::Internal,
    }
}

#[test]
fn every_code_is_answered_as_its_golden_file_says() {
    for code in ErrorCode::ALL {
        let error = of(code);
        assert_eq!(error.code(), code);
        let file = format!(
            "error-{}.json",
            code.name().to_lowercase().replace('_', "-")
        );
        let body = serde_json::to_string(&error.status()).unwrap();
        assert_eq!(body, golden(&file), "{file}");
    }
}
