//! Nodes that are a log and its observer, on one nats-server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use profile::clock::{Clock, SystemClock};
use profile::commit_log::conformance::{HeadsInMemory, commit, user};
use profile::commit_log::jetstream::{JetStreamLog, JetStreamLogOptions, OpenError};
use profile::commit_log::{AppendError, CommitLog, CommitObserver, Head, ReadLimits};
use profile_messages::record::Record;
use profile_messages::{Position, UserId};
use profile_tests::fault_proxy::FaultProxy;
use profile_tests::nats_server::{NatsServer, ServerOptions};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

pub(super) const WAIT: Duration = Duration::from_secs(30);
pub(super) const ALL: ReadLimits = ReadLimits {
    records_max: usize::MAX,
    bytes_max: usize::MAX,
};
const STORE: &str = "s-1";

pub(super) struct Bench {
    pub(super) server: NatsServer,
}

impl Bench {
    pub(super) async fn open() -> Bench {
        Bench {
            server: NatsServer::start(ServerOptions::open()),
        }
    }

    /// A node that is up to date.
    pub(super) async fn node(&self) -> Node {
        Node::open(&self.server.url(), 0).await.unwrap()
    }

    /// Everything is lost, and another node makes the stream anew, of the same store.
    pub(super) async fn made_anew(&mut self) -> Node {
        self.server.stop();
        self.server.wipe_store();
        self.server.start_again();
        Node::open_when_possible(&self.server.url()).await
    }

    pub(super) async fn proxy(&self) -> FaultProxy {
        FaultProxy::start(self.server.address()).await
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) log: Arc<JetStreamLog>,
    pub(super) heads: Arc<HeadsInMemory>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Node {
    pub(super) async fn open(url: &str, partition: u16) -> Result<Node, OpenError> {
        Node::open_as(url, partition, STORE).await
    }

    pub(super) async fn open_as(url: &str, partition: u16, store: &str) -> Result<Node, OpenError> {
        let node = Node::opened(url, partition, store).await?;
        let before = node.log.read_after(Position::NONE, ALL).await.unwrap();
        node.heads.committed(&before);
        node.log.follow();
        Ok(node)
    }

    /// A node that hears nothing by itself, as one whose consumer hangs.
    pub(super) async fn without_tail(url: &str, partition: u16) -> Node {
        Node::opened(url, partition, STORE).await.unwrap()
    }

    /// Once JetStream is there again after a start of the server.
    pub(super) async fn open_when_possible(url: &str) -> Node {
        let open = async {
            loop {
                if let Ok(node) = Node::open(url, 0).await {
                    return node;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(WAIT, open).await.unwrap()
    }

    async fn opened(url: &str, partition: u16, store: &str) -> Result<Node, OpenError> {
        let heads = Arc::new(HeadsInMemory::default());
        let observer = Arc::clone(&heads) as _;
        let (log, clock) = open_with(url, partition, store, observer).await?;
        let log = Arc::new(log);
        Ok(Node { log, heads, clock })
    }

    pub(super) fn head(&self, number: u64) -> Head {
        self.heads.head(&user(number)).unwrap()
    }

    pub(super) async fn append(&self, number: u64) -> Arc<Record> {
        let commit = commit(&user(number), self.head(number), 50);
        self.log.append(commit).await.unwrap()
    }

    /// As a client does it that is told to come again.
    pub(super) async fn until_appended(&self, number: u64) -> Arc<Record> {
        let appended = async {
            loop {
                match self
                    .log
                    .append(commit(&user(number), self.head(number), 50))
                    .await
                {
                    Ok(record) => return record,
                    Err(AppendError::NotWritten(_) | AppendError::Conflict { .. }) => {}
                    Err(AppendError::MaybeWritten(why)) => panic!("{why}"),
                }
            }
        };
        tokio::time::timeout(WAIT, appended).await.unwrap()
    }

    pub(super) async fn all(&self) -> Vec<Arc<Record>> {
        self.log.read_after(Position::NONE, ALL).await.unwrap()
    }
}

/// A log that does not follow the stream yet.
pub(super) async fn open_with(
    url: &str,
    partition: u16,
    store: &str,
    observer: Arc<dyn CommitObserver>,
) -> Result<(JetStreamLog, Arc<dyn Clock>), OpenError> {
    let client = async_nats::ConnectOptions::new()
        .name("profile log")
        .reconnect_delay_callback(|_| Duration::from_millis(20))
        .connect(url)
        .await
        .unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let options = JetStreamLogOptions {
        partition,
        answer_within: Duration::from_millis(500),
        append_within: Duration::from_secs(3),
        lost_after: Duration::from_millis(500),
        ..JetStreamLogOptions::default()
    };
    let log = JetStreamLog::open(options, client, store, Arc::clone(&clock), observer).await?;
    Ok((log, clock))
}

/// Versions without a gap, each on the commit before it.
pub(super) fn assert_whole(records: &[Arc<Record>]) {
    let mut heads: HashMap<UserId, Head> = HashMap::new();
    for record in records {
        let head = heads.entry(record.user.clone()).or_default();
        assert_eq!(record.previous, head.position);
        assert_eq!(record.version, head.version.next());
        *head = Head::after(record);
    }
}

/// The address of something that says it is a nats-server of this release.
pub(super) async fn old_server(version: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let info = format!(
        r#"INFO {{"server_id":"S","server_name":"old","version":"{version}","go":"","host":"127.0.0.1","port":1,"headers":true,"max_payload":1048576,"proto":1,"client_id":1}}"#
    );
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            let hello = format!("{info}\r\nPONG\r\n");
            connection.write_all(hello.as_bytes()).await.unwrap();
            connections.push(connection);
        }
    });
    format!("nats://{address}")
}
