//! `profiled`: the service. Loads the configuration, sets up logging, runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use profile::app;
use profile::config::Config;
use profile::telemetry;

/// User profiles as a microservice on NATS.
#[derive(Debug, Parser)]
#[command(name = "profiled", version)]
struct Arguments {
    /// Configuration file (TOML); environment variables PROFILE__SECTION__KEY override it.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Accept tokens of a key that is made in the data directory. On loopback only.
    #[arg(long, global = true)]
    dev: bool,
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Asks the running service for a sign of life over NATS; exits 0 when it answers.
    Health,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may not be set up yet, or its filter may swallow this.
            #[allow(clippy::print_stderr)]
            {
                eprintln!("profiled: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // Lossily: a variable of somebody else that is not UTF-8 must not end us.
    let text = |name: std::ffi::OsString| name.to_string_lossy().into_owned();
    let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    let file = arguments.config.as_deref();
    match arguments.task {
        // Only asks: it needs no issuer.
        Some(Task::Health) => app::health(&Config::load_dev(file, environment)?),
        None => {
            let config = match arguments.dev {
                true => Config::load_dev(file, environment)?,
                false => Config::load(file, environment)?,
            };
            telemetry::init(&config.telemetry)?;
            app::run(config)
        }
    }
}
