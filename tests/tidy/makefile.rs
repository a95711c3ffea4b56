//! The Makefile names only what exists: a `cargo test` whose filter matches nothing is green.

use std::fs;

use profile_tests::repository;

use crate::sources::{self, Source};

/// What a path of this repository starts with in a recipe.
const FOLDERS: &[&str] = &["config/", "messages/", "services/", "tests/", "tools/"];
/// Options of `cargo test` that take a value.
const WITH_VALUE: &[&str] = &["-p", "--features", "--profile", "--test"];

#[test]
fn every_recipe_names_only_what_exists() {
    let text = fs::read_to_string(repository::file("Makefile")).expect("the Makefile");
    let rust = sources::rust();
    let found = findings(&text, &rust);
    assert!(found.is_empty(), "{}", found.join("\n"));
    let tests = commands(&text).filter(|words| is_cargo_test(words)).count();
    assert!(tests >= 4, "only {tests} calls of cargo test were read");
}

#[test]
fn every_wrong_recipe_of_the_table_is_found() {
    let rust = sources::rust();
    for (recipe, finding) in [
        ("@tools/gone.sh", "no file tools/gone.sh"),
        (
            "A=1 python3 tests/acceptance/gone.py",
            "no file tests/acceptance/gone.py",
        ),
        ("cargo test -p profile-gone", "no package profile-gone"),
        (
            "cargo test -p profile-tests --test gone",
            "no test target gone",
        ),
        (
            "cargo test -p profile-tests --test sim --test gone",
            "no test target gone",
        ),
        (
            "cargo test -p profile --lib gone_cuts",
            "no test matches gone_cuts",
        ),
        // The name of a test, in the wrong place.
        (
            "cargo test -p profilectl power_cuts",
            "no test matches power_cuts",
        ),
        (
            "cargo test -p profile-tests --test sim -- every_wrong_recipe",
            "no test matches every_wrong_recipe",
        ),
    ] {
        let found = findings(&format!("rule:\n\t{recipe}\n"), &rust);
        assert_eq!(found, [finding], "{recipe}");
    }
    for right in [
        "@tools/run.sh",
        "cargo test --workspace --locked",
        "N=$${N:-1} cargo test --release -p profile-tests --test crash -- --nocapture",
        "cargo test -p profile --features testkit --lib power_cuts",
        "cargo test -p profile-tests --test tidy every_wrong_recipe",
    ] {
        let found = findings(&format!("rule:\n\t{right}\n"), &rust);
        assert!(found.is_empty(), "{right}: {found:?}");
    }
}

fn findings(makefile: &str, rust: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for words in commands(makefile) {
        for word in &words {
            let is_path = FOLDERS.iter().any(|folder| word.starts_with(folder));
            if is_path && !repository::file(word).is_file() {
                found.push(format!("no file {word}"));
            }
        }
        if is_cargo_test(&words) {
            found.extend(findings_of_test(&words, rust));
        }
    }
    found
}

/// The words of each command of each recipe.
fn commands(makefile: &str) -> impl Iterator<Item = Vec<&str>> {
    makefile
        .lines()
        .filter_map(|line| line.strip_prefix('\t'))
        .flat_map(|recipe| recipe.split("&&"))
        .map(|command| {
            let words = command.split_whitespace();
            words
                .map(|word| word.trim_matches(['@', ';', '"', '\'']))
                .collect()
        })
}

fn is_cargo_test(words: &[&str]) -> bool {
    words.windows(2).any(|pair| pair == ["cargo", "test"])
}

fn findings_of_test(words: &[&str], rust: &[Source]) -> Vec<String> {
    let package = values(words, "-p").next();
    let folder = match package.map(|name| (name, folder_of(name))) {
        None => String::new(),
        Some((_, Some(folder))) => folder,
        Some((name, None)) => return vec![format!("no package {name}")],
    };
    let mut found = Vec::new();
    for target in values(words, "--test") {
        if !has_target(&folder, target) {
            found.push(format!("no test target {target}"));
        }
    }
    let scopes = scopes(words, &folder);
    for filter in filters(words) {
        let in_scopes = |source| scopes.iter().any(|scope| is_matched(source, scope, filter));
        if !rust.iter().any(in_scopes) {
            found.push(format!("no test matches {filter}"));
        }
    }
    found
}

fn values<'a>(words: &[&'a str], option: &str) -> impl Iterator<Item = &'a str> {
    let pairs = words.windows(2).filter(move |pair| pair[0] == option);
    pairs.map(|pair| pair[1])
}

/// The folder of a package, with a slash at the end.
fn folder_of(package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let manifests = sources::all()
        .into_iter()
        .filter(|source| source.path.ends_with("/Cargo.toml"));
    manifests
        .filter(|source| source.text.lines().nth(1) == Some(name.as_str()))
        .find_map(|source| source.path.strip_suffix("Cargo.toml").map(str::to_owned))
}

fn has_target(folder: &str, target: &str) -> bool {
    let manifest = fs::read_to_string(repository::file(&format!("{folder}Cargo.toml")));
    let declared = format!("[[test]]\nname = \"{target}\"\n");
    manifest.is_ok_and(|text| text.contains(&declared))
        || repository::file(&format!("{folder}tests/{target}.rs")).is_file()
}

/// What the paths of the files begin with whose tests are run.
fn scopes(words: &[&str], folder: &str) -> Vec<String> {
    if words.contains(&"--lib") {
        return vec![format!("{folder}src/")];
    }
    let targets: Vec<_> = values(words, "--test")
        .flat_map(|target| {
            [
                format!("{folder}{target}/"),
                format!("{folder}tests/{target}.rs"),
            ]
        })
        .collect();
    match targets.is_empty() {
        true => vec![folder.to_owned()],
        false => targets,
    }
}

/// What stands behind the options of `cargo test`, and of the test binary.
fn filters<'a>(words: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let start = words.iter().position(|word| *word == "test");
    let rest = words.get(start.map_or(0, |at| at + 1)..).unwrap_or(&[]);
    rest.iter().enumerate().filter_map(|(index, word)| {
        let is_value = index > 0 && WITH_VALUE.contains(&rest[index - 1]);
        (!is_value && !word.starts_with('-')).then_some(*word)
    })
}

/// Whether a test of this file has `filter` in its name, modules included.
fn is_matched(source: &Source, scope: &str, filter: &str) -> bool {
    let Some(inner) = source.path.strip_prefix(scope) else {
        return false;
    };
    let modules = inner.trim_end_matches(".rs").replace('/', "::");
    let mut is_test = false;
    for (_, line) in source.code_lines().map(|(at, line)| (at, line.trim())) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(name) = function(line).filter(|_| is_test) {
            is_test = false;
            if modules.contains(filter) || name.contains(filter) {
                return true;
            }
        }
    }
    false
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("async ").unwrap_or(line);
    rest.strip_prefix("fn ")?.split('(').next()
}
