//! Logs, [`metrics`] and [`traces`]. Ids, field names and versions may stand in them; values of profile fields and secrets never.

pub mod metrics;
pub mod traces;

use std::io::IsTerminal;

use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, TelemetryConfig};

/// Sends logs to standard error: pretty on a terminal, JSON lines otherwise.
///
/// # Errors
/// When the filter is not one, or logging was set up before.
pub fn init(config: &TelemetryConfig) -> anyhow::Result<()> {
    let pretty = match config.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if pretty {
        lines.boxed()
    } else {
        lines.json().boxed()
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(may_log()))
        .with(EnvFilter::try_new(&config.filter)?)
        .try_init()?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Where it was, and the message only if it is our own: a library's may quote what it stores.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let ours = place.starts_with("services/") || place.starts_with("messages/");
    let message = panic
        .payload_as_str()
        .filter(|_| ours)
        .unwrap_or("(not shown)");
    tracing::error!(place, message, "a panic");
}

/// Whatever the filter says: below INFO, libraries (sled, async-nats, the token library) log what they
/// store and send, and that is profiles and tokens.
fn may_log() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("profile", LevelFilter::TRACE)
        .with_target("sled", LevelFilter::WARN)
}
