//! The service over a log and a view in memory, and who calls it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Arbiter, System};
use profile::auth::{AuthError, Authenticator};
use profile::clock::{Clock, SystemClock};
use profile::commit_log::memory::MemoryLog;
use profile::commit_log::{Commit, CommitLog, CommitObserver, Head};
use profile::config::{Config, IssuerConfig, LogReads, TokenAlgorithm};
use profile::current_view::CurrentView;
use profile::current_view::memory::MemoryView;
use profile::data_dir::DataDir;
use profile::entity::EntityPorts;
use profile::error::ServiceError;
use profile::file_system::RealFiles;
use profile::gateway::{GatewayOptions, Shards};
use profile::service::{ProfileService, ReadOptions, RequestContext};
use profile::telemetry::traces::Trace;
use profile_messages::Position;
use profile_messages::command::CommandRequest;
use profile_messages::envelope::Envelope;
use profile_messages::event::{EventKind, EventPayload};
use profile_messages::json::decode_body;
use profile_messages::query::QueryRequest;
use profile_messages::reply::{CommandReply, GetReply, HistoryChange, QueryReply};
use profilectl::token::{SigningKey, TokenClaims, mint};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const ISSUER: &str = "https://id.example.com";
const INSTANCE: &str = "instance";
/// Most rows of a page in this world.
pub(crate) const PAGE_ROWS_MAX: u64 = 1_000;

pub(crate) struct World {
    service: ProfileService,
    log: Arc<dyn CommitLog>,
    key: SigningKey,
    folder: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs a test on a world of its own.
pub(crate) fn in_a_world(test: impl AsyncFnOnce(&World)) {
    System::new().block_on(async {
        let world = World::start();
        test(&world).await;
    });
}

/// A caller and what it sends beside a body.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    subject: &'static str,
    own_org: Option<&'static str>,
    roles: BTreeMap<&'static str, &'static str>,
    names_org: Option<&'static str>,
    key: Option<&'static str>,
    deadline_ms: Option<u64>,
}

impl Who {
    /// A user of the zoo, without any role.
    pub(crate) fn user(subject: &'static str) -> Who {
        Who {
            subject,
            own_org: Some("zoo"),
            roles: BTreeMap::new(),
            names_org: None,
            key: None,
            deadline_ms: None,
        }
    }

    /// The zoo's owner.
    pub(crate) fn owner() -> Who {
        Who::user("owner").with("ORG_OWNER", "zoo")
    }

    /// May read in the zoo and nothing more.
    pub(crate) fn viewer() -> Who {
        Who::user("viewer").with("ORG_OWNER_VIEWER", "zoo")
    }

    /// May do everything everywhere.
    pub(crate) fn operator() -> Who {
        Who::user("operator").with("IAM_OWNER", INSTANCE)
    }

    pub(crate) fn with(mut self, role: &'static str, org: &'static str) -> Who {
        self.roles.insert(role, org);
        self
    }

    pub(crate) fn of(mut self, own_org: &'static str) -> Who {
        self.own_org = Some(own_org);
        self
    }

    pub(crate) fn in_org(mut self, named: &'static str) -> Who {
        self.names_org = Some(named);
        self
    }

    pub(crate) fn keyed(mut self, key: &'static str) -> Who {
        self.key = Some(key);
        self
    }

    pub(crate) fn within_ms(mut self, deadline_ms: u64) -> Who {
        self.deadline_ms = Some(deadline_ms);
        self
    }
}

impl World {
    fn start() -> World {
        let folder = fresh_folder();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let key = SigningKey::generate().unwrap();
        let jwks = folder.join("jwks.json");
        std::fs::write(&jwks, key.jwks().to_string()).unwrap();
        let authenticator = Authenticator::new(&config(&jwks), Arc::clone(&clock)).unwrap();
        let data = folder.join("data");
        let data_dir = DataDir::open(Arc::new(RealFiles), &data, Arc::clone(&clock)).unwrap();
        let view = Arc::new(MemoryView::default());
        let observer: Arc<dyn CommitObserver> = Arc::clone(&view) as _;
        let log: Arc<dyn CommitLog> = Arc::new(MemoryLog::observed(Arc::clone(&clock), observer));
        let ports = Arc::new(EntityPorts {
            log: Arc::clone(&log),
            view: view as Arc<dyn CurrentView>,
            clock,
            store_id: data_dir.store_id().into(),
            epoch: data_dir.epoch(),
            payload: EventPayload::Changed,
        });
        let shards = Shards::start(&[Arbiter::current()], &gateway_options(), &ports);
        let service = ProfileService::new(
            ports,
            shards,
            Arc::new(authenticator),
            Arc::new(data_dir),
            Box::new(|| None),
            read_options(),
        );
        World {
            service,
            log,
            key,
            folder,
        }
    }

