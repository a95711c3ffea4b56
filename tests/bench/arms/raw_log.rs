//! Streams like that of the log, without a service: what nats-server by itself takes.

use async_nats::Client;
use async_nats::jetstream::{self, stream::Config};
use async_trait::async_trait;
use bytes::Bytes;
use profile_tests::nats_cluster::NatsCluster;
use tokio::time::{Duration, Instant, interval};

use crate::load::Call;

/// As large as the commit of an update.
const COMMIT_BYTES: usize = 700;
const MADE_WITHIN: Duration = Duration::from_secs(30);
const AGAIN_AFTER: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct RawLog {
    client: Client,
    streams: usize,
}

impl RawLog {
    /// On servers that let anybody do anything.
    pub(crate) async fn connect(servers: &NatsCluster, copies: usize, streams: usize) -> RawLog {
        use profile_tests::bus::Bus as _;
        let urls = servers.urls();
        let client = async_nats::connect(urls.first().expect("a server")).await;
        let client = client.expect("a server takes connections");
        for stream in 0..streams {
            made(&client, copies, stream).await;
        }
        RawLog { client, streams }
    }
}

/// Servers that have just started have no leaders yet.
async fn made(client: &Client, copies: usize, stream: usize) {
    let until = Instant::now() + MADE_WITHIN;
    let mut again = interval(AGAIN_AFTER);
    loop {
        again.tick().await;
        let config = Config {
            name: format!("LOG_{stream}"),
            subjects: vec![format!("log.{stream}.*")],
            num_replicas: copies,
            ..Config::default()
        };
        let made = jetstream::new(client.clone()).create_stream(config).await;
        match made {
            Ok(_) => return,
            Err(error) => assert!(Instant::now() < until, "no stream: {error}"),
        }
    }
}

#[async_trait]
impl Call for RawLog {
    async fn call(&self, _caller: usize, user: usize, salt: u64) -> Result<(), String> {
        let mut body = salt.to_le_bytes().to_vec();
        body.resize(COMMIT_BYTES, b'x');
        let subject = format!("log.{}.user-{user}", user % self.streams);
        let ack = self.client.request(subject, Bytes::from(body)).await;
        let ack = ack.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&ack.payload);
        match text.contains("\"error\"") {
            true => Err(text.into_owned()),
            false => Ok(()),
        }
    }
}
