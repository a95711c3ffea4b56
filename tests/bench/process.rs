//! What processes take: processor, memory, bytes written. Linux's /proc.

use std::fs;
use std::time::Duration;

use tokio::time::Instant;

/// Ticks of /proc's processor times in a second; the same on every Linux that we know of.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process and its children, by what it is called in the tables.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) name: &'static str,
    pub(crate) pid: u32,
}

/// What they took by now.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    at: Instant,
    taken: Vec<(Watched, Taken)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    processor: Duration,
    written_bytes: u64,
}

/// What one of them took over a while.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) name: &'static str,
    /// Processors, e.g. 0.8 of one.
    pub(crate) processors: f64,
    pub(crate) written_bytes: u64,
}

impl Usage {
    pub(crate) fn now(watched: &[Watched]) -> Usage {
        let taken = watched.iter().map(|one| (one.clone(), taken(one.pid)));
        Usage {
            at: Instant::now(),
            taken: taken.collect(),
        }
    }

    /// From then until now.
    pub(crate) fn since(&self) -> Vec<Share> {
        let seconds = self.at.elapsed().as_secs_f64();
        let share = |(one, before): &(Watched, Taken)| {
            let after = taken(one.pid);
            Share {
                name: one.name,
                processors: after
                    .processor
                    .saturating_sub(before.processor)
                    .as_secs_f64()
                    / seconds,
                written_bytes: after.written_bytes.saturating_sub(before.written_bytes),
            }
        };
        self.taken.iter().map(share).collect()
    }
}

/// Bytes of memory that the process holds.
pub(crate) fn rss_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    kib.map_or(0, |kib: u64| kib * 1024)
}

fn taken(pid: u32) -> Taken {
    let mut sum = Taken::default();
    for pid in family(pid) {
        sum.processor += processor(pid);
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let line = io
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes: "));
        sum.written_bytes += line
            .and_then(|bytes| bytes.parse::<u64>().ok())
            .unwrap_or(0);
    }
    sum
}

/// The process and the children that it has now. PostgreSQL has one for each connection.
fn family(pid: u32) -> Vec<u32> {
    let file = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(file).unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|child| child.parse().ok());
    std::iter::once(pid).chain(children).collect()
}

fn processor(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name in brackets: state, ..., and from the 12th on user and system time.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
}
