//! `profiled health`: a sign of life of the running service, asked for over NATS.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::Request;

use super::options;
use crate::config::Config;
use crate::transport::nats::{NatsUser, connect_as};

/// The egress user may receive replies here, and the service may send them here.
const HEALTH_INBOX: &str = "_INBOX.profile_health";
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks `$SRV.PING.profile` with the service's own credentials.
///
/// # Errors
/// When no service answers within three seconds.
pub fn health(config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let nats = options::nats(config)?;
    let user = NatsUser {
        inbox_prefix: HEALTH_INBOX.to_owned(),
        ..nats.egress.clone()
    };
    let subject = format!("{}.PING.{}", config.nats.srv_prefix, options::SERVICE_NAME);
    runtime.block_on(async {
        let client = connect_as(&nats, &user, "health").await?;
        let ping = Request::new().timeout(Some(TIMEOUT));
        client
            .send_request(subject, ping)
            .await
            .context("the service does not answer")?;
        Ok(())
    })
}
