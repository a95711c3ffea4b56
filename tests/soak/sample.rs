//! What is looked at once a second: memory, files, lag, answers.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::chart::{Chart, Line};

const MIB: f64 = 1_048_576.0;

/// `None` where nobody told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) second: f64,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) log_bytes: u64,
    pub(crate) view_bytes: u64,
    pub(crate) cursor_bytes: u64,
    pub(crate) stream_bytes: Option<u64>,
    /// Events in the log that are not in the stream.
    pub(crate) lag_events: Option<u64>,
    /// In all, since the start.
    pub(crate) answers: u64,
    pub(crate) failures: u64,
    pub(crate) faults: u64,
}

/// A column: its name in the CSV, and its value.
type Column = (&'static str, fn(&Sample) -> Option<u64>);

const COLUMNS: [Column; 9] = [
    ("rss_bytes", |sample| sample.rss_bytes),
    ("log_bytes", |sample| Some(sample.log_bytes)),
    ("view_bytes", |sample| Some(sample.view_bytes)),
    ("cursor_bytes", |sample| Some(sample.cursor_bytes)),
    ("stream_bytes", |sample| sample.stream_bytes),
    ("lag_events", |sample| sample.lag_events),
    ("answers", |sample| Some(sample.answers)),
    ("failures", |sample| Some(sample.failures)),
    ("faults", |sample| Some(sample.faults)),
];

pub(crate) fn csv(samples: &[Sample]) -> String {
    let names: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let mut csv = format!("second,{}\n", names.join(","));
    for sample in samples {
        let _ = write!(csv, "{:.1}", sample.second);
        for (_, value) in COLUMNS {
            let value = value(sample).map(|value| value.to_string());
            let _ = write!(csv, ",{}", value.unwrap_or_default());
        }
        csv.push('\n');
    }
    csv
}

/// File name and content of each picture.
pub(crate) fn pictures(samples: &[Sample]) -> Vec<(&'static str, String)> {
    let line = |name, value: fn(&Sample) -> Option<f64>| Line {
        name,
        points: samples
            .iter()
            .filter_map(|sample| Some((sample.second, value(sample)?)))
            .collect(),
    };
    let chart = |title, unit, lines| {
        let marks = marks(samples);
        let chart = Chart {
            title,
            unit,
            lines,
            marks,
        };
        chart.svg()
    };
    let memory = vec![line("resident memory of the service", |sample| {
        sample.rss_bytes.map(to_mib)
    })];
    let files = vec![
        line("commit log", |sample| Some(to_mib(sample.log_bytes))),
        line("current view", |sample| Some(to_mib(sample.view_bytes))),
        line("event stream", |sample| sample.stream_bytes.map(to_mib)),
    ];
    let lag = vec![line("events not yet in the stream", |sample| {
        sample.lag_events.map(|events| events as f64)
    })];
    let rates = vec![
        Line {
            name: "answers",
            points: rate(samples, |sample| sample.answers),
        },
        Line {
            name: "failed attempts",
            points: rate(samples, |sample| sample.failures),
        },
    ];
    vec![
        ("soak-memory.svg", chart("Memory", "MiB", memory)),
        ("soak-files.svg", chart("Files", "MiB on disk", files)),
        ("soak-lag.svg", chart("Lag of the relay", "events", lag)),
        ("soak-load.svg", chart("Load", "per second", rates)),
    ]
}

fn to_mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

fn rate(samples: &[Sample], count: fn(&Sample) -> u64) -> Vec<(f64, f64)> {
    let pairs = samples.windows(2);
    let rates = pairs.map(|pair| {
        let seconds = (pair[1].second - pair[0].second).max(0.001);
        let more = count(&pair[1]) - count(&pair[0]);
        (pair[1].second, more as f64 / seconds)
    });
    rates.collect()
}

/// When a fault happened.
fn marks(samples: &[Sample]) -> Vec<f64> {
    let pairs = samples.windows(2);
    let faults = pairs.filter(|pair| pair[1].faults > pair[0].faults);
    faults.map(|pair| pair[0].second).collect()
}

/// Median of the resident memory in one quarter of the run, 0 to 3.
pub(crate) fn rss_median_bytes(samples: &[Sample], quarter: usize) -> u64 {
    let part = samples.len() / 4;
    let samples = &samples[part * quarter..part * (quarter + 1)];
    let mut bytes: Vec<_> = samples
        .iter()
        .filter_map(|sample| sample.rss_bytes)
        .collect();
    bytes.sort_unstable();
    bytes.get(bytes.len() / 2).copied().unwrap_or_default()
}

/// Resident memory of a process.
pub(crate) fn rss_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}

/// What a file or a folder takes on the disk: a preallocated file is as large as it will be.
pub(crate) fn disk_bytes(path: &Path) -> u64 {
    // A file may go while it is looked at.
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let inside: u64 = entries.map(|entry| disk_bytes(&entry.path())).sum();
    metadata.blocks() * 512 + inside
}
