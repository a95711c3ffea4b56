//! An error as google.rpc.Status in protobuf, with the same details that JSON shows.

use std::collections::HashMap;

use profile_messages::error::{ErrorMetadata, Status, StatusDetail};
use prost::Message;
use prost_types::Any;
use tonic_types::pb;

use super::proto::zitadel::v1::ErrorDetail;

/// `grpc-status-details-bin`.
pub(in crate::transport) fn status_bytes(status: &Status) -> Vec<u8> {
    pb::Status {
        code: status.code,
        message: status.message.clone(),
        details: status.details.iter().map(any).collect(),
    }
    .encode_to_vec()
}

/// The full protobuf name of a detail and its bytes, as Connect shows them.
pub(in crate::transport) fn detail_bytes(detail: &StatusDetail) -> (&'static str, Vec<u8>) {
    match detail {
        StatusDetail::ErrorDetail { id, message } => {
            let (id, message) = (id.clone(), message.clone());
            (
                "zitadel.v1.ErrorDetail",
                ErrorDetail { id, message }.encode_to_vec(),
            )
        }
        StatusDetail::BadRequest { field_violations } => {
            let violation = |violation: &profile_messages::error::FieldViolation| {
                pb::bad_request::FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                    ..Default::default()
                }
            };
            let field_violations = field_violations.iter().map(violation).collect();
            let bytes = pb::BadRequest { field_violations }.encode_to_vec();
            ("google.rpc.BadRequest", bytes)
        }
        StatusDetail::ErrorInfo {
            reason,
            domain,
            metadata,
        } => {
            let bytes = pb::ErrorInfo {
                reason: reason.clone(),
                domain: domain.clone(),
                metadata: entries(metadata),
            }
            .encode_to_vec();
            ("google.rpc.ErrorInfo", bytes)
        }
    }
}

fn any(detail: &StatusDetail) -> Any {
    let (name, value) = detail_bytes(detail);
    Any {
        type_url: format!("type.googleapis.com/{name}"),
        value,
    }
}

fn entries(metadata: &ErrorMetadata) -> HashMap<String, String> {
    let ErrorMetadata {
        retry,
        idempotency_key,
        current_version,
        position,
    } = metadata;
    let optional = [
        ("idempotencyKey", idempotency_key),
        ("currentVersion", current_version),
        ("position", position),
    ];
    let optional = optional
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)));
    std::iter::once(("retry", retry.name().to_owned()))
        .chain(optional)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
