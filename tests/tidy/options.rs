//! Documents name only options that there are, and show only configurations that the service takes.

use std::collections::BTreeSet;
use std::fs;

use profile::config::Config;
use profile_tests::repository;
use profile_tests::temp_dir::TempDir;

use crate::documents;

/// Looks like an option of `[events]`.
const PERMISSION: &str = "events.read";

#[test]
fn every_option_named_in_a_document_exists() {
    let known = known();
    assert!(known.len() > 60, "only {} options were read", known.len());
    let sections: BTreeSet<_> = known.iter().filter_map(|key| key.split_once('.')).collect();
    let sections: BTreeSet<_> = sections.into_iter().map(|(section, _)| section).collect();
    let mut unknown = Vec::new();
    let mut seen = 0;
    for document in documents::all() {
        let dotted = dotted(&document.text).filter(|key| {
            let section = key.split('.').next().unwrap_or(key);
            sections.contains(section)
        });
        let named = dotted.map(str::to_owned);
        for key in named.chain(variables(&document.text)) {
            seen += 1;
            if !is_known(&known, &key) {
                unknown.push(format!("{}: {key}", document.path));
            }
        }
    }
    assert!(seen > 40, "only {seen} names were read");
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn every_configuration_of_a_document_is_one_that_the_service_takes() {
    let folder = TempDir::create();
    let file = folder.join("profiled.toml");
    let mut seen = 0;
    for document in documents::all() {
        for block in blocks(&document.text, "toml") {
            seen += 1;
            // `<orgId>` stands for one.
            fs::write(&file, block.replace(['<', '>'], "")).expect("the folder can be written");
            // With a key of its own: most blocks show one section, and no issuer.
            if let Err(error) = Config::load_dev(Some(&file), passwords(block)) {
                panic!("{}:\n{block}\n{error}", document.path);
            }
        }
    }
    assert!(seen >= 4, "only {seen} configurations were read");
}

/// A block with users leaves their passwords to the environment.
fn passwords(block: &str) -> Vec<(String, String)> {
    let of = ["INGRESS", "EGRESS"].into_iter();
    let passwords = of.map(|user| (format!("PROFILE__NATS__{user}__PASSWORD"), "p".to_owned()));
    match block.contains("user = ") {
        true => passwords.collect(),
        false => Vec::new(),
    }
}

#[test]
fn every_permission_that_a_document_shows_is_in_the_shipped_file() {
    let shipped = fs::read_to_string(repository::file("config/nats-server.conf"));
    let shipped = shipped.expect("the file");
    let lines: BTreeSet<_> = shipped.lines().map(str::trim).collect();
    let mut seen = 0;
    for document in documents::all() {
        for line in blocks(&document.text, "conf").flat_map(str::lines) {
            seen += 1;
            assert!(lines.contains(line), "{}: {line}", document.path);
        }
    }
    assert!(seen > 10, "only {seen} lines were read");
}

/// `section.key` of every option, as `config/default.toml` has it: also those without a default, which are
/// comments there.
fn known() -> BTreeSet<String> {
    let text = fs::read_to_string(repository::file("config/default.toml")).expect("the file");
    let mut found = BTreeSet::new();
    let mut section = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
            found.insert(section.trim_end_matches('.').to_owned());
            continue;
        }
        let option = line.trim_start_matches(['#', ' ']);
        let Some((key, _)) = option.split_once('=') else {
            continue;
        };
        let key = key.trim();
        if is_word(key) {
            found.insert(format!("{section}{key}"));
        }
    }
    found
}

fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !text.is_empty() && text.chars().all(plain)
}

/// Whether there is such an option or section; an issuer's options stand below `auth` in the comments.
fn is_known(known: &BTreeSet<String>, key: &str) -> bool {
    let in_issuer = key.strip_prefix("auth.issuers.");
    let in_issuer = in_issuer.map(|rest| rest.strip_prefix("introspection.").unwrap_or(rest));
    let key = in_issuer.map_or_else(|| key.to_owned(), |rest| format!("auth.{rest}"));
    // "The same options."
    let key = key.replace("nats.egress.", "nats.ingress.");
    // `[auth.roles]` takes any name.
    known.contains(&key) || key.starts_with("auth.roles.")
}

/// What stands in backticks outside blocks and looks like an option.
fn dotted(text: &str) -> impl Iterator<Item = &str> {
    let code = text
        .split("```")
        .step_by(2)
        .flat_map(|part| part.split('`').skip(1).step_by(2));
    // A setting may follow: `compaction.history_changes_kept = 1`.
    let names = code.filter_map(|code| code.split(" = ").next());
    names.filter(|name| {
        let is_option = name.contains('.') && name.split('.').all(is_word);
        is_option && !is_file(name) && *name != PERMISSION
    })
}

/// A file beside others, such as `auth.rs`.
fn is_file(name: &str) -> bool {
    [".rs", ".toml", ".conf", ".sh", ".md"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// Options by their variable, anywhere: `PROFILE__NATS__URLS`.
fn variables(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split("PROFILE__").skip(1);
    let names = parts.filter_map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        rest.get(..end.unwrap_or(rest.len()))
    });
    let options = names.filter(|name| !name.is_empty() && *name != "SECTION__KEY");
    options.map(|name| name.to_lowercase().replace("__", "."))
}

/// The code blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let start = format!("{language}\n");
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.filter_map(move |block| block.strip_prefix(&start))
}

#[test]
fn options_that_are_not_there_are_noticed() {
    let known = known();
    for (key, expected) in [
        ("relay.max_age_s", true),
        ("http.tls.client_ca_file", true),
        ("http.tls", true),
        ("auth.issuers.introspection.cache_s", true),
        ("auth.roles.anything", true),
        ("data_dir", true),
        ("relay.max_age_ms", false),
        ("http.client_ca_file", false),
    ] {
        assert_eq!(is_known(&known, key), expected, "{key}");
    }
    let text = "`relay.max_age_s` `http.rs` `a b` `log.x = 1`\nPROFILE__HTTP__LISTEN=1\n```toml\nx = 1\n```\n";
    assert_eq!(
        dotted(text).collect::<Vec<_>>(),
        ["relay.max_age_s", "log.x"]
    );
    assert_eq!(variables(text).collect::<Vec<_>>(), ["http.listen"]);
    assert_eq!(blocks(text, "toml").collect::<Vec<_>>(), ["x = 1\n"]);
}
