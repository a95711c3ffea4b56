//! What the two programs share: requests that may be repeated, and a copy of profiles.

#![forbid(unsafe_code)]

pub mod client;
pub mod copy;

use anyhow::Context as _;

/// A setting that has no default.
///
/// # Errors
/// When it is not set.
pub fn environment(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}
