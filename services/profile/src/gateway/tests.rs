use std::sync::atomic::{AtomicBool, AtomicUsize};

use async_trait::async_trait;
use futures::future::join_all;
use profile_messages::command::{Command, ProfilePatch};
use profile_messages::event::EventPayload;
use profile_messages::record::{CommandKey, KeyOrigin, Record};
use profile_messages::{Contact, OrgId, Position, ProfileFields, Version};
use tokio::sync::{Notify, watch};

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::commit_log::memory::MemoryLog;
use crate::commit_log::{
    AppendError, Commit, CommitLog, CommitObserver, NotWritten, ReadError, ReadLimits,
};
use crate::current_view::CurrentView;
use crate::current_view::memory::MemoryView;
use crate::entity::Done;
use crate::telemetry::traces::Trace;

/// A log whose appends wait while the gate is shut, and that may lose the answer of one append.
#[derive(Debug)]
struct GatedLog {
    inner: MemoryLog,
    shut: AtomicBool,
    opened: Notify,
    waiting: AtomicUsize,
    lose_next_answer: AtomicBool,
    failed: watch::Sender<Option<String>>,
}

#[async_trait]
impl CommitLog for GatedLog {
    async fn append(&self, commit: Commit) -> Result<Arc<Record>, AppendError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while self.shut.load(Ordering::SeqCst) {
            self.opened.notified().await;
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if self.failed.borrow().is_some() {
            return Err(AppendError::NotWritten(NotWritten::Closed));
        }
        let appended = self.inner.append(commit).await;
        if self.lose_next_answer.swap(false, Ordering::SeqCst) {
            return Err(AppendError::MaybeWritten("the answer was lost".to_owned()));
        }
        appended
    }

    async fn read_after(&self, _: Position, _: ReadLimits) -> Result<Vec<Arc<Record>>, ReadError> {
        Ok(Vec::new())
    }

    async fn read_one(&self, position: Position) -> Result<Option<Arc<Record>>, ReadError> {
        self.inner.read_one(position).await
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.inner.durable()
    }

