//! The end of an export: whoever was changed since its first page is read again.

use std::collections::BTreeSet;
use std::io::{BufRead, BufWriter, Write};

use async_nats::Client;
use futures::{StreamExt, stream};
use profile_messages::event::CloudEvent;
use profile_messages::reply::{GetReply, ReplayReply};
use profile_messages::subject::Operation;
use serde::Deserialize;

use super::part::{Part, Reached};
use super::write_users;
use crate::args::{ExportArgs, Global, ReplayArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{body, output, request, retry};

/// Reads under way at the same time, and users held in memory.
const READS_IN_FLIGHT: usize = 64;

/// Ends the export with lines that hold everybody once; returns how many they are.
///
/// # Errors
/// What was changed cannot be told: the advice is in the text. Reads and writes that fail.
pub(super) async fn settle(
    client: &Client,
    global: &Global,
    args: &ExportArgs,
    part: Part,
    reached: &Reached,
) -> Result<u64, Failure> {
    let changed = changed(client, global, args, reached.first_position).await?;
    if changed.is_empty() {
        part.end()?;
        return Ok(reached.users);
    }
    let count = changed.len();
    output::note(&format!(
        "{count} users were changed meanwhile and are read again"
    ));
    let settled = part.settled()?;
    let mut users = others(&part, &changed, &settled)?;
    let reads = changed.iter().map(|user| current(client, global, user));
    let mut reads = stream::iter(reads)
        .buffered(READS_IN_FLIGHT)
        .chunks(READS_IN_FLIGHT);
    while let Some(read) = reads.next().await {
        let read: Result<Vec<_>, _> = read.into_iter().collect();
        let there: Vec<_> = read?.into_iter().flatten().collect();
        write_users(&settled, &there)?;
        users += there.len() as u64;
    }
    part.end_settled(&settled)?;
    Ok(users)
}

/// Ids of the users with an event after `first`.
async fn changed(
    client: &Client,
    global: &Global,
    args: &ExportArgs,
    first: u64,
) -> Result<BTreeSet<String>, Failure> {
    let (mut changed, mut after) = (BTreeSet::new(), first);
    loop {
        let page = ReplayArgs {
            after,
            limit: Some(args.limit),
            all: false,
        };
        let asked = || request::read(global, Operation::Replay, None, body::replay(&page, after));
        let reply = retry::read(client, asked).await.map_err(untold)?;
        let reply: ReplayReply = output::decode(&reply)?;
        for replayed in &reply.events {
            let event: CloudEvent = output::decode(replayed.event.get().as_bytes())?;
            changed.insert(event.subject);
        }
        if reply.end {
            return Ok(changed);
        }
        if reply.position <= after {
            return Err(Failure::other("the service sent the same position twice"));
        }
        after = reply.position;
    }
}

fn untold(failure: Failure) -> Failure {
    Failure::other(format!(
        "there were changes meanwhile, and who was changed cannot be told: {failure}. Run it again with a token \
         that has the permission events.read, or with --as-listed: users may then be missing or there twice"
    ))
}

/// Copies the lines of everybody else.
fn others(
    part: &Part,
    changed: &BTreeSet<String>,
    settled: &std::fs::File,
) -> Result<u64, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Id {
        user_id: String,
    }
    let mut target = BufWriter::new(settled);
    let (mut lines, mut line, mut users) = (part.lines()?, Vec::new(), 0);
    while lines.read_until(b'\n', &mut line)? > 0 {
        let Id { user_id } = output::decode(&line)?;
        if !changed.contains(&user_id) {
            target.write_all(&line)?;
            users += 1;
        }
        line.clear();
    }
    target.flush()?;
    Ok(users)
}

/// The user as of now; `None` if there is none (any more), or not in this organization.
async fn current(
    client: &Client,
    global: &Global,
    user: &str,
) -> Result<Option<GetReply>, Failure> {
    let asked = || request::read(global, Operation::Get, Some(user), body::get(None));
    match retry::read(client, asked).await {
        Ok(reply) => output::decode(&reply).map(Some),
        Err(failure) if failure.exit() == Exit::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}
