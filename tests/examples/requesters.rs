//! The requesters: a user is made and renamed, and once only.

use crate::language::{Language, Program};
use crate::running::run;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_requester_that_is_run_twice_makes_each_change_once() {
    let world = World::start().await;
    for language in Language::all() {
        let user = format!("mia-{}", language.name());
        let requester = || {
            let command = world.command(&language, Program::Requester);
            let mut command = command.expect("every language has one");
            command.args([&user, "Mimi"]);
            command
        };
        let printed = run(&mut requester()).await;
        let expected = format!("created {user}, version 1\nrenamed {user}, version 1 to 2\n");
        assert_eq!(printed.ok(), expected, "{language:?}");

        // The first answer again, then a patch to what is there: no change.
        let printed = run(&mut requester()).await;
        let expected = format!("created {user}, version 1\nrenamed {user}, version 2 to 2\n");
        assert_eq!(printed.ok(), expected, "{language:?}");
        assert_eq!(world.changes(&user).await, 2, "{language:?}");
        let read = world.read(&user).await;
        assert_eq!(read["profile"]["displayName"], "Mimi", "{language:?}");
        assert_eq!(read["profile"]["firstName"], "Mia", "{language:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requester_that_is_refused_says_why_and_fails() {
    let world = World::start().await;
    for language in Language::all() {
        let command = world.command(&language, Program::Requester);
        let mut command = command.expect("every language has one");
        let name = "x".repeat(201);
        let printed = run(command.args([language.name(), &name])).await;
        assert!(!printed.status.success(), "{printed:?}");
        let expected = format!("created {}, version 1\n", language.name());
        assert_eq!(printed.stdout, expected, "{language:?}");
        let rule = "value length must be between 1 and 200 runes, inclusive";
        assert!(printed.stderr.contains(rule), "{printed:?}");
        assert!(!printed.stderr.contains("again"), "{printed:?}");
    }
}
