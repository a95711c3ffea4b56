//! Logs. Ids, field names and versions may stand in them; values of profile fields and secrets never.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, TelemetryConfig};

/// Sends logs to standard error: pretty on a terminal, JSON lines otherwise.
///
/// # Errors
/// When the filter is not one, or logging was set up before.
pub fn init(config: &TelemetryConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let pretty = match config.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let set_up = if pretty {
        builder.try_init()
    } else {
        builder.json().try_init()
    };
    set_up.map_err(|error| anyhow::anyhow!("logging cannot be set up: {error}"))
}
