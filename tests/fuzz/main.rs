//! The inputs that fuzzing kept (`fuzz/corpus`), and some mutations of each, through the same functions,
//! without a fuzzer.

use std::fs;
use std::path::PathBuf;

use profile::transport::testkit::TARGETS;
use profile_tests::repository;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

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
fn mutations_of_the_kept_inputs_are_borne() {
    let mutations = number("MUTATIONS", 20);
    let mut random = ChaCha8Rng::seed_from_u64(number("SEED", 1));
    for (name, target) in TARGETS {
        let inputs: Vec<_> = inputs(name)
            .iter()
            .map(|path| fs::read(path).expect("a readable input"))
            .collect();
        for input in &inputs {
            for _ in 0..mutations {
                let mut mutated = input.clone();
                for _ in 0..=below(&mut random, 4) {
                    let other = &inputs[below(&mut random, inputs.len())];
                    mutate(&mut mutated, other, &mut random);
                }
                // Shown when it fails.
                println!("{name} {:?}", mutated.escape_ascii().to_string());
                target(&mutated);
            }
        }
    }
}

/// Changes, drops, doubles or takes from `other` a few bytes.
fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut ChaCha8Rng) {
    let at = below(random, input.len() + 1);
    let end = (at + below(random, 9)).min(input.len());
    match below(random, 5) {
        0 => input.insert(at, random.next_u32().to_le_bytes()[0]),
        1 => drop(input.drain(at..end)),
        2 => input.extend_from_within(at..end),
        3 => {
            let from = below(random, other.len() + 1);
            let to = (from + below(random, 33)).min(other.len());
            input.splice(at..end, other[from..to].iter().copied());
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << below(random, 8);
            }
        }
    }
}

fn below(random: &mut ChaCha8Rng, bound: usize) -> usize {
    usize::try_from(random.next_u32()).expect("64 bits") % bound
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
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
