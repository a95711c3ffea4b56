//! `profiled backup` and `profiled restore`, with the real binary and a real stream.

mod load;
mod logs;
mod world;

use std::fs;

use profile_tests::caller::new_user;
use serde_json::json;

use load::Load;
use world::World;

const BACKUPS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_under_load_hold_everything_acknowledged_before_they_began() {
    let mut world = World::start("").await;
    let load = Load::start(&world.caller).await;
    let mut acked = Vec::new();
    for number in 0..BACKUPS {
        load.goes_on().await;
        acked.push(load.acked());
        let to = format!("backup-{number}");
        let arguments = ["backup", "--data", "data", "--to", &to];
        let done = match number % 2 {
            0 => world.profiled(&arguments),
            _ => world.profilectl(&arguments),
        };
        assert!(done.stdout.contains("read back and right"), "{done:?}");
        done.without_values();
    }
    let all = load.stop().await;
    world.service.kill();
    let source = logs::records(&world.path("data"));
    for (number, acked) in acked.iter().enumerate() {
        let (from, data) = (format!("backup-{number}"), format!("restored-{number}"));
        let arguments = [
            "restore",
            "--from",
            &from,
            "--data",
            &data,
            "--without-stream",
        ];
        match number % 2 {
            0 => world.profiled(&arguments).without_values(),
            _ => world.profilectl(&arguments).without_values(),
        }
        let restored = logs::records(&world.path(&data));
        logs::assert_without_gaps(&restored);
        logs::assert_holds(&restored, acked);
        assert_eq!(restored[..], source[..restored.len()]);
    }
    assert!(source.len() >= all.values().sum::<u64>() as usize);

    // The last one again, as a service on another bus.
    let last = world.path(&format!("restored-{}", BACKUPS - 1));
    let other = World::start_on(&last, "").await;
    for (user, version) in &acked[BACKUPS - 1] {
        let got = other.get(user).await;
        let now: u64 = got["details"]["sequence"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(now >= *version, "{got}");
    }
    // What is changed from now on belongs to the next epoch.
    let (user, _) = acked[BACKUPS - 1].first_key_value().unwrap();
    let patch = json!({"userId": user, "nickName": "Newest"});
    let done = other.caller.call("patch", patch).await.ok();
    let version = done["details"]["sequence"].as_str().unwrap();
    other.events_through(&format!("{user}/2.{version}")).await;
}

async fn changes_after_the_backup(world: &World) {
    let caller = &world.caller;
    let update =
        |user: &str, name: &str| json!({"userId": user, "firstName": name, "lastName": "L"});
    caller.call("update", update("ada", "After")).await.ok();
    caller
        .call("patch", json!({"userId": "ada", "nickName": "Nick"}))
        .await
        .ok();
    caller
        .call("patch", json!({"userId": "bob", "gender": "GENDER_MALE"}))
        .await
        .ok();
    caller.call("remove", json!({"userId": "cleo"})).await.ok();
    caller.call("create", new_user("dora")).await.ok();
    caller
        .call("patch", json!({"userId": "dora", "displayName": "Dee"}))
        .await
        .ok();
}

/// Users ada, bob and cleo in the backup, six changes after it, all of them in the stream.
async fn lost_after_a_backup(payload: &str) -> World {
    let mut world = World::start(&format!("[events]\npayload = \"{payload}\"\n")).await;
    for user in ["ada", "bob", "cleo"] {
        world.caller.call("create", new_user(user)).await.ok();
    }
    world
        .profiled(&["backup", "--data", "data", "--to", "backup"])
        .without_values();
    changes_after_the_backup(&world).await;
    world.stream_reaches(9).await;
    world
}

const RESTORE: [&str; 5] = ["restore", "--from", "backup", "--data", "data"];

#[tokio::test]
async fn with_values_in_the_events_nothing_is_lost_but_contact_data_and_keys() {
    for payload in ["changed", "full"] {
        let mut world = lost_after_a_backup(payload).await;
        let mut before = Vec::new();
        for user in ["ada", "bob", "dora"] {
            before.push(world.get(user).await);
        }
        world.lose_data();
        let restored = match payload {
            "full" => world.profilectl(&[&RESTORE[..], &["--config", "profiled.toml"]].concat()),
            _ => world.profiled_with_config(&RESTORE),
        };
        restored.without_values();
        let users = restored.users();
        assert_eq!(
            users,
            ["user ada keys", "user bob keys", "user dora contact,keys"]
        );
        world.service.start_again();

        for (user, before) in ["ada", "bob", "dora"].into_iter().zip(before) {
            let now = world.get(user).await;
            assert_eq!(
                (&now["profile"], &now["details"]),
                (&before["profile"], &before["details"])
            );
            assert_eq!(now["email"] == before["email"], user != "dora", "{now}");
        }
        let gone = world.caller.call("get", json!({"userId": "cleo"})).await;
        gone.refused(404);
        let again = world.caller.call("create", new_user("cleo")).await;
        assert!(again.refused(400).contains("COMMAND-k2unb"));

        // New changes belong to the new epoch, and a consumer that keeps the highest comes to the same.
        let patch = json!({"userId": "ada", "nickName": "Newest"});
        world.caller.call("patch", patch).await.ok();
        let events = world.events_through("ada/2.4").await;
        let followed = world::followed(&events);
        for user in ["ada", "bob", "dora"] {
            let now = world.get(user).await;
            assert_eq!(
                followed[user].display_name, now["profile"]["displayName"],
                "{now}"
            );
            let nick_name = now["profile"]["nickName"].as_str().unwrap_or_default();
            assert_eq!(followed[user].nick_name, nick_name, "{now}");
        }
        assert_eq!(world.stream_last().await, 10, "adopted, and not sent again");
        world.the_old_instance_is_refused();
    }
}

#[tokio::test]
async fn with_names_alone_versions_come_back_and_the_users_are_named() {
    let mut world = lost_after_a_backup("names").await;
    let before = world.get("ada").await;
    world.lose_data();
    let restored = world.profiled_with_config(&RESTORE);
    let users = restored.users();
    assert_eq!(
        users,
        [
            "user ada profile,keys",
            "user bob profile,keys",
            "user dora contact,profile,keys"
        ]
    );
    world.service.start_again();
    let now = world.get("ada").await;
    assert_eq!(now["details"], before["details"]);
    assert_eq!(now["profile"]["firstName"], "Gigi", "that of the backup");
    let update = json!({"userId": "ada", "firstName": "Ada", "lastName": "L"});
    world.caller.call("update", update).await.ok();
    world.events_through("ada/2.4").await;
    assert_eq!(world.stream_last().await, 10, "nothing else was sent");
}

#[tokio::test]
async fn a_restore_that_is_killed_leaves_nothing_that_starts() {
    let mut world = World::start("").await;
    world.caller.call("create", new_user("ada")).await.ok();
    world.profiled(&["backup", "--data", "data", "--to", "backup"]);
    let load = Load::start(&world.caller).await;
    for _ in 0..6 {
        load.goes_on().await;
    }
    let changes = load.stop().await.values().sum::<u64>() as usize;
    world.events(1 + changes).await;
    world.lose_data();
    world.killed_when_there("data/RESTORING", &RESTORE);
    assert!(!world.service.start_and_end().success());
    let log = world.service.log();
    assert!(log.contains("a restore that did not end"), "{log}");
    let error = world.refused_with_config(&RESTORE);
    assert!(error.contains("is not empty"), "{error}");

    fs::remove_dir_all(world.path("data")).unwrap();
    world.profiled_with_config(&RESTORE);
    world.service.start_again();
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_advice() {
    let mut world = World::start("").await;
    world.caller.call("create", new_user("ada")).await.ok();
    let backup = |data: &'static str, to: &'static str| ["backup", "--data", data, "--to", to];
    assert!(
        world
            .refused(&backup("keys", "x"))
            .contains("no file STORE")
    );
    assert!(
        world
            .refused(&backup("data", "keys"))
            .contains("is not empty")
    );
    world.profiled(&backup("data", "backup"));
    let error = world.refused(&backup("data", "backup"));
    assert!(error.contains("name a new or empty directory"), "{error}");
    let restore = |from: &'static str, data: &'static str| {
        [
            "restore",
            "--from",
            from,
            "--data",
            data,
            "--without-stream",
        ]
    };
    let error = world.refused(&restore("backup", "data"));
    assert!(error.contains("is not empty"), "{error}");
    let error = world.refused(&restore("keys", "new"));
    assert!(error.contains("no file BACKUP"), "{error}");
    let error = world.refused(&RESTORE);
    assert!(error.contains("--without-stream"), "{error}");
    let error = world.profilectl_refuses(&backup("data", "backup"));
    assert!(error.contains("name a new or empty directory"), "{error}");
    assert!(error.ends_with("error: there is no backup\n"), "{error}");
    let error = world.profilectl_refuses(&restore("keys", "new"));
    assert!(error.contains("no file BACKUP"), "{error}");

    world.service.kill();
    let segment = world.path("data").join("log/00000000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4_200] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let error = world.refused(&backup("data", "other"));
    assert!(error.contains("damaged at byte 4096"), "{error}");
    bytes[8] = 9;
    fs::write(&segment, &bytes).unwrap();
    let error = world.refused(&backup("data", "another"));
    assert!(error.contains("format 9 of a newer release"), "{error}");
}

/// Somebody tries an old backup, alone, on the bus of the service that it was taken from.
#[tokio::test]
async fn an_older_directory_that_the_stream_refuses_does_not_shut_out_the_right_one() {
    let mut world = lost_after_a_backup("changed").await;
    world.lose_data();
    let [_, rest @ ..] = RESTORE;
    world.profiled(&[&["restore", "--without-stream"], &rest[..]].concat());
    assert!(!world.service.start_and_end().success());
    let log = world.service.log();
    assert!(log.contains("the event stream is at sequence 9"), "{log}");
    fs::remove_dir_all(world.path("data")).unwrap();
    fs::rename(world.path("old"), world.path("data")).unwrap();
    world.service.start_again();
}

#[tokio::test]
async fn a_stream_of_another_store_or_none_is_not_taken_in() {
    let mut world = World::start("").await;
    world.caller.call("create", new_user("ada")).await.ok();
    world.profiled(&["backup", "--data", "data", "--to", "backup"]);
    let arguments = ["restore", "--from", "backup", "--data", "new"];
    let other = World::start("").await;
    let error = world.refused_with_config_of(&other, &arguments);
    assert!(error.contains("belongs to the store"), "{error}");
    let empty = World::prepared("").await;
    let error = world.refused_with_config_of(&empty, &arguments);
    assert!(error.contains("there is no event stream"), "{error}");
    assert!(!world.path("new").exists());
}
