use std::time::Duration;

use futures::StreamExt;
use tokio::time::timeout;

use super::*;

const WAIT_MAX: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_open_server_carries_messages() {
    let server = NatsServer::start(ServerOptions::open());
    let client = server.connect_open().await;
    let mut inbox = client.subscribe("a.b").await.unwrap();
    client.publish("a.b", "hello".into()).await.unwrap();
    let message = timeout(WAIT_MAX, inbox.next()).await.unwrap().unwrap();
    assert_eq!(message.payload, "hello");
}

#[tokio::test]
async fn a_restarted_server_keeps_its_port_and_its_streams() {
    let mut server = NatsServer::start(ServerOptions::open());
    let before = server.url();
    make_stream(&server).await;
    server.restart();
    assert_eq!(server.url(), before);
    assert!(has_stream(&server).await);
    server.kill();
    server.start_again();
    assert!(has_stream(&server).await);
    server.stop();
    server.wipe_store();
    server.start_again();
    assert!(!has_stream(&server).await);
}

#[tokio::test]
async fn a_paused_server_answers_only_after_it_is_resumed() {
    let server = NatsServer::start(ServerOptions::open());
    let client = server.connect_open().await;
    let mut inbox = client.subscribe("a").await.unwrap();
    server.pause();
    client.publish("a", "late".into()).await.unwrap();
    client.flush().await.unwrap();
    let in_vain = timeout(Duration::from_millis(50), inbox.next()).await;
    assert!(in_vain.is_err());
    server.resume();
    let message = timeout(WAIT_MAX, inbox.next()).await.unwrap().unwrap();
    assert_eq!(message.payload, "late");
}

#[test]
fn a_dropped_server_leaves_neither_process_nor_folder() {
    let server = NatsServer::start(ServerOptions::default());
    let address = server.port.address();
    let folder = server.folder.path().to_owned();
    assert!(server.monitoring_url().starts_with("http://127.0.0.1:"));
    assert!(server.version() >= (2, 10));
    drop(server);
    assert!(std::net::TcpStream::connect(address).is_err());
    assert!(!folder.exists());
}

async fn make_stream(server: &NatsServer) {
    let config = async_nats::jetstream::stream::Config {
        name: "KEPT".to_owned(),
        subjects: vec!["kept".to_owned()],
        ..Default::default()
    };
    let jetstream = async_nats::jetstream::new(server.connect_open().await);
    jetstream.create_stream(config).await.unwrap();
}

async fn has_stream(server: &NatsServer) -> bool {
    let jetstream = async_nats::jetstream::new(server.connect_open().await);
    jetstream.get_stream("KEPT").await.is_ok()
}
