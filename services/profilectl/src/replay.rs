//! `replay`: the events after a position, out of the log, one a line.

use bytes::Bytes;
use profile_messages::reply::ReplayReply;
use profile_messages::subject::Operation;

use crate::args::{Global, ReplayArgs};
use crate::client::{self, Connection};
use crate::failure::Failure;
use crate::request::{self, Request};
use crate::{body, output};

/// Prints one page, or with `--all` every page as it comes. The position to continue after is the last
/// thing on stderr, also when a later page fails: what was printed is not to be read again.
///
/// # Errors
/// No connection, the service's error answer, a reply outside the contract.
pub(crate) async fn replay(global: &Global, args: &ReplayArgs) -> Result<(), Failure> {
    // Checked before connecting: usage errors need no server.
    request(global, args, args.after)?;
    let mut connection = client::connect(global).await?;
    let mut after = args.after;
    loop {
        let asked = page(&mut connection, global, args, after).await;
        let reply = match asked {
            Ok(reply) => reply,
            Err(failure) => {
                if after != args.after {
                    output::note(&continuation(after, false));
                }
                return Err(failure);
            }
        };
        after = reply.position;
        if reply.end || !args.all {
            output::note(&continuation(after, reply.end));
            return Ok(());
        }
    }
}

/// Asks for a page.
///
/// # Errors
/// The service's error answer, no answer, a reply outside the contract.
pub(crate) async fn ask(
    connection: &mut Connection,
    global: &Global,
    args: &ReplayArgs,
    after: u64,
) -> Result<ReplayReply, Failure> {
    let body = connection.ask(request(global, args, after)?).await?;
    let reply: ReplayReply = output::decode(&body)?;
    check(&reply, after)?;
    Ok(reply)
}

/// Asks for a page and prints it.
async fn page(
    connection: &mut Connection,
    global: &Global,
    args: &ReplayArgs,
    after: u64,
) -> Result<ReplayReply, Failure> {
    let reply = ask(connection, global, args, after).await?;
    for replayed in &reply.events {
        let event = Bytes::copy_from_slice(replayed.event.get().as_bytes());
        output::event(&event, Some(replayed.position), global.format())?;
    }
    Ok(reply)
}

/// Positions grow: else `--all` would never end.
fn check(reply: &ReplayReply, after: u64) -> Result<(), Failure> {
    if reply.position < after || (reply.position == after && !reply.end) {
        return Err(Failure::other("the service sent the same position twice"));
    }
    Ok(())
}

fn request(global: &Global, args: &ReplayArgs, after: u64) -> Result<Request, Failure> {
    request::read(global, Operation::Replay, None, body::replay(args, after))
}

/// What stderr ends with.
fn continuation(position: u64, end: bool) -> String {
    if end {
        return format!("position {position}, the end of the log");
    }
    format!("position {position}, more: --after {position}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../../messages/golden/reply-replay.json");

    fn reply(text: &str) -> ReplayReply {
        output::decode(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_replay_that_makes_no_progress_is_refused() {
        let end = reply(GOLDEN);
        assert!(check(&end, 8).is_ok() && check(&end, 9).is_ok());
        assert!(check(&end, 10).is_err());
        let more = reply(r#"{"events":[],"position":"9","end":false}"#);
        assert!(check(&more, 8).is_ok());
        assert!(check(&more, 9).is_err());
    }

    #[test]
    fn stderr_ends_with_the_position_and_whether_there_is_more() {
        assert_eq!(continuation(9, true), "position 9, the end of the log");
        assert_eq!(continuation(9, false), "position 9, more: --after 9");
    }

    #[test]
    fn a_page_is_asked_for_after_the_position_and_for_nobody_in_particular() {
        use crate::args::{Action, Cli};
        use clap::Parser;
        let cli = Cli::try_parse_from(["profilectl", "replay", "--limit", "5"]).unwrap();
        let Action::Replay(args) = &cli.action else {
            panic!("not a replay");
        };
        let request = request(&cli.global, args, 7).unwrap();
        assert_eq!(request.subject, "profile.v1.replay");
        assert_eq!(request.body, r#"{"after":"7","limit":"5"}"#);
    }
}
