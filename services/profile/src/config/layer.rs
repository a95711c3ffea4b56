//! One source of options: a file, or one environment variable.

use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::problem::ConfigError;

/// Environment variables with this prefix are ours, with single underscores they are not (an orchestrator
/// may set `PROFILE_PORT`).
pub const ENV_PREFIX: &str = "PROFILE__";

/// A named source. figment's own providers would read the process environment, and would quote the line of
/// a file in an error, with whatever password stands on it.
pub(super) struct Layer {
    origin: String,
    values: Dict,
}

impl Layer {
    pub(super) fn from_toml(origin: &str, text: &str) -> Result<Layer, ConfigError> {
        let values = Toml::from_str::<Dict>(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            ConfigError::Syntax {
                origin: origin.to_owned(),
                line: text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1,
                what: first_line(error.message()),
            }
        })?;
        Ok(Layer {
            origin: origin.to_owned(),
            values,
        })
    }

    pub(super) fn from_file(path: &Path) -> Result<Layer, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
            path: path.to_owned(),
            cause: error.to_string(),
        })?;
        Layer::from_toml(&path.display().to_string(), &text)
    }

    /// `None` for a variable that is not ours.
    pub(super) fn from_variable(name: &str, text: &str) -> Option<Layer> {
        let path = key_path(name.strip_prefix(ENV_PREFIX)?);
        let innermost = value(&path, text);
        let nested = path.into_iter().rev().fold(innermost, |value, key| {
            Value::from(Dict::from([(key, value)]))
        });
        Some(Layer {
            origin: format!("environment variable {name}"),
            values: nested.into_dict().unwrap_or_default(),
        })
    }
}

/// `NATS__PING_INTERVAL_MS` -> nats, ping_interval_ms. The names of roles keep their letter case.
fn key_path(name: &str) -> Vec<String> {
    let segments: Vec<&str> = name.split("__").collect();
    let roles = |index: usize| index == 2 && name.to_ascii_lowercase().starts_with("auth__roles__");
    let spell = |(index, segment): (usize, &&str)| match roles(index) {
        true => (*segment).to_owned(),
        false => segment.to_ascii_lowercase(),
    };
    segments.iter().enumerate().map(spell).collect()
}

/// TOML where it is TOML, else the text. Secrets and names are never numbers: `0123` stays what it is.
fn value(path: &[String], text: &str) -> Value {
    let last = path.last().map_or("", String::as_str);
    match last {
        "password" | "user" | "instance_org" | "filter" | "data_dir" => text.into(),
        _ if last.ends_with("_file") || last.ends_with("_prefix") => text.into(),
        _ => text.parse().unwrap_or_else(|_| text.into()),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}
