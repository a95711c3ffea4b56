//! `make bench`: the service, what NATS alone takes, and what would be used instead of the service, side
//! by side in one run. Every figure is a ratio within the run; docs/benchmarks.md says what it means.

mod arms;
mod cells;
mod cluster;
mod floor;
mod keys;
mod load;
mod process;
mod report;
mod settings;
mod single;
mod systems;
mod values;

use std::time::Duration;

use cells::{Cell, Weight};
use process::Usage;
use settings::Settings;
use systems::Systems;
use values::{Round, over_rounds};

/// Users of the service that most cells are measured on.
const USERS: usize = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let settings = Settings::from_env();
    if settings.several_nodes {
        let rounds = cluster::run(&settings);
        return println!("{}", report::write_cluster(&rounds, &settings));
    }
    // One thread: faster here than two, and cheaper for whoever shares the processors.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [_, arms::nats::ECHO, url] => runtime.block_on(arms::nats::respond(url)),
        _ => runtime.block_on(run(&settings)),
    }
}

async fn run(settings: &Settings) {
    let mut systems = Systems::start(&[USERS, settings.users_most]).await;
    let cells = cells::all(&systems).await;
    let mut rounds = Vec::new();
    for number in 1..=settings.rounds {
        eprintln!("round {number} of {}", settings.rounds);
        rounds.push(round(settings, &cells).await);
    }
    drop(cells);
    if settings.only.is_none() {
        let mut values = Round::default();
        let most = over_rounds(&rounds, "update_256.per_second").map_or(0.0, |it| it.median);
        let main = systems.ours.first().expect("a store");
        single::half_load(main, most, settings.steady, &mut values).await;
        let largest = systems.ours.last_mut().expect("a store");
        single::starts(largest, &mut values).await;
        drop(systems);
        single::memory(&mut values).await;
        rounds.push(values);
    }
    println!("{}", report::write(&rounds, &described(settings)));
}

/// All cells once, one after the other.
async fn round(settings: &Settings, cells: &[Cell]) -> Round {
    let mut values = Round::default();
    let floor = floor::fdatasync(Duration::from_secs(1));
    values.add("fdatasync", &floor);
    for cell in cells.iter().filter(|cell| settings.wants(&cell.name)) {
        let lasting = match cell.weight {
            Weight::Counts => settings.steady,
            Weight::Shown => settings.short,
        };
        let usage = Usage::now(&cell.watched);
        let measured = load::closed(&cell.call, cell.keys, cell.in_flight, lasting).await;
        let shares = usage.since();
        // What was put off would be done at the expense of the next cell, and is not in this one's figure.
        let settled = systems::settle(&cell.watched).await;
        values.add(&cell.name, &measured);
        values.put(&cell.name, "settled_s", settled.as_secs_f64());
        for share in &shares {
            let name = format!("processors of {}", share.name);
            values.put(&cell.name, &name, share.processors);
            let written = share.written_bytes as f64 / measured.latency.len().max(1) as f64;
            values.put(
                &cell.name,
                &format!("bytes a call of {}", share.name),
                written,
            );
        }
        eprintln!("{}", line(cell, &measured, &shares, settled));
    }
    values
}

fn line(
    cell: &Cell,
    measured: &load::Measured,
    shares: &[process::Share],
    settled: Duration,
) -> String {
    let shares = shares
        .iter()
        .map(|share| format!("{} {:.2}", share.name, share.processors));
    let failure = match &measured.first_failure {
        Some(failure) => format!(", {} failed: {failure}", measured.failures),
        None => String::new(),
    };
    format!(
        "{:26} {:7.0}/s  p50 {} p99 {} us  {}  rested after {} ms{failure}",
        cell.name,
        measured.per_second,
        measured.us(0.5),
        measured.us(0.99),
        shares.collect::<Vec<_>>().join(" "),
        settled.as_millis(),
    )
}

fn described(settings: &Settings) -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{} rounds of {} s ({} s where no target hangs on it), {processors} processors shared by servers and \
         clients, {USERS} users and {}.",
        settings.rounds,
        settings.steady.as_secs(),
        settings.short.as_secs(),
        settings.users_most,
    )
}
