//! Options of every command: the connection, the token, and how results are printed.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::{Secret, duration};

#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Address of the NATS server; several are separated by commas
    #[arg(long, global = true, env = "NATS_URL", value_name = "URL")]
    #[arg(default_value = "nats://127.0.0.1:4222")]
    pub(crate) server: String,
    /// NATS user
    #[arg(long, global = true, env = "PROFILECTL_NATS_USER", value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Password of the NATS user; better given in the environment
    #[arg(
        long,
        global = true,
        env = "PROFILECTL_NATS_PASSWORD",
        hide_env_values = true
    )]
    pub(crate) password: Option<Secret>,
    /// File of NATS credentials (JWT and seed)
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "nkey")]
    pub(crate) creds: Option<PathBuf>,
    /// File of an NKey seed
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) nkey: Option<PathBuf>,
    /// PEM file of further roots that the NATS server's certificate may come from; with it, or with --cert-file,
    /// a server without TLS is refused
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// PEM file of the client certificate that the NATS server asks for
    #[arg(long, global = true, value_name = "FILE", requires = "key_file")]
    pub(crate) cert_file: Option<PathBuf>,
    /// PEM file of its private key
    #[arg(long, global = true, value_name = "FILE", requires = "cert_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// Where replies go [default: _INBOX.<user> with --user, else _INBOX]
    #[arg(long, global = true, value_name = "PREFIX")]
    pub(crate) inbox_prefix: Option<String>,
    /// Bearer token; better given in the environment or a file
    #[arg(long, global = true, env = "PROFILE_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<Secret>,
    /// File with the bearer token; goes before --token and PROFILE_TOKEN
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Organization: the context of a request, the filter of watch, the claim of a minted token
    #[arg(long, global = true, value_name = "ORG")]
    pub(crate) org: Option<String>,
    /// How long to wait for an answer, e.g. 500ms, 5s, 1m
    #[arg(long, global = true, default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Print bodies as the service sends them: replies to stdout, errors to stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Human,
    Json,
}

impl Global {
    pub(crate) fn format(&self) -> Format {
        if self.json {
            Format::Json
        } else {
            Format::Human
        }
    }
}
