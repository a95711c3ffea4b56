//! Those who follow the changes: a durable consumer of the stream, and a reader of `replay`.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull};
use futures::StreamExt;
use profile_messages::event::CloudEvent;
use profile_messages::reply::ReplayReply;
use profile_messages::subject::EVENT_STREAM;
use profile_tests::caller::Caller;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

const SILENCE: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
const PAGE_EVENTS: u64 = 500;
/// Between two pages: a reader among others, not a load of its own.
const PAGE_PAUSE: Duration = Duration::from_millis(50);

/// Newest version of each user, as the events tell it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Followed {
    pub(crate) versions: BTreeMap<String, u64>,
    /// Users with an event that is missing: only those that are removed later.
    pub(crate) gaps: BTreeMap<String, String>,
    /// The log keeps a user's newest changes only: the first that is seen may be any.
    starts_late: bool,
}

impl Followed {
    /// Takes in one event; those seen before come again.
    fn take(&mut self, event: &CloudEvent) {
        let (user, version) = (event.subject.clone(), event.userversion);
        let first = if self.starts_late { version - 1 } else { 0 };
        let newest = self.versions.entry(user.clone()).or_insert(first);
        if version <= *newest {
            return;
        }
        if event.event_type.contains(".removed.") {
            self.gaps.remove(&user);
        } else if version > *newest + 1 {
            let gap = format!("{user} goes from version {newest} to {version}");
            self.gaps.entry(user).or_insert(gap);
        }
        *newest = version;
    }
}

/// Follows the stream until `wanted` is there: the number of changes to see, told at the end.
pub(crate) async fn consume(
    client: async_nats::Client,
    mut wanted: watch::Receiver<Option<BTreeMap<String, u64>>>,
) -> Followed {
    let mut followed = Followed::default();
    loop {
        // An error is a restart of the bus: the consumer is durable, its messages come again.
        if let Some(mut messages) = consumer(&client).await {
            while let Ok(Some(Ok(message))) = timeout(SILENCE, messages.next()).await {
                let event = serde_json::from_slice(&message.payload).expect("a cloud event");
                if message.ack().await.is_err() {
                    break;
                }
                followed.take(&event);
                let is_complete = |wanted: &Option<_>| wanted.as_ref() == Some(&followed.versions);
                if is_complete(&wanted.borrow()) {
                    return followed;
                }
            }
        }
        let wanted_now = wanted.borrow_and_update().clone();
        // Silence after the end: what is not there by now does not come.
        if wanted_now.is_some() {
            return followed;
        }
    }
}

async fn consumer(client: &async_nats::Client) -> Option<pull::Stream> {
    let jetstream = jetstream::new(client.clone());
    let stream = jetstream.get_stream_no_info(EVENT_STREAM).await.ok()?;
    let config = pull::Config {
        durable_name: Some("soak".to_owned()),
        filter_subject: "profile-event.v1.*.*.*".to_owned(),
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.ok()?;
    consumer.messages().await.ok()
}

/// Reads the log from the beginning again and again until told to stop; returns what a last pass saw.
pub(crate) async fn replay(
    caller: Caller,
    token: watch::Receiver<String>,
    stop: watch::Receiver<bool>,
) -> (u64, Followed) {
    let mut passes = 0;
    loop {
        let is_last = *stop.borrow();
        let followed = pass(&caller, &token).await;
        passes += 1;
        if is_last {
            return (passes, followed);
        }
    }
}

async fn pass(caller: &Caller, token: &watch::Receiver<String>) -> Followed {
    let (mut followed, mut after) = (Followed::default(), 0);
    followed.starts_late = true;
    loop {
        let _ = timeout(PAGE_PAUSE, std::future::pending::<()>()).await;
        let caller = caller.with_token(&token.borrow().clone());
        let body = json!({"after": after.to_string(), "limit": PAGE_EVENTS});
        let Ok(Ok(answer)) = timeout(ANSWER_WITHIN, caller.try_call("replay", body)).await else {
            continue;
        };
        match answer.metadata("retry") {
            None => {}
            Some("safe" | "same-key") => continue,
            Some(_) => {
                // What was before is compacted away: go on where the log begins.
                let first = answer.metadata("position").expect("the first position");
                after = first.parse::<u64>().expect("a number") - 1;
                continue;
            }
        }
        let page: ReplayReply = serde_json::from_value(answer.ok()).expect("the reply of replay");
        for event in &page.events {
            assert!(
                event.position > after,
                "replay goes back to {}",
                event.position
            );
            after = event.position;
            followed.take(&serde_json::from_str(event.event.get()).expect("a cloud event"));
        }
        after = page.position;
        if page.end {
            return followed;
        }
    }
}
