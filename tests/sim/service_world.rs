//! The second level: the load of the first through `ProfileService`, gateway and actors, many requests
//! at once, over the same faulty log, with small queues, few live actors and a process that dies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use profile::clock::Clock;
use profile::commit_log::{CommitLog, CommitObserver};
use profile::data_dir::DataDir;
use profile::error::{Read, ServiceError};
use profile_messages::record::Hash16;
use profile_messages::reply::QueryReply;
use profile_messages::{Position, UserId};
use tokio::time::Instant;

use crate::clock::SimClock;
use crate::dice::Dice;
use crate::downstream::Downstream;
use crate::faulty_log::FaultyLog;
use crate::ledger::Ledger;
use crate::load::{Load, Wish};
use crate::memory::Memory;
use crate::planted::Plant;
use crate::process::{Answers, LAG_BYTES_MAX, LIVE_ACTORS_MAX, Process, Sent, data_dir, system};
use crate::require;
use crate::service_checks::{Conversation, Counts};
use crate::trace::Trace;

const BURST_MAX: u32 = 10;
/// An append takes up to two milliseconds.
const GROUP_US_MAX: u32 = 2_000;
/// Virtual time within which everything under way is answered once nothing fails any more.
const ANSWERS_S_MAX: u64 = 60;
/// Most that the requests of one burst can add to the lag.
const BURST_BYTES_MAX: u64 = BURST_MAX as u64 * 2 * 1024;

/// What one seed came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) trace: u64,
    pub(crate) counts: Counts,
    pub(crate) commits: u64,
    pub(crate) passivations: u64,
    pub(crate) deaths: u64,
}

impl Report {
    pub(crate) fn and(self, other: Report) -> Report {
        Report {
            trace: self.trace ^ other.trace,
            counts: self.counts.and(other.counts),
            commits: self.commits + other.commits,
            passivations: self.passivations + other.passivations,
            deaths: self.deaths + other.deaths,
        }
    }
}

struct World {
    dice: Dice,
    load: Load,
    clock: Arc<SimClock>,
    memory: Arc<Memory>,
    log: Arc<FaultyLog>,
    data_dir: Arc<DataDir>,
    downstream: Downstream,
    ledger: Ledger,
    conversation: Conversation,
    under_way: BTreeMap<u64, Sent>,
    entries: u64,
    answers: Answers,
    trace: Trace,
    report: Report,
    plant: Plant,
}

/// How a life ended.
enum End {
    Died,
    RoundsAreOver,
}

/// Runs one seed of `rounds` bursts.
pub(crate) fn run(seed: u64, rounds: u32, plant: Plant) -> Result<Report, String> {
    let mut runner = system();
    let mut world = runner.block_on(async { World::new(seed, plant) });
    let mut left = rounds;
    loop {
        let lived = runner.block_on(world.live(&mut left));
        match lived.map_err(|broken| format!("{left} rounds before the end: {broken}"))? {
            End::RoundsAreOver => break,
            End::Died => {}
        }
        // The whole system goes, whatever it was doing.
        runner.block_on(async { world.dies() });
        drop(runner);
        runner = system();
        runner.block_on(async { world.clock.runtime_begins() });
    }
    world.report.trace = world.trace.hash();
    world.report.counts = world.conversation.counts;
    world.report.commits = world.ledger.end().0;
    Ok(world.report)
}

impl World {
    fn new(seed: u64, plant: Plant) -> World {
        let memory = Arc::new(Memory::default());
        let observer: Arc<dyn CommitObserver> = Arc::clone(&memory) as _;
        let clock = Arc::new(SimClock::new());
        let as_clock: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let faults = Dice::new(seed, 2);
        let log = FaultyLog::new(as_clock.clone(), observer, faults, GROUP_US_MAX, plant);
        World {
            dice: Dice::new(seed, 0),
            load: Load::new(seed),
            clock,
            memory,
            log: Arc::new(log),
            data_dir: data_dir(seed, as_clock),
            downstream: Downstream::new(seed, plant),
            ledger: Ledger::default(),
            conversation: Conversation::default(),
            under_way: BTreeMap::new(),
            entries: 0,
            answers: Answers::default(),
            trace: Trace::default(),
            report: Report::default(),
            plant,
        }
    }

