//! From one node to several: `profilectl migrate`, killed again and again.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use async_nats::jetstream;
use profile_messages::subject::EVENT_STREAM;
use profile_tests::nats_server::NatsUser;
use profile_tests::promises::world::{World, seed};
use profile_tests::service::{Service, binary};

use super::nodes::CLUSTER;

/// In the metadata of each stream of a store.
const STORE_ID: &str = "profile-store-id";
const KILLS: usize = 3;
const LOADED_MS: u32 = 3_000;

/// `profilectl migrate` with the configuration of the nodes.
fn migrate(service: &Service) -> Command {
    let file = service.folder().join("nodes.toml");
    let config = fs::read_to_string(service.folder().join("profiled.toml")).unwrap();
    fs::write(&file, format!("{config}\n{CLUSTER}")).unwrap();
    let mut command = Command::new(binary("profilectl"));
    command.env_clear().args(["migrate", "--config"]).arg(file);
    command
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

#[test]
fn a_data_directory_becomes_the_log_of_several_nodes_and_nobody_sees_anything_of_it() {
    let seed = seed();
    eprintln!("SEED={seed}");
    let mut world = World::new(seed);
    let clients = world.load("before");
    world.let_pass(LOADED_MS);
    let refused = migrate(&world.service).output().unwrap();
    assert!(!refused.status.success());
    assert!(
        text(&refused).contains("another process holds"),
        "{}",
        text(&refused)
    );
    world.tell(|signal| signal.stop = true);
    let heard = world.join(clients);
    assert_eq!(heard.open, [], "nothing disturbed them");
    assert!(world.service.stop().success());

    for _ in 0..KILLS {
        // The service itself, whose end is that of the move; at its first word it has begun.
        let mut command = Command::new(binary("profiled"));
        command.env_clear().arg("migrate").arg("--config");
        command.arg(world.service.folder().join("nodes.toml"));
        let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(running.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        running.kill().unwrap();
        running.wait().unwrap();
    }
    let moved = migrate(&world.service).output().unwrap();
    assert!(moved.status.success(), "{}", text(&moved));
    let again = migrate(&world.service).output().unwrap();
    assert!(
        text(&again).contains("was moved before"),
        "{}",
        text(&again)
    );

    // Two truths there must not be.
    let log = world.service.try_start_again().unwrap_err();
    assert!(log.contains("was moved to the bus"), "{log}");
    let backup = Command::new(binary("profilectl"))
        .args(["backup", "--data"])
        .arg(world.service.data_dir())
        .arg("--to")
        .arg(world.service.folder().join("backup"))
        .output()
        .unwrap();
    assert!(
        text(&backup).contains("was moved to the bus"),
        "{}",
        text(&backup)
    );

    // Until a node has started there is a way back.
    let mark = world.service.data_dir().join("MOVED");
    fs::remove_file(&mark).unwrap();
    world.service.start_again();
    assert!(world.service.stop().success());
    fs::write(&mark, "").unwrap();

    // One node on the old directory, one on a new one.
    let nodes = world.service.folder().join("nodes.toml");
    fs::rename(nodes, world.service.folder().join("profiled.toml")).unwrap();
    world.service.start_again();
    let mut other = world.node(CLUSTER);
    other.start_again();
    // Every key has its former answer, every user its history, the list its users.
    let before = world.heard.clone();
    world
        .recover(&before)
        .unwrap_or_else(|broken| panic!("SEED={seed}: {broken}"));
    let clients = world.load("after");
    world.let_pass(LOADED_MS);
    world.tell(|signal| signal.stop = true);
    let heard = world.join(clients);
    world
        .recover(&heard)
        .unwrap_or_else(|broken| panic!("SEED={seed}: {broken}"));
    // And the event stream has every version of both times, once and in order.
    let changes = world
        .check_all()
        .unwrap_or_else(|broken| panic!("SEED={seed}: {broken}"));
    assert_eq!(changes, world.heard.acked.len());
    assert!(changes > before.acked.len(), "they go on");
}

#[test]
fn a_stream_that_does_not_hold_the_log_is_no_moved_log() {
    let mut world = World::new(seed());
    let clients = world.load("before");
    world.let_pass(100);
    world.tell(|signal| signal.stop = true);
    world.join(clients);
    assert!(world.service.stop().success());
    let data = world.service.data_dir();
    let url = world.bus().url();
    world.runtime.block_on(async {
        let egress = NatsUser::Egress.connect_options().connect(url);
        let jetstream = jetstream::new(egress.await.unwrap());
        let events = jetstream.get_stream(EVENT_STREAM).await.unwrap();
        let store = events.cached_info().config.metadata[STORE_ID].clone();
        let stream = jetstream::stream::Config {
            name: "PROFILE_LOG_0".to_owned(),
            subjects: vec!["profile-log.0.*".to_owned()],
            metadata: [(STORE_ID.to_owned(), store)].into(),
            ..jetstream::stream::Config::default()
        };
        jetstream.create_stream(stream).await.unwrap();
    });
    let refused = migrate(&world.service).output().unwrap();
    assert!(!refused.status.success());
    assert!(text(&refused).contains("differ"), "{}", text(&refused));
    assert!(!data.join("MOVED").exists());
    world.service.start_again();
}
