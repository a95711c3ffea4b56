//! ZITADEL's own clients, as their registries have them. (The one for Rust is in `tests/it/http`.)

use crate::language::{Language, Program};
use crate::running::run;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_zitadel_that_this_run_has_read_change_and_hear_errors() {
    let world = World::start().await;
    for language in Language::all() {
        let Some(mut command) = world.command(&language, Program::Zitadel) else {
            continue;
        };
        let user = format!("mia-{}", language.name());
        world.create(&user).await;
        let printed = run(command.args([&user, "Mimi"])).await;
        let version = world.changes(&user).await;
        let lines: Vec<_> = printed.ok().lines().collect();
        let [read, changed, refused] = lines.as_slice() else {
            panic!("{printed:?}");
        };
        assert_eq!(*read, format!("read {user}, version 1"));
        assert_eq!(*changed, format!("changed {user}, version {version}"));
        assert!(version > 1, "{printed:?}");
        assert!(refused.starts_with("refused"), "{printed:?}");
        assert!(refused.contains("User could not be found"), "{printed:?}");
        let read = world.read(&user).await;
        assert_eq!(read["profile"]["displayName"], "Mimi", "{language:?}");
        assert_eq!(read["profile"]["firstName"], "Gigi", "{language:?}");
    }
}
