//! The sections without rules between their keys. Units and ranges are explained in `config/default.toml`.

use profile_messages::event::EventPayload;
use serde::Deserialize;
use validator::{Validate, ValidationError};

use super::problem;

/// `[log]`: the commit log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "a_group_fits_a_segment"))]
pub struct LogConfig {
    #[validate(range(min = 1_048_576_u64, max = 4_294_967_296_u64))]
    pub segment_bytes: u64,
    #[validate(range(min = 1, max = 1_000_000))]
    pub append_queue_commits_max: usize,
    #[validate(range(min = 1, max = 65_535))]
    pub group_commits_max: usize,
    #[validate(range(min = 65_536_u64, max = 67_108_864_u64))]
    pub group_bytes_max: u64,
}

fn a_group_fits_a_segment(log: &LogConfig) -> Result<(), ValidationError> {
    if log.group_bytes_max > log.segment_bytes {
        return Err(problem::rule(
            "group_bytes_max must not be more than segment_bytes",
        ));
    }
    Ok(())
}

/// `[commit_log]`: where a commit is durable.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "syncs_are_seen_or_confirmed"))]
pub struct CommitLogConfig {
    pub engine: LogEngine,
    #[validate(range(min = 1, max = 5))]
    pub replicas: usize,
    pub reads: LogReads,
    #[validate(length(max = 64), custom(function = "http_addresses"))]
    pub monitoring_urls: Vec<String>,
    pub sync_always_confirmed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogEngine {
    /// In the data directory, for one process.
    File,
    /// In a stream of nats-server, for several nodes.
    JetStream,
}

/// What a read of one of several nodes may answer from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogReads {
    /// It asks the stream first whether another node was faster.
    Newest,
    /// This node's view, which may be behind by the way of a message.
    Local,
}

fn syncs_are_seen_or_confirmed(log: &CommitLogConfig) -> Result<(), ValidationError> {
    let is_known = log.sync_always_confirmed || !log.monitoring_urls.is_empty();
    if log.engine == LogEngine::JetStream && !is_known {
        return Err(problem::rule(
            "with engine \"jetstream\" every nats-server must have `sync_interval: always`: name their \
             monitoring in monitoring_urls, or set sync_always_confirmed",
        ));
    }
    Ok(())
}

fn http_addresses(urls: &[String]) -> Result<(), ValidationError> {
    urls.iter().try_for_each(|url| an_http_address(url))
}

/// `[compaction]`: what the log keeps.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct CompactionConfig {
    #[validate(range(min = 1_u64, max = 604_800_u64))]
    pub interval_s: u64,
    #[validate(range(min = 1_u64, max = 1_000_000_u64))]
    pub history_changes_kept: u64,
    #[validate(range(min = 1_048_576_u64, max = 1_099_511_627_776_u64))]
    pub read_bytes_per_second_max: u64,
}

/// `[view]`: the current view.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    #[validate(range(min = 1_048_576_u64, max = 17_179_869_184_u64))]
    pub overlay_bytes_max: u64,
    #[validate(range(min = 1_048_576_u64, max = 1_099_511_627_776_u64))]
    pub cache_bytes: u64,
    #[validate(range(min = 1_u64, max = 60_000_u64))]
    pub write_behind_interval_ms: u64,
}

/// `[actors]`: gateway and actors.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ActorsConfig {
    /// 0 = one per core.
    #[validate(range(max = 256))]
    pub shards: usize,
    /// Over all shards.
    #[validate(range(min = 1, max = 10_000_000))]
    pub live_actors_max: usize,
    #[validate(range(min = 1, max = 10_000))]
    pub mailbox_commands_max: usize,
    #[validate(range(min = 100_u64, max = 86_400_000_u64))]
    pub idle_passivation_ms: u64,
}

/// `[runtime]`: threads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct RuntimeConfig {
    /// 0 = one per core.
    #[validate(range(max = 256))]
    pub io_threads: usize,
}

/// `[relay]`: from the log to the event stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    #[validate(range(min = 1, max = 5))]
    pub replicas: usize,
    /// 0 = without limit.
    #[validate(range(max = 3_153_600_000_u64))]
    pub max_age_s: u64,
    /// 0 = without limit.
    #[validate(range(max = 1_152_921_504_606_846_976_u64))]
    pub max_bytes: u64,
    #[validate(range(min = 1, max = 10_000))]
    pub window_messages_max: usize,
    #[validate(range(min = 1_048_576_u64, max = 1_099_511_627_776_u64))]
    pub lag_bytes_max: u64,
    #[validate(range(min = 1_u64, max = 86_400_u64))]
    pub duplicate_window_s: u64,
    #[validate(range(max = 86_400_u64))]
    pub erase_settle_s: u64,
}

/// `[events]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct EventsConfig {
    pub payload: EventPayload,
}

/// `[reads]`: bounds of queries.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ReadsConfig {
    #[validate(range(max = 60_000_u64))]
    pub min_version_wait_ms_max: u64,
    #[validate(range(min = 1, max = 1000))]
    pub page_rows_max: usize,
    #[validate(range(min = 1, max = 1024))]
    pub concurrent_pages_max: usize,
    #[validate(range(min = 1, max = 1024))]
    pub concurrent_waits_max: usize,
}

/// `[monitoring]`: the port of metrics and health.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct MonitoringConfig {
    /// Without it there is no such port.
    pub listen: Option<std::net::SocketAddr>,
}

/// `[telemetry]`: the service's own log lines.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    pub format: LogFormat,
    #[validate(length(min = 1, max = 1000))]
    pub filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `Pretty` on a terminal, else `Json`.
    Auto,
    Pretty,
    Json,
}

/// `[traces]`: spans for an OpenTelemetry collector.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// Without it there are no spans.
    #[validate(custom(function = "an_http_address"))]
    pub otlp_endpoint: Option<String>,
    /// Of the traces that begin here.
    #[validate(range(max = 1000))]
    pub sampled_traces_per_1000: u32,
    #[validate(range(min = 1, max = 1_000_000))]
    pub queue_spans_max: usize,
}

/// Credentials in it would stand in the log.
fn an_http_address(endpoint: &str) -> Result<(), ValidationError> {
    let refused = || problem::rule("must be an http:// or https:// URL without credentials");
    let url = reqwest::Url::parse(endpoint).map_err(|_| refused())?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    match url.scheme() {
        "http" | "https" if is_plain && url.query().is_none() => Ok(()),
        _ => Err(refused()),
    }
}
