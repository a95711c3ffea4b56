//! Request bodies. A field that is not given is absent; its values are checked by the service alone.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use profile_messages::json::BODY_BYTES_MAX;
use serde_json::{Map, Value, json};

use crate::args::{ClearableField, CreateArgs, FieldArgs, PageArgs, PatchArgs, ReplayArgs};
use crate::failure::Failure;

pub(crate) fn create(args: &CreateArgs) -> Value {
    let mut body = Map::new();
    put(&mut body, "userId", args.user_id.as_deref());
    put(&mut body, "userName", args.user_name.as_deref());
    let profile = fields(&args.fields);
    if !profile.is_empty() {
        body.insert("profile".to_owned(), Value::Object(profile));
    }
    if let Some(email) = &args.email {
        let email = json!({ "email": email, "isEmailVerified": args.email_verified });
        body.insert("email".to_owned(), email);
    }
    if let Some(phone) = &args.phone {
        let phone = json!({ "phone": phone, "isPhoneVerified": args.phone_verified });
        body.insert("phone".to_owned(), phone);
    }
    Value::Object(body)
}

pub(crate) fn update(args: &FieldArgs) -> Value {
    Value::Object(fields(args))
}

/// # Errors
/// Usage, when no field is named or one is both set and cleared.
pub(crate) fn patch(args: &PatchArgs) -> Result<Value, Failure> {
    let mut body = fields(&args.fields);
    for field in &args.clear {
        let name = match field {
            ClearableField::NickName => "nickName",
            ClearableField::PreferredLanguage => "preferredLanguage",
            ClearableField::Gender => "gender",
        };
        if body
            .insert(name.to_owned(), Value::Null)
            .is_some_and(|value| !value.is_null())
        {
            let text = format!("{name} is both set and cleared");
            return Err(Failure::usage(text));
        }
    }
    if body.is_empty() {
        return Err(Failure::usage(
            "nothing to change: name a field, or --clear one",
        ));
    }
    Ok(Value::Object(body))
}

pub(crate) fn get(min_version: Option<u64>) -> Value {
    match min_version {
        Some(version) => json!({ "minVersion": version.to_string() }),
        None => json!({}),
    }
}

/// A page of `history` or `list`; `cursor` stands in place of the one of the arguments.
pub(crate) fn page(args: &PageArgs, prefix: Option<&str>, cursor: Option<&str>) -> Value {
    let mut body = Map::new();
    if let Some(limit) = args.limit {
        body.insert("limit".to_owned(), limit.to_string().into());
    }
    put(&mut body, "prefix", prefix);
    put(&mut body, "cursor", cursor);
    Value::Object(body)
}

/// A page of `replay`; `after` stands in place of the one of the arguments.
pub(crate) fn replay(args: &ReplayArgs, after: u64) -> Value {
    let mut body = Map::new();
    body.insert("after".to_owned(), after.to_string().into());
    if let Some(limit) = args.limit {
        body.insert("limit".to_owned(), limit.to_string().into());
    }
    Value::Object(body)
}

/// Reads a body that is sent as it is: a file, or standard input for `-`.
///
/// # Errors
/// Usage, when it cannot be read or is longer than the service takes.
pub(crate) fn from_file(path: &Path) -> Result<Bytes, Failure> {
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let file = std::fs::File::open(path)
            .map_err(|error| Failure::usage(format!("cannot open {}: {error}", path.display())))?;
        Box::new(file)
    };
    let mut body = Vec::new();
    source
        .take(BODY_BYTES_MAX as u64 + 1)
        .read_to_end(&mut body)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    if body.len() > BODY_BYTES_MAX {
        let text = format!("the body is longer than {BODY_BYTES_MAX} bytes");
        return Err(Failure::usage(text));
    }
    Ok(body.into())
}

fn fields(args: &FieldArgs) -> Map<String, Value> {
    let mut body = Map::new();
    put(&mut body, "firstName", args.first_name.as_deref());
    put(&mut body, "lastName", args.last_name.as_deref());
    put(&mut body, "nickName", args.nick_name.as_deref());
    put(&mut body, "displayName", args.display_name.as_deref());
    put(
        &mut body,
        "preferredLanguage",
        args.preferred_language.as_deref(),
    );
    put(
        &mut body,
        "gender",
        args.gender.map(|arg| arg.gender().name()),
    );
    body
}

fn put(body: &mut Map<String, Value>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests;
