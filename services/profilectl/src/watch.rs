//! `watch`: change events, live or from the stream, one a line.

use std::pin::Pin;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::{Client, HeaderMap, jetstream};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use profile_messages::envelope;
use profile_messages::subject::EVENT_STREAM;
use profile_messages::{OrgId, UserId};
use tokio::sync::mpsc;

use crate::args::{Global, WatchArgs};
use crate::client::{self, Connection, Notice};
use crate::failure::Failure;
use crate::output;

/// An event message: its headers and the CloudEvent.
type Delivered = (Option<HeaderMap>, Bytes);
type Events = Pin<Box<dyn Stream<Item = Result<Delivered, Failure>>>>;

/// Where events are read from.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// What is kept in the stream, then live ones.
    Stored,
    Live,
}

/// Prints events until ctrl-c or `--count`.
///
/// # Errors
/// No connection, a subscription that the server refuses, a stream that cannot be read.
pub(crate) async fn watch(global: &Global, args: &WatchArgs) -> Result<(), Failure> {
    let filter = filter(global.org.as_deref(), args.user_id.as_deref())?;
    let mut connection = client::connect(global).await?;
    let origin = if args.all || args.from_position.is_some() {
        Origin::Stored
    } else {
        Origin::Live
    };
    let mut events = open(&mut connection, &filter, origin).await?;
    output::note(&format!("watching {filter}"));
    let first = args.from_position.unwrap_or(0);
    // One listener for the whole run: a new one would miss a ctrl-c between two events.
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let Some((headers, payload)) =
            next(&mut connection, &mut events, interrupt.as_mut()).await?
        else {
            return Ok(());
        };
        let position = headers.as_ref().and_then(position);
        // An empty payload stands where an event of a removed user was.
        if payload.is_empty() || position.is_some_and(|position| position < first) {
            continue;
        }
        output::event(&payload, position, global.format())?;
        left -= 1;
    }
    Ok(())
}

/// The events, or the server's refusal.
async fn open(
    connection: &mut Connection,
    filter: &str,
    origin: Origin,
) -> Result<Events, Failure> {
    match origin {
        Origin::Live => live(connection, filter).await,
        // The refusal comes as a notice: without it a request that is not allowed would time out.
        Origin::Stored => tokio::select! {
            events = stored(&connection.client, filter) => events,
            text = refusal(&mut connection.notices) => Err(Failure::Refused(text)),
        },
    }
}

/// The next refusal; never returns without one.
async fn refusal(notices: &mut mpsc::Receiver<Notice>) -> String {
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Refused(text) => return text,
            Notice::Connected => output::note("connected"),
            Notice::Disconnected | Notice::Dropped | Notice::Complaint(_) => {}
        }
    }
    std::future::pending().await
}

/// `profile-event.v1.<org or *>.<user or *>.>`
///
/// # Errors
/// Usage, when an id is not of the form: it could widen the filter.
fn filter(org: Option<&str>, user: Option<&str>) -> Result<String, Failure> {
    let org = org.map(OrgId::parse).transpose();
    let user = user.map(UserId::parse).transpose();
    let (Ok(org), Ok(user)) = (&org, &user) else {
        let text = "organization and user: 1 to 200 characters of A-Z, a-z, 0-9, _ and -";
        return Err(Failure::usage(text));
    };
    let org = org.as_ref().map_or("*", OrgId::as_str);
    let user = user.as_ref().map_or("*", UserId::as_str);
    Ok(format!("profile-event.v1.{org}.{user}.>"))
}

/// The next event; `None` on ctrl-c.
async fn next(
    connection: &mut Connection,
    events: &mut Events,
    mut interrupt: Pin<&mut impl Future<Output = std::io::Result<()>>>,
) -> Result<Option<Delivered>, Failure> {
    loop {
        tokio::select! {
            interrupted = interrupt.as_mut() => return Ok(interrupted.map(|()| None)?),
            event = events.next() => match event {
                Some(event) => return event.map(Some),
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

async fn live(connection: &mut Connection, filter: &str) -> Result<Events, Failure> {
    let subscription = connection
        .client
        .subscribe(filter.to_owned())
        .await
        .map_err(|error| Failure::NoConnection(error.to_string()))?;
    // Only then is the subscription in force.
    connection.round_trip().await?;
    Ok(Box::pin(
        subscription.map(|message| Ok((message.headers, message.payload))),
    ))
}

/// From the beginning: a position is a place in the log, not in the stream, so `--from-position`
/// reads the header of every event.
async fn stored(client: &Client, filter: &str) -> Result<Events, Failure> {
    let unread = |error: &dyn std::error::Error| {
        Failure::other(format!("cannot read the stream {EVENT_STREAM}: {error}"))
    };
    let config = pull::OrderedConfig {
        filter_subject: filter.to_owned(),
        deliver_policy: DeliverPolicy::All,
        ..pull::OrderedConfig::default()
    };
    let messages = jetstream::new(client.clone())
        .get_stream(EVENT_STREAM)
        .await
        .map_err(|error| unread(&error))?
        .create_consumer(config)
        .await
        .map_err(|error| unread(&error))?
        .messages()
        .await
        .map_err(|error| unread(&error))?;
    Ok(Box::pin(messages.map(move |message| match message {
        Ok(message) => Ok((message.message.headers, message.message.payload)),
        Err(error) => Err(unread(&error)),
    })))
}

fn position(headers: &HeaderMap) -> Option<u64> {
    headers.get(envelope::POSITION)?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_is_found_among_other_notices() {
        let (sender, mut notices) = mpsc::channel(4);
        for notice in [
            Notice::Connected,
            Notice::Complaint("stale".to_owned()),
            Notice::Dropped,
            Notice::Refused("no".to_owned()),
        ] {
            sender.send(notice).await.unwrap();
        }
        assert_eq!(refusal(&mut notices).await, "no");
    }

    #[test]
    fn the_filter_names_what_is_given_and_nothing_wider() {
        let text = |org, user| filter(org, user).ok();
        assert_eq!(text(None, None).unwrap(), "profile-event.v1.*.*.>");
        assert_eq!(text(Some("o"), None).unwrap(), "profile-event.v1.o.*.>");
        assert_eq!(
            text(Some("o"), Some("u")).unwrap(),
            "profile-event.v1.o.u.>"
        );
        for wider in ["*", ">", "a.b", ""] {
            assert_eq!(text(Some(wider), None), None);
            assert_eq!(text(None, Some(wider)), None);
        }
    }
}