    fn failed(&self) -> watch::Receiver<Option<String>> {
        self.failed.subscribe()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

struct Bench {
    log: Arc<GatedLog>,
    view: Arc<MemoryView>,
    shards: Shards,
}

fn bench(options: GatewayOptions) -> Bench {
    let view = Arc::new(MemoryView::default());
    let log = Arc::new(GatedLog {
        inner: MemoryLog::observed(
            Arc::new(SystemClock::default()),
            Arc::clone(&view) as Arc<dyn CommitObserver>,
        ),
        shut: AtomicBool::new(false),
        opened: Notify::new(),
        waiting: AtomicUsize::new(0),
        lose_next_answer: AtomicBool::new(false),
        failed: watch::Sender::new(None),
    });
    let ports = Arc::new(EntityPorts {
        log: Arc::clone(&log) as Arc<dyn CommitLog>,
        view: Arc::clone(&view) as Arc<dyn CurrentView>,
        clock: Arc::new(SystemClock::default()),
        store_id: "store".into(),
        epoch: 1,
        payload: EventPayload::Changed,
    });
    let shards = Shards::start(&[Arbiter::current()], &options, &ports);
    Bench { log, view, shards }
}

fn roomy() -> GatewayOptions {
    GatewayOptions {
        live_actors_max: 1_000,
        mailbox_commands_max: 64,
        gateway_commands_max: 10_000,
        idle_passivation: Duration::from_secs(3_600),
    }
}

fn order(user: &str, key: u8, command: Command) -> Order {
    Order {
        operation: "test",
        user: UserId::parse(user).unwrap(),
        command,
        key: CommandKey {
            hash: [key; 16],
            origin: KeyOrigin::Caller,
        },
        key_text: key.to_string(),
        request_hash: [key; 16],
        expected_version: None,
        actor: "operator".to_owned(),
        actor_issuer: String::new(),
        trace: Trace::default(),
        deadline: None,
    }
}

fn create(user: &str) -> Order {
    let fields = ProfileFields {
        first_name: "Gigi".into(),
        last_name: "Giraffe".into(),
        ..ProfileFields::default()
    };
    let contact = Contact {
        user_name: user.into(),
        email: "g@zoo".into(),
        email_verified: false,
        phone: String::new(),
        phone_verified: false,
    };
    let org = OrgId::parse("zoo").unwrap();
    let id = UserId::parse(user).unwrap();
    order(
        user,
        255,
        Command::Create {
            user: id,
            org,
            fields,
            contact,
        },
    )
}

fn nick(user: &str, key: u8, nick_name: &str) -> Order {
    let nick_name = Some(nick_name.to_owned());
    order(
        user,
        key,
        Command::Patch {
            patch: ProfilePatch {
                nick_name,
                ..Default::default()
            },
        },
    )
}

fn versions(results: Vec<Result<Done, ServiceError>>) -> Vec<u64> {
    results
        .into_iter()
        .map(|result| result.unwrap().version.0)
        .collect()
}

#[actix::test]
async fn commands_of_one_user_are_decided_in_order_of_entry() {
    let bench = bench(roomy());
    bench.shards.execute(create("u")).await.unwrap();
    let all = (0..50).map(|n| bench.shards.execute(nick("u", n, &n.to_string())));
    assert_eq!(versions(join_all(all).await), (2..52).collect::<Vec<_>>());
}

#[actix::test]
async fn a_full_mailbox_refuses_at_once_and_keeps_what_it_took() {
    let bench = bench(GatewayOptions {
        mailbox_commands_max: 4,
        ..roomy()
    });
    bench.shards.execute(create("u")).await.unwrap();
    bench.log.shut.store(true, Ordering::SeqCst);
    let (shards, mut taken) = (bench.shards.clone(), Vec::new());
    for n in 0..4 {
        let shards = shards.clone();
        let order = nick("u", n, &n.to_string());
        taken.push(actix::spawn(async move { shards.execute(order).await }));
    }
    while bench.log.waiting.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let refused = shards.execute(nick("u", 9, "late")).await;
    assert_eq!(
        refused,
        Err(ServiceError::Overloaded(
            "too many commands wait for this user"
        ))
    );
    bench.log.shut.store(false, Ordering::SeqCst);
    bench.log.opened.notify_waiters();
    let done = join_all(taken)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(versions(done), [2, 3, 4, 5]);
}

#[actix::test]
async fn passivation_by_the_limit_loses_no_command() {
    let bench = bench(GatewayOptions {
        live_actors_max: 3,
        ..roomy()
    });
    let users: Vec<String> = (0..40).map(|n| format!("u{n}")).collect();
    for user in &users {
        bench.shards.execute(create(user)).await.unwrap();
    }
    for round in 0..20u8 {
        // At most three users are busy at once, each with several commands, so the fourth user always
        // has to take the place of an actor that turned idle this very moment.
        for trio in users.chunks(3) {
            let orders = trio.iter().flat_map(|user| {
                (0..3).map(move |n| nick(user, round * 3 + n, &format!("{round}.{n}")))
            });
            for result in join_all(orders.map(|order| bench.shards.execute(order))).await {
                result.unwrap();
            }
        }
    }
    for user in &users {
        let id = UserId::parse(user).unwrap();
        assert_eq!(bench.view.user(&id).unwrap().unwrap().version, Version(61));
    }
    let counts = bench.shards.counts().next().unwrap();
    assert!(counts.live_most.load(Ordering::SeqCst) <= 3);
    assert!(counts.passivations.load(Ordering::SeqCst) > 500);
}

#[actix::test]
async fn a_busy_actor_is_never_passivated() {
    let bench = bench(GatewayOptions {
        live_actors_max: 1,
        ..roomy()
    });
    bench.shards.execute(create("a")).await.unwrap();
    bench.log.shut.store(true, Ordering::SeqCst);
    let shards = bench.shards.clone();
    let queued = actix::spawn(async move { shards.execute(nick("a", 1, "x")).await });
    while bench.log.waiting.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let refused = bench.shards.execute(create("b")).await;
    assert_eq!(
        refused,
        Err(ServiceError::Overloaded("all live actors are busy"))
    );
    bench.log.shut.store(false, Ordering::SeqCst);
    bench.log.opened.notify_waiters();
    assert_eq!(queued.await.unwrap().unwrap().version, Version(2));
    bench.shards.execute(create("b")).await.unwrap();
}

#[actix::test]
async fn an_idle_actor_is_passivated_and_comes_back_with_its_state() {
    let idle_passivation = Duration::from_millis(40);
    let bench = bench(GatewayOptions {
        idle_passivation,
        ..roomy()
    });
    bench.shards.execute(create("u")).await.unwrap();
    let counts = bench.shards.counts().next().unwrap();
    while counts.live.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        bench
            .shards
            .execute(nick("u", 1, "x"))
            .await
            .unwrap()
            .version,
        Version(2)
    );
    assert_eq!(counts.activations.load(Ordering::SeqCst), 2);
}

#[actix::test]
async fn an_uncertain_outcome_is_told_and_the_same_key_learns_the_truth() {
    let bench = bench(roomy());
    bench.shards.execute(create("u")).await.unwrap();
    bench.log.lose_next_answer.store(true, Ordering::SeqCst);
    let unknown = bench.shards.execute(nick("u", 7, "x")).await;
    assert_eq!(
        unknown,
        Err(ServiceError::OutcomeUnknown {
            key: "7".to_owned()
        })
    );
    let truth = bench.shards.execute(nick("u", 7, "x")).await.unwrap();
    assert_eq!(truth.version, Version(2));
    assert_eq!(
        bench
            .shards
            .execute(nick("u", 8, "y"))
            .await
            .unwrap()
            .version,
        Version(3)
    );
}

#[actix::test]
async fn a_key_with_another_request_is_refused() {
    let bench = bench(roomy());
    bench.shards.execute(create("u")).await.unwrap();
    bench.shards.execute(nick("u", 7, "x")).await.unwrap();
    let mut other = nick("u", 7, "z");
    other.request_hash = [0; 16];
    assert_eq!(
        bench.shards.execute(other).await,
        Err(ServiceError::KeyReused)
    );
}

#[actix::test]
async fn a_passed_deadline_leaves_no_trace() {
    let bench = bench(roomy());
    bench.shards.execute(create("u")).await.unwrap();
    let mut late = nick("u", 1, "x");
    late.deadline = Some(SystemClock::default().monotonic());
    assert_eq!(
        bench.shards.execute(late).await,
        Err(ServiceError::DeadlineExceeded)
    );
    let id = UserId::parse("u").unwrap();
    assert_eq!(bench.view.user(&id).unwrap().unwrap().version, Version(1));
}

#[actix::test]
async fn a_burst_to_a_user_without_an_actor_is_taken_up_to_the_bound() {
    let bench = bench(roomy());
    // The gateway has started.
    bench.shards.execute(create("other")).await.unwrap();
    let first = std::iter::once(create("u"));
    let orders = first.chain((0..63).map(|n| nick("u", n, &n.to_string())));
    let all = orders.map(|order| bench.shards.execute(order));
    assert_eq!(versions(join_all(all).await), (1..65).collect::<Vec<_>>());
}

#[actix::test]
async fn an_idle_actor_behind_many_busy_ones_makes_room() {
    let bench = bench(GatewayOptions {
        live_actors_max: 100,
        ..roomy()
    });
    let users: Vec<String> = (0..100).map(|n| format!("u{n}")).collect();
    for user in &users {
        bench.shards.execute(create(user)).await.unwrap();
    }
    bench.log.shut.store(true, Ordering::SeqCst);
    for user in &users[..99] {
        let (shards, order) = (bench.shards.clone(), nick(user, 1, "x"));
        actix::spawn(async move { shards.execute(order).await });
    }
    while bench.log.waiting.load(Ordering::SeqCst) < 99 {
        tokio::task::yield_now().await;
    }
    // Refused without the log, so the last user is idle and the most recent of all.
    let mut refused = nick("u99", 1, "x");
    refused.expected_version = Some(Version(9));
    assert!(bench.shards.execute(refused).await.is_err());
    let shards = bench.shards.clone();
    let new = actix::spawn(async move { shards.execute(create("new")).await });
    while bench.log.waiting.load(Ordering::SeqCst) < 100 {
        tokio::task::yield_now().await;
    }
    let refused = bench.shards.execute(create("too-many")).await;
    assert_eq!(
        refused,
        Err(ServiceError::Overloaded("all live actors are busy"))
    );
    bench.log.shut.store(false, Ordering::SeqCst);
    bench.log.opened.notify_waiters();
    assert_eq!(new.await.unwrap().unwrap().version, Version(1));
}

/// A clock that panics when the gateway asks it.
#[derive(Debug)]
struct BrokenClock;

impl Clock for BrokenClock {
    fn now(&self) -> profile_messages::Timestamp {
        profile_messages::Timestamp(0)
    }

