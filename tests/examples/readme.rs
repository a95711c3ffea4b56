//! The programs that stand in README.md itself.

use std::fs;

use profile_tests::repository;
use profile_tests::service::binary;
use tokio::process::Command;

use crate::language::Language;
use crate::running::{Running, run};
use crate::world::World;

/// The code blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let text = fs::read_to_string(repository::file("README.md")).expect("the file");
    let start = format!("{language}\n");
    let blocks = text.split("```").skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| block.strip_prefix(&start));
    blocks.map(str::to_owned).collect()
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn the_rust_of_the_readme_is_that_of_its_example() {
    let file = repository::file("examples/rust/src/bin/readme.rs");
    let example = without_spaces(&fs::read_to_string(file).expect("the file"));
    let blocks = blocks("rust");
    assert_eq!(blocks.len(), 1);
    for block in blocks {
        assert!(example.contains(&without_spaces(&block)), "{block}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requesters_of_the_readme_send_one_change_under_one_key() {
    let world = World::start().await;
    world.create("mia").await;
    let mut rust = Command::new(binary("readme"));
    world.set_environment(&mut rust);
    assert_eq!(run(&mut rust).await.ok(), "version 2\n");
    for language in Language::all() {
        let Language::Python(interpreter) = language else {
            continue;
        };
        let mut python = Command::new(interpreter);
        world.set_environment(&mut python);
        python.arg("-c").arg(&blocks("python")[0]);
        let printed = run(&mut python).await;
        assert!(printed.ok().starts_with("done "), "{printed:?}");
        assert!(printed.ok().contains("'sequence': '2'"), "{printed:?}");
    }
    assert_eq!(world.changes("mia").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_of_the_readme_prints_each_event() {
    let world = World::start().await;
    for language in Language::all() {
        let Language::Python(interpreter) = language else {
            continue;
        };
        world.create("mia").await;
        world.rename("mia", "Mimi").await;
        let [requester, consumer] = blocks("python").try_into().expect("two programs");
        let imports = requester.lines().next().expect("the imports");
        let program = format!("{imports}\n{consumer}\nasyncio.run(follow())\n");
        let mut python = Command::new(interpreter);
        world.set_environment(&mut python);
        let mut running = Running::start(python.args(["-u", "-c", &program]));
        running.until("profile-service.profile.created.v1").await;
        running.until("profile-service.profile.changed.v1").await;
        running.kill().await;
        let changed = running.printed.last().expect("a line");
        assert!(changed.contains("'displayName': 'Mimi'"), "{changed}");
    }
}
