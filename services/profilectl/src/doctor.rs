//! `profilectl doctor`: the service's own look at its installation. It reads the configuration as the service
//! does, which only the service can.

use crate::args::{DoctorArgs, Format, Global};
use crate::beside;
use crate::failure::Failure;

pub(crate) fn doctor(global: &Global, args: &DoctorArgs) -> Result<(), Failure> {
    let mut command = beside::profiled("doctor");
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
    beside::run(command, "see what was found")
}
