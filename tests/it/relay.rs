//! The relay against a real stream: what arrives there, and what it does when the stream is hurt.

mod bench;
mod erasure;

use async_nats::jetstream::stream::Config;
use profile::relay::reconcile::Refusal;
use profile::relay::stream::jetstream::METADATA_STORE_ID;
use profile::relay::{RelayState, RelayStatus};
use profile_messages::Position;
use profile_messages::event::{CONTENT_TYPE, EventKind};
use profile_messages::subject::EVENT_STREAM;
use profile_tests::nats_server::ServerOptions;

use bench::{Bench, assert_equal_to_log};

#[tokio::test]
async fn events_arrive_in_order_with_their_bytes_and_headers() {
    let mut bench = Bench::open().await;
    let relay = bench.start().await;
    bench.commit(300).await;
    bench.caught_up(&relay).await;
    assert_equal_to_log(&bench).await;
    // A removal erases the user's former events before long: from here on the log and the stream differ.
    bench.commit_as("u-1", EventKind::Removed).await;
    bench.caught_up(&relay).await;
    let stream = bench.stream().await;
    let message = stream.get_raw_message(301).await.unwrap();
    let header = |name: &str| message.headers.get(name).unwrap().as_str();
    assert_eq!(message.subject.as_str(), "profile-event.v1.zoo.u-1.removed");
    assert_eq!(header("Content-Type"), CONTENT_TYPE);
    assert_eq!(header("Profile-Position"), "301");
    assert_eq!(header("Nats-Msg-Id"), "u-1/1.101");
    let config = stream.get_info().await.unwrap().config;
    assert_eq!(config.metadata[METADATA_STORE_ID], "s-1");
    assert!(config.allow_direct && !config.deny_delete && !config.deny_purge);
    let status = relay.stop().await;
    assert_eq!(status.state, RelayState::Closed);
    assert_eq!((status.lag_events, status.lag_bytes), (0, 0));
}

#[tokio::test]
async fn a_relay_without_its_cursor_adopts_what_is_there() {
    let mut bench = Bench::open().await;
    let relay = bench.start().await;
    bench.commit(600).await;
    bench.caught_up(&relay).await;
    relay.stop().await;
    bench.lose_cursor();
    bench.commit(5).await;
    let relay = bench.start().await;
    bench.caught_up(&relay).await;
    assert_equal_to_log(&bench).await;
    assert_eq!(relay.status().lag_bytes, 0);
}

#[tokio::test]
async fn a_server_killed_under_load_loses_nothing() {
    let mut bench = Bench::open().await;
    let relay = bench.start().await;
    for _ in 0..3 {
        bench.commit(400).await;
        bench.server.kill();
        bench.commit(100).await;
        bench.server.start_again();
        bench.caught_up(&relay).await;
    }
    assert_equal_to_log(&bench).await;
}

#[tokio::test]
async fn a_deleted_stream_is_made_again_and_filled() {
    let mut bench = Bench::open().await;
    let relay = bench.start().await;
    bench.commit(200).await;
    bench.caught_up(&relay).await;
    bench.commit(200).await;
    bench.jetstream.delete_stream(EVENT_STREAM).await.unwrap();
    bench.commit(1).await;
    bench.caught_up(&relay).await;
    assert_equal_to_log(&bench).await;
    assert_eq!(
        bench
            .stream()
            .await
            .get_info()
            .await
            .unwrap()
            .state
            .messages,
        401
    );
}

#[tokio::test]
async fn a_wiped_server_is_filled_again_without_a_removed_users_events() {
    let mut bench = Bench::open().await;
    let relay = bench.start().await;
    bench.commit(30).await;
    bench.commit_as("u-2", EventKind::Removed).await;
    bench.caught_up(&relay).await;
    bench.server.stop();
    bench.server.wipe_store();
    bench.server.start_again();
    bench.commit(1).await;
    bench.caught_up(&relay).await;
    let stream = bench.stream().await;
    for record in bench.records().await {
        let message = stream.get_raw_message(record.position.0).await.unwrap();
        let withheld = message.headers.get("Profile-Withheld").is_some();
        let earlier = record.user.as_str() == "u-2" && record.kind != EventKind::Removed;
        assert_eq!(withheld, earlier, "{}", record.position);
        assert_eq!(message.payload.is_empty(), earlier);
        assert_eq!(message.headers.get("Nats-Msg-Id").is_none(), earlier);
    }
}

