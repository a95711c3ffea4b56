//! Options of what is done on the machine of an installation.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where it is written; a file that is there stays as it is
    #[arg(long, value_name = "FILE", default_value = "profiled.toml")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The service's configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The HTTP monitoring of nats-server: its clock, and when it syncs
    #[arg(long, value_name = "URL")]
    pub(crate) nats_monitor: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Where the backup goes: a missing or empty directory
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// The configuration file of the nodes, with commit_log.engine = "jetstream"; its data_dir is what is moved
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Say how far it is on stderr also where that is no terminal, every ten seconds
    #[arg(long)]
    pub(crate) progress: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// The new data directory: missing or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The service's configuration file, for the bus whose event stream tells what came after the backup
    #[arg(long, value_name = "FILE", required_unless_present = "without_stream")]
    pub(crate) config: Option<PathBuf>,
    /// Take the backup alone: what was acknowledged after it is lost
    #[arg(long, conflicts_with = "config")]
    pub(crate) without_stream: bool,
    /// Go on although the stream no longer has all events after the backup: those are lost
    #[arg(long)]
    pub(crate) accept_gap: bool,
    /// The new epoch, above every one that was used; needed --without-stream if this backup, or an older one,
    /// was restored before
    #[arg(long)]
    pub(crate) epoch: Option<u32>,
}
