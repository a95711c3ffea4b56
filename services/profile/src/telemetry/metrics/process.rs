//! What the process takes, by Linux's /proc, under the names that Prometheus' own client libraries use.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::reading::{Reading, Sample};

/// Ticks of /proc's processor times in a second: the same on every Linux that this is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// With the release, as a label of a number that is always 1.
pub(super) fn readings(version: &'static str) -> Vec<Reading> {
    let started = started_s();
    vec![
        Reading::gauge(
            "profile_build_info",
            "The running release",
            vec![Sample::labelled([("version", version)], || 1.0)],
        ),
        Reading::counter(
            "process_cpu_seconds",
            "User and system processor time spent in seconds",
            vec![Sample::of(|| cpu_seconds().unwrap_or(0.0))],
        ),
        Reading::gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes",
            vec![Sample::of(|| resident_bytes().unwrap_or(0.0))],
        ),
        Reading::gauge(
            "process_open_fds",
            "Number of open file descriptors",
            vec![Sample::of(|| open_files().unwrap_or(0.0))],
        ),
        Reading::gauge(
            "process_start_time_seconds",
            "Start time of the process since the Unix epoch in seconds",
            vec![Sample::of(move || started)],
        ),
    ]
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name in brackets: state, ..., and from the 12th on user and system time.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Some(ticks / TICKS_PER_SECOND)
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = kib.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn open_files() -> Option<f64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

#[allow(clippy::disallowed_methods)] // the clock of the machine, once
fn started_s() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |now| now.as_secs_f64())
}
