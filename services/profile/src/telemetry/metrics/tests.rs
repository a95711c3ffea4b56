use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use profile_messages::error::ErrorCode;
use profile_messages::subject::Operation;

use super::*;

/// The value of a line that starts with `series`.
fn value(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.text().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.trim().parse().unwrap()
}

#[test]
fn a_request_counts_under_its_transport_operation_and_outcome() {
    let metrics = Metrics::new("1.2.3");
    let took = Duration::from_millis(3);
    let requests = &metrics.requests;
    requests.record(Transport::Nats, Operation::Update, None, took);
    requests.record(Transport::Nats, Operation::Update, None, took);
    let aborted = Some(ErrorCode::Aborted);
    requests.record(Transport::Http, Operation::Get, aborted, took);
    let count = |labels: &str| value(&metrics, &format!("profile_requests_total{{{labels}}}"));
    assert_eq!(
        count(r#"transport="nats",operation="update",outcome="OK""#),
        2.0
    );
    assert_eq!(
        count(r#"transport="http",operation="get",outcome="ABORTED""#),
        1.0
    );
    assert_eq!(
        count(r#"transport="http",operation="get",outcome="OK""#),
        0.0
    );
    let below = r#"profile_request_duration_seconds_bucket{le="0.005",transport="nats",operation="update"}"#;
    assert_eq!(value(&metrics, below), 2.0);
}

#[test]
fn a_group_counts_its_commits_its_bytes_and_its_sync() {
    let metrics = Metrics::new("1.2.3");
    metrics.commit_log.record(&GroupOutcome {
        committed: 5,
        conflicts: 1,
        frame_bytes: 4_000,
        took: Duration::from_micros(150),
        ..GroupOutcome::default()
    });
    metrics.commit_log.record(&GroupOutcome {
        certainly_not_written: 2,
        ..GroupOutcome::default()
    });
    for (outcome, number) in [
        ("committed", 5.0),
        ("conflict", 1.0),
        ("certainly_not_written", 2.0),
        ("maybe_written", 0.0),
    ] {
        let series = format!("profile_log_commits_total{{outcome=\"{outcome}\"}}");
        assert_eq!(value(&metrics, &series), number, "{outcome}");
    }
    assert_eq!(value(&metrics, "profile_log_written_bytes_total"), 4_000.0);
    assert_eq!(
        value(&metrics, "profile_log_sync_duration_seconds_count"),
        1.0
    );
    assert_eq!(value(&metrics, "profile_log_group_commits_sum"), 5.0);
}

#[test]
fn a_reading_is_taken_when_it_is_asked_for() {
    let metrics = Metrics::new("1.2.3");
    let number = Arc::new(AtomicU64::new(1));
    let read = |number: &Arc<AtomicU64>| {
        let number = Arc::clone(number);
        move || number.load(Ordering::Relaxed) as f64
    };
    metrics.read(vec![
        Reading::gauge("profile_a", "A", vec![Sample::of(read(&number))]),
        Reading::counter(
            "profile_b",
            "B",
            vec![
                Sample::labelled([("way", "in")], read(&number)),
                Sample::labelled([("way", "out")], read(&number)),
            ],
        ),
    ]);
    number.store(7, Ordering::Relaxed);
    assert_eq!(value(&metrics, "profile_a"), 7.0);
    assert_eq!(value(&metrics, r#"profile_b_total{way="in"}"#), 7.0);
    assert_eq!(value(&metrics, r#"profile_b_total{way="out"}"#), 7.0);
    assert!(metrics.text().unwrap().contains("# TYPE profile_b counter"));
}

#[test]
fn the_process_shows_what_it_takes() {
    let metrics = Metrics::new("1.2.3");
    assert!(value(&metrics, "process_resident_memory_bytes") > 1_000_000.0);
    assert!(value(&metrics, "process_open_fds") > 2.0);
    assert!(value(&metrics, "process_start_time_seconds") > 1.7e9);
    assert_eq!(
        value(&metrics, r#"profile_build_info{version="1.2.3"}"#),
        1.0
    );
}

#[test]
fn the_text_ends_as_the_format_asks() {
    assert!(Metrics::new("1").text().unwrap().ends_with("# EOF\n"));
}
