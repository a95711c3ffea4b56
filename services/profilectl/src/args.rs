//! The command line: connection and format for all commands, and the commands.

mod events;
mod fields;
mod global;
mod installation;
mod transfer;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use profile_messages::envelope::DEADLINE_MS_MAX;
use profile_messages::query::PAGE_ROWS_MAX;

pub(crate) use events::{ReplayArgs, WatchArgs};
pub(crate) use fields::{ClearableField, CreateArgs, FieldArgs, FileArg, PatchArgs, UpdateArgs};
pub(crate) use global::{Format, Global};
pub(crate) use installation::{
    BackupArgs, CompletionsArgs, DoctorArgs, InitArgs, MigrateArgs, RestoreArgs,
};
pub(crate) use transfer::{ExportArgs, ImportArgs};
pub(crate) use values::{RoleGrant, duration};

use crate::exit;

/// The command line client of profile-service.
#[derive(Debug, Parser)]
#[command(name = "profilectl", version = env!("PROFILE_VERSION"), about, after_help = exit::help())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Create a human user with a profile
    Create(CreateArgs),
    /// Create users from a file of JSON lines
    ///
    /// Each line is the body of create, with a userId or an idempotencyKey (a member of the line, not sent in
    /// the body). Run again after it was stopped or killed, it goes on where it was: no line is done twice.
    /// Tokens run out: with --token-file a newer one can be put in place while it runs.
    Import(ImportArgs),
    /// Write every user of the organization to a file of JSON lines, which import reads
    ///
    /// Needs the permission user.read. Run again after it was stopped or killed, it goes on where it was. Users
    /// that were changed meanwhile are read again at the end, for which it needs events.read: then everybody
    /// is in the file once. Ids and contact data go with the profile; history and versions do not.
    Export(ExportArgs),
    /// Show a profile
    Get(GetArgs),
    /// Replace all six profile fields
    ///
    /// This is a full replacement: a nick name, language or gender that is left out is cleared, a
    /// display name that is left out becomes "<first name> <last name>", and a missing first or last
    /// name is refused. To change only some fields, use patch.
    Update(UpdateArgs),
    /// Change only the named profile fields
    Patch(PatchArgs),
    /// Show the changes of a profile, newest first
    History(HistoryArgs),
    /// Make the six profile fields what they were at a former version
    ///
    /// Nothing is undone in history: this is a new change, refused when somebody else made one meanwhile.
    Revert(RevertArgs),
    /// List the users of the organization by display name
    List(ListArgs),
    /// Remove a user for ever; the id is never used again
    Remove(RemoveArgs),
    /// Print change events, one a line
    ///
    /// From the event stream; what it no longer holds of what was asked for is read from the log, which needs
    /// a token with the permission events.read. What is kept nowhere is said on stderr.
    Watch(WatchArgs),
    /// Print the events after a position of the log, one a line, also those that the stream no longer
    /// holds
    ///
    /// Needs the permission events.read. The last line on stderr is the position to continue after.
    Replay(ReplayArgs),
    /// Mint a token, or make the key set it is signed with
    ///
    /// Minting is for development, for tests and for installations without an issuer of their own.
    /// `token init-keys` makes a key set that is fit for production.
    Token(TokenArgs),
    /// Look at an installation and say what is wrong and how to mend it
    ///
    /// To be run where the service runs: it reads the configuration, the data directory and the bus as
    /// profiled does, and changes nothing. Exit code 1 when something must be mended.
    Doctor(DoctorArgs),
    /// Copy a data directory, whose service may be running, and read the copy back
    ///
    /// To be run where the service runs. Everything that was acknowledged before it began is in it. It holds
    /// personal data and the store's secret: keep it encrypted.
    Backup(BackupArgs),
    /// Make a data directory from a backup, in a new epoch of the store, and from the event stream
    ///
    /// To be run where the service will run, which must be stopped. Prints the users of whom something may be
    /// older.
    Restore(RestoreArgs),
    /// Move the log of a data directory to the bus of several nodes
    ///
    /// To be run where the service runs, which must be stopped. Every commit keeps its position, and each is
    /// compared before the nodes may open the log. Killed, it goes on when it is started again.
    Migrate(MigrateArgs),
    /// Write a configuration file for the service, with every option and what it is for
    Init(InitArgs),
    /// Print the completions of a shell, e.g. source <(profilectl completions bash)
    Completions(CompletionsArgs),
    /// Print or write the machine-readable contract, as this release has it
    Schema(SchemaArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Which part of it; everything with --out alone
    pub(crate) part: Option<SchemaPart>,
    /// Write files below this directory instead; those of the same name are replaced
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// A part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SchemaPart {
    /// OpenAPI 3.1 of the REST paths
    Openapi,
    /// AsyncAPI 3.0 of the NATS subjects and events
    Asyncapi,
    /// JSON Schemas of every request, reply, event and error; printed as one object by file name
    JsonSchemas,
    /// The .proto files of gRPC, gRPC-Web and Connect; printed one after the other
    Protos,
}

