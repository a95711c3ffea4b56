//! The consumers: each event is applied once, however often it is delivered, and nothing is missed.

use std::fs;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{Info, PullConsumer};
use profile_messages::subject::EVENT_STREAM;
use profile_tests::nats_server::NatsUser;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::language::{Language, Program};
use crate::running::{PATIENCE, Running};
use crate::world::World;

/// Starts the consumer, with its file and the durable consumer of this name.
fn start(world: &World, language: &Language, durable: &str) -> Running {
    let command = world.command(language, Program::Consumer);
    let mut command = command.expect("every language has one");
    command.env("DURABLE", durable);
    Running::start(command.arg(world.file(language.name())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_applies_each_event_once_though_all_are_delivered_again() {
    let world = World::start().await;
    for language in Language::all() {
        let name = language.name();
        let user = format!("mia-{name}");
        // Before anybody consumes, and so out of the log; then by the stream.
        world.create(&user).await;
        world.rename(&user, "Mia").await;
        let mut first = start(&world, &language, &format!("{name}-1"));
        first.until("caught up").await;
        world.rename(&user, "Mimi").await;
        first.until(&format!("applied {user}/1.3")).await;
        acknowledged(&world, &format!("{name}-1")).await;
        first.kill().await;

        // For another durable consumer the server begins at the beginning.
        let durable = format!("{name}-2");
        let mut second = start(&world, &language, &durable);
        second.until("caught up").await;
        world.rename(&user, "Mi").await;
        second.until(&format!("applied {user}/1.4")).await;
        assert!(delivered(&world, &durable).await >= 4, "{language:?}");
        world
            .caller
            .call("remove", json!({"userId": user}))
            .await
            .ok();
        second.until(&format!("applied {user}/1.5")).await;
        assert!(second.stop().await.success(), "{language:?}");

        let of_user = |running: &Running| -> Vec<String> {
            let applied = running.applied().into_iter().map(str::to_owned);
            applied.filter(|id| id.starts_with(&user)).collect()
        };
        let events = |versions: [u8; 5]| versions.map(|version| format!("{user}/1.{version}"));
        let all = [of_user(&first), of_user(&second)].concat();
        assert_eq!(all, events([1, 2, 3, 4, 5]), "{language:?}");
        assert_eq!(world.kept(name)["users"][&user]["version"], 5);
        assert_eq!(world.kept(name)["users"][&user]["profile"], Value::Null);
    }
}

/// Waits until everything is acknowledged, and so kept.
async fn acknowledged(world: &World, durable: &str) {
    let waited = timeout(PATIENCE, async {
        loop {
            let info = state(world, durable).await;
            if info.num_pending == 0 && info.num_ack_pending == 0 {
                return;
            }
        }
    });
    waited.await.expect("the consumer acknowledges");
}

/// Messages that the server has given to the durable consumer.
async fn delivered(world: &World, durable: &str) -> u64 {
    state(world, durable).await.delivered.consumer_sequence
}

async fn state(world: &World, durable: &str) -> Info {
    let client = world.server.connect(NatsUser::Consumer).await;
    let stream = jetstream::new(client).get_stream(EVENT_STREAM).await;
    let consumer: Result<PullConsumer, _> = stream.expect("the stream").get_consumer(durable).await;
    consumer.expect("the consumer").cached_info().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_place_the_log_does_not_know_reads_all_anew_and_goes_on() {
    let world = World::start().await;
    world.create("gigi").await;
    for (index, language) in Language::all().iter().enumerate() {
        let name = language.name();
        let lost = json!({
            "position": 1_000_000, "listedAt": 0, "epoch": 1,
            "users": {"gone": {"epoch": 1, "version": 7, "profile": {"displayName": "Gone"}}},
        });
        fs::write(world.file(name), lost.to_string()).expect("the folder can be written");
        let mut consumer = start(&world, language, name);
        consumer.until("read 1 users anew").await;
        consumer.until("caught up").await;
        let new = format!("Gigi {name}");
        world.rename("gigi", &new).await;
        let version = index + 2;
        consumer.until(&format!("applied gigi/1.{version}")).await;
        assert!(consumer.stop().await.success(), "{language:?}");

        let expected = [format!("gigi/1.{version}")];
        assert_eq!(consumer.applied(), expected, "{language:?}");
        let users = &world.kept(name)["users"];
        assert_eq!(users["gone"]["profile"], Value::Null, "{language:?}");
        assert_eq!(users["gigi"]["version"], version, "{language:?}");
        assert_eq!(users["gigi"]["profile"]["displayName"], new.as_str());
        assert_eq!(users["gigi"]["profile"]["firstName"], "Gigi");
    }
}
