//! A NATS message into a request of the funnel. Nothing in here can panic on any input.

use async_nats::HeaderMap;
use profile_messages::command::{CommandRequest, CreateBody, PatchBody, TargetBody, UpdateBody};
use profile_messages::envelope::{Envelope, TRACEPARENT, TRACESTATE};
use profile_messages::json::decode_body;
use profile_messages::query::{GetBody, PageBody, QueryRequest, ReplayBody};
use profile_messages::subject::{Operation, REQUESTS, RequestSubject};
use profile_messages::trace::TraceContext;

use crate::error::ServiceError;
use crate::telemetry::traces::Served;
use crate::transport::Request;

/// Reads the headers. Letter case does not matter, the first value of a name counts.
///
/// # Errors
/// [`ServiceError::Headers`] with every header that is not of its form.
pub(in crate::transport) fn envelope(
    headers: Option<&HeaderMap>,
) -> Result<Envelope, ServiceError> {
    Envelope::from_headers(|name| headers.and_then(|headers| first_value(headers, name)))
        .map_err(ServiceError::Headers)
}

/// The caller's place in a trace, if it says so in the form of the W3C.
pub(super) fn trace(headers: Option<&HeaderMap>) -> Option<TraceContext> {
    let value = |name| headers.and_then(|headers| first_value(headers, name));
    TraceContext::parse(value(TRACEPARENT)?, value(TRACESTATE).unwrap_or_default())
}

/// A request as a trace shows it: by the form of its subject, without the user in it.
pub(super) fn traced_as(subject: Option<&RequestSubject<'_>>) -> Served {
    let template = match subject {
        None => REQUESTS.to_owned(),
        Some(RequestSubject {
            operation,
            user: None,
        }) => operation.subject(),
        Some(RequestSubject {
            operation,
            user: Some(_),
        }) => format!("profile.v1.user.{{userId}}.{}", operation.name()),
    };
    Served {
        name: template.clone().into(),
        attributes: vec![
            ("messaging.system", "nats".into()),
            ("messaging.operation.name", "process".into()),
            ("messaging.operation.type", "process".into()),
            ("messaging.destination.template", template.into()),
        ],
    }
}

/// Names that differ in letter case only have lost their order by now: the one written as documented
/// counts, else the least, so that the same request is always read the same.
fn first_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .map(|(found, values)| (AsRef::<str>::as_ref(found), values))
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .min_by_key(|&(found, _)| (found != name, found))
        .and_then(|(_, values)| values.first())
        .map(|value| value.as_str())
}

/// Reads the body of `subject`'s operation.
///
/// # Errors
/// [`ServiceError::Body`], or [`ServiceError::UserMismatch`] when the subject names another user than
/// the body.
pub(in crate::transport) fn request(
    subject: &RequestSubject<'_>,
    body: &[u8],
) -> Result<Request, ServiceError> {
    let target = |in_body: &mut Option<String>| target(subject.user, in_body.take());
    let command = match subject.operation {
        Operation::Create => CommandRequest::Create(decode_body::<CreateBody>(body)?),
        Operation::Update => {
            let mut body = decode_body::<UpdateBody>(body)?;
            let user_id = target(&mut body.user_id)?;
            CommandRequest::Update { user_id, body }
        }
        Operation::Patch => {
            let mut body = decode_body::<PatchBody>(body)?;
            let user_id = target(&mut body.user_id)?;
            CommandRequest::Patch { user_id, body }
        }
        Operation::Remove => {
            let mut body = decode_body::<TargetBody>(body)?;
            let user_id = target(&mut body.user_id)?;
            CommandRequest::Remove { user_id }
        }
        Operation::MeUpdate => CommandRequest::UpdateMe {
            body: decode_body(body)?,
        },
        Operation::MePatch => CommandRequest::PatchMe {
            body: decode_body(body)?,
        },
        Operation::MeGet
        | Operation::MeHistory
        | Operation::Get
        | Operation::History
        | Operation::List
        | Operation::Replay => return query(subject, body).map(Request::Query),
    };
    Ok(Request::Command(command))
}

fn query(subject: &RequestSubject<'_>, body: &[u8]) -> Result<QueryRequest, ServiceError> {
    let target = |in_body: &mut Option<String>| target(subject.user, in_body.take());
    Ok(match subject.operation {
        Operation::Get => {
            let mut body = decode_body::<GetBody>(body)?;
            let user_id = target(&mut body.user_id)?;
            QueryRequest::Get { user_id, body }
        }
        Operation::History => {
            let mut body = decode_body::<PageBody>(body)?;
            let user_id = target(&mut body.user_id)?;
            QueryRequest::History { user_id, body }
        }
        Operation::MeGet => QueryRequest::GetMe {
            body: decode_body(body)?,
        },
        Operation::MeHistory => QueryRequest::HistoryMe {
            body: decode_body(body)?,
        },
        Operation::List => QueryRequest::List {
            body: decode_body(body)?,
        },
        Operation::Replay => QueryRequest::Replay {
            body: decode_body::<ReplayBody>(body)?,
        },
        Operation::Create
        | Operation::Update
        | Operation::Patch
        | Operation::MeUpdate
        | Operation::MePatch
        | Operation::Remove => return Err(ServiceError::UnknownSubject),
    })
}

/// The subject's user is the target. An empty id in the body is protobuf's absent one.
fn target(in_subject: Option<&str>, in_body: Option<String>) -> Result<String, ServiceError> {
    let in_body = in_body.unwrap_or_default();
    match in_subject {
        None => Ok(in_body),
        Some(user) if in_body.is_empty() || in_body == user => Ok(user.to_owned()),
        Some(_) => Err(ServiceError::UserMismatch),
    }
}

#[cfg(test)]
mod tests;