    /// One life of the process: until it dies, or the rounds are over and everything has settled.
    async fn live(&mut self, rounds_left: &mut u32) -> Result<End, String> {
        self.log.open_again();
        self.memory.start_again(&self.log).await?;
        self.start_relay().await?;
        let (log, memory) = (&self.log, &self.memory);
        let process = Process::start(log, memory, &self.clock, &self.data_dir, &self.answers);
        let mut died = false;
        while *rounds_left > 0 && !died {
            *rounds_left -= 1;
            self.burst(&process).await;
            let time = self.some_time();
            died = tokio::select! {
                biased;
                () = self.log.died() => true,
                () = crate::clock::pass(time) => false,
            };
            self.look(&process).await?;
            self.something_happens().await?;
            died |= *rounds_left > 0 && self.dice.percent(3);
        }
        let (passivations, live_most) = process.counts();
        self.report.passivations += passivations;
        require(live_most <= LIVE_ACTORS_MAX, || {
            format!("I8: {live_most} actors were live")
        })?;
        if died {
            return Ok(End::Died);
        }
        let settled = self.settle(&process).await;
        settled.map_err(|broken| format!("at the end: {broken}"))?;
        Ok(End::RoundsAreOver)
    }

    fn dies(&mut self) {
        self.downstream.kill();
        self.clock.runtime_ends();
        self.conversation.process_died();
        for sent in std::mem::take(&mut self.under_way).into_values() {
            self.conversation.unanswered(sent);
        }
        self.report.deaths += 1;
        self.trace.number(0xdead);
    }

    async fn burst(&mut self, process: &Process) {
        let mut burst = Vec::new();
        for _ in 0..self.dice.below(BURST_MAX) {
            let wish = match self.dice.percent(20) {
                true => self.load.earlier(),
                false => None,
            };
            let ledger = &self.ledger;
            let wish = wish.unwrap_or_else(|| self.load.next(|user| ledger.version(user)));
            let key = wish.is_the_callers().then(|| wish.key.to_string());
            burst.push(self.entering(wish, key));
        }
        if self.plant == Plant::Overtakes {
            burst.reverse();
        }
        for sent in burst {
            process.send(sent).await;
        }
    }

    fn entering(&mut self, wish: Wish, key_text: Option<String>) -> Sent {
        self.entries += 1;
        let sent = Sent {
            entry: self.entries,
            wish,
            key_text,
            started: Instant::now(),
            after: *self.log.durable().borrow(),
        };
        let key = self.key(&sent);
        self.conversation.sent(&sent, key);
        if sent.wish.is_the_callers() {
            self.load.sent(&sent.wish);
        }
        self.under_way.insert(sent.entry, sent.clone());
        sent
    }

    fn key(&self, sent: &Sent) -> Option<Hash16> {
        let text = sent.key_text.as_deref()?;
        Some(sent.wish.key_hash(&self.data_dir, text))
    }

    fn some_time(&mut self) -> Duration {
        let micros = match self.dice.below(40) {
            0..30 => self.dice.below(3_000),
            30..38 => self.dice.below(200_000),
            _ => self.dice.below(8_000_000),
        };
        Duration::from_micros(u64::from(micros))
    }

    /// Takes in what was committed and answered meanwhile.
    async fn look(&mut self, process: &Process) -> Result<(), String> {
        let new = self.log.records_after(self.ledger.end()).await;
        for record in &new {
            self.conversation.may_commit(record)?;
            self.trace.record(record);
        }
        self.ledger.take(&new)?;
        let now = self.clock.now().0;
        let answers = std::mem::take(&mut *process.answers());
        for answer in answers {
            let key = self.key(&answer.sent);
            self.trace.number(answer.sent.entry);
            self.under_way.remove(&answer.sent.entry);
            self.conversation
                .answered(&answer, key, &self.ledger, now)?;
            if let (None, Err(ServiceError::OutcomeUnknown { key })) = (key, &answer.result) {
                // The service's own key, known from now on: it was sent once already.
                let told = answer.sent.wish.key_hash(&self.data_dir, key);
                self.conversation.sent(&answer.sent, Some(told));
            }
            match &answer.result {
                Ok(reply) => {
                    self.trace.number(reply.details.sequence);
                    self.reads_its_write(process, &answer.sent.wish.user)
                        .await?;
                }
                Err(error) => self.trace.number(error.code() as u64),
            }
        }
        let lag_bytes = self.memory.lag().bytes();
        require(lag_bytes <= LAG_BYTES_MAX + BURST_BYTES_MAX, || {
            format!("I8: the relay is {lag_bytes} bytes behind")
        })
    }

