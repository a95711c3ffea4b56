//! Every way a request can fail, and the one place that turns it into a code, a text and a body.

use profile_domain::Rejection;
use profile_messages::error::{
    ErrorCode, ErrorMetadata, FieldViolation, Retry, Status, StatusDetail,
};
use profile_messages::json::BodyError;
use profile_messages::{Position, Version};

mod auth_error;
#[cfg(test)]
mod tests;

pub use auth_error::AuthError;

/// `domain` of the ErrorInfo detail.
pub const ERROR_DOMAIN: &str = "profile-service";

/// What the funnel answers when it does not succeed. Texts never hold a value of a profile field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The body is not a message. Answered before authentication, as in ZITADEL.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Headers that are not of their form.
    #[error("invalid header {}: {}", first(.0).field, first(.0).description)]
    Headers(Vec<FieldViolation>),
    /// The per-user subject and the body name different users.
    #[error("userId in the body is not the user of the subject")]
    UserMismatch,
    #[error("{0}")]
    Auth(AuthError),
    /// Fields that break a rule: ZITADEL's text of the first, and all of them.
    #[error("{message}")]
    Invalid {
        message: String,
        violations: Vec<FieldViolation>,
    },
    #[error("{0} ({id})", id = .0.id())]
    Rejected(Rejection),
    /// A read of an unknown, removed or another organization's user.
    #[error("User could not be found ({id})", id = .0.not_found_id())]
    ReadNotFound(Read),
    /// A part of ZITADEL's API that is not about profiles; names it.
    #[error("{0} is not supported by profile-service")]
    Unsupported(&'static str),
    /// ZITADEL's text for a v2 CreateUser or UpdateUser that is neither of a human nor of a machine.
    #[error("user type is not implemented")]
    NoUserType,
    #[error("expected version does not match, the current version is {current}")]
    VersionMismatch { current: Version },
    #[error("the idempotency key was used with another request")]
    KeyReused,
    /// A bound was reached; names the bound.
    #[error("too many requests: {0}")]
    Overloaded(&'static str),
    #[error("the deadline passed before the change was made")]
    DeadlineExceeded,
    /// The sender was too slow: nothing was read of it, so nothing was done.
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("the profile has not reached version {wanted} in time")]
    VersionNotReached { wanted: Version },
    /// Certainly not done.
    #[error("service unavailable: {0}")]
    Unavailable(&'static str),
    /// Maybe done.
    #[error("the outcome is unknown, repeat the request with the same idempotency key")]
    OutcomeUnknown { key: String },
    #[error("events before position {first_kept} are no longer kept")]
    Compacted { first_kept: Position },
    /// The caller knows a position that this store never had: another store, or a restored one.
    #[error("the log ends at position {end}")]
    PositionAhead { end: Position },
    #[error("no such operation")]
    UnknownSubject,
    /// The cause went to the log.
    #[error("internal error")]
    Internal,
}

/// Which read did not find its user: each has ZITADEL's error id of its own (zitadel-api §3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// v1 GetHumanProfile and GetMyProfile, and our own reads.
    Profile,
    /// v1 GetUserByID.
    ManagementUser,
    /// v2 GetUserByID.
    User,
}

impl Read {
    fn not_found_id(self) -> &'static str {
        match self {
            Read::Profile => "QUERY-HNhb3",
            Read::ManagementUser => "MANAG-fpo4B",
            Read::User => "QUERY-Dfbg2",
        }
    }
}

impl ServiceError {
    pub fn code(&self) -> ErrorCode {
        match self {
            ServiceError::Body(_)
            | ServiceError::Headers(_)
            | ServiceError::UserMismatch
            | ServiceError::Invalid { .. }
            | ServiceError::KeyReused => ErrorCode::InvalidArgument,
            ServiceError::Auth(error) => error.code(),
            ServiceError::Rejected(rejection) => rejection_code(*rejection),
            ServiceError::ReadNotFound(_) => ErrorCode::NotFound,
            ServiceError::VersionMismatch { .. } => ErrorCode::Aborted,
            ServiceError::Overloaded(_) => ErrorCode::ResourceExhausted,
            ServiceError::DeadlineExceeded
            | ServiceError::BodyTimeout
            | ServiceError::VersionNotReached { .. } => ErrorCode::DeadlineExceeded,
            ServiceError::Unavailable(_) => ErrorCode::Unavailable,
            ServiceError::OutcomeUnknown { .. } => ErrorCode::OutcomeUnknown,
            ServiceError::Compacted { .. } | ServiceError::PositionAhead { .. } => {
                ErrorCode::OutOfRange
            }
            ServiceError::Unsupported(_)
            | ServiceError::NoUserType
            | ServiceError::UnknownSubject => ErrorCode::Unimplemented,
            ServiceError::Internal => ErrorCode::Internal,
        }
    }

