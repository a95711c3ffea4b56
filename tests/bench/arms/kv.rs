//! JetStream's key-value bucket: the state alone, one key for each user, with a watcher.

use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::kv::{Config, Store};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use profile_tests::nats_server::{NatsServer, ServerOptions};

use super::nats::{update_of, user_id};
use crate::load::Call;

/// When nats-server syncs what it acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Every two minutes: an acknowledged put does not survive a power cut.
    Default,
    /// Before it acknowledges.
    Always,
}

pub(crate) fn start(sync: Sync) -> NatsServer {
    let options = ServerOptions::open();
    let sync = match sync {
        Sync::Default => "jetstream { }",
        Sync::Always => "jetstream { sync_interval: always }",
    };
    let replaced = "jetstream { sync_interval: \"1s\" }";
    NatsServer::start(ServerOptions {
        replaced: vec![(replaced, sync.to_owned())],
        ..options
    })
}

/// A put, acknowledged by the server.
pub(crate) struct Put {
    store: Store,
    watching: tokio::task::JoinHandle<()>,
    _client: Client,
}

impl Put {
    pub(crate) async fn connect(server: &NatsServer) -> Put {
        let client = server.connect_open().await;
        let context = jetstream::new(client.clone());
        let config = Config {
            bucket: "profiles".to_owned(),
            ..Config::default()
        };
        let store = context.create_key_value(config).await.expect("a bucket");
        let mut watch = store.watch_all().await.expect("a watcher");
        let watching = tokio::spawn(async move { while watch.next().await.is_some() {} });
        Put {
            store,
            watching,
            _client: client,
        }
    }
}

impl Drop for Put {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

#[async_trait]
impl Call for Put {
    async fn call(&self, _caller: usize, user: usize, salt: u64) -> Result<(), String> {
        let id = user_id(user);
        let body = Bytes::from(update_of(&id, salt));
        let put = self.store.put(id, body).await;
        put.map(drop).map_err(|error| error.to_string())
    }
}
