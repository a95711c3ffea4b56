//! What helps to get started: a configuration to fill in, and completions for a shell.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write as _};

use clap::CommandFactory as _;

use crate::args::{Cli, CompletionsArgs, InitArgs};
use crate::failure::Failure;

/// Every option with its default, its range and what it is for.
const CONFIGURATION: &str = include_str!("../../../config/default.toml");

/// Writes the configuration file, where there is none; with mode 600, since passwords will stand in it.
pub(crate) fn init(args: &InitArgs) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let place = args.out.display();
    let mut file = options.open(&args.out).map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            return Failure::usage(format!(
                "{place} is there already and stays as it is: name another file"
            ));
        }
        Failure::other(format!("{place} cannot be written: {error}"))
    })?;
    file.write_all(CONFIGURATION.as_bytes())?;
    let next = format!(
        "{place} has every option with its default. Name at least nats.urls, the users in [nats.ingress] and \
         [nats.egress], data_dir, and who issues tokens in [[auth.issuers]]; `profilectl doctor --config {place}` says \
         what is missing."
    );
    writeln!(io::stderr(), "{next}")?;
    Ok(())
}

/// Prints the script that a shell reads, e.g. `source <(profilectl completions bash)`.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "profilectl", &mut script);
    io::stdout().write_all(&script)?;
    Ok(())
}
