//! Everything that is printed: replies and events to stdout, failures and notes to stderr.

mod diff;
mod human;

use std::io::{self, Write};

use bytes::Bytes;
use profile_messages::event::CloudEvent;
use profile_messages::reply::{CommandReply, GetReply, HistoryReply, ListReply};
use serde::de::DeserializeOwned;

use self::diff::Ink;
use crate::args::{Format, Global, PageArgs};
use crate::exit::Exit;
use crate::failure::Failure;

/// Whether a page begins the output: the head of a table is printed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    First,
    Later,
}

/// # Errors
/// A body that is not of the contract. The body itself is not in the text.
pub(crate) fn decode<R: DeserializeOwned>(reply: &[u8]) -> Result<R, Failure> {
    let (line, column) = match serde_json::from_slice(reply) {
        Ok(reply) => return Ok(reply),
        Err(error) => (error.line(), error.column()),
    };
    let place = format!("the reply is not of the contract (line {line}:{column})");
    Err(Failure::other(place))
}

pub(crate) fn command(reply: &Bytes, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => print_body(reply),
        Format::Human => print(&human::command(&decode::<CommandReply>(reply)?)),
    }
}

pub(crate) fn get(reply: &Bytes, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => print_body(reply),
        Format::Human => print(&human::get(&decode::<GetReply>(reply)?)),
    }
}

pub(crate) fn history(
    reply: &Bytes,
    page: &HistoryReply,
    place: Place,
    args: &PageArgs,
    global: &Global,
) -> Result<(), Failure> {
    match global.format() {
        Format::Json => print_body(reply),
        Format::Human => print(&(human::history(page, place) + &more(&page.next_cursor, args))),
    }
}

/// The same as one block a change.
pub(crate) fn history_diff(
    reply: &Bytes,
    page: &HistoryReply,
    _place: Place,
    args: &PageArgs,
    global: &Global,
) -> Result<(), Failure> {
    match global.format() {
        Format::Json => print_body(reply),
        Format::Human => {
            print(&(diff::history(page, Ink::of_stdout()) + &more(&page.next_cursor, args)))
        }
    }
}

pub(crate) fn list(
    reply: &Bytes,
    page: &ListReply,
    place: Place,
    args: &PageArgs,
    global: &Global,
) -> Result<(), Failure> {
    match global.format() {
        Format::Json => print_body(reply),
        Format::Human => print(&(human::list(page, place) + &more(&page.next_cursor, args))),
    }
}

/// One event as one line; in JSON the CloudEvent as it was sent.
pub(crate) fn event(payload: &Bytes, position: Option<u64>, format: Format) -> Result<(), Failure> {
    let event: CloudEvent = decode(payload)?;
    match format {
        Format::Human => print(&human::event(&event, position)),
        Format::Json if payload.contains(&b'\n') => {
            let line = serde_json::to_vec(&event)
                .map_err(|error| Failure::other(format!("cannot write the event: {error}")))?;
            print_body(&line)
        }
        Format::Json => print_body(payload),
    }
}

/// A minted token, the one secret that is ever printed.
pub(crate) fn token(token: &str) -> Result<(), Failure> {
    print(&format!("{token}\n"))
}

/// A line that another program of ours printed.
pub(crate) fn line(line: &str) -> Result<(), Failure> {
    print(&format!("{}\n", human::escaped(line)))
}

/// A line for people, on stderr.
pub(crate) fn note(text: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "profilectl: {}", human::escaped(text));
}

/// Why the run failed, on stderr; nothing when the reader of stdout went away.
pub(crate) fn failure(failure: &Failure, format: Format) {
    if failure.exit() == Exit::Ok {
        return;
    }
    let text = human::failure(failure).into_bytes();
    let sent = answer_body(failure).filter(|_| format == Format::Json);
    let body = sent.map_or(text, |body| [body, b"\n"].concat());
    let _ = io::stderr().write_all(&body);
}

/// The body of an error answer, where there is one.
fn answer_body(failure: &Failure) -> Option<&[u8]> {
    let Failure::Answer { body, .. } = failure else {
        return None;
    };
    Some(body.as_ref()).filter(|body| !body.is_empty())
}

fn more(cursor: &Option<String>, args: &PageArgs) -> String {
    match cursor {
        Some(cursor) if !args.all => {
            format!("more: --cursor {}\n", human::escaped(cursor))
        }
        Some(_) | None => String::new(),
    }
}

fn print_body(body: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(body)?;
    stdout.write_all(b"\n")?;
    Ok(stdout.flush()?)
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}
