//! What the simulation found, each as the shortest story that shows it.

use std::sync::Arc;

use profile::clock::Clock;
use profile::commit_log::{CommitLog, CommitObserver};
use profile::current_view::CurrentView;
use profile::entity::{EntityPorts, ProfileEntity, Verdict};
use profile_messages::event::EventPayload;

use crate::clock::SimClock;
use crate::dice::Dice;
use crate::downstream::Downstream;
use crate::faulty_log::FaultyLog;
use crate::ledger::Ledger;
use crate::load::{Change, Load, Wish};
use crate::memory::Memory;
use crate::planted::Plant;

/// Nothing fails here but what the story says.
struct Story {
    load: Load,
    clock: Arc<SimClock>,
    memory: Arc<Memory>,
    log: Arc<FaultyLog>,
    ledger: Ledger,
    downstream: Downstream,
}

impl Story {
    fn new() -> Story {
        let (memory, clock) = (Arc::new(Memory::default()), Arc::new(SimClock::new()));
        let observer: Arc<dyn CommitObserver> = Arc::clone(&memory) as _;
        let as_clock: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let log = FaultyLog::new(as_clock, observer, Dice::new(0, 2), 0, Plant::Nothing);
        let downstream = Downstream::new(0, Plant::Nothing);
        log.heal();
        downstream.heal();
        Story {
            load: Load::new(0),
            clock,
            memory,
            log: Arc::new(log),
            ledger: Ledger::default(),
            downstream,
        }
    }

    async fn commit(&mut self, wish: &Wish) {
        let ports = EntityPorts {
            log: Arc::clone(&self.log) as Arc<dyn CommitLog>,
            view: self.memory.view() as Arc<dyn CurrentView>,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            store_id: "simulated".into(),
            epoch: 1,
            payload: EventPayload::Changed,
        };
        let mut entity = ProfileEntity::load(&wish.user, ports.view.as_ref()).unwrap();
        let order = wish.order(self.clock.monotonic());
        let verdict = entity.execute(&order, &ports).await;
        assert!(matches!(verdict, Verdict::Answered(Ok(_))), "{verdict:?}");
        let new = self.log.records_after(self.ledger.end()).await;
        self.ledger.take(&new).unwrap();
    }

    async fn somebody_new(&mut self) -> Wish {
        let wish = self.load.last();
        self.commit(&wish).await;
        wish
    }

    async fn start_relay(&mut self) {
        let (view, lag) = (self.memory.view(), self.memory.new_lag());
        let clock = Arc::clone(&self.clock);
        let started = self.downstream.start(&self.log, view, clock, lag).await;
        started.unwrap();
    }

    async fn settles(&mut self) {
        self.downstream.settle(&self.ledger).await.unwrap();
    }
}

/// Service level, seed 684: a refill withheld the events of a removed user; then the relay died before
/// it could write its cursor, the stream was lost, and the next relay, whose cursor was older, sent them:
/// a consumer that had seen the removal saw the user come to life again.
#[tokio::test(start_paused = true)]
async fn an_event_that_was_withheld_once_stays_withheld() {
    let mut story = Story::new();
    story.start_relay().await;
    story.somebody_new().await;
    story.settles().await;
    // The cursor is written with a pause in between.
    crate::clock::pass(std::time::Duration::from_secs(1)).await;
    story.downstream.freeze_the_cursor();
    let gone = story.somebody_new().await;
    let removal = Wish {
        key: 1_000,
        change: Change::Remove,
        ..gone
    };
    story.commit(&removal).await;
    // The relay sends both; the consumer is not there yet.
    crate::clock::pass(std::time::Duration::from_secs(1)).await;
    story.downstream.wipe();
    story.somebody_new().await;
    story.settles().await;
    story.downstream.kill();
    story.downstream.wipe();
    story.start_relay().await;
    story.settles().await;
}
