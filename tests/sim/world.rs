//! The first level: users, two nodes with live entities, one faulty log, one clock, and what is behind
//! the log. One step at a time; every record and every answer is checked as it comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use profile::clock::Clock;
use profile::commit_log::{AppendError, CommitLog, CommitObserver};
use profile::entity::{Done, EntityPorts, Order, ProfileEntity, Verdict};
use profile::error::ServiceError;
use profile_messages::event::EventKind;
use profile_messages::record::{Hash16, Record};
use profile_messages::{Position, UserId};

use crate::checks::{self, Answered};
use crate::clock::SimClock;
use crate::dice::Dice;
use crate::downstream::Downstream;
use crate::faulty_log::FaultyLog;
use crate::ledger::Ledger;
use crate::load::{Load, Wish};
use crate::memory::Memory;
use crate::nodes::{NODES, Nodes, Sharing};
use crate::planted::{AppliedFirst, Plant};
use crate::require;
use crate::trace::Trace;

const NO_GROUPS: u32 = 0;

type Outcome = Result<Done, ServiceError>;

/// What one seed came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) trace: u64,
    pub(crate) commits: u64,
    /// Commits that were found after the process had died in their append.
    pub(crate) kept_at_death: u64,
    /// Appends that were lost with the process.
    pub(crate) lost_at_death: u64,
    pub(crate) unknown: u64,
    /// Answers out of the memory of a key.
    pub(crate) repeated: u64,
    pub(crate) refused: u64,
    /// Orders at a node that had not heard of every commit.
    pub(crate) behind: u64,
    pub(crate) removed: u64,
    pub(crate) relay_starts: u64,
    pub(crate) delivered: u64,
    pub(crate) delivered_new: u64,
}

impl Report {
    pub(crate) fn and(self, other: Report) -> Report {
        Report {
            trace: self.trace ^ other.trace,
            commits: self.commits + other.commits,
            kept_at_death: self.kept_at_death + other.kept_at_death,
            lost_at_death: self.lost_at_death + other.lost_at_death,
            unknown: self.unknown + other.unknown,
            repeated: self.repeated + other.repeated,
            refused: self.refused + other.refused,
            behind: self.behind + other.behind,
            removed: self.removed + other.removed,
            relay_starts: self.relay_starts + other.relay_starts,
            delivered: self.delivered + other.delivered,
            delivered_new: self.delivered_new + other.delivered_new,
        }
    }
}

struct World {
    dice: Dice,
    load: Load,
    clock: Arc<SimClock>,
    memory: Arc<Memory>,
    log: Arc<FaultyLog>,
    nodes: Nodes,
    sharing: Sharing,
    /// Of each node.
    entities: Vec<BTreeMap<UserId, ProfileEntity>>,
    downstream: Downstream,
    ledger: Ledger,
    /// First acknowledgement of each order that changed something, by key and request.
    acknowledged: BTreeMap<(Hash16, Hash16), Done>,
    /// Wishes that nobody knows the end of, by key.
    open: BTreeMap<u64, Wish>,
    trace: Trace,
    report: Report,
    plant: Plant,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, steps: usize, plant: Plant) -> Result<Report, String> {
    run_sharing(Sharing::Everything, seed, steps, plant)
}

/// The same where each node has a view of its own.
pub(crate) fn run_on_several_nodes(
    seed: u64,
    steps: usize,
    plant: Plant,
) -> Result<Report, String> {
    run_sharing(Sharing::Log, seed, steps, plant)
}

fn run_sharing(sharing: Sharing, seed: u64, steps: usize, plant: Plant) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(sharing, seed, plant);
        world.start_relay().await?;
        for step in 0..steps {
            let done = world.step().await;
            done.map_err(|broken| format!("step {step}: {broken}"))?;
        }
        let settled = world.settle().await;
        settled.map_err(|broken| format!("at the end: {broken}"))?;
        Ok(Report {
            trace: world.trace.hash(),
            commits: world.ledger.end().0,
            ..world.report
        })
    })
}

impl World {
    fn new(sharing: Sharing, seed: u64, plant: Plant) -> World {
        let memory = Arc::new(Memory::default());
        let observer: Arc<dyn CommitObserver> = Arc::clone(&memory) as _;
        let clock = Arc::new(SimClock::new());
        let log_clock: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let faults = Dice::new(seed, 2);
        let log = FaultyLog::new(log_clock, observer, faults, NO_GROUPS, plant);
        let log = Arc::new(log);
        let mut entities = Vec::new();
        entities.resize_with(NODES, BTreeMap::new);
        World {
            dice: Dice::new(seed, 0),
            load: Load::new(seed),
            nodes: Nodes::begin(sharing, &log, &memory, &clock, plant),
            sharing,
            clock,
            memory,
            log,
            entities,
            downstream: Downstream::new(seed, plant),
            ledger: Ledger::default(),
            acknowledged: BTreeMap::new(),
            open: BTreeMap::new(),
            trace: Trace::default(),
            report: Report::default(),
            plant,
        }
    }

