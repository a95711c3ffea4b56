//! Words that have no place in some part of the repository.

use profile_tests::repository;

use crate::sources::{self, Source};

struct Ban {
    /// Found as a whole word: the characters around it belong to no identifier.
    word: &'static str,
    place: Place,
    why: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// The rules: code, not comments.
    Domain,
    /// Tests, wherever they are: code, not comments.
    Tests,
    /// Every Rust file.
    Rust,
    /// Every text file.
    Anywhere,
}

/// Spelled in two halves where this file itself would be a finding.
const BANS: &[Ban] = &[
    Ban {
        word: "tokio",
        place: Place::Domain,
        why: "the rules know no runtime",
    },
    Ban {
        word: "actix",
        place: Place::Domain,
        why: "the rules know no actors",
    },
    Ban {
        word: "async",
        place: Place::Domain,
        why: "the rules never wait",
    },
    Ban {
        word: "await",
        place: Place::Domain,
        why: "the rules never wait",
    },
    Ban {
        word: "SystemTime",
        place: Place::Domain,
        why: "`decide` is told the time",
    },
    Ban {
        word: "Instant",
        place: Place::Domain,
        why: "`decide` is told the time",
    },
    Ban {
        word: "HashMap",
        place: Place::Domain,
        why: "its order is random: BTreeMap",
    },
    Ban {
        word: "HashSet",
        place: Place::Domain,
        why: "its order is random: BTreeSet",
    },
    Ban {
        word: concat!("thread::", "sleep"),
        place: Place::Tests,
        why: "wait for an event",
    },
    Ban {
        word: concat!("time::", "sleep"),
        place: Place::Tests,
        why: "wait for an event",
    },
    Ban {
        word: concat!("#[", "ignore"),
        place: Place::Rust,
        why: "a test runs, or is not there",
    },
    Ban {
        word: concat!("should_", "panic"),
        place: Place::Rust,
        why: "assert on the error",
    },
    Ban {
        word: concat!("/ho", "me/"),
        place: Place::Anywhere,
        why: "a path of one machine",
    },
    Ban {
        word: concat!("/ro", "ot/"),
        place: Place::Anywhere,
        why: "a path of one machine",
    },
    Ban {
        word: concat!("/Us", "ers/"),
        place: Place::Anywhere,
        why: "a path of one machine",
    },
];

/// `path:word` findings that are right, each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

#[test]
fn every_word_is_where_it_belongs() {
    let here = repository::root().to_string_lossy().into_owned();
    let mut findings = Vec::new();
    for source in sources::all() {
        for ban in BANS {
            find(&source, ban, &mut findings);
        }
        if source.text.contains(&here) {
            findings.push(format!(
                "{}: names the folder it lies in on this machine",
                source.path
            ));
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

fn find(source: &Source, ban: &Ban, findings: &mut Vec<String>) {
    let mut in_tests = source.path.starts_with("tests/")
        || source.path.ends_with("/tests.rs")
        || source.path.contains("/tests/");
    for (number, line) in source.lines() {
        in_tests |= line.trim_start().starts_with("#[cfg(test)]");
        let is_comment = line.trim_start().starts_with("//");
        let applies = match ban.place {
            Place::Domain => source.path.starts_with("services/profile-domain/src/") && !is_comment,
            Place::Tests => source.is_rust() && in_tests && !is_comment,
            Place::Rust => source.is_rust(),
            Place::Anywhere => true,
        };
        let is_excepted = EXCEPTIONS.contains(&(source.path.as_str(), ban.word));
        if applies && !is_excepted && has_word(line, ban.word) {
            findings.push(format!(
                "{}:{number}: {}: {}",
                source.path, ban.word, ban.why
            ));
        }
    }
}

/// Whether `word` stands in `line` as itself, not inside a longer identifier.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    // Next to punctuation at an end of the word stands whatever comes.
    let open_start = !word.starts_with(is_identifier);
    let open_end = !word.ends_with(is_identifier);
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        (open_start || !before.is_some_and(is_identifier))
            && (open_end || !after.is_some_and(is_identifier))
    })
}

fn is_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn a_word_is_found_only_as_itself() {
    assert!(has_word("use tokio::time;", "tokio"));
    assert!(!has_word("use tokio_util::x;", "tokio"));
    assert!(has_word("a b", "b") && !has_word("a bc", "b") && has_word("a/b/c", "/b/"));
}
