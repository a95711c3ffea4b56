//! The monitoring port of the real process: known work shows in known numbers, and what is wrong is named.

use std::net::SocketAddr;
use std::time::Duration;

use profile_tests::caller::{Caller, Identity, new_user};
use profile_tests::http_client::HttpClient;
use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::repository;
use profile_tests::service::Service;
use serde_json::json;
use tokio::time::timeout;

use crate::edge::WAIT_MAX;

const CONFIG: &str = "[monitoring]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n";
/// A pass in every second, and soon nothing left of whoever is removed.
const UPKEEP: &str =
    "[compaction]\ninterval_s = 1\n[relay]\nmax_bytes = 268_435_456\nerase_settle_s = 1\n";
const LONG: Duration = Duration::from_secs(60);
/// A value of a profile, and ids: none of them may be seen.
const FIRST_NAME: &str = "Zebulon";
const USER: &str = "user-of-metrics";
const ORG: &str = "org-of-metrics";

async fn get(port: SocketAddr, path: &str) -> (u16, String) {
    let answer = HttpClient::http1(port).get(path).await;
    let body = String::from_utf8(answer.body.to_vec()).expect("text");
    (answer.status, body)
}

/// The value of one series.
fn value(metrics: &str, series: &str) -> f64 {
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = value.unwrap_or_else(|| panic!("no {series} in\n{metrics}"));
    value.parse().expect("a number")
}

#[tokio::test]
async fn known_work_shows_in_known_numbers() {
    let server = NatsServer::start(ServerOptions::default());
    let service = Service::start(&server, CONFIG);
    let caller = Caller::connect(&server, &service, &Identity::owner(ORG)).await;
    let mut body = new_user(USER);
    body["profile"]["firstName"] = json!(FIRST_NAME);
    caller.call("create", body.clone()).await.ok();
    caller.call("create", body).await.refused(400);
    let names = json!({"userId": USER, "firstName": FIRST_NAME, "lastName": "Zebra"});
    for nick_name in ["a", "b", "c"] {
        let mut body = names.clone();
        body["nickName"] = json!(nick_name);
        caller.call("update", body).await.ok();
    }
    caller.call("get", json!({"userId": USER})).await.ok();
    let path = format!("/management/v1/users/{USER}/profile");
    let refused = get(service.http(), &path).await;
    assert_eq!(refused.0, 401, "{}", refused.1);

    let (status, metrics) = get(service.monitoring(), "/metrics").await;
    assert_eq!(status, 200);
    let requests = |transport: &str, operation: &str, outcome: &str| {
        let labels =
            format!("transport=\"{transport}\",operation=\"{operation}\",outcome=\"{outcome}\"");
        value(&metrics, &format!("profile_requests_total{{{labels}}}"))
    };
    assert_eq!(requests("nats", "create", "OK"), 1.0);
    assert_eq!(requests("nats", "create", "FAILED_PRECONDITION"), 1.0);
    assert_eq!(requests("nats", "update", "OK"), 3.0);
    assert_eq!(requests("nats", "get", "OK"), 1.0);
    assert_eq!(requests("http", "get", "UNAUTHENTICATED"), 1.0);
    assert_eq!(requests("http", "update", "OK"), 0.0);
    for (series, wanted) in [
        ("profile_log_commits_total{outcome=\"committed\"}", 4.0),
        ("profile_log_commits_total{outcome=\"conflict\"}", 0.0),
        ("profile_log_group_commits_sum", 4.0),
        ("profile_log_position", 4.0),
        ("profile_actors_live", 1.0),
        ("profile_actor_activations_total", 1.0),
        ("profile_actor_mailbox_commands", 0.0),
        ("profile_nats_requests_total", 6.0),
        ("profile_nats_connected{connection=\"ingress\"}", 1.0),
        ("profile_http_calls_total", 1.0),
        ("profile_token_cache_lookups_total{result=\"miss\"}", 1.0),
        ("profile_token_cache_lookups_total{result=\"hit\"}", 5.0),
        ("profile_relay_running", 1.0),
    ] {
        assert_eq!(value(&metrics, series), wanted, "{series}");
    }
    assert!(value(&metrics, "profile_log_written_bytes_total") > 1_000.0);
    assert!(value(&metrics, "profile_log_sync_duration_seconds_count") >= 1.0);
    for hidden in [FIRST_NAME, USER, ORG, "Zebra"] {
        assert!(!metrics.contains(hidden), "{hidden} is in\n{metrics}");
    }
}

/// Asks for the metrics until they are so.
async fn until_metrics(port: SocketAddr, are_so: impl Fn(&str) -> bool) -> String {
    let asked = async {
        loop {
            let (_, metrics) = get(port, "/metrics").await;
            if are_so(&metrics) {
                return metrics;
            }
        }
    };
    timeout(LONG, asked).await.expect("the numbers change")
}

