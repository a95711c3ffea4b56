//! Where events come from: live ones by a subscription, kept ones by a consumer of the stream.

use std::pin::Pin;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::{Client, HeaderMap, datetime, jetstream};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use profile_messages::subject::EVENT_STREAM;
use profile_messages::{Timestamp, envelope};
use tokio::sync::mpsc;

use super::selection::Start;
use crate::client::{Connection, Notice};
use crate::failure::Failure;
use crate::output;

/// Clocks of the service and of nats-server may differ by this much. An event is stored after its own time.
const CLOCKS_APART_US: i64 = 60_000_000;

/// An event message. An empty payload stands where an event of a removed user was.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) position: Option<u64>,
    pub(super) payload: Bytes,
}

pub(super) type Events = Pin<Box<dyn Stream<Item = Result<Delivered, Failure>>>>;

/// What the stream said about itself when it was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// Messages that will be delivered before live ones.
    pub(super) pending: u64,
    /// When its first message was stored, if there were earlier ones.
    pub(super) cut_at: Option<Timestamp>,
}

/// The events, or the server's refusal. Of live ones nothing was kept.
pub(super) async fn open(
    connection: &mut Connection,
    filter: &str,
    start: Start,
) -> Result<(Events, Option<Kept>), Failure> {
    let policy = match start {
        Start::Live => return Ok((live(connection, filter).await?, None)),
        // A position is a place in the log, not in the stream: the header of every event is read.
        Start::Stream | Start::Position(_) | Start::Version(_) => DeliverPolicy::All,
        Start::Time(at) => stored_since(at)?,
    };
    // The refusal comes as a notice: without it a request that is not allowed would time out.
    tokio::select! {
        stored = stored(&connection.client, filter, policy) => {
            stored.map(|(events, kept)| (events, Some(kept)))
        }
        text = refusal(&mut connection.notices) => Err(Failure::Refused(text)),
    }
}

fn stored_since(at: Timestamp) -> Result<DeliverPolicy, Failure> {
    let nanos = i128::from(at.0.saturating_sub(CLOCKS_APART_US)) * 1_000;
    let start_time = datetime::from_nanos(nanos)
        .map_err(|error| Failure::usage(format!("no time to begin at: {error}")))?;
    Ok(DeliverPolicy::ByStartTime { start_time })
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

async fn live(connection: &mut Connection, filter: &str) -> Result<Events, Failure> {
    let subscription = connection
        .client
        .subscribe(filter.to_owned())
        .await
        .map_err(|error| Failure::NoConnection(error.to_string()))?;
    // Only then is the subscription in force.
    connection.round_trip().await?;
    Ok(Box::pin(subscription.map(|message| {
        Ok(delivered(message.headers.as_ref(), message.payload))
    })))
}

async fn stored(
    client: &Client,
    filter: &str,
    deliver_policy: DeliverPolicy,
) -> Result<(Events, Kept), Failure> {
    let unread = |error: &dyn std::error::Error| {
        Failure::other(format!("cannot read the stream {EVENT_STREAM}: {error}"))
    };
    let config = pull::OrderedConfig {
        filter_subject: filter.to_owned(),
        deliver_policy,
        ..pull::OrderedConfig::default()
    };
    let stream = jetstream::new(client.clone())
        .get_stream(EVENT_STREAM)
        .await
        .map_err(|error| unread(&error))?;
    let consumer = stream
        .create_consumer(config)
        .await
        .map_err(|error| unread(&error))?;
    let state = &stream.cached_info().state;
    let first_us = state.first_timestamp.unix_timestamp_nanos() / 1_000;
    let first_at = Timestamp(i64::try_from(first_us).unwrap_or(i64::MAX));
    let kept = Kept {
        pending: consumer.cached_info().num_pending,
        cut_at: (state.first_sequence > 1).then_some(first_at),
    };
    let messages = consumer.messages().await.map_err(|error| unread(&error))?;
    let events = messages.map(move |message| {
        let message = message.map_err(|error| unread(&error))?.message;
        Ok(delivered(message.headers.as_ref(), message.payload))
    });
    Ok((Box::pin(events), kept))
}

fn delivered(headers: Option<&HeaderMap>, payload: Bytes) -> Delivered {
    let position = headers.and_then(|headers| headers.get(envelope::POSITION));
    Delivered {
        position: position.and_then(|position| position.as_str().parse().ok()),
        payload,
    }
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
}
