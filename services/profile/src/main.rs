//! `profiled`: the service. Loads the configuration, sets up logging, runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use profile::app;
use profile::app::doctor::{Doctor, Severity};
use profile::backup::{Gap, Restore};
use profile::config::Config;
use profile::telemetry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// User profiles as a microservice on NATS.
#[derive(Debug, Parser)]
#[command(name = "profiled", version = env!("PROFILE_VERSION"))]
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
    /// Looks at the configuration, the data directory and the bus, and says what is wrong and how to mend
    /// it. Changes nothing; the service may be running. Exits 1 when something must be mended.
    Doctor {
        /// The HTTP monitoring of nats-server: its clock, and when it syncs.
        #[arg(long, value_name = "URL")]
        nats_monitor: Option<String>,
        /// A JSON array of findings.
        #[arg(long)]
        json: bool,
    },
    /// Asks the running service for a sign of life over NATS; exits 0 when it answers.
    Health,
    /// Copies a data directory, whose service may be running, and reads the copy back.
    ///
    /// Everything that was acknowledged before it began is in it. It holds personal data and the store's
    /// secret: keep it encrypted. Prints positions, records and bytes.
    Backup {
        /// The data directory.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Where the backup goes: a missing or empty directory.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Makes a data directory from a backup, in a new epoch of the store, and from the event stream.
    ///
    /// Give --config for the bus whose event stream tells what happened after the backup, or
    /// --without-stream if that stream is lost for good. Stop the service first. Prints a line for each
    /// user of whom something may be older: "contact" (unknown), "profile" (some field), "keys" (a
    /// repeated command would be done again).
    Restore(RestoreArguments),
    /// Moves the log of the data directory to the bus of several nodes, commit by commit, and compares.
    ///
    /// Give --config with the configuration of the nodes. Stop the service first, and start the nodes once
    /// it is done; started again it goes on. Prints how far it is.
    Migrate,
}

#[derive(Debug, Args)]
struct RestoreArguments {
    /// The backup.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The new data directory: missing or empty. A service starts on it only once it is whole.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Take the backup alone: what was acknowledged after it is lost.
    #[arg(long)]
    without_stream: bool,
    /// Go on although the stream no longer has all events after the backup: those are lost.
    #[arg(long)]
    accept_gap: bool,
    /// The new epoch, above every one that was used; needed --without-stream if this backup, or an older
    /// one, was restored before.
    #[arg(long)]
    epoch: Option<u32>,
}

impl RestoreArguments {
    fn wanted(&self) -> Restore {
        Restore {
            from: self.from.clone(),
            data: self.data.clone(),
            gap: match self.accept_gap {
                true => Gap::Accepted,
                false => Gap::Refused,
            },
            epoch: self.epoch,
        }
    }
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
    match &arguments.task {
        // Only asks: it needs no issuer.
        Some(Task::Health) => app::health(&Config::load_dev(file, environment)?),
        Some(Task::Doctor { nats_monitor, json }) => {
            let doctor = Doctor {
                config: arguments.config.clone(),
                nats_monitor: nats_monitor.clone(),
            };
            examine(&doctor, environment, *json)
        }
        Some(Task::Backup { data, to }) => app::backup(data, to),
        Some(Task::Restore(arguments)) => match (file, arguments.without_stream) {
            (None, true) => app::restore(&arguments.wanted(), None),
            // Only reads the stream: it needs no issuer.
            (Some(_), false) => {
                let config = Config::load_dev(file, environment)?;
                app::restore(&arguments.wanted(), Some(&config))
            }
            (None, false) | (Some(_), true) => anyhow::bail!(
                "name either --config, for the event stream that knows what came after the backup, or \
                 --without-stream"
            ),
        },
        // Serves nobody: it needs no issuer.
        Some(Task::Migrate) => app::migrate(&Config::load_dev(file, environment)?),
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

#[allow(clippy::print_stdout)]
fn examine(
    doctor: &Doctor,
    environment: impl IntoIterator<Item = (String, String)>,
    json: bool,
) -> anyhow::Result<()> {
    let findings = doctor.look(environment)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        findings.iter().for_each(|finding| println!("{finding}"));
    }
    let errors = findings.iter().filter(|it| it.severity == Severity::Error);
    match errors.count() {
        0 => Ok(()),
        count => anyhow::bail!("{count} things must be mended"),
    }
}
