//! `profilectl`: the command line client of profile-service.
//!
//! Reading order: the arguments, what they become (subject, headers, body), the connection, one file
//! per family of commands, and what is printed.

mod args;
mod backup;
mod beside;
mod body;
mod caller;
mod client;
mod clock;
mod commands;
mod doctor;
mod exit;
mod export;
mod failure;
mod import;
mod migrate;
mod output;
mod progress;
mod queries;
mod replay;
mod request;
mod retry;
mod revert;
mod schema;
mod setup;
mod token_command;
mod watch;

use std::process::ExitCode;

use args::{Action, Cli};
use clap::Parser;
use failure::Failure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure, cli.global.format());
            ExitCode::from(failure.exit().code())
        }
    }
}

async fn run(cli: &Cli) -> Result<(), Failure> {
    let global = &cli.global;
    match &cli.action {
        Action::Create(create) => commands::create(global, create).await,
        Action::Update(update) => commands::update(global, update).await,
        Action::Patch(patch) => commands::patch(global, patch).await,
        Action::Remove(remove) => commands::remove(global, remove).await,
        Action::Import(args) => import::import(global, args).await,
        Action::Export(args) => export::export(global, args).await,
        Action::Get(get) => queries::get(global, get).await,
        Action::History(history) => queries::history(global, history).await,
        Action::Revert(args) => revert::revert(global, args).await,
        Action::List(list) => queries::list(global, list).await,
        Action::Watch(watch) => watch::watch(global, watch).await,
        Action::Replay(replay) => replay::replay(global, replay).await,
        Action::Token(token) => token_command::run(global, token),
        Action::Doctor(args) => doctor::doctor(global, args),
        Action::Backup(args) => backup::backup(args),
        Action::Restore(args) => backup::restore(args),
        Action::Migrate(args) => migrate::migrate(args),
        Action::Init(args) => setup::init(args),
        Action::Completions(args) => setup::completions(args),
        Action::Schema(args) => schema::schema(args),
    }
}
