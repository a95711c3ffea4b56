//! Those who follow the changes: a durable consumer of the stream, and a reader of `replay`.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull};
use futures::StreamExt;
use profile_messages::event::CloudEvent;
use profile_messages::reply::{ListReply, ReplayReply};
use profile_messages::subject::EVENT_STREAM;
use profile_tests::caller::{Answer, Caller};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

const SILENCE: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Events, or users.
const PAGE_ROWS: u64 = 500;
/// Between two pages: a reader among others, not a load of its own.
const PAGE_PAUSE: Duration = Duration::from_millis(50);
/// The code of a position that is no longer kept.
const OUT_OF_RANGE: u64 = 11;

/// Newest version of each user, as the events tell it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Followed {
    pub(crate) versions: BTreeMap<String, u64>,
    /// Users with an event that is missing: only those that are removed later.
    pub(crate) gaps: BTreeMap<String, String>,
    /// Position of each `removed`.
    pub(crate) removed_at: BTreeMap<String, u64>,
    /// The position of the list that this goes on from, if the log had no longer what came before.
    pub(crate) listed_at: Option<u64>,
}

impl Followed {
    /// Takes in one event; those seen before come again.
    fn take(&mut self, event: &CloudEvent, position: u64) {
        let (user, version) = (event.subject.clone(), event.userversion);
        // Whoever is renamed from behind a page of the list to before it is on none, but changed after.
        let first = self.listed_at.map_or(0, |_| version - 1);
        let newest = self.versions.entry(user.clone()).or_insert(first);
        if version <= *newest {
            return;
        }
        if event.event_type.contains(".removed.") {
            self.gaps.remove(&user);
            self.removed_at.insert(user, position);
        } else if version > *newest + 1 {
            let gap = format!("{user} goes from version {newest} to {version}");
            self.gaps.entry(user).or_insert(gap);
        }
        *newest = version;
    }

    /// Goes on from a list that was true at `position`: who was known and is not on it was removed by then.
    fn list(&mut self, listed: BTreeMap<String, u64>, position: u64) {
        for (user, version) in &listed {
            let known = self.versions.get(user).unwrap_or(version);
            assert!(
                known <= version,
                "the list goes back to {version} of {user}, after {known}"
            );
        }
        self.gaps.retain(|user, _| listed.contains_key(user));
        self.versions = listed;
        self.listed_at = Some(position);
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
                let position = message
                    .headers
                    .as_ref()
                    .and_then(|it| it.get("Profile-Position"));
                let position = position.and_then(|it| it.as_str().parse().ok());
                followed.take(&event, position.expect("every event has its position"));
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

/// Reads the log from the beginning again and again until told to stop; returns what a last pass saw. The
/// last is one that compaction kept from the beginning: that is what takes a consumer most care.
pub(crate) async fn replay(
    caller: Caller,
    token: watch::Receiver<String>,
    stop: watch::Receiver<bool>,
) -> (u64, Followed) {
    let reader = Reader { caller, token };
    let mut passes = 0;
    loop {
        let is_stopped = *stop.borrow();
        let followed = reader.pass().await;
        passes += 1;
        if is_stopped && followed.listed_at.is_some() {
            return (passes, followed);
        }
    }
}

struct Reader {
    caller: Caller,
    token: watch::Receiver<String>,
}

impl Reader {
    async fn pass(&self) -> Followed {
        let (mut followed, mut after) = (Followed::default(), 0);
        loop {
            let body = json!({"after": after.to_string(), "limit": PAGE_ROWS});
            let answer = self.ask("replay", body).await;
            if answer.status.is_some() {
                // What came next is thrown away.
                assert_eq!(answer.body["code"], OUT_OF_RANGE, "{}", answer.body);
                after = self.list(&mut followed).await;
                continue;
            }
            let page: ReplayReply =
                serde_json::from_value(answer.ok()).expect("the reply of replay");
            for event in &page.events {
                let position = event.position;
                assert!(position > after, "replay goes back to {position}");
                after = position;
                let event = serde_json::from_str(event.event.get()).expect("a cloud event");
                followed.take(&event, position);
            }
            after = page.position;
            if page.end {
                return followed;
            }
        }
    }

    /// Everybody there is, page by page; what changes meanwhile comes after the position of the first page.
    async fn list(&self, followed: &mut Followed) -> u64 {
        let (mut listed, mut first, mut cursor) = (BTreeMap::new(), None, None);
        loop {
            let body = json!({"limit": PAGE_ROWS, "cursor": cursor});
            let answer = self.ask("list", body).await.ok();
            let page: ListReply = serde_json::from_value(answer).expect("the reply of list");
            let position = *first.get_or_insert(page.position);
            let rows = page.users.into_iter();
            listed.extend(rows.map(|row| (row.user_id, row.details.sequence)));
            cursor = page.next_cursor;
            if cursor.is_none() {
                followed.list(listed, position);
                return position;
            }
        }
    }

    /// Asks until there is an answer that is no "try again".
    async fn ask(&self, operation: &str, body: Value) -> Answer {
        loop {
            let _ = timeout(PAGE_PAUSE, std::future::pending::<()>()).await;
            let caller = self.caller.with_token(&self.token.borrow().clone());
            let request = caller.try_call(operation, body.clone());
            let Ok(Ok(answer)) = timeout(ANSWER_WITHIN, request).await else {
                continue;
            };
            if !matches!(answer.metadata("retry"), Some("safe" | "same-key")) {
                return answer;
            }
        }
    }
}