    async fn step(&mut self) -> Result<(), String> {
        match self.dice.below(100) {
            0..56 => {
                let ledger = &self.ledger;
                let wish = self.load.next(|user| ledger.version(user));
                self.send(wish).await?;
            }
            56..72 => {
                if let Some(wish) = self.load.earlier() {
                    self.send(wish).await?;
                }
            }
            72..77 => self.let_time_pass().await,
            77..79 => {
                let micros = i64::from(self.dice.below(100_000_000));
                self.clock.jump(-micros);
            }
            79 => self.clock.jump(25 * 3_600_000_000),
            80..84 => self.passivate(),
            84..86 => self.crash().await?,
            86..89 => self.log.die_at(1 + self.dice.below(4)),
            89..92 => self.start_relay().await?,
            92 => self.downstream.suffer(),
            93..97 => self.downstream.consume(&self.ledger)?,
            _ => self.check_all().await?,
        }
        self.nodes.follow(&mut self.dice).await;
        for _ in 0..self.dice.below(4) {
            tokio::task::yield_now().await;
        }
        if self.downstream.relay_died() {
            self.start_relay().await?;
        }
        Ok(())
    }

    /// A little or a lot, so that relay and cursor are met at every point.
    async fn let_time_pass(&mut self) {
        let scale = [1, 100, 10_000][self.dice.below(3) as usize];
        let time = Duration::from_millis(u64::from(self.dice.below(scale)));
        crate::clock::pass(time).await;
    }

    async fn send(&mut self, wish: Wish) -> Result<(), String> {
        let order = wish.order(self.clock.monotonic());
        let node = self.dice.below(NODES as u32) as usize;
        let kept = self.entities[node].remove(&order.user);
        let entity = match kept {
            Some(entity) => entity,
            None => ProfileEntity::load(&order.user, self.nodes.ports(node).view.as_ref()).unwrap(),
        };
        let position = self.nodes.ports(node).view.position();
        self.report.behind += u64::from(position < self.ledger.end());
        let now = self.clock.now().0;
        // A process that dies inside an append takes everything in memory with it.
        let executed = tokio::select! {
            biased;
            executed = self.executed(node, entity, &order) => Some(executed),
            () = self.log.died() => None,
        };
        let (entity, result) = executed.map_or((None, None), |(it, result)| (it, Some(result)));
        if let Some(entity) = entity {
            self.entities[node].insert(order.user.clone(), entity);
        }
        let new = self.log.records_after(self.ledger.end()).await;
        let answered = Answered {
            order: &order,
            result: result.as_ref(),
            new: &new,
            before: &self.ledger,
            now,
        };
        checks::only_its_own_commit(&answered)?;
        checks::answer_matches_the_log(&answered)?;
        checks::a_refusal_is_up_to_date(&answered)?;
        checks::repetition_gets_the_first_answer(&answered)?;
        let identity = (order.key.hash, order.request_hash);
        checks::acknowledged_again(&answered, self.acknowledged.get(&identity))?;
        for record in &new {
            self.trace.record(record);
        }
        self.ledger.take(&new)?;
        self.count(&new, result.as_ref());
        self.note(&wish, identity, result.as_ref());
        match result {
            Some(_) => Ok(()),
            None => self.crash().await,
        }
    }

    /// As the actor does it: an uncertain outcome ends the entity.
    async fn executed(
        &self,
        node: usize,
        mut entity: ProfileEntity,
        order: &Order,
    ) -> (Option<ProfileEntity>, Outcome) {
        let verdict = match self.plant {
            Plant::AppliesBeforeAppending => self.applied_first(node, &mut entity, order).await,
            Plant::Nothing
            | Plant::ForgetsAcknowledged
            | Plant::NoVersionCheck
            | Plant::KeyNotWithCommit
            | Plant::RelaySkipsAnEvent
            | Plant::ConsumerForgets
            | Plant::NeverAsksForTheNewest
            | Plant::Overtakes => entity.execute(order, self.nodes.ports(node)).await,
        };
        match verdict {
            Verdict::Answered(result) => (Some(entity), result),
            Verdict::MaybeWritten => {
                let key = order.key_text.clone();
                (None, Err(ServiceError::OutcomeUnknown { key }))
            }
        }
    }

