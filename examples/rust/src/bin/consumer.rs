//! Keeps a copy of the profiles of one organization: by the event stream, and by `replay` and `list` where the
//! stream does not reach back.
//!
//!     consumer <stateFile>
//!
//! Environment: NATS_URL, NATS_CONSUMER_PASSWORD (events), PROFILECTL_NATS_PASSWORD and PROFILE_TOKEN (requests;
//! the token needs user.read and events.read), ORG and DURABLE, if not `zoo` and `profile-copy`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, Message};
use futures::TryStreamExt as _;
use profile_examples::client::ProfileClient;
use profile_examples::copy::{Known, ProfileCopy};
use profile_examples::environment;
use profile_messages::envelope::POSITION;
use profile_messages::error::ErrorCode;
use profile_messages::event::CloudEvent;
use profile_messages::reply::{GetReply, ListReply, ReplayReply};
use profile_messages::subject::{EVENT_STREAM, Operation};
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

const BATCH_EVENTS_MAX: usize = 100;
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const PAGE_ROWS: &str = "1000";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let state_file = std::env::args().nth(1);
    let state_file = state_file.context("usage: consumer <stateFile>")?;
    let (url, token) = (environment("NATS_URL")?, environment("PROFILE_TOKEN")?);
    let org = std::env::var("ORG").unwrap_or_else(|_| "zoo".to_owned());
    let mut copy = ProfileCopy::open(state_file.into())?;
    let password = environment("PROFILECTL_NATS_PASSWORD")?;
    let client = ProfileClient::connect(&url, password, token).await?;

    // The durable consumer first: what happens from here on is in the stream, what was before in the log.
    let events = events(&url, &org).await?;
    let (mut terminated, mut interrupted) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    catch_up(&client, &mut copy, &org).await?;
    println!("caught up, at position {}", copy.position());
    tokio::select! {
        ended = follow(&events, &client, &mut copy, &org) => ended,
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
    }
}

/// The events of the organization, for a consumer whose place nats-server keeps.
async fn events(url: &str, org: &str) -> anyhow::Result<PullConsumer> {
    let durable = std::env::var("DURABLE").unwrap_or_else(|_| "profile-copy".to_owned());
    // The user `consumer` of config/nats-server.conf; reconnects by itself, for ever.
    let password = environment("NATS_CONSUMER_PASSWORD")?;
    let options = ConnectOptions::with_user_and_password("consumer".to_owned(), password);
    let connection = options.custom_inbox_prefix("_INBOX.consumer").connect(url);
    let stream = jetstream::new(connection.await?)
        .get_stream(EVENT_STREAM)
        .await?;
    let config = pull::Config {
        durable_name: Some(durable.clone()),
        filter_subject: format!("profile-event.v1.{org}.*.*"),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    Ok(stream.get_or_create_consumer(&durable, config).await?)
}

async fn follow(
    events: &PullConsumer,
    client: &ProfileClient,
    copy: &mut ProfileCopy,
    org: &str,
) -> anyhow::Result<()> {
    loop {
        let batch = events
            .fetch()
            .max_messages(BATCH_EVENTS_MAX)
            .expires(FETCH_TIMEOUT);
        let messages: Vec<Message> = batch
            .messages()
            .await?
            .try_collect()
            .await
            .map_err(|error| anyhow!(error))?;
        for message in &messages {
            if message.payload.is_empty() {
                continue; // a placeholder: the event of a removed user was here
            }
            let event: CloudEvent = serde_json::from_slice(&message.payload)?;
            let position = position(message)?;
            if copy.misses_one_before(&event, position) {
                println!("a gap before {}", event.id);
                catch_up(client, copy, org).await?;
            }
            copy.apply(&event, position);
        }
        // First kept, then acknowledged: killed in between, the events come again and change nothing.
        copy.save()?;
        for message in messages {
            message.ack().await.map_err(|error| anyhow!(error))?;
        }
    }
}

fn position(message: &Message) -> anyhow::Result<u64> {
    let headers = message.headers.as_ref();
    let position = headers.and_then(|headers| headers.get(POSITION));
    Ok(position
        .context("an event without its position")?
        .as_str()
        .parse()?)
}

/// Everything after the position of the copy, out of the service's log.
async fn catch_up(client: &ProfileClient, copy: &mut ProfileCopy, org: &str) -> anyhow::Result<()> {
    loop {
        let body = json!({"after": copy.position().to_string(), "limit": PAGE_ROWS});
        let page: ReplayReply = match client.read(Operation::Replay, &body).await {
            Ok(page) => page,
            Err(error) if error.code() == Some(ErrorCode::OutOfRange) => {
                read_all_anew(client, copy).await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        for replayed in page.events {
            let event: CloudEvent = serde_json::from_str(replayed.event.get())?;
            if event.data.org_id == org {
                copy.apply(&event, replayed.position);
            }
        }
        copy.reached(page.position);
        copy.save()?;
        if page.end {
            return Ok(());
        }
    }
}

/// The log no longer reaches back either. Changes that come while the pages are read are behind the position of
/// the first one.
async fn read_all_anew(client: &ProfileClient, copy: &mut ProfileCopy) -> anyhow::Result<()> {
    let (mut found, mut first, mut cursor) = (BTreeMap::new(), None, None);
    loop {
        let mut body = json!({"limit": PAGE_ROWS});
        if let Some(cursor) = cursor {
            body["cursor"] = Value::String(cursor);
        }
        let page: ListReply = client.read(Operation::List, &body).await?;
        first.get_or_insert(page.position);
        for user in page.users {
            found.insert(user.user_id.clone(), known(&user)?);
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let (Some(position), users) = (first, found.len()) else {
        bail!("a list without a page");
    };
    copy.replace(found, position);
    copy.save()?;
    println!("read {users} users anew, at position {position}");
    Ok(())
}

fn known(user: &GetReply) -> anyhow::Result<Known> {
    let profile: Map<String, Value> = serde_json::from_value(serde_json::to_value(&user.profile)?)?;
    Ok(Known {
        epoch: 0,
        version: user.details.sequence,
        profile: Some(profile),
    })
}
