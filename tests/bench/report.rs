//! What is written: `results.json`, the tables, the picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use profile_tests::repository;
use serde_json::{Value, json};

use crate::settings::Settings;
use crate::values::{Better, Round, SEVERAL_NODES, Spread, TARGETS, Target, over_rounds};

const FOLDER: &str = "target/bench";
const DOCUMENT: &str = "docs/benchmarks.md";
const PICTURE: &str = "docs/benchmarks.svg";
/// Between these lines of the document stand the tables of the last run with `DOCS=1`.
const BEGIN: &str = "<!-- tables: make bench DOCS=1 -->";
const END: &str = "<!-- end of the tables -->";
const CLUSTER_BEGIN: &str = "<!-- tables: make cluster-bench DOCS=1 -->";
const CLUSTER_END: &str = "<!-- end of the tables of several nodes -->";

/// Writes everything and returns the text for the terminal.
pub(crate) fn write(rounds: &[Round], run: &str) -> String {
    let folder = repository::file(FOLDER);
    fs::create_dir_all(&folder).expect("a folder for the results");
    let results = results(&TARGETS, rounds, run);
    let text = serde_json::to_string_pretty(&results).expect("numbers and texts");
    fs::write(folder.join("results.json"), text).expect("results");
    let tables = format!("{run}\n\n{}\n{}", targets(&TARGETS, rounds), cells(rounds));
    fs::write(folder.join("tables.md"), &tables).expect("tables");
    let picture = picture(rounds);
    fs::write(folder.join("benchmarks.svg"), &picture).expect("a picture");
    if is_for_the_document() {
        into_document(BEGIN, &tables, END);
        fs::write(repository::file(PICTURE), picture).expect("a picture");
    }
    tables
}

/// The same of several nodes.
pub(crate) fn write_cluster(rounds: &[Round], settings: &Settings) -> String {
    let folder = repository::file(FOLDER);
    fs::create_dir_all(&folder).expect("a folder for the results");
    let run = format!(
        "{} rounds of {} s, three nats-servers with `sync_interval: always`, all on one machine.",
        settings.rounds,
        settings.steady.as_secs()
    );
    let results = results(&SEVERAL_NODES, rounds, &run);
    let text = serde_json::to_string_pretty(&results).expect("numbers and texts");
    fs::write(folder.join("cluster.json"), text).expect("results");
    let tables = format!(
        "{run}\n\n{}\n{}",
        targets(&SEVERAL_NODES, rounds),
        cells(rounds)
    );
    if is_for_the_document() {
        into_document(CLUSTER_BEGIN, &tables, CLUSTER_END);
    }
    tables
}

fn is_for_the_document() -> bool {
    std::env::var("DOCS").is_ok_and(|docs| docs == "1")
}

fn into_document(begin: &str, tables: &str, end: &str) {
    let document = repository::file(DOCUMENT);
    let old = fs::read_to_string(&document).expect("the document");
    let (before, rest) = old.split_once(begin).expect("where the tables begin");
    let (_, after) = rest.split_once(end).expect("where they end");
    let new = format!("{before}{begin}\n\n{tables}\n{end}{after}");
    fs::write(document, new).expect("the document");
}

fn results(targets: &[Target], rounds: &[Round], run: &str) -> Value {
    let mut ratios = BTreeMap::new();
    let mut spreads = BTreeMap::new();
    for target in targets {
        if let Some(spread) = target.over(rounds) {
            ratios.insert(target.name, spread.median);
            spreads.insert(target.name, [spread.least, spread.median, spread.most]);
        }
    }
    let rounds: Vec<_> = rounds.iter().map(|round| &round.0).collect();
    json!({"run": run, "ratios": ratios, "spreads": spreads, "rounds": rounds})
}

