//! The inputs that fuzzing kept (`fuzz/corpus`), through the same functions, without a fuzzer.

use std::fs;
use std::path::PathBuf;

use profile::transport::testkit::TARGETS;
use profile_tests::repository;

/// All corpora together, in bytes: what is kept stays small enough to read.
const CORPORA_BYTES_MAX: u64 = 300_000;

#[test]
fn every_kept_input_of_every_target_is_borne() {
    let mut bytes = 0;
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        assert!(inputs.len() >= 10, "{name} has {} inputs", inputs.len());
        for path in inputs {
            let input = fs::read(&path).expect("a readable input");
            bytes += u64::try_from(input.len()).expect("64 bits");
            // Shown when it fails.
            println!("{}", path.display());
            target(&input);
        }
    }
    assert!(bytes <= CORPORA_BYTES_MAX, "{bytes} bytes: minimise them");
}

#[test]
fn every_target_has_its_program_and_every_program_its_target() {
    let manifest = fs::read_to_string(repository::file("fuzz/Cargo.toml")).expect("a manifest");
    for (name, _) in TARGETS {
        let declared = format!("[[bin]]\nname = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&declared), "{name}");
        let program = repository::file(&format!("fuzz/fuzz_targets/{name}.rs"));
        let program = fs::read_to_string(program).expect("a program");
        assert!(program.contains(&format!("testkit::{name}(data)")));
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = repository::file(&format!("fuzz/corpus/{target}"));
    let entries = fs::read_dir(folder).expect("a corpus");
    let mut paths: Vec<_> = entries.map(|it| it.expect("an entry").path()).collect();
    paths.sort();
    paths
}
