//! Options of `import` and `export`.

use std::path::PathBuf;

use clap::Args;
use profile_messages::query::PAGE_ROWS_MAX;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// JSON lines; - is standard input
    pub(crate) file: PathBuf,
    /// Where the result of every line is written, and read by the next run [default: <FILE>.results]
    #[arg(long, value_name = "FILE")]
    pub(crate) results: Option<PathBuf>,
    /// Requests under way at the same time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = in_flight)]
    pub(crate) in_flight: usize,
    /// Show how far it is also where stderr is no terminal
    #[arg(long)]
    pub(crate) progress: bool,
    /// End with an error also when a user existed before
    #[arg(long)]
    pub(crate) fail_on_existing: bool,
}

const IN_FLIGHT_MAX: u16 = 1_024;

fn in_flight(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=IN_FLIGHT_MAX) => Ok(usize::from(number)),
        Ok(_) | Err(_) => Err(format!("a number from 1 to {IN_FLIGHT_MAX}")),
    }
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// A new file; - is standard output, where nothing can be resumed or read again
    pub(crate) file: PathBuf,
    /// Users asked for at a time
    #[arg(long, value_name = "ROWS", default_value_t = PAGE_ROWS_MAX)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=PAGE_ROWS_MAX))]
    pub(crate) limit: u64,
    /// About how many users there are: the progress then has an end and tells the time left
    #[arg(long, value_name = "N")]
    pub(crate) users: Option<u64>,
    /// Show how far it is also where stderr is no terminal
    #[arg(long)]
    pub(crate) progress: bool,
    /// Do not read again who was changed meanwhile: users may be missing or in the file twice
    #[arg(long)]
    pub(crate) as_listed: bool,
}
