//! What is wrong with a configuration, in words that name keys and limits and never a value.

use std::path::PathBuf;

use figment::error::Kind;
use validator::{ValidationError, ValidationErrors, ValidationErrorsKind};

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{} cannot be read: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: String },
    #[error("{origin} is not TOML: line {line}: {what}")]
    Syntax {
        origin: String,
        line: usize,
        what: String,
    },
    /// A key that does not exist, or a value of the wrong kind.
    #[error("{key} in {origin}: {what}")]
    Key {
        key: String,
        origin: String,
        what: String,
    },
    /// Everything that breaks a rule, each as `key: rule`.
    #[error("configuration: {}", .0.join("; "))]
    Invalid(Vec<String>),
    #[error(
        "no token issuer is configured: set auth.issuers (issuer, audiences and algorithms; see \
         config/default.toml), or start with --dev for a development key"
    )]
    NoIssuer,
}

/// A broken rule between or about keys, in our own words.
pub(super) fn rule(text: &'static str) -> ValidationError {
    ValidationError::new("rule").with_message(text.into())
}

/// figment's first error. Its own text quotes the value that it found.
pub(super) fn of_figment(error: &figment::Error) -> ConfigError {
    let (name, what) = match &error.kind {
        Kind::UnknownField(name, known) => (Some(name.clone()), unknown_key(known)),
        Kind::MissingField(name) => (Some(name.to_string()), "is missing".to_owned()),
        Kind::UnknownVariant(_, known) => (None, format!("must be one of {}", known.join(", "))),
        Kind::InvalidType(_, expected)
        | Kind::InvalidValue(_, expected)
        | Kind::InvalidLength(_, expected) => (None, format!("must be {expected}")),
        Kind::DuplicateField(name) => (Some((*name).to_owned()), "stands there twice".to_owned()),
        Kind::Message(text) => (None, text.clone()),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => {
            (None, "is too large a number".to_owned())
        }
        Kind::Unsupported(_) | Kind::UnsupportedKey(..) => (None, "is not supported".to_owned()),
    };
    let mut path = error.path.clone();
    if let Some(name) = name
        && path.last() != Some(&name)
    {
        path.push(name);
    }
    let origin = error
        .metadata
        .as_ref()
        .map(|metadata| metadata.name.to_string());
    ConfigError::Key {
        key: path.join("."),
        origin: origin.unwrap_or_else(|| "the configuration".to_owned()),
        what,
    }
}

fn unknown_key(known: &[&str]) -> String {
    format!("there is no such key, there are {}", known.join(", "))
}

/// All broken rules, sorted by key.
pub(super) fn of_validator(errors: &ValidationErrors) -> ConfigError {
    let mut problems = Vec::new();
    collect(errors, "", &mut problems);
    problems.sort();
    ConfigError::Invalid(problems)
}

fn collect(errors: &ValidationErrors, prefix: &str, problems: &mut Vec<String>) {
    for (field, kind) in errors.errors() {
        // What a whole section breaks stands under this name.
        let key = match field.as_ref() {
            "__all__" if prefix.is_empty() => "the configuration".to_owned(),
            "__all__" => prefix.to_owned(),
            name if prefix.is_empty() => name.to_owned(),
            name => format!("{prefix}.{name}"),
        };
        match kind {
            ValidationErrorsKind::Struct(inner) => collect(inner, &key, problems),
            ValidationErrorsKind::List(items) => {
                for (index, inner) in items {
                    collect(inner, &format!("{key}[{index}]"), problems);
                }
            }
            ValidationErrorsKind::Field(broken) => {
                problems.extend(broken.iter().map(|error| format!("{key}: {}", text(error))));
            }
        }
    }
}

/// Only the limits of a broken rule: its other parameters hold the refused value.
fn text(error: &ValidationError) -> String {
    if let Some(message) = &error.message {
        return message.to_string();
    }
    let limit = |name: &str| error.params.get(name).map(ToString::to_string);
    let what = match error.code.as_ref() {
        "length" => "number of entries or characters must be",
        _ => "must be",
    };
    match (limit("min"), limit("max")) {
        (Some(min), Some(max)) => format!("{what} {min} to {max}"),
        (Some(min), None) => format!("{what} at least {min}"),
        (None, Some(max)) => format!("{what} at most {max}"),
        (None, None) => format!("breaks the rule \"{}\"", error.code),
    }
}
