use std::time::Duration;

use async_nats::{Client, ConnectOptions, HeaderMap};
use tokio::time::timeout;

use super::frames::{frame_len, name_in_connect};
use super::*;
use crate::nats_server::{NatsServer, ServerOptions};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(10);

#[test]
fn a_frame_ends_where_its_payload_does() {
    for (bytes, length) in [
        (&b"PING\r\nPONG\r\n"[..], Some(6)),
        (b"PUB a.b 5\r\nhello\r\nPING\r\n", Some(18)),
        (b"HPUB a.b r 12 17\r\nNATS/1.0\r\n\r\nhello\r\n", Some(37)),
        (b"MSG a.b 1 0\r\n\r\n", Some(15)),
        (b"MSG a.b 1 5\r\nhel", None),
        (b"PIN", None),
        (b"", None),
    ] {
        assert_eq!(frame_len(bytes), length, "{bytes:?}");
    }
    let connect = b"CONNECT {\"verbose\":false,\"name\":\"profile relay\"}\r\n";
    let name = name_in_connect(connect).unwrap();
    assert_eq!(Role::of(&name), Some(Role::Relay));
    assert_eq!(Role::of("requester"), None);
}

struct Bench {
    server: NatsServer,
    proxy: FaultProxy,
    relay: Client,
    egress: Client,
}

async fn bench() -> Bench {
    let server = NatsServer::start(ServerOptions::open());
    let proxy = FaultProxy::start(server.address()).await;
    let client = async |name: &str| {
        let options = ConnectOptions::new()
            .name(name)
            .request_timeout(Some(SHORT))
            .reconnect_delay_callback(|_| Duration::from_millis(1));
        options.connect(proxy.url()).await.unwrap()
    };
    let (relay, egress) = (
        client("profile relay").await,
        client("profile egress").await,
    );
    Bench {
        server,
        proxy,
        relay,
        egress,
    }
}

/// Whether a round trip to the server passes.
async fn passes(client: &Client) -> bool {
    let answer = client.request("nobody.there", "".into()).await;
    answer.is_err_and(|error| error.kind() == async_nats::RequestErrorKind::NoResponders)
}

async fn until_passes(client: &Client) {
    let asked = async { while !passes(client).await {} };
    timeout(LONG, asked).await.expect("it passes again");
}

#[tokio::test]
async fn a_held_direction_stops_one_role_and_goes_on_when_released() {
    let Bench {
        proxy,
        relay,
        egress,
        server: _server,
    } = bench().await;
    for direction in [Direction::ToServer, Direction::ToService] {
        proxy.set(&[Role::Relay], Weather::held(direction));
        assert!(!passes(&relay).await);
        assert!(passes(&egress).await);
        proxy.set(&Role::ALL, Weather::default());
        until_passes(&relay).await;
    }
    assert_eq!(
        relay
            .statistics()
            .connects
            .load(std::sync::atomic::Ordering::Relaxed),
        1
    );
}

#[tokio::test]
async fn a_cut_connection_comes_back_and_an_abandoned_one_stays_silent() {
    let Bench {
        proxy,
        relay,
        egress,
        server: _server,
    } = bench().await;
    assert_eq!(proxy.cut(&[Role::Egress]), 1);
    until_passes(&egress).await;
    assert_eq!(proxy.abandon(&[Role::Relay]), 1);
    assert!(!passes(&relay).await);
    relay.force_reconnect().await.unwrap();
    until_passes(&relay).await;
    assert!(passes(&egress).await);
}

#[tokio::test]
async fn the_cut_before_an_ack_leaves_the_event_in_the_stream() {
    let Bench {
        proxy,
        relay,
        server,
        ..
    } = bench().await;
    let jetstream = async_nats::jetstream::new(server.connect_open().await);
    let config = async_nats::jetstream::stream::Config {
        name: "EVENTS".to_owned(),
        subjects: vec!["profile-event.v1.>".to_owned()],
        ..Default::default()
    };
    let stream = jetstream.create_stream(config).await.unwrap();
    proxy.cut_before_ack(2);
    let mut counts = proxy.watch_counts();
    let mut acks = relay.subscribe("acks.*").await.unwrap();
    for number in 0..2 {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Sequence", number.to_string());
        let reply = format!("acks.{number}");
        let subject = "profile-event.v1.a.b.changed";
        let sent = relay.publish_with_reply_and_headers(subject, reply, headers, "x".into());
        sent.await.unwrap();
    }
    let first = futures::StreamExt::next(&mut acks).await.unwrap();
    assert_eq!(first.subject.as_str(), "acks.0");
    let withheld = counts.wait_for(|counts| counts.acks_withheld == 1);
    let seen = *timeout(LONG, withheld).await.unwrap().unwrap();
    assert_eq!((seen.sent, seen.sent_again), (2, 0));
    until_passes(&relay).await;
    assert_eq!(stream.get_info().await.unwrap().state.messages, 2);
}
