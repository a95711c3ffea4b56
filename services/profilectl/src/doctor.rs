//! `profilectl doctor`: the service's own look at its installation, by the `profiled` beside this program.
//! It reads the configuration as the service does, which only the service can.

use std::path::PathBuf;
use std::process::Command;

use crate::args::{DoctorArgs, Format, Global};
use crate::failure::Failure;

pub(crate) fn doctor(global: &Global, args: &DoctorArgs) -> Result<(), Failure> {
    let program = profiled();
    let mut command = Command::new(&program);
    command.arg("doctor");
    if let Some(config) = &args.config {
        command.arg("--config").arg(config);
    }
    if let Some(url) = &args.nats_monitor {
        command.arg("--nats-monitor").arg(url);
    }
    match global.format() {
        Format::Human => {}
        Format::Json => drop(command.arg("--json")),
    }
    let status = command.status().map_err(|error| {
        let program = program.display();
        Failure::usage(format!(
            "{program} cannot be started: {error}; run this where the service is installed"
        ))
    })?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::other("see what was found")),
    }
}

/// The one beside this program, else the one on PATH.
fn profiled() -> PathBuf {
    let name = PathBuf::from("profiled");
    let own = std::env::current_exe().ok();
    let beside = own.map(|own| own.with_file_name(&name));
    beside.filter(|beside| beside.exists()).unwrap_or(name)
}
