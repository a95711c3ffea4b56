//! Redis that syncs its log before it answers: state, stream and publication in one MULTI.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use profile_tests::ports::HeldPort;
use profile_tests::temp_dir::TempDir;
use redis::aio::MultiplexedConnection;

use super::nats::{update_of, user_id};
use crate::load::Call;

const START_TRIES: usize = 200;
/// Entries of the stream, about; older ones are trimmed as our log's would be compacted.
const STREAM_ENTRIES_MAX: usize = 1_000_000;

/// A server with its own data folder; ended with the value.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Child,
    port: HeldPort,
    _folder: TempDir,
}

impl Redis {
    /// `None` where redis-server is not on PATH.
    pub(crate) async fn start() -> Option<Redis> {
        let port = HeldPort::take();
        let folder = TempDir::create();
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.number().to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
        ]);
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        command.args([
            "--no-appendfsync-on-rewrite",
            "no",
            "--maxclients",
            "4000",
            "--dir",
        ]);
        let process = command
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        let redis = Redis {
            process,
            port,
            _folder: folder,
        };
        drop(redis.connection().await);
        Some(redis)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    fn client(&self) -> redis::Client {
        redis::Client::open(format!(
            "redis://127.0.0.1:{}/?protocol=resp3",
            self.port.number()
        ))
        .expect("an address")
    }

    async fn connection(&self) -> MultiplexedConnection {
        let client = self.client();
        let mut tries = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..START_TRIES {
            tries.tick().await;
            if let Ok(connection) = client.get_multiplexed_async_connection().await {
                return connection;
            }
        }
        panic!("redis does not answer");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How callers share connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connections {
    /// One for each caller: many clients with one request each.
    ForEach,
    /// One for all, pipelined: one client with many requests, as our NATS client is.
    Shared,
}

/// `MULTI HSET XADD PUBLISH EXEC`.
pub(crate) struct Multi {
    connections: Vec<MultiplexedConnection>,
    _listening: tokio::task::JoinHandle<()>,
}

impl Multi {
    pub(crate) async fn connect(redis: &Redis, callers: usize, connections: Connections) -> Multi {
        let count = match connections {
            Connections::ForEach => callers,
            Connections::Shared => 1,
        };
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(redis.connection().await);
        }
        let mut listener = redis
            .client()
            .get_async_pubsub()
            .await
            .expect("a subscriber");
        listener
            .subscribe("profile_changed")
            .await
            .expect("a subscription");
        let listening = tokio::spawn(async move {
            let mut messages = listener.into_on_message();
            while messages.next().await.is_some() {}
        });
        Multi {
            connections: all,
            _listening: listening,
        }
    }
}

impl Drop for Multi {
    fn drop(&mut self) {
        self._listening.abort();
    }
}

#[async_trait]
impl Call for Multi {
    async fn call(&self, caller: usize, user: usize, salt: u64) -> Result<(), String> {
        let mut connection = self.connections[caller % self.connections.len()].clone();
        let (id, body) = (user_id(user), update_of(&user_id(user), salt));
        let mut multi = redis::pipe();
        multi.atomic();
        multi.cmd("HSET").arg(&id).arg("body").arg(&body).ignore();
        multi
            .cmd("XADD")
            .arg("events")
            .arg("MAXLEN")
            .arg("~")
            .arg(STREAM_ENTRIES_MAX);
        multi
            .arg("*")
            .arg("user")
            .arg(&id)
            .arg("body")
            .arg(&body)
            .ignore();
        multi
            .cmd("PUBLISH")
            .arg("profile_changed")
            .arg(&body)
            .ignore();
        let () = multi
            .query_async(&mut connection)
            .await
            .map_err(|error| error.to_string())?;
        Ok(())
    }
}
