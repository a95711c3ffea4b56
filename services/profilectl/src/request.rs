//! What one command sends: subject, headers and body.

use async_nats::HeaderMap;
use async_nats::header::HeaderValue;
use bytes::Bytes;
use profile_messages::subject::Operation;
use profile_messages::{UserId, envelope};
use serde_json::Value;

use crate::args::{FileArg, Global, Target, WriteArgs};
use crate::failure::Failure;
use crate::{body, clock};

/// Whether a request that got no answer may have changed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Read,
    Change { key: String },
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) effect: Effect,
}

/// The operation of `target`: `own` with `--me`, else `other`.
pub(crate) fn operation(target: &Target, other: Operation, own: Operation) -> Operation {
    if target.me { own } else { other }
}

/// A request that changes nothing.
///
/// # Errors
/// Usage, as for [`addressed`] and for headers that cannot be sent.
pub(crate) fn read(
    global: &Global,
    operation: Operation,
    user_id: Option<&str>,
    body: Value,
) -> Result<Request, Failure> {
    let (subject, body) = addressed(operation, user_id, body)?;
    Ok(Request {
        subject,
        headers: headers(global)?,
        body,
        effect: Effect::Read,
    })
}

/// A request that changes something; makes an idempotency key where none is given.
///
/// # Errors
/// Usage, as for [`read`].
pub(crate) fn change(
    global: &Global,
    write: &WriteArgs,
    (subject, body): (String, Bytes),
) -> Result<Request, Failure> {
    let mut headers = headers(global)?;
    let key = match &write.idempotency_key {
        Some(key) => key.clone(),
        None => clock::random_key()?,
    };
    put(&mut headers, envelope::IDEMPOTENCY_KEY, &key)?;
    if let Some(version) = write.expected_version {
        put(
            &mut headers,
            envelope::EXPECTED_VERSION,
            &version.to_string(),
        )?;
    }
    if let Some(milliseconds) = write.deadline_ms {
        put(
            &mut headers,
            envelope::DEADLINE_MS,
            &milliseconds.to_string(),
        )?;
    }
    Ok(Request {
        subject,
        headers,
        body,
        effect: Effect::Change { key },
    })
}

/// Subject and body of an operation on `user_id`: the per-user subject where the id is of the form,
/// else the id goes into the body, where the service refuses it in its own words.
///
/// # Errors
/// Usage, when the operation needs a user and has none.
pub(crate) fn addressed(
    operation: Operation,
    user_id: Option<&str>,
    mut body: Value,
) -> Result<(String, Bytes), Failure> {
    let user_id = match user_id {
        None if operation.has_user_form() => {
            return Err(Failure::usage("whose profile? Give a user id, or --me"));
        }
        None => return Ok((operation.subject(), encoded(&body)?)),
        Some(user_id) => user_id,
    };
    let subject = UserId::parse(user_id)
        .ok()
        .and_then(|user| operation.user_subject(&user));
    if let Some(subject) = subject {
        return Ok((subject, encoded(&body)?));
    }
    if let Some(body) = body.as_object_mut() {
        body.insert("userId".to_owned(), user_id.into());
    }
    Ok((operation.subject(), encoded(&body)?))
}

/// Subject and body of an operation whose body is sent as it is; without a user the body names it.
///
/// # Errors
/// Usage, when the user id is not of the form or the file cannot be read.
pub(crate) fn addressed_file(
    operation: Operation,
    user_id: Option<&str>,
    file: &FileArg,
) -> Option<Result<(String, Bytes), Failure>> {
    let path = file.path.as_deref()?;
    let subject = match user_id.map(UserId::parse) {
        None => Ok(operation.subject()),
        Some(Ok(user)) => Ok(operation.user_subject(&user).unwrap_or(operation.subject())),
        Some(Err(error)) => Err(Failure::usage(format!("with --file, {error}"))),
    };
    Some(subject.and_then(|subject| Ok((subject, body::from_file(path)?))))
}

/// The token of the options, read from its file each time.
///
/// # Errors
/// Usage, when the file cannot be read.
pub(crate) fn bearer(global: &Global) -> Result<Option<String>, Failure> {
    let from_file = global.token_file.as_deref().map(|path| {
        std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
    });
    let token = match from_file {
        Some(text) => Some(text?),
        None => global.token.as_ref().map(|token| token.reveal().to_owned()),
    };
    Ok(token.map(|token| token.trim().to_owned()))
}

fn headers(global: &Global) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    if let Some(token) = bearer(global)? {
        put(
            &mut headers,
            envelope::AUTHORIZATION,
            &format!("Bearer {token}"),
        )?;
    }
    if let Some(org) = &global.org {
        put(&mut headers, envelope::ORG, org)?;
    }
    Ok(headers)
}

/// The value is not part of the error: it may be the token.
fn put(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), Failure> {
    let sendable = !value.chars().any(char::is_control);
    let value: HeaderValue = sendable
        .then(|| value.parse().ok())
        .flatten()
        .ok_or_else(|| Failure::usage(format!("the value of {name} cannot stand in a header")))?;
    headers.insert(name, value);
    Ok(())
}

fn encoded(body: &Value) -> Result<Bytes, Failure> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| Failure::other(format!("cannot write the body: {error}")))
}

#[cfg(test)]
mod tests;
