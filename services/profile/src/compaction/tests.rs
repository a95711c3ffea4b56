use std::sync::Mutex;

use profile_messages::event::EventKind;
use profile_messages::record::{CommandKey, KeyOrigin, Record};
use profile_messages::{OrgId, Timestamp, UserId};

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::commit_log::memory::MemoryLog;
use crate::commit_log::{Commit, CommitObserver, ReadLimits};
use crate::current_view::memory::MemoryView;
use crate::file_system::simulated::Seeded;

const EVERYTHING: ReadLimits = ReadLimits {
    records_max: usize::MAX,
    bytes_max: usize::MAX,
};

type Renewed = (Result<(), String>, Vec<usize>);

struct World {
    log: Arc<MemoryLog>,
    view: Arc<MemoryView>,
    cursor: watch::Sender<Option<Position>>,
    erased_through: watch::Sender<Position>,
    /// What `renew` answers, and what the log held when it was asked.
    renewed: Arc<Mutex<Renewed>>,
    now: i64,
}

impl World {
    fn new() -> World {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let view = Arc::new(MemoryView::default());
        let log = MemoryLog::observed(clock, Arc::clone(&view) as _);
        World {
            log: Arc::new(log),
            view,
            cursor: watch::Sender::new(None),
            erased_through: watch::Sender::new(Position::NONE),
            renewed: Arc::new(Mutex::new((Ok(()), Vec::new()))),
            now: 1_757_062_536_000_000,
        }
    }

    fn compaction(&self, history_changes_kept: u64) -> Compaction {
        let (log, renewed) = (Arc::clone(&self.log), Arc::clone(&self.renewed));
        Compaction {
            options: CompactionOptions {
                interval: Duration::from_secs(1),
                history_changes_kept,
            },
            log: Arc::clone(&self.log) as _,
            view: Arc::clone(&self.view) as _,
            cursor: self.cursor.subscribe(),
            erased_through: self.erased_through.subscribe(),
            metrics: Arc::default(),
            renew: Arc::new(move || {
                let (log, renewed) = (Arc::clone(&log), Arc::clone(&renewed));
                Box::pin(async move {
                    let left = log.read_after(Position::NONE, EVERYTHING).await;
                    let mut renewed = renewed.lock().unwrap();
                    renewed.1.push(left.unwrap().len());
                    renewed.0.clone()
                })
            }),
        }
    }

    async fn commit(&mut self, user: &str, kind: EventKind, origin: Option<KeyOrigin>) -> Position {
        self.now += 1_000_000;
        let user = UserId::parse(user).unwrap();
        let expected = self.view.head(&user).unwrap();
        let key = origin.map(|origin| CommandKey {
            hash: (u128::from(expected.version.0) + 1).to_le_bytes(),
            origin,
        });
        let template = crate::commit_log::conformance::commit(&user, expected, 10);
        let commit = Commit {
            org: OrgId::parse("o").unwrap(),
            at: Timestamp(self.now),
            kind,
            key,
            state: template
                .state
                .clone()
                .filter(|_| kind != EventKind::Removed),
            ..template
        };
        self.log.append(commit).await.unwrap().position
    }

    async fn change(&mut self, user: &str) -> Position {
        self.commit(user, EventKind::Changed, None).await
    }

    async fn pass(&self, history_changes_kept: u64) -> CompactionReport {
        let durable = *self.log.durable().borrow();
        self.cursor.send_replace(Some(durable));
        self.compaction(history_changes_kept).pass().await.unwrap()
    }

    async fn left(&self) -> Vec<Arc<Record>> {
        let read = self.log.read_after(Position::NONE, EVERYTHING).await;
        read.unwrap()
    }

    async fn versions(&self, user: &str) -> Vec<u64> {
        let left = self.left().await;
        let own = left.iter().filter(|record| record.user.as_str() == user);
        own.map(|record| record.version.0).collect()
    }
}

#[tokio::test]
async fn the_newest_changes_of_a_user_stay() {
    let mut world = World::new();
    for _ in 0..10 {
        world.change("busy").await;
    }
    world.change("calm").await;
    world.pass(3).await;
    assert_eq!(world.versions("busy").await, [8, 9, 10]);
    assert_eq!(world.versions("calm").await, [1]);
    assert_eq!(world.log.dropped_through(), Position(7));
    world.pass(1).await;
    assert_eq!(world.versions("busy").await, [10]);
}