#[tokio::test]
async fn a_purged_stream_stays_purged_and_goes_on() {
    let mut bench = Bench::open().await;
    let relay = bench.start().await;
    bench.commit(50).await;
    bench.caught_up(&relay).await;
    bench.stream().await.purge().await.unwrap();
    relay.stop().await;
    let relay = bench.start().await;
    bench.commit(10).await;
    bench.caught_up(&relay).await;
    assert_equal_to_log(&bench).await;
    let state = bench.stream().await.get_info().await.unwrap().state;
    assert_eq!((state.first_sequence, state.last_sequence), (51, 60));
}

#[tokio::test]
async fn a_forged_message_stops_the_relay_with_a_clear_reason() {
    let mut bench = Bench::open().await;
    let relay = bench.start().await;
    bench.commit(20).await;
    bench.caught_up(&relay).await;
    let subject = "profile-event.v1.zoo.u-1.changed";
    let forged = bench.jetstream.publish(subject, "forged".into()).await;
    assert_eq!(forged.unwrap().await.unwrap().sequence, 21);
    bench.commit(3).await;
    let refusal = bench.refusal(&relay).await;
    let sequence_21 = matches!(refusal, Refusal::Forged { sequence: 21, .. });
    assert!(sequence_21, "{refusal}");
    assert!(
        refusal.to_string().contains("somebody else publishes"),
        "{refusal}"
    );
    assert_eq!(relay.status().acked, Position(20));
}

#[tokio::test]
async fn a_second_store_is_refused_on_the_same_bus() {
    let mut bench = Bench::open().await;
    let relay = bench.start().await;
    bench.commit(3).await;
    bench.caught_up(&relay).await;
    let relay = bench.start_as("s-2").await;
    let text = bench.refusal(&relay).await.to_string();
    assert!(
        text.contains("belongs to the store s-1, this one is s-2"),
        "{text}"
    );
}

#[tokio::test]
async fn somebody_elses_stream_is_refused_and_a_new_one_taken() {
    let mut bench = Bench::open().await;
    let theirs = Config {
        name: EVENT_STREAM.to_owned(),
        subjects: vec!["profile-event.v1.>".to_owned()],
        ..Config::default()
    };
    bench.jetstream.create_stream(theirs).await.unwrap();
    bench.commit(20).await;
    let relay = bench.start().await;
    bench.caught_up(&relay).await;
    assert_equal_to_log(&bench).await;
    let mut config = bench.stream().await.get_info().await.unwrap().config;
    assert_eq!(config.metadata[METADATA_STORE_ID], "s-1");
    relay.stop().await;
    config.metadata.remove(METADATA_STORE_ID);
    bench.jetstream.update_stream(config).await.unwrap();
    let relay = bench.start().await;
    let text = bench.refusal(&relay).await.to_string();
    assert!(text.contains("not made by profile-service"), "{text}");
}

#[tokio::test]
async fn a_stream_ahead_of_the_log_is_refused() {
    let mut bench = Bench::open().await;
    let relay = bench.start().await;
    bench.commit(5).await;
    bench.caught_up(&relay).await;
    relay.stop().await;
    bench.forget_the_log();
    bench.lose_cursor();
    bench.commit(2).await;
    let relay = bench.start().await;
    let refusal = bench.refusal(&relay).await;
    assert!(
        matches!(refusal, Refusal::StreamAhead { last: 5, .. }),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_server_without_jetstream_is_a_clear_error() {
    let options = ServerOptions {
        extra_config: "jetstream: disabled".to_owned(),
        ..ServerOptions::open()
    };
    let mut bench = Bench::on(options).await;
    let relay = bench.start().await;
    let text = bench.refusal(&relay).await.to_string();
    assert!(text.contains("enable it (`jetstream {}`"), "{text}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_waited_for() {
    let mut bench = Bench::open().await;
    let relay = bench.start().await;
    bench.commit(10).await;
    bench.caught_up(&relay).await;
    bench.server.pause();
    bench.commit(10).await;
    let waits = |status: &RelayStatus| matches!(status.state, RelayState::Waiting(_));
    bench.until(&relay, waits).await;
    let status = relay.status();
    assert_eq!((status.acked, status.lag_events), (Position(10), 10));
    assert!(status.lag_bytes > 0);
    bench.server.resume();
    bench.caught_up(&relay).await;
    assert_equal_to_log(&bench).await;
}

#[tokio::test]
async fn a_window_of_one_gets_everything_across() {
    let mut bench = Bench::open().await;
    bench.window_messages_max = 1;
    let relay = bench.start().await;
    bench.commit(300).await;
    bench.caught_up(&relay).await;
    assert_equal_to_log(&bench).await;
}
