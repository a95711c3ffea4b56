//! A relay with a log in memory, and a server that allows everything.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use profile::clock::{Clock, SystemClock};
use profile::commit_log::memory::MemoryLog;
use profile::commit_log::{Commit, CommitLog, Head, ReadLimits};
use profile::current_view::memory::MemoryView;
use profile::relay::lag::RelayLag;
use profile::relay::reconcile::Refusal;
use profile::relay::slots::SlotFile;
use profile::relay::stream::jetstream::StreamOptions;
use profile::relay::{Relay, RelayHandle, RelayOptions, RelayState, RelayStatus};
use profile::telemetry::traces::Tracer;
use profile_messages::event::{EventKind, event_id};
use profile_messages::record::Record;
use profile_messages::subject::{self, EVENT_STREAM};
use profile_messages::{Contact, OrgId, Position, ProfileFields, Timestamp, UserId, UserState};
use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::temp_dir::TempDir;

const WAIT: Duration = Duration::from_secs(30);
const USERS: usize = 3;

pub(super) struct Bench {
    pub(super) server: NatsServer,
    pub(super) jetstream: Context,
    pub(super) window_messages_max: usize,
    client: async_nats::Client,
    folder: TempDir,
    clock: Arc<dyn Clock>,
    log: Arc<MemoryLog>,
    view: Arc<MemoryView>,
    lag: Arc<RelayLag>,
    heads: HashMap<String, Head>,
    committed: usize,
}

impl Bench {
    pub(super) async fn open() -> Bench {
        Bench::on(ServerOptions::open()).await
    }

    pub(super) async fn on(options: ServerOptions) -> Bench {
        let server = NatsServer::start(options);
        let client = async_nats::ConnectOptions::new()
            .reconnect_delay_callback(|_| Duration::from_millis(20))
            .connect(server.url())
            .await
            .unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let view = Arc::new(MemoryView::default());
        Bench {
            server,
            jetstream: jetstream::new(client.clone()),
            window_messages_max: 64,
            client,
            folder: TempDir::create(),
            log: Arc::new(MemoryLog::observed(clock.clone(), view.clone())),
            clock,
            view,
            lag: Arc::default(),
            heads: HashMap::new(),
            committed: 0,
        }
    }

    pub(super) async fn start(&mut self) -> RelayHandle {
        self.start_as("s-1").await
    }

    /// Each store has a cursor of its own, as in a data directory of its own.
    pub(super) async fn start_as(&mut self, store_id: &str) -> RelayHandle {
        let stream = StreamOptions {
            ack_timeout: Duration::from_millis(500),
            ..StreamOptions::default()
        };
        let options = RelayOptions {
            store_id: store_id.to_owned(),
            epoch: 1,
            cursor: slots(self.folder.join(&format!("relay-{store_id}"))),
            erased: slots(self.folder.join(&format!("erased-{store_id}"))),
            erase_settle: Duration::from_millis(100),
            stream,
            window_messages_max: self.window_messages_max,
            tracer: Tracer::default(),
            counts: Arc::default(),
        };
        self.lag = Arc::default();
        let lag = self.lag.clone();
        let (client, clock) = (self.client.clone(), self.clock.clone());
        Relay::start(
            options,
            self.log.clone(),
            self.view.clone(),
            client,
            clock,
            lag,
        )
        .await
        .unwrap()
    }

    pub(super) async fn commit(&mut self, count: usize) {
        for _ in 0..count {
            let user = format!("u-{}", self.committed % USERS);
            self.commit_as(&user, EventKind::Changed).await;
        }
    }