fn targets(targets: &[Target], rounds: &[Round]) -> String {
    let mut table = String::from(
        "| figure | least | median | most | wanted | aim | |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for target in targets {
        let Some(Spread {
            least,
            median,
            most,
        }) = target.over(rounds)
        else {
            let _ = writeln!(table, "| `{}` | | not measured | | | | |", target.name);
            continue;
        };
        let sign = match target.better {
            Better::More => "≥",
            Better::Less => "≤",
        };
        let verdict = match (target.is_promised(), target.is_met(median)) {
            (true, true) => "met",
            (true, false) => "**missed**",
            (false, _) => "",
        };
        let wanted = match target.is_promised() {
            true => format!("{sign} {} | {sign} {}", target.at_least, target.aim),
            false => " | ".to_owned(),
        };
        let [least, median, most] = [least, median, most].map(short);
        let _ = writeln!(
            table,
            "| `{}` | {least} | {median} | {most} | {wanted} | {verdict} |",
            target.name
        );
    }
    table
}

/// Every cell: its name is what was called and how many calls were in flight.
fn cells(rounds: &[Round]) -> String {
    let mut table = String::from(
        "| cell | per second | least to most | p50 µs | p99 µs | p99.9 µs | processors | failed |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for cell in names(rounds) {
        let of = |what: &str| over_rounds(rounds, &format!("{cell}.{what}"));
        let Some(rate) = of("per_second") else {
            continue;
        };
        let median = |what: &str| of(what).map_or(String::new(), |spread| short(spread.median));
        let failed = of("failures").map_or(String::new(), |spread| short(spread.most));
        let _ = writeln!(
            table,
            "| `{cell}` | {} | {} to {} | {} | {} | {} | {} | {failed} |",
            short(rate.median),
            short(rate.least),
            short(rate.most),
            median("p50_us"),
            median("p99_us"),
            median("p999_us"),
            processors(rounds, &cell),
        );
    }
    table
}

/// e.g. `profiled 0.8, nats-server 0.5`.
fn processors(rounds: &[Round], cell: &str) -> String {
    let prefix = format!("{cell}.processors of ");
    let names = rounds.first().into_iter().flat_map(|round| round.0.keys());
    let names = names.filter_map(|name| name.strip_prefix(&prefix));
    let one = |name: &str| {
        let spread = over_rounds(rounds, &format!("{prefix}{name}"))?;
        Some(format!("{name} {:.2}", spread.median))
    };
    names.filter_map(one).collect::<Vec<_>>().join(", ")
}

fn names(rounds: &[Round]) -> Vec<String> {
    let all = rounds.iter().flat_map(|round| round.0.keys());
    let cells = all.filter_map(|name| name.strip_suffix(".per_second"));
    let mut names: Vec<String> = cells.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Bars: calls per second of every cell, the median with a line from the least to the most.
fn picture(rounds: &[Round]) -> String {
    const ROW: f64 = 22.0;
    const LEFT: f64 = 250.0;
    const BAR: f64 = 520.0;
    let rows: Vec<(String, Spread)> = names(rounds)
        .into_iter()
        .filter_map(|cell| {
            let spread = over_rounds(rounds, &format!("{cell}.per_second"))?;
            Some((cell, spread))
        })
        .collect();
    let most = rows
        .iter()
        .map(|(_, spread)| spread.most)
        .fold(1.0, f64::max);
    let height = ROW * (rows.len() as f64 + 2.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 880 {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"880\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"16\">Calls per second, by what is called and how many are in flight</text>\n"
    );
    for (index, (cell, spread)) in rows.iter().enumerate() {
        let y = ROW * (index as f64 + 1.5);
        let [least, median, most] =
            [spread.least, spread.median, spread.most].map(|value| value / most * BAR);
        let color = match cell.starts_with("update") {
            true => "#1f77b4",
            false => "#bbbbbb",
        };
        let (middle, text) = (y + 8.0, y + 12.0);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{cell}</text>\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{median:.1}\" height=\"16\" fill=\"{color}\"/>\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"black\"/>\
             <text x=\"{:.1}\" y=\"{text}\">{}</text>",
            LEFT - 8.0,
            LEFT + least,
            LEFT + most,
            LEFT + most + 8.0,
            short(spread.median),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