    /// The error body: ZITADEL's text and detail, all violations, and what to do next.
    pub fn status(&self) -> Status {
        let mut details = Vec::new();
        if let Some((id, message)) = self.zitadel_detail() {
            details.push(StatusDetail::ErrorDetail {
                id: id.to_owned(),
                message,
            });
        }
        if let ServiceError::Invalid { violations, .. } | ServiceError::Headers(violations) = self {
            details.push(StatusDetail::BadRequest {
                field_violations: violations.clone(),
            });
        }
        details.push(StatusDetail::ErrorInfo {
            reason: self.code().name().to_owned(),
            domain: ERROR_DOMAIN.to_owned(),
            metadata: self.metadata(),
        });
        Status {
            code: self.code().grpc(),
            message: self.to_string(),
            details,
        }
    }

    fn zitadel_detail(&self) -> Option<(&'static str, String)> {
        match self {
            ServiceError::Auth(error) => error.detail(),
            ServiceError::Rejected(rejection) => Some((rejection.id(), rejection.to_string())),
            ServiceError::ReadNotFound(read) => {
                Some((read.not_found_id(), "User could not be found".to_owned()))
            }
            ServiceError::Body(_)
            | ServiceError::Headers(_)
            | ServiceError::UserMismatch
            | ServiceError::Invalid { .. }
            | ServiceError::VersionMismatch { .. }
            | ServiceError::KeyReused
            | ServiceError::Overloaded(_)
            | ServiceError::DeadlineExceeded
            | ServiceError::BodyTimeout
            | ServiceError::VersionNotReached { .. }
            | ServiceError::Unavailable(_)
            | ServiceError::OutcomeUnknown { .. }
            | ServiceError::Compacted { .. }
            | ServiceError::PositionAhead { .. }
            | ServiceError::Unsupported(_)
            | ServiceError::NoUserType
            | ServiceError::UnknownSubject
            | ServiceError::Internal => None,
        }
    }

    fn metadata(&self) -> ErrorMetadata {
        let mut metadata = ErrorMetadata {
            retry: self.retry(),
            idempotency_key: None,
            current_version: None,
            position: None,
        };
        if let ServiceError::Compacted {
            first_kept: position,
        }
        | ServiceError::PositionAhead { end: position } = self
        {
            metadata.position = Some(position.to_string());
        }
        if let ServiceError::OutcomeUnknown { key } = self {
            metadata.idempotency_key = Some(key.clone());
        }
        if let ServiceError::VersionMismatch { current } = self {
            metadata.current_version = Some(current.to_string());
        }
        metadata
    }

    fn retry(&self) -> Retry {
        match self.code() {
            ErrorCode::ResourceExhausted | ErrorCode::Unavailable | ErrorCode::DeadlineExceeded => {
                Retry::Safe
            }
            ErrorCode::OutcomeUnknown => Retry::SameKey,
            ErrorCode::InvalidArgument
            | ErrorCode::Unauthenticated
            | ErrorCode::PermissionDenied
            | ErrorCode::NotFound
            | ErrorCode::FailedPrecondition
            | ErrorCode::Aborted
            | ErrorCode::OutOfRange
            | ErrorCode::Unimplemented
            | ErrorCode::Internal => Retry::No,
        }
    }
}

fn rejection_code(rejection: Rejection) -> ErrorCode {
    match rejection {
        Rejection::ProfileNotFound | Rejection::NotChanged | Rejection::AlreadyExists => {
            ErrorCode::FailedPrecondition
        }
        Rejection::UserNotFound | Rejection::RemoveNotFound => ErrorCode::NotFound,
        Rejection::FirstNameEmpty | Rejection::LastNameEmpty => ErrorCode::InvalidArgument,
    }
}

fn first(violations: &[FieldViolation]) -> FieldViolation {
    let none = || FieldViolation {
        field: String::new(),
        description: String::new(),
    };
    violations.first().cloned().unwrap_or_else(none)
}