#[tokio::test]
async fn a_command_that_a_repetition_would_meet_stays() {
    let mut world = World::new();
    let key = Some(KeyOrigin::Caller);
    world.commit("u", EventKind::Created, key).await;
    for _ in 0..5 {
        world.change("u").await;
    }
    world.pass(2).await;
    assert_eq!(world.versions("u").await, [1, 5, 6]);
}

#[tokio::test]
async fn nothing_after_the_relays_cursor_goes() {
    let mut world = World::new();
    for _ in 0..6 {
        world.change("u").await;
    }
    let compaction = world.compaction(1);
    compaction.pass().await.unwrap();
    assert_eq!(
        world.left().await.len(),
        6,
        "no cursor, nothing is acknowledged"
    );
    world.cursor.send_replace(Some(Position(3)));
    compaction.pass().await.unwrap();
    assert_eq!(world.versions("u").await, [4, 5, 6]);
}

#[tokio::test]
async fn a_removed_users_records_stay_until_the_stream_is_clean_and_the_view_renewed() {
    let mut world = World::new();
    for user in ["gone", "here", "gone", "here"] {
        world.change(user).await;
    }
    let removed = world.commit("gone", EventKind::Removed, None).await;
    world.pass(1).await;
    assert_eq!(
        world.versions("gone").await,
        [1, 2, 3],
        "the stream has them"
    );
    assert!(world.renewed.lock().unwrap().1.is_empty());
    world.erased_through.send_replace(removed);
    world.renewed.lock().unwrap().0 = Err("no space".to_owned());
    world.change("here").await;
    world.pass(1).await;
    assert_eq!(world.versions("gone").await, [1, 2, 3], "the view has them");
    assert_eq!(
        world.versions("here").await,
        [3],
        "the rest goes all the same"
    );
    world.renewed.lock().unwrap().0 = Ok(());
    let report = world.pass(1).await;
    assert_eq!(report.records_erased, 2);
    assert_eq!(world.versions("gone").await, [3], "the tombstone stays");
    let asked = world.renewed.lock().unwrap().1.clone();
    assert_eq!(asked, [5, 4], "renewed before they are dropped");
    world.pass(1).await;
    assert_eq!(world.renewed.lock().unwrap().1.len(), 2, "once");
}

#[tokio::test]
async fn a_view_rebuilt_from_a_compacted_log_is_the_same() {
    for seed in 0..60 {
        let mut random = Seeded::new(seed);
        let mut world = World::new();
        for _ in 0..300 {
            let user = format!("u{}", random.below(6));
            let known = world.view.user(&UserId::parse(&user).unwrap()).unwrap();
            if known.is_some_and(|known| known.state.is_none()) {
                continue;
            }
            // Now and then a day goes by, and what was remembered is forgotten.
            world.now += random.one_of([1, 1, 1, 1, 1, 7_200_000_000, 60_000_000_000]);
            let kind = match random.below(100) {
                0 => EventKind::Removed,
                _ => EventKind::Changed,
            };
            let origin = match random.below(4) {
                0 => None,
                1 => Some(KeyOrigin::Generated),
                _ => Some(KeyOrigin::Caller),
            };
            world.commit(&user, kind, origin).await;
            if random.percent(3) {
                world.pass(1 + random.below(3)).await;
            }
        }
        world.pass(1).await;
        let rebuilt = MemoryView::default();
        rebuilt.catch_up(world.log.as_ref()).await.unwrap();
        assert_eq!(rebuilt.position(), world.view.position());
        for number in 0..6 {
            let user = UserId::parse(&format!("u{number}")).unwrap();
            assert_eq!(
                rebuilt.user(&user).unwrap(),
                world.view.user(&user).unwrap(),
                "SEED={seed} {user}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_task_compacts_until_it_is_stopped() {
    let mut world = World::new();
    world.change("u").await;
    world.change("u").await;
    world.cursor.send_replace(Some(Position(2)));
    let handle = world.compaction(1).start();
    tokio::task::yield_now().await; // the task waits for its interval by now
    tokio::time::advance(Duration::from_secs(1)).await;
    while world.versions("u").await != [2] {
        tokio::task::yield_now().await;
    }
    handle.stop().await;
}
