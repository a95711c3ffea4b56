//! The closed set of error codes and the body of every error answer.

use serde::{Deserialize, Serialize};

/// What went wrong, as a caller may branch on it. The one mapping to gRPC, HTTP and NATS stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorCode {
    /// The request itself is wrong: a field, a header, the JSON, a key used with another body.
    InvalidArgument,
    /// No valid token.
    Unauthenticated,
    /// A valid token without the permission.
    PermissionDenied,
    /// No such user (reads, v2) or no membership.
    NotFound,
    /// A rule refuses the command in the present state.
    FailedPrecondition,
    /// The expected version is not the current one.
    Aborted,
    /// The position was compacted away.
    OutOfRange,
    /// The subject or method exists in ZITADEL but not here.
    Unimplemented,
    /// A bound was reached; nothing was done.
    ResourceExhausted,
    /// The caller's deadline passed before the append; nothing was done.
    DeadlineExceeded,
    /// Certainly not done; may be tried again.
    Unavailable,
    /// Maybe done: ask again with the same idempotency key.
    OutcomeUnknown,
    /// A fault of the service.
    Internal,
}

impl ErrorCode {
    pub const ALL: [ErrorCode; 13] = [
        ErrorCode::InvalidArgument,
        ErrorCode::Unauthenticated,
        ErrorCode::PermissionDenied,
        ErrorCode::NotFound,
        ErrorCode::FailedPrecondition,
        ErrorCode::Aborted,
        ErrorCode::OutOfRange,
        ErrorCode::Unimplemented,
        ErrorCode::ResourceExhausted,
        ErrorCode::DeadlineExceeded,
        ErrorCode::Unavailable,
        ErrorCode::OutcomeUnknown,
        ErrorCode::Internal,
    ];

    /// The gRPC status number, also `code` in the error body.
    pub fn grpc(self) -> i32 {
        match self {
            ErrorCode::OutcomeUnknown => 2,
            ErrorCode::InvalidArgument => 3,
            ErrorCode::DeadlineExceeded => 4,
            ErrorCode::NotFound => 5,
            ErrorCode::PermissionDenied => 7,
            ErrorCode::ResourceExhausted => 8,
            ErrorCode::FailedPrecondition => 9,
            ErrorCode::Aborted => 10,
            ErrorCode::OutOfRange => 11,
            ErrorCode::Unimplemented => 12,
            ErrorCode::Internal => 13,
            ErrorCode::Unavailable => 14,
            ErrorCode::Unauthenticated => 16,
        }
    }

    /// The HTTP status as grpc-gateway maps it, also `Nats-Service-Error-Code`.
    pub fn http(self) -> u16 {
        match self {
            ErrorCode::InvalidArgument | ErrorCode::FailedPrecondition | ErrorCode::OutOfRange => {
                400
            }
            ErrorCode::Unauthenticated => 401,
            ErrorCode::PermissionDenied => 403,
            ErrorCode::NotFound => 404,
            ErrorCode::Aborted => 409,
            ErrorCode::ResourceExhausted => 429,
            ErrorCode::OutcomeUnknown | ErrorCode::Internal => 500,
            ErrorCode::Unimplemented => 501,
            ErrorCode::Unavailable => 503,
            ErrorCode::DeadlineExceeded => 504,
        }
    }

    /// The upper-case name, `reason` in the ErrorInfo detail.
    pub fn name(self) -> &'static str {
        match self {
            ErrorCode::InvalidArgument => "INVALID_ARGUMENT",
            ErrorCode::Unauthenticated => "UNAUTHENTICATED",
            ErrorCode::PermissionDenied => "PERMISSION_DENIED",
            ErrorCode::NotFound => "NOT_FOUND",
            ErrorCode::FailedPrecondition => "FAILED_PRECONDITION",
            ErrorCode::Aborted => "ABORTED",
            ErrorCode::OutOfRange => "OUT_OF_RANGE",
            ErrorCode::Unimplemented => "UNIMPLEMENTED",
            ErrorCode::ResourceExhausted => "RESOURCE_EXHAUSTED",
            ErrorCode::DeadlineExceeded => "DEADLINE_EXCEEDED",
            ErrorCode::Unavailable => "UNAVAILABLE",
            ErrorCode::OutcomeUnknown => "OUTCOME_UNKNOWN",
            ErrorCode::Internal => "INTERNAL",
        }
    }

    pub fn from_grpc(number: i32) -> Option<ErrorCode> {
        ErrorCode::ALL
            .into_iter()
            .find(|code| code.grpc() == number)
    }
}

/// Whether to send the same request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Retry {
    /// Nothing was done: send it again as it is, after a pause.
    #[serde(rename = "safe")]
    Safe,
    /// It may have been done: send it again with the idempotency key of the answer.
    #[serde(rename = "same-key")]
    SameKey,
    /// The same request will fail again.
    #[serde(rename = "no")]
    No,
}

impl Retry {
    pub fn name(self) -> &'static str {
        match self {
            Retry::Safe => "safe",
            Retry::SameKey => "same-key",
            Retry::No => "no",
        }
    }
}

/// One broken rule of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldViolation {
    /// JSON path, lowerCamelCase, e.g. `profile.firstName`.
    pub field: String,
    /// The rule and its limit; never the value.
    pub description: String,
}

/// google.rpc.Status as protobuf JSON: the body of every error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub code: i32,
    /// ZITADEL's text alone.
    pub message: String,
    /// Read without those of a kind that this release does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "known_details")]
    pub details: Vec<StatusDetail>,
}

/// Details are an open list: a later release may add one, and the code must still be readable.
fn known_details<'de, D>(deserializer: D) -> Result<Vec<StatusDetail>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let details = Vec::<serde_json::Value>::deserialize(deserializer)?;
    let known = details.into_iter().map(serde_json::from_value);
    Ok(known.filter_map(Result::ok).collect())
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "@type")]
pub enum StatusDetail {
    #[serde(rename = "type.googleapis.com/zitadel.v1.ErrorDetail")]
    ErrorDetail { id: String, message: String },
    #[serde(
        rename = "type.googleapis.com/google.rpc.BadRequest",
        rename_all = "camelCase"
    )]
    BadRequest {
        field_violations: Vec<FieldViolation>,
    },
    #[serde(rename = "type.googleapis.com/google.rpc.ErrorInfo")]
    ErrorInfo {
        reason: String,
        domain: String,
        metadata: ErrorMetadata,
    },
}

/// `metadata` of the ErrorInfo detail: a map of strings in protobuf, the keys we use in Rust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorMetadata {
    pub retry: Retry,
    /// The key to retry with, where the service made one up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The user's version, where the expected one was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_version: Option<String>,
    /// The first position that is kept, or the end of the log, where another one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
}

impl Status {
    pub fn info(&self) -> Option<&ErrorMetadata> {
        self.details.iter().find_map(|detail| match detail {
            StatusDetail::ErrorInfo { metadata, .. } => Some(metadata),
            StatusDetail::ErrorDetail { .. } | StatusDetail::BadRequest { .. } => None,
        })
    }

    pub fn violations(&self) -> &[FieldViolation] {
        self.details
            .iter()
            .find_map(|detail| match detail {
                StatusDetail::BadRequest { field_violations } => Some(field_violations.as_slice()),
                StatusDetail::ErrorDetail { .. } | StatusDetail::ErrorInfo { .. } => None,
            })
            .unwrap_or_default()
    }
}
