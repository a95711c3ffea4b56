//! Replies, events and failures as text for people. Every value is escaped: a name must not be able to
//! drive the terminal or forge a line.

use std::fmt::Write;

use profile_messages::Gender;
use profile_messages::error::{ErrorCode, Retry};
use profile_messages::event::CloudEvent;
use profile_messages::reply::{
    CommandReply, FieldChange, GetReply, HistoryReply, ListReply, ObjectDetails,
};

use super::Place;
use crate::failure::Failure;

type Row = (&'static str, String);

pub(crate) fn command(reply: &CommandReply) -> String {
    let mut rows: Vec<Row> = Vec::new();
    if let Some(user_id) = &reply.user_id {
        rows.push(("user", user_id.clone()));
    }
    rows.extend(details(&reply.details));
    pairs(rows)
}

pub(crate) fn get(reply: &GetReply) -> String {
    let profile = &reply.profile;
    let mut rows = vec![("user", reply.user_id.clone())];
    rows.extend(details(&reply.details));
    rows.extend([
        ("first name", profile.first_name.clone()),
        ("last name", profile.last_name.clone()),
        ("nick name", profile.nick_name.clone()),
        ("display name", profile.display_name.clone()),
        ("language", profile.preferred_language.clone()),
        ("gender", gender(profile.gender).to_owned()),
        ("user name", reply.user_name.clone()),
        (
            "e-mail",
            verified(&reply.email.email, reply.email.is_email_verified),
        ),
    ]);
    if let Some(phone) = &reply.phone {
        rows.push(("phone", verified(&phone.phone, phone.is_phone_verified)));
    }
    pairs(rows)
}

pub(crate) fn history(page: &HistoryReply, place: Place) -> String {
    let head = ["VERSION", "CHANGED", "TYPE", "EDITOR", "FIELDS"];
    let rows = page.changes.iter().map(|change| {
        let fields: Vec<String> = change.fields.iter().map(field_change).collect();
        [
            change.sequence.to_string(),
            change.change_date.to_string(),
            change.kind.clone(),
            change.editor_id.clone(),
            fields.join(", "),
        ]
    });
    table(head, rows, place)
}

pub(crate) fn list(page: &ListReply, place: Place) -> String {
    let head = [
        "USER",
        "VERSION",
        "DISPLAY NAME",
        "USER NAME",
        "E-MAIL",
        "CHANGED",
    ];
    let rows = page.users.iter().map(|user| {
        let changed = user.details.change_date.or(user.details.creation_date);
        [
            user.user_id.clone(),
            user.details.sequence.to_string(),
            user.profile.display_name.clone(),
            user.user_name.clone(),
            user.email.email.clone(),
            changed.map(|at| at.to_string()).unwrap_or_default(),
        ]
    });
    table(head, rows, place)
}

/// Time, position, what happened, organization and user, version, changed fields.
pub(crate) fn event(event: &CloudEvent, position: Option<u64>) -> String {
    let kind = event
        .event_type
        .trim_start_matches("profile-service.profile.")
        .trim_end_matches(".v1");
    let position = position.map_or_else(|| "-".to_owned(), |position| position.to_string());
    let line = format!(
        "{}  {position}  {kind:<7}  {}/{}  version {}  {}",
        event.time,
        event.data.org_id,
        event.data.user_id,
        event.userversion,
        event.data.changed.join(","),
    );
    format!("{}\n", escaped(line.trim_end()))
}

/// The message, all violations, and what to do next.
pub(crate) fn failure(failure: &Failure) -> String {
    let mut text = format!("error: {}\n", escaped(&failure.to_string()));
    if let Failure::Answer { status, .. } = failure {
        let name = ErrorCode::from_grpc(status.code).map_or("unknown", ErrorCode::name);
        let _ = writeln!(text, "code: {name}");
        for violation in status.violations() {
            let (field, rule) = (&violation.field, &violation.description);
            let _ = writeln!(text, "  - {}: {}", escaped(field), escaped(rule));
        }
        if let Some(info) = status.info() {
            if let Some(version) = &info.current_version {
                let _ = writeln!(text, "current version: {}", escaped(version));
            }
            let _ = writeln!(text, "retry: {}", advice(info.retry));
        }
    }
    if let Some(key) = failure.retry_key() {
        let _ = writeln!(text, "idempotency key: {}", escaped(key));
    }
    text
}

/// `value` with every character that could move the cursor, colour the terminal, reorder text or hide
/// in it written as an escape.
pub(crate) fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\n' | '\r' | '\t' => text.extend(c.escape_default()),
            c if c.is_control() || is_invisible(c) => text.extend(c.escape_unicode()),
            c => text.push(c),
        }
    }
    text
}

/// Format characters: zero width, bidirectional controls, line separators, byte order mark.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

fn advice(retry: Retry) -> &'static str {
    match retry {
        Retry::Safe => "nothing was done; send it again after a pause",
        Retry::SameKey => "it may have been done; repeat it with the same --idempotency-key",
        Retry::No => "no, the same request will fail again",
    }
}

fn details(details: &ObjectDetails) -> Vec<Row> {
    let mut rows = vec![
        ("organization", details.resource_owner.clone()),
        ("version", details.sequence.to_string()),
    ];
    rows.extend(details.creation_date.map(|at| ("created", at.to_string())));
    rows.extend(details.change_date.map(|at| ("changed", at.to_string())));
    rows
}

fn gender(gender: Gender) -> &'static str {
    match gender {
        Gender::Unspecified => "",
        Gender::Female => "female",
        Gender::Male => "male",
        Gender::Diverse => "diverse",
    }
}

fn verified(value: &str, is_verified: bool) -> String {
    let mark = if is_verified { " (verified)" } else { "" };
    format!("{value}{mark}")
}

fn field_change(change: &FieldChange) -> String {
    match &change.old {
        Some(old) => format!("{}: \"{old}\" → \"{}\"", change.field, change.new),
        None => format!("{}: \"{}\"", change.field, change.new),
    }
}

fn pairs(rows: Vec<Row>) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &Row| format!("{name:<width$}  {}", escaped(value));
    let lines = rows.iter().map(line);
    lines.fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

/// Columns as wide as their widest value, counted in characters.
fn table<const N: usize>(
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    place: Place,
) -> String {
    let mut lines: Vec<[String; N]> = Vec::new();
    if place == Place::First {
        lines.push(head.map(str::to_owned));
    }
    lines.extend(rows.map(|row| row.map(|value| escaped(&value))));
    let mut widths = head.map(str::len);
    for line in &lines {
        for (width, value) in widths.iter_mut().zip(line) {
            *width = (*width).max(value.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(value, width)| format!("{value:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