#[tokio::test]
async fn what_upkeep_does_is_counted() {
    let server = NatsServer::start(ServerOptions::default());
    let service = Service::start(&server, &format!("{CONFIG}{UPKEEP}"));
    let caller = Caller::connect(&server, &service, &Identity::owner(ORG)).await;
    caller.call("create", new_user(USER)).await.ok();
    let port = service.monitoring();
    // Nothing to erase yet: a pass, and nothing rewritten.
    let passes = "profile_compaction_passes_total{outcome=\"done\"}";
    let metrics = until_metrics(port, |it| value(it, passes) > 0.0).await;
    for series in [
        "profile_compaction_written_bytes_total",
        "profile_compaction_reclaimed_bytes_total",
        "profile_view_renewals_total{outcome=\"done\"}",
        "profile_view_renewal_duration_seconds_count",
    ] {
        assert_eq!(value(&metrics, series), 0.0, "{series}");
    }
    caller.call("remove", json!({"userId": USER})).await.ok();
    let renewals = "profile_view_renewals_total{outcome=\"done\"}";
    let reclaimed = "profile_compaction_reclaimed_bytes_total";
    let is_gone = |it: &str| value(it, renewals) > 0.0 && value(it, reclaimed) > 0.0;
    let metrics = until_metrics(port, is_gone).await;
    assert!(value(&metrics, "profile_compaction_written_bytes_total") > 0.0);
    assert!(value(&metrics, "profile_compaction_pass_duration_seconds_sum") > 0.0);
    assert!(value(&metrics, "profile_view_renewal_duration_seconds_sum") > 0.0);
    for failed in ["compaction_passes", "view_renewals"] {
        let series = format!("profile_{failed}_total{{outcome=\"failed\"}}");
        assert_eq!(value(&metrics, &series), 0.0, "{series}");
    }
}

#[tokio::test]
async fn what_became_of_the_relays_messages_is_counted() {
    let mut server = NatsServer::start(ServerOptions::default());
    let service = Service::start(&server, CONFIG);
    let caller = Caller::connect(&server, &service, &Identity::owner(ORG)).await;
    caller.call("create", new_user(USER)).await.ok();
    let port = service.monitoring();
    let result = |it: &str, result: &str| {
        let series = format!("profile_relay_messages_total{{result=\"{result}\"}}");
        value(it, &series)
    };
    let metrics = until_metrics(port, |it| result(it, "published") > 0.0).await;
    assert_eq!(result(&metrics, "published"), 1.0);
    assert_eq!(result(&metrics, "refused"), 0.0);
    assert_eq!(value(&metrics, "profile_relay_retries_total"), 0.0);

    // The stream is gone: the next event has no place, and both are sent again.
    server.stop();
    server.wipe_store();
    server.start_again();
    until(port, 200).await;
    let caller = Caller::connect(&server, &service, &Identity::owner(ORG)).await;
    let patch = json!({"userId": USER, "nickName": "Zet"});
    caller.call("patch", patch).await.ok();
    let metrics = until_metrics(port, |it| result(it, "published") >= 3.0).await;
    assert_eq!(result(&metrics, "published"), 3.0);
    // It may have looked as soon as it was connected again, or only when the stream refused one.
    assert!(value(&metrics, "profile_relay_retries_total") >= 1.0);
}

#[tokio::test]
async fn a_service_without_its_bus_is_alive_and_not_ready() {
    let mut server = NatsServer::start(ServerOptions::default());
    let service = Service::start(&server, CONFIG);
    let port = service.monitoring();
    assert_eq!(get(port, "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(get(port, "/readyz").await, (200, "ok\n".to_owned()));
    let (status, checks) = get(port, "/readyz?verbose").await;
    assert_eq!(status, 200);
    for name in [
        "log",
        "view",
        "view-lag",
        "relay-lag",
        "nats-ingress",
        "nats-egress",
    ] {
        assert!(
            checks.contains(&format!("[+]{name} ok\n")),
            "{name}: {checks}"
        );
    }

    server.kill();
    // The connections notice by themselves, at once or soon.
    let refused = until(port, 503).await;
    assert!(refused.contains("nats-"), "{refused}");
    assert!(refused.contains("failed: not connected"), "{refused}");
    assert_eq!(get(port, "/livez").await.0, 200);

    server.start_again();
    until(port, 200).await;
}

/// Asks whether it is ready until the status is this one.
async fn until(port: SocketAddr, wanted: u16) -> String {
    let asked = async {
        loop {
            let (status, text) = get(port, "/readyz").await;
            if status == wanted {
                return text;
            }
        }
    };
    timeout(WAIT_MAX, asked).await.expect("the status changes")
}

/// Whether each query finds data is `make monitoring-test`'s business: it needs a Prometheus.
#[tokio::test]
async fn what_the_dashboard_and_the_alerts_ask_for_is_there() {
    let server = NatsServer::start(ServerOptions::default());
    let service = Service::start(&server, CONFIG);
    let (_, metrics) = get(service.monitoring(), "/metrics").await;
    let mut asked = 0;
    for file in [
        "config/monitoring/alerts.yml",
        "config/monitoring/grafana/dashboards/profile-service.json",
    ] {
        let text = std::fs::read_to_string(repository::file(file)).expect("a file of ours");
        for name in names(&text) {
            let is_there = metrics.lines().any(|line| {
                let rest = line.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
            });
            assert!(is_there, "{file} asks for {name}");
            asked += 1;
        }
    }
    assert!(asked > 30, "{asked}");
}

/// Names of metrics in a text: those of ours and of the process, as queries have them.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words =
        text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with("profile_") || word.starts_with("process_"))
}
