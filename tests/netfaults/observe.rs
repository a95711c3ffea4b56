//! The log as `replay` tells it, and the stream as it is.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, stream::State};
use futures::StreamExt;
use profile_messages::reply::ReplayReply;
use profile_messages::subject::EVENT_STREAM;
use profile_tests::caller::Caller;
use serde_json::json;
use tokio::time::timeout;

use crate::check::{Event, Message};

const SILENCE: Duration = Duration::from_secs(10);

pub(crate) struct Page {
    pub(crate) events: Vec<(u64, Event)>,
    pub(crate) position: u64,
    pub(crate) end: bool,
}

/// A page of events after a position.
pub(crate) async fn replay(auditor: &Caller, after: u64) -> Result<Page, String> {
    let body = json!({"after": after.to_string(), "limit": 1000});
    let answer = auditor.try_call("replay", body).await;
    let answer = answer.map_err(|error| format!("replay: {error}"))?;
    if let Some(status) = answer.status {
        return Err(format!("replay: {status} {}", answer.body["message"]));
    }
    let page: ReplayReply =
        serde_json::from_value(answer.body).map_err(|error| format!("replay: {error}"))?;
    let events = page.events.into_iter().map(|replayed| {
        let event = Event::read(replayed.event.get().as_bytes())?;
        Ok::<_, String>((replayed.position, event))
    });
    Ok(Page {
        events: events.collect::<Result<_, _>>()?,
        position: page.position,
        end: page.end,
    })
}

/// A message of the stream as it arrived.
pub(crate) fn message(sequence: u64, message: &async_nats::Message) -> Result<Message, String> {
    let headers = message.headers.as_ref();
    let header = |name: &str| {
        headers
            .and_then(|headers| headers.get(name))
            .map(|it| it.as_str())
    };
    if header("Profile-Position") != Some(sequence.to_string().as_str()) {
        let says = header("Profile-Position");
        return Err(format!("I5: {sequence} calls itself {says:?}"));
    }
    if header("Profile-Withheld").is_some() {
        let event = None;
        return Ok(Message { sequence, event });
    }
    let event = Event::read(&message.payload)?;
    let kind = message.subject.rsplit_once('.').map(|(_, kind)| kind);
    if header("Nats-Msg-Id") != Some(event.id.as_str())
        || event.removes != (kind == Some("removed"))
    {
        return Err(format!(
            "I5: {sequence} is {event:?} on {}",
            message.subject
        ));
    }
    let event = Some(event);
    Ok(Message { sequence, event })
}

/// Where the stream stands; `None` when there is none or nobody tells.
pub(crate) async fn state(operator: &Client) -> Option<State> {
    let jetstream = jetstream::new(operator.clone());
    let stream = timeout(SILENCE, jetstream.get_stream(EVENT_STREAM)).await;
    Some(stream.ok()?.ok()?.cached_info().state.clone())
}

/// The messages `first..=last`.
pub(crate) async fn stream(
    operator: &Client,
    first: u64,
    last: u64,
) -> Result<Vec<Message>, String> {
    let text = |error: async_nats::Error| format!("reading the stream: {error}");
    let mut found = Vec::new();
    if first > last {
        return Ok(found);
    }
    let jetstream = jetstream::new(operator.clone());
    let stream = jetstream.get_stream_no_info(EVENT_STREAM).await;
    let stream = stream.map_err(|error| text(error.into()))?;
    let config = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: first,
        },
        ack_policy: AckPolicy::None,
        inactive_threshold: Duration::from_secs(5),
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await;
    let consumer = consumer.map_err(|error| text(error.into()))?;
    let messages = consumer.stream().max_messages_per_batch(2_000).messages();
    let mut messages = messages.await.map_err(|error| text(error.into()))?;
    while let Ok(Some(next)) = timeout(SILENCE, messages.next()).await {
        let next = next.map_err(|error| text(error.into()))?;
        let sequence = next.info().map_err(text)?.stream_sequence;
        if sequence > last {
            break;
        }
        found.push(message(sequence, &next.message)?);
        if sequence == last {
            break;
        }
    }
    Ok(found)
}