    pub(super) async fn commit_as(&mut self, user: &str, kind: EventKind) {
        self.committed += 1;
        let expected = self.heads.get(user).copied().unwrap_or_default();
        let is_removed = kind == EventKind::Removed;
        let commit = Commit {
            user: UserId::parse(user).unwrap(),
            org: OrgId::parse("zoo").unwrap(),
            expected,
            epoch: 1,
            at: self.clock.now(),
            kind,
            key: None,
            request_hash: [0; 16],
            event: Bytes::from(if is_removed {
                format!("{{\"n\":{}}}", self.committed)
            } else {
                let name = name_of(user);
                format!("{{\"n\":{},\"name\":\"{name}\"}}", self.committed)
            }),
            actor: String::new(),
            actor_issuer: String::new(),
            state: (!is_removed).then(some_state),
            trace: None,
            deadline: None,
        };
        let record = self.log.append(commit).await.unwrap();
        self.lag.committed(std::slice::from_ref(&record));
        let head = Head {
            version: record.version,
            position: record.position,
        };
        self.heads.insert(user.to_owned(), head);
    }

    pub(super) fn lose_cursor(&self) {
        fs::remove_file(self.folder.join("relay-s-1")).unwrap();
    }

    /// An older data directory: nothing of what was committed is there.
    pub(super) fn forget_the_log(&mut self) {
        self.view = Arc::new(MemoryView::default());
        self.log = Arc::new(MemoryLog::observed(self.clock.clone(), self.view.clone()));
        self.heads.clear();
    }

    pub(super) async fn records(&self) -> Vec<Arc<Record>> {
        let limits = ReadLimits {
            records_max: usize::MAX,
            bytes_max: usize::MAX,
        };
        self.log.read_after(Position::NONE, limits).await.unwrap()
    }

    pub(super) async fn stream(&self) -> Stream {
        self.jetstream.get_stream(EVENT_STREAM).await.unwrap()
    }

    pub(super) async fn until(
        &self,
        relay: &RelayHandle,
        done: impl FnMut(&RelayStatus) -> bool,
    ) -> RelayStatus {
        let mut status = relay.watch();
        let waited = tokio::time::timeout(WAIT, status.wait_for(done)).await;
        let Ok(Ok(status)) = waited else {
            panic!("{:?}\n{:#?}", relay.status(), self.server.log());
        };
        status.clone()
    }

    pub(super) async fn caught_up(&self, relay: &RelayHandle) {
        let end = *self.log.durable().borrow();
        self.until(relay, |status| status.acked == end).await;
    }

    pub(super) async fn refusal(&self, relay: &RelayHandle) -> Refusal {
        let stopped = |status: &RelayStatus| matches!(status.state, RelayState::Stopped(_));
        let RelayState::Stopped(refusal) = self.until(relay, stopped).await.state else {
            panic!("the relay stopped and goes on");
        };
        refusal
    }
}

fn slots(path: PathBuf) -> Arc<SlotFile> {
    Arc::new(SlotFile::new(path))
}

/// What every event of a user tells of it, but for `removed`.
pub(super) fn name_of(user: &str) -> String {
    format!("name-of-{user}")
}

fn some_state() -> UserState {
    UserState {
        fields: ProfileFields::default(),
        contact: Contact {
            user_name: String::new(),
            email: String::new(),
            email_verified: false,
            phone: String::new(),
            phone_verified: false,
        },
        created_at: Timestamp(0),
    }
}

/// Everything that the stream keeps is the log's event of that position, and it ends where the log ends.
pub(super) async fn assert_equal_to_log(bench: &Bench) {
    let stream = bench.stream().await;
    let state = stream.get_info().await.unwrap().state;
    let records = bench.records().await;
    assert_eq!(state.last_sequence, records.len() as u64);
    for record in records
        .iter()
        .skip_while(|it| it.position.0 < state.first_sequence)
    {
        let message = stream.get_raw_message(record.position.0).await.unwrap();
        let header = |name: &str| message.headers.get(name).unwrap().as_str();
        let subject = subject::event(&record.org, &record.user, record.kind);
        assert_eq!(message.subject.as_str(), subject);
        assert_eq!(message.payload, record.event);
        let id = event_id(&record.user, record.epoch, record.version);
        assert_eq!(header("Nats-Msg-Id"), id);
        assert_eq!(header("Profile-Position"), record.position.to_string());
    }
}
