//! `profiled health`: a sign of life of the running service, asked for over NATS.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::{Client, StatusCode};
use futures::StreamExt;
use serde::Deserialize;

use super::cluster::NODE_FILE;
use super::options;
use crate::config::Config;
use crate::data_dir::store_id_of;
use crate::file_system::RealFiles;
use crate::transport::nats::{NatsUser, connect_as};

/// The egress user may receive replies here, and the service may send them here.
const HEALTH_INBOX: &str = "_INBOX.profile_health";
const TIMEOUT: Duration = Duration::from_secs(3);

/// What is read of an answer to PING.
#[derive(Deserialize)]
struct Pong {
    metadata: std::collections::BTreeMap<String, String>,
}

/// Asks `$SRV.PING.profile` with the service's own credentials, and takes only the answer of the
/// instance that serves the configured data directory: any instance on the bus answers that subject.
///
/// # Errors
/// When there is no data directory, or its instance does not answer within three seconds.
pub fn health(config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let store_id = store_id_of(&RealFiles, &config.data_dir)?
        .with_context(|| format!("no service has run in {}", config.data_dir.display()))?;
    let nats = options::nats(config, &store_id)?;
    let user = NatsUser {
        inbox_prefix: HEALTH_INBOX.to_owned(),
        ..nats.egress.clone()
    };
    // One of several nodes of a store has left its name; a node of its own has none.
    let node = std::fs::read_to_string(config.data_dir.join(NODE_FILE)).ok();
    let own = [
        (options::STORE, Some(store_id.clone())),
        (options::NODE, node),
    ];
    let subject = format!("{}.PING.{}", config.nats.srv_prefix, options::SERVICE_NAME);
    runtime.block_on(async {
        let client = connect_as(&nats, &user, "health").await?;
        tokio::time::timeout(TIMEOUT, answered(&client, subject, &own))
            .await
            .with_context(|| format!("the service of the store {store_id} does not answer"))?
    })
}

/// Returns when the instance with these names answers; everybody's answers come to the same inbox.
async fn answered(
    client: &Client,
    subject: String,
    own: &[(&str, Option<String>)],
) -> anyhow::Result<()> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    let sent = client.publish_with_reply(subject, inbox, "".into());
    sent.await?;
    while let Some(answer) = answers.next().await {
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            anyhow::bail!("no service answers");
        }
        let pong: Result<Pong, _> = serde_json::from_slice(&answer.payload);
        let is_own = |pong: &Pong| {
            let mut names = own.iter();
            names.all(|(name, wanted)| pong.metadata.get(*name) == wanted.as_ref())
        };
        if pong.is_ok_and(|pong| is_own(&pong)) {
            return Ok(());
        }
    }
    anyhow::bail!("the connection is closed")
}
