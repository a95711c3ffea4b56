//! What the build scripts make of the repository around them.

use std::path::Path;
use std::process::Command;

use profile_tests::repository;
use profile_tests::temp_dir::TempDir;

include!("../../tools/version.rs");

#[test]
fn a_commit_is_named_by_its_first_twelve_digits_and_only_if_it_is_one() {
    let commit = "0123456789abcdef0123456789abcdef01234567\n";
    assert_eq!(
        version_line("1.2.3", Some(commit)),
        "1.2.3 (commit 0123456789ab)"
    );
    for none in [
        None,
        Some(""),
        Some("  "),
        Some("not\nhex"),
        Some("$GIT_COMMIT"),
    ] {
        assert_eq!(version_line("1.2.3", none), "1.2.3");
    }
}

#[test]
fn without_a_repository_or_in_somebody_elses_there_is_no_commit() {
    let folder = TempDir::create();
    assert_eq!(head(folder.path()), None);
    let init = Command::new("git")
        .args(["init", "-q"])
        .current_dir(folder.path())
        .status();
    if init.is_ok_and(|status| status.success()) {
        std::fs::write(folder.join("Cargo.toml"), "").expect("our own folder");
        assert_eq!(head(folder.path()), None);
    }
    assert_eq!(head(Path::new("/nowhere")), None);
}

#[test]
fn both_build_scripts_say_it() {
    for service in ["profile", "profilectl"] {
        let script = repository::file(&format!("services/{service}/build.rs"));
        let text = std::fs::read_to_string(script).expect("the build script");
        assert!(text.contains("\n    emit_version();\n"), "{service}");
    }
    // The function itself is for build scripts; here it only has to be the same text.
    let _: fn() = emit_version;
}
