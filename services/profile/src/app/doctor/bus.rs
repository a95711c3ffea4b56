//! What the two users of the bus may do, and whether the event stream is ours.

use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, HeaderMap, RequestErrorKind};
use profile_messages::subject;
use serde::Deserialize;
use tokio::sync::watch;

use super::Finding;
use crate::app::options;
use crate::config::Config;
use crate::data_dir::store_id_of;
use crate::file_system::RealFiles;
use crate::relay::stream::StreamError;
use crate::relay::stream::jetstream::JetStreamEvents;
use crate::transport::nats::{NatsOptions, NatsUser, StartError, connect_watched};

/// Longest wait for one answer.
const BOUND: Duration = Duration::from_secs(3);
/// Nobody listens there: who may publish to it may publish anywhere.
const ELSEWHERE: &str = "profile-doctor.elsewhere";
/// No operation has this name.
const QUIET_REQUEST: &str = "profile.v1.doctor";
const OLDEST: (i64, i64, i64) = (2, 10, 0);

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    // As a name among connections only: the store's own is looked for below.
    let options = match options::nats(config, "doctor") {
        Ok(options) => options,
        Err(error) => {
            let mend = "mend the users in [nats.ingress] and [nats.egress]";
            return vec![Finding::error("nats-login", format!("{error:#}"), mend)];
        }
    };
    let mut findings = Vec::new();
    match open(&options, &options.ingress).await {
        Ok(ingress) => findings.extend(ingress_may(&ingress).await),
        Err(finding) => return vec![finding],
    }
    match open(&options, &options.egress).await {
        Ok(egress) => {
            findings.extend(egress_may(&egress, config).await);
            findings.extend(stream(&egress.client, config).await);
        }
        Err(finding) => findings.push(finding),
    }
    findings
}

/// A connection, and how often the server has said that something is not allowed.
struct Bus {
    client: Client,
    refusals: watch::Receiver<u64>,
}

impl Bus {
    fn refusals(&self) -> u64 {
        *self.refusals.borrow()
    }

    /// Whether the server lets this pass: everything before has been looked at when the round trip is over.
    async fn allows(&self, subject: &str) -> bool {
        let mut refusals = self.refusals.clone();
        refusals.mark_unchanged();
        let request = async_nats::Request::new().timeout(Some(BOUND));
        tokio::select! {
            biased;
            // What is refused is never answered.
            _ = refusals.changed() => false,
            answer = self.client.send_request(subject.to_owned(), request) => match answer {
                Ok(_) => true,
                Err(error) => error.kind() == RequestErrorKind::NoResponders,
            },
        }
    }
}

async fn open(options: &NatsOptions, user: &NatsUser) -> Result<Bus, Finding> {
    let (counted, refusals) = watch::channel(0);
    let on_refusal = move || counted.send_modify(|count| *count += 1);
    let connected = connect_watched(options, user, "doctor", on_refusal).await;
    let client = connected.map_err(|error| unconnected(options, &error))?;
    Ok(Bus { client, refusals })
}

fn unconnected(options: &NatsOptions, error: &StartError) -> Finding {
    let is_login = match error {
        StartError::Connect { source, .. } => matches!(
            source.kind(),
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation
        ),
        StartError::Credentials { .. }
        | StartError::Empty(_)
        | StartError::SharedInbox(_)
        | StartError::Micro(_)
        | StartError::Subscribe(_)
        | StartError::InFlightTooLarge
        | StartError::Unconfirmed { .. }
        | StartError::Unanswered { .. } => true,
    };
    match is_login {
        true => Finding::error(
            "nats-login",
            error,
            "give [nats.ingress] and [nats.egress] the users and passwords of nats-server's configuration",
        ),
        false => Finding::error(
            "nats-reach",
            format!("{}: {error}", options.servers.join(", ")),
            "start nats-server, or name where it is in nats.urls",
        ),
    }
}