    fn monotonic(&self) -> Instant {
        panic!("as asked")
    }

    fn random_id(&self) -> String {
        String::new()
    }
}

#[actix::test]
async fn a_gateway_that_panics_is_noticed() {
    let (view, log) = (Arc::new(MemoryView::default()), bench(roomy()).log);
    let ports = Arc::new(EntityPorts {
        log,
        view,
        clock: Arc::new(BrokenClock),
        store_id: "store".into(),
        epoch: 1,
        payload: EventPayload::Changed,
    });
    let shards = Shards::start(&[Arbiter::current()], &roomy(), &ports);
    assert!(shards.execute(create("u")).await.is_err());
    let noticed = tokio::time::timeout(Duration::from_secs(10), shards.ended());
    noticed.await.unwrap();
}

#[actix::test]
async fn after_the_log_failed_a_callers_key_may_be_the_repetition_of_what_was_in_it() {
    let bench = bench(roomy());
    bench.shards.execute(create("u")).await.unwrap();
    bench
        .log
        .failed
        .send_replace(Some("the disk is gone".to_owned()));
    let unknown = Err(ServiceError::OutcomeUnknown {
        key: "7".to_owned(),
    });
    assert_eq!(bench.shards.execute(nick("u", 7, "x")).await, unknown);
    let mut late = nick("u", 7, "x");
    late.deadline = Some(SystemClock::default().monotonic());
    assert_eq!(bench.shards.execute(late).await, unknown);
    let mut generated = nick("u", 8, "x");
    generated.key.origin = KeyOrigin::Generated;
    let closed = Err(ServiceError::Unavailable("the commit log is closed"));
    assert_eq!(bench.shards.execute(generated).await, closed);
}
