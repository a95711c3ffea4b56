//! What only the service itself can do is done by the `profiled` beside this program.

use std::path::PathBuf;
use std::process::{Child, Command};

use crate::failure::Failure;

/// The one beside this program, else the one on PATH, with a task that [`run`] will run.
pub(crate) fn profiled(task: &str) -> Command {
    let name = PathBuf::from("profiled");
    let own = std::env::current_exe().ok();
    let beside = own.map(|own| own.with_file_name(&name));
    let mut command = Command::new(beside.filter(|beside| beside.exists()).unwrap_or(name));
    command.arg(task);
    command
}

/// Waits for its end; what it prints is for the caller to read.
///
/// # Errors
/// Usage, when it cannot be started; `ended` when it did not succeed.
pub(crate) fn run(mut command: Command, ended: &str) -> Result<(), Failure> {
    let status = start(&mut command)?.wait()?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::other(ended)),
    }
}

/// # Errors
/// Usage, when it cannot be started.
pub(crate) fn start(command: &mut Command) -> Result<Child, Failure> {
    command.spawn().map_err(|error| {
        let program = command.get_program().to_string_lossy();
        Failure::usage(format!(
            "{program} cannot be started: {error}; run this where the service is installed"
        ))
    })
}