    fn context(&self, who: &Who) -> RequestContext {
        let clock = SystemClock::default();
        let now_s = u64::try_from(clock.now().0 / 1_000_000).unwrap();
        let roles = who.roles.iter();
        let roles = roles.map(|(role, org)| ((*role).to_owned(), [(*org).to_owned()].into()));
        let claims = TokenClaims {
            issuer: ISSUER.to_owned(),
            audience: vec!["profile".to_owned()],
            org: who.own_org.map(str::to_owned),
            roles: roles.collect(),
            ..TokenClaims::dev(who.subject, now_s)
        };
        let envelope = Envelope {
            authorization: Some(format!("Bearer {}", mint(&self.key, &claims).unwrap())),
            org: who.names_org.map(str::to_owned),
            idempotency_key: who.key.map(str::to_owned),
            deadline_ms: who.deadline_ms,
            ..Envelope::default()
        };
        RequestContext {
            envelope,
            received: clock.monotonic(),
            trace: Trace::default(),
        }
    }

    pub(crate) async fn execute(
        &self,
        who: &Who,
        request: CommandRequest,
    ) -> Result<CommandReply, ServiceError> {
        self.service.execute(self.context(who), request).await
    }

    pub(crate) async fn query(
        &self,
        who: &Who,
        request: QueryRequest,
    ) -> Result<QueryReply, ServiceError> {
        self.service.query(self.context(who), request).await
    }

    /// How many commits there are in all.
    pub(crate) fn commits(&self) -> u64 {
        self.log.durable().borrow().0
    }

    /// `gigi` of the zoo, as its owner makes her.
    pub(crate) async fn has_gigi(&self) {
        let made = CommandRequest::Create(body(&json!({"userId": "gigi", "userName": "gigi",
            "profile": {"firstName": "Gigi", "lastName": "Giraffe"},
            "email": {"email": "gigi@zoo.example"}})));
        self.execute(&Who::owner(), made).await.unwrap();
    }

    /// Gigi as after `count` commits. Written to the log itself: that many commands would take minutes.
    pub(crate) async fn has_commits_of_gigi(&self, count: u64) {
        self.has_gigi().await;
        let made = self.log.read_one(Position(self.commits())).await.unwrap();
        let mut newest = made.unwrap();
        for _ in 1..count {
            let commit = Commit {
                user: newest.user.clone(),
                org: newest.org.clone(),
                expected: Head {
                    version: newest.version,
                    position: newest.position,
                },
                epoch: newest.epoch,
                at: newest.at,
                kind: EventKind::Changed,
                key: None,
                request_hash: [0; 16],
                event: newest.event.clone(),
                actor: newest.actor.clone(),
                actor_issuer: newest.actor_issuer.clone(),
                state: newest.state.clone(),
                trace: None,
                deadline: None,
            };
            newest = self.log.append(commit).await.unwrap();
        }
    }

    /// The user as it is now; `None` for one that is not there.
    pub(crate) async fn read(&self, user_id: &str) -> Option<GetReply> {
        let user_id = user_id.to_owned();
        let read = QueryRequest::GetAnyUser { user_id };
        match self.query(&Who::operator(), read).await {
            Ok(QueryReply::Get(reply)) => Some(*reply),
            _ => None,
        }
    }
}

pub(crate) fn body<T: DeserializeOwned + Default>(json: &Value) -> T {
    decode_body(json.to_string().as_bytes()).unwrap()
}

#[track_caller]
pub(crate) fn got(reply: Result<QueryReply, ServiceError>) -> GetReply {
    match reply {
        Ok(QueryReply::Get(reply)) => *reply,
        other => panic!("not a user: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn changes_of(reply: Result<QueryReply, ServiceError>) -> Vec<HistoryChange> {
    match reply {
        Ok(QueryReply::History(history)) => {
            assert_eq!(history.next_cursor, None);
            history.changes
        }
        other => panic!("no changes: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn refused_by_auth<T: std::fmt::Debug>(
    result: Result<T, ServiceError>,
    error: AuthError,
) {
    assert_eq!(result.unwrap_err(), ServiceError::Auth(error));
}

/// The text of the first violation.
#[track_caller]
pub(crate) fn violation<T: std::fmt::Debug>(result: Result<T, ServiceError>) -> String {
    match result {
        Err(ServiceError::Invalid { message, .. }) => message,
        other => panic!("not a violation: {other:?}"),
    }
}

fn config(jwks: &Path) -> Config {
    let mut config = Config::defaults().unwrap();
    config.auth.instance_org = Some(INSTANCE.to_owned());
    config.auth.issuers = vec![IssuerConfig {
        issuer: ISSUER.to_owned(),
        audiences: vec!["profile".to_owned()],
        algorithms: vec![TokenAlgorithm::EdDSA],
        jwks_file: Some(jwks.to_owned()),
        jwks_url: None,
        introspection: None,
        organizations: Vec::new(),
        leeway_s: 10,
        refetch_interval_s: 60,
        refresh_interval_s: 300,
    }];
    config
}

fn gateway_options() -> GatewayOptions {
    GatewayOptions {
        live_actors_max: 100,
        mailbox_commands_max: 64,
        gateway_commands_max: 1_000,
        idle_passivation: Duration::from_secs(3_600),
    }
}

fn read_options() -> ReadOptions {
    ReadOptions {
        min_version_wait_max: Duration::from_millis(100),
        page_rows_max: PAGE_ROWS_MAX,
        page_bytes_max: 64 * 1024,
        concurrent_pages_max: 2,
        concurrent_waits_max: 2,
        log: LogReads::Newest,
    }
}

fn fresh_folder() -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::SeqCst);
    let name = format!("zitadel-calls-{}-{count}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
