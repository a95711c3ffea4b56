//! What the service tells of its users, and what a consumer reads from the event stream.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::bus::{self, Bus};
use crate::caller::Caller;
use crate::nats_server::NatsUser;
use async_nats::jetstream::{self, consumer::pull};
use futures::{StreamExt, stream};
use profile_messages::event::CloudEvent;
use profile_messages::reply::{GetReply, HistoryReply, ListReply, ObjectDetails};
use profile_messages::subject::EVENT_STREAM;
use serde_json::json;
use tokio::time::timeout;

use super::check::{Change, SeenEvent, Told, Users};
use super::client::answered;

const READS_AT_ONCE: usize = 16;
/// Fewer than there are users, so that there is more than one page.
const USERS_OF_A_PAGE: usize = 20;
const SILENCE: Duration = Duration::from_secs(10);

/// Everything that is told of `users`; of one that was never created, nothing.
pub async fn users(caller: &Caller, users: BTreeSet<String>) -> Users {
    let told = stream::iter(users).map(|user| async move {
        let told = user_now(caller, &user).await;
        (user, told)
    });
    told.buffer_unordered(READS_AT_ONCE).collect().await
}

async fn user_now(caller: &Caller, user: &str) -> Told {
    let got = answered(caller, "get", json!({"userId": user})).await;
    if got.status == Some(404) {
        return Told::default();
    }
    let got: GetReply = serde_json::from_value(got.ok()).expect("the reply of get");
    let body = json!({"userId": user, "limit": 1000});
    let history = answered(caller, "history", body).await.ok();
    let history: HistoryReply = serde_json::from_value(history).expect("the reply of history");
    assert!(history.next_cursor.is_none(), "few changes per user");
    let changes = history.changes.into_iter().rev().map(|change| {
        let name = change
            .fields
            .into_iter()
            .find(|field| field.field == "displayName");
        Change {
            version: change.sequence,
            at: change.change_date.to_string(),
            key: name.map_or_else(String::new, |name| name.new),
        }
    });
    Told {
        history: changes.collect(),
        current: Some(Change {
            version: got.details.sequence,
            at: date(&got.details),
            key: got.profile.display_name,
        }),
    }
}

/// Every page of the list of the caller's organization: the version of each user.
///
/// # Errors
/// A user who is listed twice.
pub async fn listed(caller: &Caller) -> Result<BTreeMap<String, u64>, String> {
    let (mut versions, mut cursor) = (BTreeMap::new(), None);
    loop {
        let mut body = json!({"limit": USERS_OF_A_PAGE});
        if let Some(cursor) = cursor {
            body["cursor"] = json!(cursor);
        }
        let page = answered(caller, "list", body).await.ok();
        let page: ListReply = serde_json::from_value(page).expect("the reply of list");
        for user in page.users {
            let (user, version) = (user.user_id, user.details.sequence);
            if versions.insert(user.clone(), version).is_some() {
                return Err(format!("{user} is listed twice"));
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(versions);
        }
    }
}

fn date(details: &ObjectDetails) -> String {
    let date = details.change_date.or(details.creation_date);
    date.map_or_else(String::new, |date| date.to_string())
}

/// The stream as a durable consumer reads it: until it has seen an event of every change and the
/// stream has no more, or until the silence is too long.
pub async fn events(bus: &impl Bus, users: &Users) -> Vec<SeenEvent> {
    let jetstream = jetstream::new(bus::connect(bus, NatsUser::Consumer).await);
    let stream = jetstream
        .get_stream_no_info(EVENT_STREAM)
        .await
        .expect("the stream");
    let config = pull::Config {
        durable_name: Some("checker".to_owned()),
        filter_subject: "profile-event.v1.*.*.*".to_owned(),
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.expect("a consumer");
    let mut messages = consumer.messages().await.expect("messages");
    let all: usize = users.values().map(|told| told.history.len()).sum();
    let (mut seen, mut ids) = (Vec::new(), BTreeSet::new());
    while let Ok(Some(message)) = timeout(SILENCE, messages.next()).await {
        let message = message.expect("a message");
        let pending = message.info().expect("a stream message").pending;
        message.ack().await.expect("an ack");
        let event = seen_event(&message.payload);
        ids.insert(event.id.clone());
        seen.push(event);
        if ids.len() >= all && pending == 0 {
            break;
        }
    }
    seen
}

fn seen_event(payload: &[u8]) -> SeenEvent {
    let event: CloudEvent = serde_json::from_slice(payload).expect("a cloud event");
    let name = event.data.values.and_then(|values| values.display_name);
    SeenEvent {
        id: event.id,
        user: event.subject,
        change: Change {
            version: event.userversion,
            at: event.time.to_string(),
            key: name.unwrap_or_default(),
        },
    }
}
