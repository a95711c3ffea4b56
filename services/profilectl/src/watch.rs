//! `watch`: change events, live, from the stream or from the log, one a line.

mod earlier;
mod origin;
mod selection;

use futures::StreamExt;
use profile_messages::event::CloudEvent;
use profile_messages::{OrgId, UserId};

use self::origin::{Delivered, Events, Kept};
use self::selection::{Selection, Start};
use crate::args::{Global, WatchArgs};
use crate::client::{self, Connection, Notice};
use crate::failure::Failure;
use crate::output;

/// Prints events until ctrl-c or `--count`.
///
/// # Errors
/// No connection, a subscription that the server refuses, a stream that cannot be read.
pub(crate) async fn watch(global: &Global, args: &WatchArgs) -> Result<(), Failure> {
    let selection = Selection::of(args);
    let filter = filter(global.org.as_deref(), args)?;
    let mut connection = client::connect(global).await?;
    let (events, kept) = origin::open(&mut connection, &filter, selection.start).await?;
    output::note(&format!("watching {filter}"));
    let printing = Printing::new(global, &selection, args.count);
    // One listener for the whole run: a new one would miss a ctrl-c between two events.
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        ended = run(&mut connection, events, kept, printing) => ended,
    }
}

async fn run(
    connection: &mut Connection,
    mut events: Events,
    mut kept: Option<Kept>,
    mut printing: Printing<'_>,
) -> Result<(), Failure> {
    let start = printing.selection.start;
    if let Some(empty) = kept.take_if(|kept| kept.pending == 0)
        && earlier::is_missing(start, empty, None)
    {
        earlier::print(connection, &mut printing, None).await?;
    }
    while printing.left > 0 {
        let delivered = next(connection, &mut events).await?;
        if delivered.payload.is_empty() {
            continue;
        }
        // Only its first event tells where the stream begins.
        if let Some(kept) = kept.take()
            && earlier::is_missing(start, kept, Some(&delivered))
        {
            earlier::print(connection, &mut printing, delivered.position).await?;
        }
        printing.print(&delivered)?;
    }
    Ok(())
}

/// What was printed, and what is still to be.
#[derive(Debug)]
struct Printing<'a> {
    global: &'a Global,
    selection: &'a Selection,
    left: u64,
    /// What came out of the log is not printed again.
    through: u64,
    /// With `--from-version`, the one that comes next.
    version: Option<u64>,
}

impl Printing<'_> {
    fn new<'a>(global: &'a Global, selection: &'a Selection, count: Option<u64>) -> Printing<'a> {
        Printing {
            global,
            selection,
            left: count.unwrap_or(u64::MAX),
            through: 0,
            version: match selection.start {
                Start::Version(first) => Some(first),
                Start::Live | Start::Stream | Start::Position(_) | Start::Time(_) => None,
            },
        }
    }

    fn print(&mut self, delivered: &Delivered) -> Result<(), Failure> {
        let Delivered { position, payload } = delivered;
        let is_told = position.is_some_and(|position| position <= self.through);
        if is_told || self.left == 0 {
            return Ok(());
        }
        let event: CloudEvent = output::decode(payload)?;
        if self.selection.is_of_user(&event) {
            self.note_a_gap(event.userversion);
        }
        if self.selection.holds(&event, *position) {
            output::event(payload, *position, self.global.format())?;
            self.left -= 1;
        }
        Ok(())
    }

    /// Versions have no gaps: one that is passed over is kept nowhere that could be read.
    fn note_a_gap(&mut self, version: u64) {
        let Some(expected) = self.version else {
            return;
        };
        if version > expected {
            let last = version - 1;
            output::note(&format!(
                "versions {expected} to {last} are missing: what is kept does not reach back to them"
            ));
        }
        self.version = Some(expected.max(version.saturating_add(1)));
    }
}

/// `profile-event.v1.<org or *>.<user or *>.<type or >>`
///
/// # Errors
/// Usage, when an id is not of the form: it could widen the filter.
fn filter(org: Option<&str>, args: &WatchArgs) -> Result<String, Failure> {
    let org = org.map(OrgId::parse).transpose();
    let user = args.user_id.as_deref().map(UserId::parse).transpose();
    let (Ok(org), Ok(user)) = (&org, &user) else {
        let text = "organization and user: 1 to 200 characters of A-Z, a-z, 0-9, _ and -";
        return Err(Failure::usage(text));
    };
    let org = org.as_ref().map_or("*", OrgId::as_str);
    let user = user.as_ref().map_or("*", UserId::as_str);
    // With a version, the events of all types tell whether one is missing.
    let last = match (args.types.as_slice(), args.start.from_version) {
        ([only], None) => only.kind().name(),
        (_, _) => ">",
    };
    Ok(format!("profile-event.v1.{org}.{user}.{last}"))
}

async fn next(connection: &mut Connection, events: &mut Events) -> Result<Delivered, Failure> {
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => return event,
                None => return Err(Failure::NoConnection("the subscription ended".to_owned())),
            },
            Some(notice) = connection.notices.recv() => match notice {
                Notice::Refused(text) => return Err(Failure::Refused(text)),
                Notice::Disconnected => output::note("disconnected: live events may be missed"),
                Notice::Connected => output::note("connected"),
                Notice::Dropped => output::note("too slow: events were dropped"),
                Notice::Complaint(text) => output::note(&format!("the NATS server says: {text}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Action, Cli};

    #[test]
    fn the_filter_names_what_is_given_and_nothing_wider() {
        let text = |options: &[&str]| {
            let line = ["profilectl", "watch"].iter().chain(options);
            let cli = Cli::try_parse_from(line).unwrap();
            let Action::Watch(args) = &cli.action else {
                panic!("not a watch");
            };
            filter(cli.global.org.as_deref(), args).ok()
        };
        for (options, expected) in [
            (&[][..], "profile-event.v1.*.*.>"),
            (&["--org", "o"], "profile-event.v1.o.*.>"),
            (&["--org", "o", "u"], "profile-event.v1.o.u.>"),
            (&["--type", "changed"], "profile-event.v1.*.*.changed"),
            (&["--type", "changed,removed"], "profile-event.v1.*.*.>"),
            (
                &["u", "--type", "changed", "--from-version", "2"],
                "profile-event.v1.*.u.>",
            ),
        ] {
            assert_eq!(text(options).as_deref(), Some(expected), "{options:?}");
        }
        for wider in ["*", ">", "a.b", ""] {
            assert_eq!(text(&["--org", wider]), None);
            assert_eq!(text(&[wider]), None);
        }
    }
}
