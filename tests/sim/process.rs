//! One life of the service: the real funnel, gateway and actors on one arbiter, over simulated ports.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix::{Arbiter, System, SystemRunner};
use futures::poll;
use profile::auth::Authenticator;
use profile::clock::Clock;
use profile::commit_log::CommitLog;
use profile::config::LogReads;
use profile::data_dir::DataDir;
use profile::entity::EntityPorts;
use profile::error::ServiceError;
use profile::file_system::simulated::SimulatedDisk;
use profile::gateway::{GatewayOptions, Shards};
use profile::service::{ProfileService, ReadOptions, RequestContext};
use profile::telemetry::traces::Trace;
use profile_messages::Position;
use profile_messages::envelope::Envelope;
use profile_messages::event::EventPayload;
use profile_messages::query::{GetBody, QueryRequest};
use profile_messages::reply::{CommandReply, QueryReply};
use tokio::time::Instant;

use crate::clock::SimClock;
use crate::faulty_log::FaultyLog;
use crate::load::Wish;
use crate::memory::Memory;
use crate::requests::access;

pub(crate) const LIVE_ACTORS_MAX: usize = 3;
const MAILBOX_COMMANDS_MAX: usize = 3;
const GATEWAY_COMMANDS_MAX: usize = 10;
/// The relay may be so far behind before writes are refused.
pub(crate) const LAG_BYTES_MAX: u64 = 12 * 1024;

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// In which order it entered.
    pub(crate) entry: u64,
    pub(crate) wish: Wish,
    /// The key under which it was sent, if it had one.
    pub(crate) key_text: Option<String>,
    pub(crate) started: Instant,
    /// How far the log was then.
    pub(crate) after: Position,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) sent: Sent,
    pub(crate) result: Result<CommandReply, ServiceError>,
    pub(crate) at: Instant,
    /// How far the log was when the answer came.
    pub(crate) durable: Position,
    /// Whether the funnel answered by itself.
    pub(crate) at_once: bool,
}

/// Answers in the order in which they came.
pub(crate) type Answers = Arc<Mutex<Vec<Answer>>>;

/// A system of one thread with paused time: the runtime's clock is that of the actors too.
pub(crate) fn system() -> SystemRunner {
    System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    })
}

/// A data directory for a store's secret and id; the log lies elsewhere.
pub(crate) fn data_dir(seed: u64, clock: Arc<dyn Clock>) -> Arc<DataDir> {
    let disk = Arc::new(SimulatedDisk::new(seed));
    Arc::new(DataDir::open(disk, Path::new("/data"), clock).unwrap())
}

#[derive(Debug)]
pub(crate) struct Process {
    service: Arc<ProfileService>,
    shards: Shards,
    log: Arc<FaultyLog>,
    clock: Arc<SimClock>,
    answers: Answers,
}

impl Process {
    /// Starts within the running system.
    pub(crate) fn start(
        log: &Arc<FaultyLog>,
        memory: &Arc<Memory>,
        clock: &Arc<SimClock>,
        data_dir: &Arc<DataDir>,
        answers: &Answers,
    ) -> Process {
        let ports = Arc::new(EntityPorts {
            log: Arc::clone(log) as Arc<dyn CommitLog>,
            view: memory.view(),
            clock: Arc::clone(clock) as Arc<dyn Clock>,
            store_id: data_dir.store_id().into(),
            epoch: data_dir.epoch(),
            payload: EventPayload::Changed,
        });
        let options = GatewayOptions {
            live_actors_max: LIVE_ACTORS_MAX,
            mailbox_commands_max: MAILBOX_COMMANDS_MAX,
            gateway_commands_max: GATEWAY_COMMANDS_MAX,
            idle_passivation: Duration::from_millis(100),
        };
        let shards = Shards::start(&[Arbiter::current()], &options, &ports);
        let authenticator = Authenticator::new(&access().config, ports.clock.clone()).unwrap();
        let lagging = Arc::clone(memory);
        let gate = move || {
            let behind = lagging.lag().bytes() > LAG_BYTES_MAX;
            behind.then_some("the event relay is too far behind")
        };
        let reads = ReadOptions {
            min_version_wait_max: Duration::from_millis(100),
            page_rows_max: 100,
            page_bytes_max: 64 * 1024,
            concurrent_pages_max: 2,
            concurrent_waits_max: 2,
            log: LogReads::Newest,
        };
        let (authenticator, data_dir) = (Arc::new(authenticator), Arc::clone(data_dir));
        let shards_of_service = shards.clone();
        let gate = Box::new(gate);
        let service = ProfileService::new(
            ports,
            shards_of_service,
            authenticator,
            data_dir,
            gate,
            reads,
        );
        Process {
            service: Arc::new(service),
            shards,
            log: Arc::clone(log),
            clock: Arc::clone(clock),
            answers: Arc::clone(answers),
        }
    }

    fn context(&self, envelope: Envelope) -> RequestContext {
        RequestContext {
            envelope,
            received: self.clock.monotonic(),
            trace: Trace::default(),
        }
    }

    /// Sends the request: when this returns it has entered, and is answered or queued.
    pub(crate) async fn send(&self, sent: Sent) {
        let (envelope, request) = access().request(&sent.wish, sent.key_text.clone());
        let context = self.context(envelope);
        let service = Arc::clone(&self.service);
        let mut call = Box::pin(async move { service.execute(context, request).await });
        let (log, answers) = (Arc::clone(&self.log), Arc::clone(&self.answers));
        let answered = move |result, at_once| {
            let answer = Answer {
                sent,
                result,
                at: Instant::now(),
                durable: *log.durable().borrow(),
                at_once,
            };
            answers.lock().unwrap().push(answer);
        };
        match poll!(call.as_mut()) {
            std::task::Poll::Ready(result) => answered(result, true),
            std::task::Poll::Pending => {
                actix::spawn(async move { answered(call.await, false) });
            }
        }
    }

    /// The user as the service shows it.
    pub(crate) async fn read(&self, user: &str, org: &str) -> Result<QueryReply, ServiceError> {
        let request = QueryRequest::Get {
            user_id: user.to_owned(),
            body: GetBody::default(),
        };
        let context = self.context(access().read(org));
        self.service.query(context, request).await
    }

    pub(crate) fn answers(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.answers.lock().unwrap()
    }

    /// Passivations so far, and the most actors that were live at once.
    pub(crate) fn counts(&self) -> (u64, usize) {
        let counts = self.shards.counts();
        counts.fold((0, 0), |(passivations, most), it| {
            (
                passivations + it.passivations.load(Ordering::Relaxed),
                most.max(it.live_most.load(Ordering::Relaxed)),
            )
        })
    }
}
