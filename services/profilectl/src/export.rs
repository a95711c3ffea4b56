//! `export`: every user of the organization as NDJSON, each line a body of `create`, which `import` reads.
//!
//! Users are listed page by page into `<FILE>.part`; after each page `<FILE>.progress` tells where the next
//! one begins, and killed at any moment, the next run goes on there. A user who is renamed meanwhile moves in
//! the list, and may be on two pages or on none: so at the end everybody whom the log calls changed since the
//! first page is taken out and read again, and only then is there a `<FILE>`.

mod part;
mod settle;

use std::io::{BufWriter, Write};
use std::path::Path;

use async_nats::Client;
use profile_messages::reply::{EmailView, GetReply, ListReply, PhoneView, ProfileView};
use profile_messages::subject::Operation;
use serde::Serialize;

use self::part::Part;
use crate::args::{ExportArgs, Global, PageArgs};
use crate::failure::Failure;
use crate::progress::{Progress, Unit};
use crate::{body, client, output, request, retry};

/// # Errors
/// Usage: a file that is there, what another caller's export left. Else the first failure that does not pass.
pub(crate) async fn export(global: &Global, args: &ExportArgs) -> Result<(), Failure> {
    match args.file == Path::new("-") {
        true => to_stdout(global, args).await,
        false => to_file(global, args).await,
    }
}

async fn to_file(global: &Global, args: &ExportArgs) -> Result<(), Failure> {
    let mut part = Part::open(&args.file, global)?;
    if let Some(reached) = part.reached() {
        output::note(&format!("goes on after {} users", reached.users));
    }
    let connection = client::connect(global).await?;
    let mut progress = Progress::new(Unit::Users, args.users, args.progress);
    let reached = loop {
        let reached = part.reached();
        if let Some(reached) = reached.filter(|reached| reached.cursor.is_none()) {
            break reached.clone();
        }
        let cursor = reached.and_then(|reached| reached.cursor.clone());
        let page = page(&connection.client, global, args, cursor).await?;
        let reached = part.append(&page)?;
        progress.reached(reached.users, format_args!("{} users", reached.users));
    };
    progress.end();
    let users = match args.as_listed || reached.is_true_throughout() {
        true => {
            part.end()?;
            reached.users
        }
        false => settle::settle(&connection.client, global, args, part, &reached).await?,
    };
    output::note(&format!("{users} users are in {}", args.file.display()));
    Ok(())
}

/// As listed, and from the beginning: what is written is out of reach.
async fn to_stdout(global: &Global, args: &ExportArgs) -> Result<(), Failure> {
    let connection = client::connect(global).await?;
    let mut progress = Progress::new(Unit::Users, args.users, args.progress);
    let (mut users, mut first, mut cursor) = (0, None, None);
    loop {
        let page = page(&connection.client, global, args, cursor.take()).await?;
        write_users(std::io::stdout().lock(), &page.users)?;
        users += page.users.len() as u64;
        progress.reached(users, format_args!("{users} users"));
        let first = *first.get_or_insert(page.position);
        cursor = page.next_cursor;
        if cursor.is_none() {
            progress.end();
            output::note(&format!("{users} users"));
            if first != page.position && !args.as_listed {
                output::note(
                    "there were changes meanwhile: users may be missing or there twice; export to a file, \
                     or say --as-listed",
                );
            }
            return Ok(());
        }
    }
}

async fn page(
    client: &Client,
    global: &Global,
    args: &ExportArgs,
    cursor: Option<String>,
) -> Result<ListReply, Failure> {
    let page = PageArgs {
        limit: Some(args.limit),
        cursor: None,
        all: false,
    };
    let asked = || {
        let body = body::page(&page, None, cursor.as_deref());
        request::read(global, Operation::List, None, body)
    };
    let reply: ListReply = output::decode(&retry::read(client, asked).await?)?;
    match cursor.is_some() && reply.next_cursor == cursor {
        true => Err(Failure::other("the service sent the same cursor twice")),
        false => Ok(reply),
    }
}

/// A body of `create` that makes the same user again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported<'a> {
    user_id: &'a str,
    user_name: &'a str,
    profile: &'a ProfileView,
    email: &'a EmailView,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a PhoneView>,
}

/// One line each, in one go.
fn write_users(target: impl Write, users: &[GetReply]) -> Result<(), Failure> {
    let mut target = BufWriter::new(target);
    for user in users {
        let line = Exported {
            user_id: &user.user_id,
            user_name: &user.user_name,
            profile: &user.profile,
            email: &user.email,
            phone: user.phone.as_ref(),
        };
        serde_json::to_writer(&mut target, &line).map_err(|error| Failure::Output(error.into()))?;
        target.write_all(b"\n")?;
    }
    Ok(target.flush()?)
}
