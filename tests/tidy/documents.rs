//! Documents name only what exists.

use profile_tests::repository;

use crate::sources::{self, Source};

/// Documents that must be there. Others in the root and under docs are checked as well.
const REQUIRED: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "RELIABILITY.md",
    "docs/README.md",
    "docs/quick-start.md",
    "docs/concepts.md",
    "docs/errors.md",
    "docs/operations.md",
    "docs/security.md",
    "docs/coming-from-zitadel.md",
    "examples/README.md",
];

/// What a path of this repository starts with.
const FOLDERS: &[&str] = &[
    "config/",
    "docs/",
    "examples/",
    "fuzz/",
    "messages/",
    "services/",
    "tests/",
    "tools/",
    "bench/",
    ".ci/",
];

/// Files in the root are recognised by their ending.
const ENDINGS: &[&str] = &[".md", ".toml", ".yml", ".conf", ".sh", ".rs"];

#[test]
fn every_path_named_in_a_document_exists() {
    let mut missing = Vec::new();
    for document in all() {
        for named in paths_in(&document.text) {
            if !repository::file(named).exists() {
                missing.push(format!("{}: `{named}`", document.path));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "named, but not there:\n{}",
        missing.join("\n")
    );
}

#[test]
fn the_required_documents_are_there() {
    let there: Vec<_> = all().into_iter().map(|found| found.path).collect();
    for required in REQUIRED {
        assert!(there.iter().any(|path| path == required), "no {required}");
    }
}

/// The documents in the root, under docs and beside the examples.
pub(crate) fn all() -> Vec<Source> {
    let mut documents = sources::all();
    documents.retain(|source| {
        let is_in_root = !source.path.contains('/');
        let is_below = |folder| source.path.starts_with(folder);
        let is_ours = is_in_root || is_below("docs/") || is_below("examples/");
        is_ours && source.path.ends_with(".md")
    });
    documents
}

/// What stands in backticks and looks like one path of the repository.
fn paths_in(text: &str) -> impl Iterator<Item = &str> {
    let outside_blocks = text.split("```").step_by(2);
    outside_blocks
        .flat_map(|part| part.split('`').skip(1).step_by(2))
        .filter(|code| is_path(code))
}

fn is_path(code: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if code.is_empty() || !code.chars().all(plain) {
        return false; // a pattern, a command, prose
    }
    let in_folder = FOLDERS.iter().any(|folder| code.starts_with(folder));
    let in_root = !code.contains('/') && ENDINGS.iter().any(|ending| code.ends_with(ending));
    // A bare file name like `actor.rs` means a file somewhere, not in the root.
    in_folder || (in_root && !code.ends_with(".rs"))
}

#[test]
fn paths_are_told_from_other_code() {
    let text = "`config/default.toml` and `a/b` `cargo test` `tests/*`\n```\n`config/x`\n```\n`README.md` \
                `actor.rs`";
    assert_eq!(
        paths_in(text).collect::<Vec<_>>(),
        ["config/default.toml", "README.md"]
    );
}
