//! Options of `watch` and `replay`.

use clap::{Args, ValueEnum};
use profile_messages::Timestamp;
use profile_messages::event::EventKind;
use profile_messages::query::PAGE_ROWS_MAX;

use super::values::since;

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Only this user [default: all]
    #[arg(value_name = "USER_ID")]
    pub(crate) user_id: Option<String>,
    /// Only events of these types
    #[arg(long = "type", value_name = "TYPE,…", value_delimiter = ',')]
    pub(crate) types: Vec<EventType>,
    /// Only events that changed one of these fields
    #[arg(long = "field", value_name = "FIELD,…", value_delimiter = ',')]
    pub(crate) fields: Vec<FieldName>,
    #[command(flatten)]
    pub(crate) start: StartArgs,
    /// End after this many events [default: end on ctrl-c]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

/// Where it begins; without any of these with what happens from now on.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct StartArgs {
    /// From this position of the log on, then live
    #[arg(long, value_name = "POSITION")]
    pub(crate) from_position: Option<u64>,
    /// From this version of the user on, then live
    #[arg(long, value_name = "VERSION", requires = "user_id")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from_version: Option<u64>,
    /// From this time on, then live: e.g. 2025-09-05T08:00:00Z, or how long ago, e.g. 15m
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<Timestamp>,
    /// All events kept in the stream, then live ones
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventType {
    Created,
    Changed,
    Removed,
}

impl EventType {
    pub(crate) fn kind(self) -> EventKind {
        match self {
            EventType::Created => EventKind::Created,
            EventType::Changed => EventKind::Changed,
            EventType::Removed => EventKind::Removed,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FieldName {
    FirstName,
    LastName,
    NickName,
    DisplayName,
    PreferredLanguage,
    Gender,
}

impl FieldName {
    /// As events have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FieldName::FirstName => "firstName",
            FieldName::LastName => "lastName",
            FieldName::NickName => "nickName",
            FieldName::DisplayName => "displayName",
            FieldName::PreferredLanguage => "preferredLanguage",
            FieldName::Gender => "gender",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Events after this position of the log; 0 is its beginning
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    pub(crate) after: u64,
    /// Changes read from the log for one page; those of other organizations count, but are not shown
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=PAGE_ROWS_MAX))]
    pub(crate) limit: Option<u64>,
    /// Page through to the end of the log
    #[arg(long)]
    pub(crate) all: bool,
}
