//! The arrows inside the service: a module uses those behind it in the order, never those before.

use crate::sources::{self, Source};
use crate::words::has_word;

const SERVICE: &str = "services/profile/src/";

/// Outermost first. Modules of one line do not use each other. One update passes from `transport` to
/// `commit_log` in this order and never jumps back.
const ORDER: &[&[&str]] = &[
    &["main"],
    &["app"],
    &["transport"],
    &["backup"],
    &["relay", "service"],
    &["gateway"],
    &["actor"],
    &["entity"],
    &["compaction"],
    &["current_view"],
    &["commit_log"],
    &["jetstream"],
    &["data_dir"],
    &["auth", "telemetry"],
    &["config", "error"],
    &["file_system"],
    &["clock"],
];

/// A crate from outside and the only modules that name it.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("actix", &["actor", "gateway", "app"]),
    ("actix_rt", &["actor", "gateway", "app"]),
    ("sled", &["current_view"]),
    ("opentelemetry", &["telemetry/traces"]),
    ("opentelemetry_sdk", &["telemetry/traces"]),
    ("opentelemetry_otlp", &["telemetry/traces"]),
    ("opentelemetry_http", &["telemetry/traces"]),
    (
        "async_nats",
        &[
            "transport/nats",
            "transport/micro",
            // Decodes NATS headers for fuzzing.
            "transport/testkit",
            "commit_log/jetstream",
            "jetstream",
            "relay",
            "app",
        ],
    ),
];

#[test]
fn modules_use_only_what_is_behind_them() {
    let mut findings = Vec::new();
    for source in service_files() {
        let module = module_of(&source);
        let Some(own_place) = place(module) else {
            findings.push(format!(
                "{}: {module} has no place in ORDER: give it one",
                source.path
            ));
            continue;
        };
        for (number, line) in source.code_lines() {
            for used in modules_named(line) {
                let allowed = used == module || place(used).is_some_and(|other| other > own_place);
                if !allowed {
                    findings.push(format!("{}:{number}: {module} uses {used}", source.path));
                }
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn foreign_crates_are_named_only_at_their_ports() {
    let mut findings = Vec::new();
    for source in service_files() {
        let inner = inner_path(&source);
        for (name, modules) in ONLY_IN {
            let at_port = modules.iter().any(|module| is_in(inner, module));
            let lines = source
                .code_lines()
                .filter(|(_, line)| !at_port && names(line, name));
            findings.extend(lines.map(|(number, _)| format!("{}:{number}: {name}", source.path)));
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

fn service_files() -> Vec<Source> {
    let mut files = sources::rust();
    // lib.rs only declares.
    files.retain(|source| source.path.starts_with(SERVICE) && inner_path(source) != "lib.rs");
    assert!(!files.is_empty(), "{SERVICE} was not found");
    files
}

fn inner_path(source: &Source) -> &str {
    source.path.strip_prefix(SERVICE).unwrap_or(&source.path)
}

/// `gateway/shards.rs` -> `gateway`.
fn module_of(source: &Source) -> &str {
    let inner = inner_path(source);
    inner.split(['/', '.']).next().unwrap_or(inner)
}

fn place(module: &str) -> Option<usize> {
    ORDER.iter().position(|line| line.contains(&module))
}

fn is_in(inner: &str, module: &str) -> bool {
    inner
        .strip_prefix(module)
        .is_some_and(|rest| rest.starts_with(['/', '.']))
}

/// The modules in `crate::module` and, from main, `profile::module`; with braces, each in them.
fn modules_named(line: &str) -> Vec<&str> {
    let roots = ["crate::", "profile::"];
    let after_root = roots.iter().flat_map(|root| {
        line.match_indices(root)
            .filter(|(start, _)| {
                !line[..*start].ends_with(|c: char| c.is_alphanumeric() || c == '_')
            })
            .filter(|(start, _)| !line[..*start].ends_with(':'))
            .map(|(start, _)| &line[start + root.len()..])
    });
    after_root
        .flat_map(first_segments)
        .filter(|name| is_module_name(name))
        .collect()
}

/// `a::B` -> a; `{a::B, c}` -> a, c. rustfmt keeps a short list on its line.
fn first_segments(path: &str) -> Vec<&str> {
    let first = |path: &'_ str| path.find(|c: char| !c.is_alphanumeric() && c != '_');
    let cut = |path: &'_ str| -> usize { first(path).unwrap_or(path.len()) };
    match path.strip_prefix('{') {
        Some(list) => list
            .split(',')
            .map(|item| &item.trim()[..cut(item.trim())])
            .collect(),
        None => vec![&path[..cut(path)]],
    }
}

fn is_module_name(name: &str) -> bool {
    !name.is_empty() && name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Whether the line names the crate itself, not a module of ours with the same name.
fn names(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    line.match_indices(&path)
        .any(|(start, _)| !line[..start].ends_with(':') && has_word(line, name))
        || line.trim_start().starts_with(&format!("use {name};"))
}

#[test]
fn the_modules_of_a_line_are_found() {
    assert_eq!(modules_named("use crate::gateway::Gateway;"), ["gateway"]);
    assert_eq!(
        modules_named("use crate::{actor::A, clock};"),
        ["actor", "clock"]
    );
    assert_eq!(modules_named("let x = profile::app::run();"), ["app"]);
    assert!(modules_named("use profile_messages::profile::X; use crate::Error;").is_empty());
    assert!(names("use sled::Db;", "sled") && !names("use crate::view::sled::Db;", "sled"));
}
