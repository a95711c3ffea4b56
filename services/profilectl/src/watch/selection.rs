//! Which events are printed.

use profile_messages::Timestamp;
use profile_messages::event::CloudEvent;

use crate::args::WatchArgs;

/// Where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Live,
    /// With the first event that the stream holds.
    Stream,
    Position(u64),
    /// Of the one user that is watched.
    Version(u64),
    Time(Timestamp),
}

impl Start {
    pub(super) fn of(args: &WatchArgs) -> Start {
        let start = &args.start;
        let named = [
            start.from_position.map(Start::Position),
            start.from_version.map(Start::Version),
            start.since.map(Start::Time),
            start.all.then_some(Start::Stream),
        ];
        named.into_iter().flatten().next().unwrap_or(Start::Live)
    }

    /// An event without a position is not one of the relay's: it is let through.
    fn includes(self, event: &CloudEvent, position: Option<u64>) -> bool {
        match self {
            Start::Live | Start::Stream => true,
            Start::Position(first) => position.is_none_or(|position| position >= first),
            Start::Version(first) => event.userversion >= first,
            Start::Time(first) => event.time >= first,
        }
    }
}

#[derive(Debug)]
pub(super) struct Selection {
    pub(super) start: Start,
    /// Names of CloudEvents types; none is all, here and below.
    types: Vec<&'static str>,
    fields: Vec<&'static str>,
    /// What the subject of a live event says already.
    user: Option<String>,
}

impl Selection {
    pub(super) fn of(args: &WatchArgs) -> Selection {
        let types = args.types.iter().map(|it| it.kind().type_name());
        let fields = args.fields.iter().map(|it| it.name());
        Selection {
            start: Start::of(args),
            types: types.collect(),
            fields: fields.collect(),
            user: args.user_id.clone(),
        }
    }

    pub(super) fn holds(&self, event: &CloudEvent, position: Option<u64>) -> bool {
        let of_type = self.types.is_empty() || self.types.contains(&event.event_type.as_str());
        let changed = |field: &&str| event.data.changed.iter().any(|it| it == field);
        let of_field = self.fields.is_empty() || self.fields.iter().any(changed);
        let of_user = self.is_of_user(event);
        of_user && of_type && of_field && self.start.includes(event, position)
    }

    pub(super) fn is_of_user(&self, event: &CloudEvent) -> bool {
        self.user.as_ref().is_none_or(|user| *user == event.subject)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Action, Cli};

    const CHANGED: &str = include_str!("../../../../messages/golden/event-changed-changed.json");

    fn selection(options: &str) -> Selection {
        let line = format!("profilectl watch {options}");
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Action::Watch(args) = &cli.action else {
            panic!("not a watch");
        };
        Selection::of(args)
    }

    #[test]
    fn an_event_is_printed_when_every_filter_holds_it() {
        let event: CloudEvent = serde_json::from_str(CHANGED).unwrap();
        let (user, version) = (event.subject.clone(), event.userversion);
        let field = event.data.changed.first().unwrap();
        assert_eq!(field, "nickName", "of the golden event");
        let holds = |options: &str| selection(options).holds(&event, Some(7));
        for options in [
            String::new(),
            user.clone(),
            "--type changed".to_owned(),
            "--type removed,changed --field last-name,nick-name".to_owned(),
            "--from-position 7".to_owned(),
            format!("{user} --from-version {version}"),
            format!("--since {}", event.time),
            "--all".to_owned(),
        ] {
            assert!(holds(&options), "{options}");
        }
        for options in [
            "another".to_owned(),
            "--type created,removed".to_owned(),
            "--field last-name".to_owned(),
            "--type created --field nick-name".to_owned(),
            "--from-position 8".to_owned(),
            format!("{user} --from-version {}", version + 1),
            format!("--since {}", Timestamp(event.time.0 + 1)),
        ] {
            assert!(!holds(&options), "{options}");
        }
    }
}