    async fn applied_first(
        &self,
        node: usize,
        entity: &mut ProfileEntity,
        order: &Order,
    ) -> Verdict {
        let log = Arc::new(AppliedFirst::new(Arc::clone(&self.log)));
        let ports = EntityPorts {
            log: Arc::clone(&log) as Arc<dyn CommitLog>,
            ..self.nodes.ports(node).clone()
        };
        let applied = entity.execute(order, &ports).await;
        match log.append_late().await {
            None | Some(Ok(_)) => applied,
            Some(Err(AppendError::MaybeWritten(_))) => Verdict::MaybeWritten,
            Some(Err(AppendError::Conflict { .. } | AppendError::NotWritten(_))) => {
                let error = ServiceError::Unavailable("not written");
                Verdict::Answered(Err(error))
            }
        }
    }

    fn count(&mut self, new: &[Arc<Record>], result: Option<&Outcome>) {
        let removed = new.iter().filter(|it| it.kind == EventKind::Removed);
        let report = &mut self.report;
        report.removed += removed.count() as u64;
        let counter = match result {
            None if new.is_empty() => &mut report.lost_at_death,
            None => &mut report.kept_at_death,
            Some(Ok(done)) if done.kind.is_some() && new.is_empty() => &mut report.repeated,
            Some(Ok(_)) => return,
            Some(Err(ServiceError::OutcomeUnknown { .. })) => &mut report.unknown,
            Some(Err(_)) => &mut report.refused,
        };
        *counter += 1;
    }

    fn note(&mut self, wish: &Wish, identity: (Hash16, Hash16), result: Option<&Outcome>) {
        let (answer, is_open) = match result {
            None => (1, true),
            Some(Ok(done)) => {
                if done.kind.is_some() {
                    let first = self.acknowledged.entry(identity);
                    first.or_insert_with(|| done.clone());
                }
                (2 + done.version.0, false)
            }
            Some(Err(error)) => {
                let is_open = matches!(error, ServiceError::OutcomeUnknown { .. });
                (error.code() as u64, is_open)
            }
        };
        self.trace.number(wish.key);
        self.trace.number(answer);
        match is_open {
            true => self.open.insert(wish.key, wish.again()),
            false => self.open.remove(&wish.key),
        };
        // A generated key is known to nobody unless it was told.
        if wish.is_the_callers() || is_open {
            self.load.sent(wish);
        }
    }

    fn passivate(&mut self) {
        let node = self.dice.below(NODES as u32) as usize;
        self.entities[node].pop_first();
    }

    /// Everything in memory is gone; log, stream and cursor stay.
    async fn crash(&mut self) -> Result<(), String> {
        self.downstream.kill();
        self.entities.iter_mut().for_each(BTreeMap::clear);
        self.log.open_again();
        self.memory.start_again(&self.log).await?;
        let (log, memory) = (&self.log, &self.memory);
        self.nodes = Nodes::begin(self.sharing, log, memory, &self.clock, self.plant);
        self.nodes.follow_to_the_end().await;
        self.trace.number(0xdead);
        self.start_relay().await
    }

    /// Ends the relay wherever it is, and starts the next one.
    async fn start_relay(&mut self) -> Result<(), String> {
        self.downstream.kill();
        self.report.relay_starts += 1;
        let (view, clock) = (self.memory.view(), Arc::clone(&self.clock));
        let lag = self.memory.new_lag();
        let downstream = &mut self.downstream;
        downstream.start(&self.log, view, clock, lag).await
    }

    async fn check_all(&mut self) -> Result<(), String> {
        let log = self.log.records_after(Position::NONE).await;
        self.ledger.is_the_log(&log)?;
        self.ledger.is_the_view(self.memory.view().as_ref())?;
        self.nodes.follow_to_the_end().await;
        for view in self.nodes.views() {
            self.ledger.is_the_view(view)?;
        }
        for (user, entity) in self.entities.iter().flatten() {
            let version = entity.head().version;
            self.ledger
                .knows_the_entity(user, version, entity.profile())?;
        }
        self.downstream.check()
    }

    /// I8: once nothing fails any more, every open wish is answered, every event gets to the consumer.
    async fn settle(&mut self) -> Result<(), String> {
        self.log.heal();
        self.downstream.heal();
        for wish in std::mem::take(&mut self.open).into_values() {
            self.send(wish).await?;
        }
        let open: Vec<_> = self.open.keys().collect();
        require(open.is_empty(), || format!("I8: {open:?} have no answer"))?;
        // One more commit: what was done to an idle stream is seen by it.
        let before = self.ledger.end();
        let last = self.load.last();
        self.send(last).await?;
        require(self.ledger.end() == before.next(), || {
            "I8: nothing fails and nothing is written".to_owned()
        })?;
        self.check_all().await?;
        let (delivered, new) = self.downstream.settle(&self.ledger).await?;
        self.trace.number(delivered);
        self.trace.number(new);
        (self.report.delivered, self.report.delivered_new) = (delivered, new);
        Ok(())
    }
}