async fn ingress_may(ingress: &Bus) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (major, minor, patch) = OLDEST;
    if !ingress.client.is_server_compatible(major, minor, patch) {
        let version = ingress.client.server_info().version;
        findings.push(Finding::error(
            "nats-version",
            format!("nats-server {version} cannot hold the event stream"),
            format!("run nats-server {major}.{minor} or newer"),
        ));
    }
    let own = ingress.client.new_inbox();
    if !ingress.allows(&own).await {
        findings.push(Finding::error(
            "ingress-inbox",
            "the ingress user cannot ask itself: a drain could not tell when it is over",
            "let it publish and subscribe to its own inboxes, as config/nats-server.conf does",
        ));
        // Whatever else it may do cannot be told without a round trip.
        return findings;
    }
    let before = ingress.refusals();
    // One of the subjects of requests, on which nobody asks anything: a subscription to all of them would
    // take requests from the service.
    let asked = ingress
        .client
        .queue_subscribe(QUIET_REQUEST, subject::QUEUE.to_owned());
    let subscription = asked.await;
    ingress.allows(&own).await;
    drop(subscription);
    if ingress.refusals() > before {
        findings.push(Finding::error(
            "ingress-requests",
            format!(
                "the ingress user may not subscribe to {} in the queue {}",
                subject::REQUESTS,
                subject::QUEUE
            ),
            "allow it, as config/nats-server.conf does",
        ));
    }
    if ingress.allows(ELSEWHERE).await {
        findings.push(Finding::warning(
            "ingress-too-much",
            "the ingress user may publish anywhere",
            "let it publish to its own inboxes only, as config/nats-server.conf does",
        ));
    }
    findings
}

async fn egress_may(egress: &Bus, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for prefix in &config.nats.reply_prefixes_allowed {
        let nobody = format!("{prefix}profile_doctor.{}", std::process::id());
        if !egress.allows(&nobody).await {
            findings.push(Finding::error(
                "egress-answers",
                format!("the egress user may not publish to {prefix}>, where answers go"),
                "allow it, or take the prefix out of nats.reply_prefixes_allowed",
            ));
        }
    }
    if egress.allows(ELSEWHERE).await {
        findings.push(Finding::warning(
            "egress-too-much",
            "the egress user may publish anywhere",
            "let it publish answers, events and what the relay needs of $JS.API, as config/nats-server.conf does",
        ));
    }
    findings
}

#[derive(Deserialize)]
struct StreamInfo {
    config: Option<StreamConfig>,
}

#[derive(Deserialize)]
struct StreamConfig {
    #[serde(default)]
    deny_delete: bool,
}

async fn stream(egress: &Client, config: &Config) -> Vec<Finding> {
    let store = store_id_of(&RealFiles, &config.data_dir).ok().flatten();
    let owner = store.clone().unwrap_or_else(|| "none".to_owned());
    // The newest epoch there can be: an older one in the stream is none of our business here.
    let events = JetStreamEvents::new(egress.clone(), options::stream(config), &owner, u32::MAX);
    match events.look().await {
        Ok(None) => return Vec::new(), // made at the first start
        Ok(Some(_)) => {}
        Err(StreamError::Refused(why)) => {
            let mend = match store {
                Some(_) => {
                    "name the data directory that this stream belongs to, or another bus: two stores on one \
                            bus would give one user two histories"
                }
                None => {
                    "this bus has a store already: name its data directory in data_dir, or another bus"
                }
            };
            return vec![Finding::error("event-stream-owner", why, mend)];
        }
        Err(StreamError::Unsupported(why)) => {
            let mend = "enable JetStream in nats-server's configuration, and for the account";
            return vec![Finding::error("jetstream", why, mend)];
        }
        Err(StreamError::Unavailable(why) | StreamError::Surprise(why)) => {
            let mend = "look at nats-server's log: is JetStream enabled, may the egress user use $JS.API.STREAM.INFO";
            return vec![Finding::error("jetstream", why, mend)];
        }
    }
    settings(egress).await.into_iter().collect()
}

async fn settings(egress: &Client) -> Option<Finding> {
    let subject = format!("$JS.API.STREAM.INFO.{}", subject::EVENT_STREAM);
    let request = async_nats::Request::new()
        .headers(HeaderMap::new())
        .timeout(Some(BOUND));
    let config = match egress.send_request(subject, request).await {
        Ok(answer) => serde_json::from_slice::<StreamInfo>(&answer.payload)
            .ok()
            .and_then(|info| info.config),
        Err(_) => None,
    };
    let Some(config) = config else {
        return Some(Finding::unchecked(
            "event-stream-delete",
            "the settings of the event stream could not be read",
            "look again; if it stays so, let the egress user use $JS.API.STREAM.INFO, as config/nats-server.conf does",
        ));
    };
    config.deny_delete.then(|| {
        Finding::error(
            "event-stream-delete",
            "the event stream has deny_delete: the events of a removed user cannot be erased",
            "a stream keeps deny_delete for ever: stop the service, delete the stream, start; it is filled again from \
             the log",
        )
    })
}