impl SchemaPart {
    pub(crate) const ALL: [SchemaPart; 4] = [
        SchemaPart::Openapi,
        SchemaPart::Asyncapi,
        SchemaPart::JsonSchemas,
        SchemaPart::Protos,
    ];
}

/// Whose profile.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct Target {
    /// Id of the user
    #[arg(value_name = "USER_ID")]
    pub(crate) user_id: Option<String>,
    /// The caller's own profile: the subject of the token
    #[arg(long)]
    pub(crate) me: bool,
}

#[derive(Debug, Default, Args)]
pub(crate) struct WriteArgs {
    /// Makes a repetition answer as the first time; one is made up when none is given, and shown
    /// when the outcome is unknown
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// Refuse unless the user has this version; 0: must not exist
    #[arg(long, value_name = "VERSION")]
    pub(crate) expected_version: Option<u64>,
    /// Refuse when the change cannot be made within this time, in milliseconds
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=DEADLINE_MS_MAX))]
    pub(crate) deadline_ms: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Answer only from this version on; waits a bounded time
    #[arg(long, value_name = "VERSION")]
    pub(crate) min_version: Option<u64>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct PageArgs {
    /// Rows of a page
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..=PAGE_ROWS_MAX))]
    pub(crate) limit: Option<u64>,
    /// Continue after a page, with the cursor it showed
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    /// Page through to the end
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// One block a change, with the old and the new value of each field on lines of their own
    #[arg(long)]
    pub(crate) diff: bool,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RevertArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The version to go back to
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) to_version: u64,
    /// Makes a repetition answer as the first time
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Beginning of the display name, letter case aside
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Id of the user
    #[arg(value_name = "USER_ID")]
    pub(crate) user_id: String,
    /// Really: nothing is asked, and nothing brings the user back
    #[arg(long, required = true)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) action: Option<TokenAction>,
    #[command(flatten)]
    pub(crate) mint: MintArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    /// Make a key set, fit for production: the private key for minting and the public one for the
    /// service; one that is there is kept
    InitKeys {
        /// Directory to write into
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Directory for a copy of the public half, for a service that must not see the private one
        #[arg(long, value_name = "DIR")]
        public_out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MintArgs {
    /// Sign with the development key of the data directory
    #[arg(long, conflicts_with = "key")]
    pub(crate) dev: bool,
    /// Data directory of the development key
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data_dir: PathBuf,
    /// Sign with this private key
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Subject of the token: the user id of the caller
    #[arg(long, value_name = "USER_ID")]
    pub(crate) sub: Option<String>,
    /// Role, in the organization --org or in the one named after `=`; may be repeated
    #[arg(long, value_name = "ROLE[=ORG]")]
    pub(crate) role: Vec<RoleGrant>,
    /// How long the token is valid, e.g. 15m, 1h
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub(crate) ttl: Duration,
    /// Issuer of the token; needed with --key [default: that of profiled --dev]
    #[arg(long)]
    pub(crate) issuer: Option<String>,
    /// Audience of the token; needed with --key [default: that of profiled --dev]
    #[arg(long)]
    pub(crate) audience: Option<String>,
}

#[cfg(test)]
mod tests;
