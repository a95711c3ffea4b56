//! The text files of the repository, as every check reads them.

use std::fs;
use std::path::Path;

use profile_tests::repository;

/// Folders that hold nothing written by hand.
const NOT_OURS: &[&str] = &[
    ".git",
    "target",
    "data",
    "run",
    "run-cluster",
    "node_modules",
    "build",
];
const SOURCE_LINES_MAX: usize = 500;

/// A text file: its path below the root with forward slashes, and its text.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// Lines that hold more than a comment.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// All text files, in the order of their paths.
pub(crate) fn all() -> Vec<Source> {
    let mut found = Vec::new();
    collect(repository::root(), &mut found);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(found.len() > 10, "the repository was not found");
    found
}

pub(crate) fn rust() -> Vec<Source> {
    all().into_iter().filter(Source::is_rust).collect()
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        // The version control's entry is a file in a worktree.
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let below = path
                .strip_prefix(repository::root())
                .expect("below the root");
            found.push(Source {
                path: below.to_string_lossy().replace('\\', "/"),
                text,
            });
        }
    }
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    let long: Vec<_> = rust()
        .iter()
        .map(|source| (source.lines().count(), source.path.clone()))
        .filter(|(lines, _)| *lines > SOURCE_LINES_MAX)
        .collect();
    assert!(long.is_empty(), "split by idea: {long:?}");
}

#[test]
fn no_module_hides_in_a_mod_rs() {
    let hidden: Vec<_> = rust()
        .into_iter()
        .map(|s| s.path)
        .filter(|path| path.ends_with("/mod.rs"))
        .collect();
    assert!(
        hidden.is_empty(),
        "foo.rs and foo/bar.rs, so that a tab says its name: {hidden:?}"
    );
}
