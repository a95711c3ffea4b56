//! Every link of a document leads somewhere: to a file of this repository, and to a heading where it names one.

use std::collections::{BTreeMap, BTreeSet};

use profile_tests::repository;

use crate::documents;

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let documents = documents::all();
    let anchors: BTreeMap<&str, BTreeSet<String>> = documents
        .iter()
        .map(|document| (document.path.as_str(), anchors(&document.text)))
        .collect();
    let mut broken = Vec::new();
    let mut seen = 0;
    for document in &documents {
        for link in links(&document.text) {
            seen += 1;
            if let Some(why) = finding(&document.path, link, &anchors) {
                broken.push(format!("{}: ({link}): {why}", document.path));
            }
        }
    }
    assert!(seen > 20, "only {seen} links were read");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn finding(
    from: &str,
    link: &str,
    anchors: &BTreeMap<&str, BTreeSet<String>>,
) -> Option<&'static str> {
    if ["https://", "http://", "mailto:"]
        .iter()
        .any(|scheme| link.starts_with(scheme))
    {
        return None; // the world outside is not asked in a test
    }
    let (file, anchor) = match link.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (link, None),
    };
    let Some(path) = resolved(from, file) else {
        return Some("leaves the repository");
    };
    if !repository::file(&path).exists() {
        return Some("no such file");
    }
    let anchor = anchor?;
    let known = anchors.get(path.as_str());
    let is_known = known.is_some_and(|known| known.contains(anchor));
    (!is_known).then_some("no such heading")
}

/// The path below the root that `link` means in `from`; none if it leads out of the repository.
fn resolved(from: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<_> = from.split('/').collect();
    parts.pop();
    for part in link.split('/').filter(|part| !part.is_empty()) {
        match part {
            "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The targets of `[text](target)` outside code.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let outside_blocks = text.split("```").step_by(2);
    let outside_code = outside_blocks.flat_map(|part| part.split("](").skip(1));
    outside_code.filter_map(|rest| rest.split([')', ' ']).next())
}

/// The anchors of the headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let outside_blocks = text.split("```").step_by(2);
    let lines = outside_blocks
        .flat_map(str::lines)
        .filter(|line| line.starts_with('#'));
    let headings = lines.filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let mut found = BTreeSet::new();
    for heading in headings {
        let lower = heading.trim().to_lowercase();
        let kept = lower
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|number| format!("{anchor}-{number}"));
        let mut names = std::iter::once(anchor.clone()).chain(again);
        let free = names.find(|name| !found.contains(name));
        found.extend(free);
    }
    found
}

#[test]
fn every_broken_link_of_the_table_is_found() {
    let text = "# One `two`, three\n\n## Again\n\n## Again\n\n```\n# no heading\n```\n";
    let anchors = BTreeMap::from([("docs/operations.md", anchors(text))]);
    for (link, expected) in [
        ("https://example.com/", None),
        ("#one-two-three", None),
        ("#again-1", None),
        ("operations.md#again", None),
        ("../README.md", None),
        ("#no-heading", Some("no such heading")),
        ("gone.md", Some("no such file")),
        ("../config/default.toml#again", Some("no such heading")),
        ("../../outside.md", Some("leaves the repository")),
    ] {
        assert_eq!(
            finding("docs/operations.md", link, &anchors),
            expected,
            "{link}"
        );
    }
    let text = "[a](b.md#c) `code` [d](https://e \"title\")\n```\n[f](g.md)\n```\n";
    assert_eq!(links(text).collect::<Vec<_>>(), ["b.md#c", "https://e"]);
}