    /// What was acknowledged is read back at once.
    async fn reads_its_write(&self, process: &Process, user: &UserId) -> Result<(), String> {
        let Some(story) = self.ledger.story(user) else {
            return Err(format!("I1: {user} is gone"));
        };
        let read = process
            .read(user.as_str(), story.current.org.as_str())
            .await;
        match read {
            Ok(QueryReply::Get(reply)) => {
                let seen = reply.details.sequence;
                require(seen == story.current.version.0, || {
                    format!("I4: {user} is read at version {seen}")
                })
            }
            Err(ServiceError::ReadNotFound(Read::Profile)) => {
                require(story.is_removed(), || format!("I4: {user} is not found"))
            }
            Ok(QueryReply::History(_) | QueryReply::List(_) | QueryReply::Replay(_)) => {
                Err("another reply".to_owned())
            }
            Err(error) => Err(format!("I4: {user} is read as {error}")),
        }
    }

    async fn something_happens(&mut self) -> Result<(), String> {
        match self.dice.below(40) {
            0..3 => self.log.die_at(1 + self.dice.below(6)),
            3..5 => self.start_relay().await?,
            5 => self.downstream.suffer(),
            6..9 => {
                let micros = i64::from(self.dice.below(100_000_000));
                self.clock.jump(-micros);
            }
            9 => self.clock.jump(25 * 3_600_000_000),
            10..20 => self.downstream.consume(&self.ledger)?,
            20..24 => self.check_all().await?,
            _ => {}
        }
        match self.downstream.relay_died() {
            true => self.start_relay().await,
            false => Ok(()),
        }
    }

    async fn start_relay(&mut self) -> Result<(), String> {
        self.downstream.kill();
        let (view, clock) = (self.memory.view(), Arc::clone(&self.clock));
        let lag = self.memory.new_lag();
        let downstream = &mut self.downstream;
        downstream.start(&self.log, view, clock, lag).await
    }

    async fn check_all(&self) -> Result<(), String> {
        // What was committed since the last look is not in the ledger yet.
        let mut log = self.log.records_after(Position::NONE).await;
        log.truncate(usize::try_from(self.ledger.end().0).unwrap());
        self.ledger.is_the_log(&log)?;
        self.downstream.check()
    }

    /// I8: once nothing fails any more, everything under way is answered, what is open can be repeated
    /// to an answer, and every event gets to the consumer.
    async fn settle(&mut self, process: &Process) -> Result<(), String> {
        self.log.heal();
        self.downstream.heal();
        self.everything_is_answered(process).await?;
        for (key, wish) in self.conversation.take_open() {
            self.repeat_to_an_end(process, &wish, key).await?;
        }
        self.conversation.is_settled()?;
        // One more commit: what was done to an idle stream is seen by it.
        let before = self.ledger.end();
        let last = self.load.last();
        let key = last.key.to_string();
        self.repeat_to_an_end(process, &last, key).await?;
        require(self.ledger.end() == before.next(), || {
            "I8: nothing fails and nothing is written".to_owned()
        })?;
        self.check_all().await?;
        self.ledger.is_the_view(self.memory.view().as_ref())?;
        let (delivered, new) = self.downstream.settle(&self.ledger).await?;
        self.trace.number(delivered);
        self.trace.number(new);
        Ok(())
    }

    async fn everything_is_answered(&mut self, process: &Process) -> Result<(), String> {
        let bound = Instant::now() + Duration::from_secs(ANSWERS_S_MAX);
        while Instant::now() < bound {
            self.look(process).await?;
            if self.under_way.is_empty() {
                return Ok(());
            }
            crate::clock::pass(Duration::from_millis(1)).await;
        }
        let waiting: Vec<_> = self.under_way.keys().collect();
        Err(format!("I8: {waiting:?} are never answered"))
    }

    /// As a client does it: again, with the same key, while it is told that it may.
    async fn repeat_to_an_end(
        &mut self,
        process: &Process,
        wish: &Wish,
        key: String,
    ) -> Result<(), String> {
        let bound = Instant::now() + Duration::from_secs(ANSWERS_S_MAX);
        while Instant::now() < bound {
            let overloaded = self.conversation.counts.overloaded;
            let sent = self.entering(wish.clone(), Some(key.clone()));
            process.send(sent).await;
            self.everything_is_answered(process).await?;
            if self.conversation.counts.overloaded == overloaded {
                return Ok(());
            }
            crate::clock::pass(Duration::from_millis(100)).await;
        }
        Err(format!("I8: {key} is refused for ever"))
    }
}
