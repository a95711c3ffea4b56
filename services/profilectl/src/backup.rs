//! `backup` and `restore` of a data directory, by the service's own code: the formats are its alone.

use crate::args::{BackupArgs, RestoreArgs};
use crate::beside;
use crate::failure::Failure;

pub(crate) fn backup(args: &BackupArgs) -> Result<(), Failure> {
    let mut command = beside::profiled("backup");
    command.arg("--data").arg(&args.data);
    command.arg("--to").arg(&args.to);
    beside::run(command, "there is no backup")
}

pub(crate) fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    let mut command = beside::profiled("restore");
    command.arg("--from").arg(&args.from);
    command.arg("--data").arg(&args.data);
    if let Some(config) = &args.config {
        command.arg("--config").arg(config);
    }
    if args.without_stream {
        command.arg("--without-stream");
    }
    if args.accept_gap {
        command.arg("--accept-gap");
    }
    if let Some(epoch) = args.epoch {
        command.arg("--epoch").arg(epoch.to_string());
    }
    beside::run(command, "nothing was restored")
}
