//! What only nats-server's monitoring tells: its clock, and when it syncs.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Finding;
use crate::clock::{Clock as _, SystemClock};

const BOUND: Duration = Duration::from_secs(3);
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// What a token's times and a change's date bear.
const CLOCK_SECONDS_MAX: i64 = 2;
/// nats-server's own default is two minutes.
const SYNC_INTERVAL_MAX: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Varz {
    now: String,
}

#[derive(Deserialize)]
struct Jsz {
    config: Option<JetStreamConfig>,
}

#[derive(Deserialize)]
struct JetStreamConfig {
    #[serde(default)]
    sync_interval: u64,
    #[serde(default)]
    sync_always: bool,
}

pub(super) async fn look(url: Option<&str>) -> Vec<Finding> {
    let Some(url) = url else {
        let mend = "name nats-server's monitoring: --nats-monitor http://127.0.0.1:8222";
        return vec![
            Finding::unchecked("clock", "nats-server's clock was not looked at", mend),
            Finding::unchecked(
                "sync-interval",
                "when nats-server syncs was not looked at",
                mend,
            ),
        ];
    };
    let mut findings = Vec::new();
    match get::<Varz>(url, "/varz").await {
        Ok(varz) => findings.extend(clock(&varz)),
        Err(why) => return vec![unreachable(url, &why)],
    }
    match get::<Jsz>(url, "/jsz?config=1").await {
        Ok(Jsz {
            config: Some(config),
        }) => findings.extend(sync(&config)),
        Ok(Jsz { config: None }) => findings.push(Finding::unchecked(
            "sync-interval",
            "nats-server's monitoring does not tell when it syncs",
            "enable JetStream, or name the monitoring of the nats-server that has it",
        )),
        Err(why) => findings.push(unreachable(url, &why)),
    }
    findings
}

fn unreachable(url: &str, why: &str) -> Finding {
    let mend = "name the address of `http` in nats-server's configuration";
    Finding::error("nats-monitor", format!("{url}: {why}"), mend)
}

/// Whether a nats-server syncs before it acknowledges.
pub(in crate::app) async fn syncs_always(url: &str) -> Result<bool, String> {
    let told = get::<Jsz>(url, "/jsz?config=1").await?;
    let config = told.config.ok_or("JetStream is not enabled there")?;
    Ok(config.sync_always)
}

fn clock(varz: &Varz) -> Option<Finding> {
    let Ok(theirs) = profile_messages::Timestamp::parse(&varz.now) else {
        return Some(Finding::unchecked(
            "clock",
            "nats-server's monitoring tells no time that is one",
            "name the monitoring of a nats-server: --nats-monitor http://127.0.0.1:8222",
        ));
    };
    let apart_s = (theirs.0 - SystemClock::default().now().0) / 1_000_000;
    (apart_s.abs() > CLOCK_SECONDS_MAX).then(|| {
        Finding::warning(
            "clock",
            format!("this clock and nats-server's are {} s apart", apart_s.abs()),
            "let both machines keep their time by NTP",
        )
    })
}

fn sync(config: &JetStreamConfig) -> Option<Finding> {
    let interval = Duration::from_nanos(config.sync_interval);
    (!config.sync_always && interval > SYNC_INTERVAL_MAX).then(|| {
        Finding::warning(
            "sync-interval",
            format!("nats-server syncs the event stream every {} s only", interval.as_secs()),
            "set jetstream { sync_interval: \"1s\" }: after a power cut the relay then has less to fill again",
        )
    })
}

async fn get<T: DeserializeOwned>(url: &str, path: &str) -> Result<T, String> {
    let text = |error: reqwest::Error| format!("{:#}", anyhow::Error::from(error));
    let mut client = reqwest::Client::builder().no_proxy().timeout(BOUND);
    if url.starts_with("http://") {
        // An image or a machine without the certificates of authorities needs none for this.
        client = client.tls_certs_only([]);
    }
    let client = client.build().map_err(text)?;
    let address = format!("{}{path}", url.trim_end_matches('/'));
    let answer = client.get(address).send().await.map_err(text)?;
    if answer
        .content_length()
        .is_some_and(|bytes| bytes > ANSWER_BYTES_MAX)
    {
        return Err("the answer is too long".to_owned());
    }
    let body = answer.bytes().await.map_err(text)?;
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}
