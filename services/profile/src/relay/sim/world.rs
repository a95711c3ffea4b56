//! A log, a view and a cursor to let the relay run on, and the checker.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use profile_messages::current::CurrentUser;
use profile_messages::event::EventKind;
use profile_messages::record::Record;
use profile_messages::{OrgId, Position, Timestamp, UserId, Version};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::sync::watch;

use super::super::erasure::mark::ErasedMark;
use super::super::lag::RelayLag;
use super::super::message::EventMessage;
use super::super::resume::Context;
use super::super::slots::tests::SlotMemory;
use super::super::source::Source;
use super::super::{Parts, RelayHandle, start};
use super::model::{Faults, Model};
use crate::clock::Clock;
use crate::commit_log::{AppendError, Commit, CommitLog, NotWritten, ReadError, ReadLimits};
use crate::current_view::{CurrentView, ListRequest, ListRows, ViewError};
use crate::telemetry::traces::Tracer;

const USERS: u64 = 40;
/// How long the server may bring back what was erased.
pub(super) const SETTLE: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct World {
    pub(super) log: Arc<FakeLog>,
    pub(super) model: Arc<Model>,
    slots: Arc<SlotMemory>,
    erased: Arc<SlotMemory>,
    lag: Arc<RelayLag>,
    random: ChaCha8Rng,
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> World {
        World {
            log: Arc::default(),
            model: Arc::new(Model::new(seed, faults)),
            slots: Arc::default(),
            erased: Arc::default(),
            lag: Arc::default(),
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// A new process: only log, cursor and stream are left of the one before.
    pub(super) async fn start(&mut self) -> RelayHandle {
        self.lag = Arc::default();
        let source = Source {
            log: self.log.clone(),
            view: self.log.clone(),
        };
        let context = Context {
            stream: self.model.clone(),
            source,
            clock: Arc::new(FixedClock),
            max_age: Duration::ZERO,
            erased: Arc::new(self.mark().await),
            tracer: Tracer::default(),
        };
        let parts = Parts {
            context,
            slots: self.slots.clone(),
            erase_settle: SETTLE,
            store_id: "s-1".to_owned(),
            window_messages_max: 16,
            lag: self.lag.clone(),
            counts: Arc::default(),
        };
        start(parts).await.unwrap()
    }

    async fn mark(&self) -> ErasedMark {
        let loaded = ErasedMark::load(self.erased.clone(), "s-1").await;
        loaded.unwrap()
    }

    /// Up to where removals are carried out, as a compaction or the next process reads it.
    pub(super) async fn erased_through(&self) -> Position {
        self.mark().await.through()
    }

    /// A file was copied from another data directory of the same store.
    pub(super) fn take_mark_of(&mut self, other: &World) {
        self.erased = other.erased.clone();
    }

    pub(super) fn random(&mut self, below: u64) -> u64 {
        self.random.next_u64() % below
    }

    pub(super) fn lose_cursor(&self) {
        self.slots.0.lock().unwrap().clear();
    }

    pub(super) fn commit(&mut self, count: Range<u64>) {
        let more = self.random(count.end - count.start);
        for _ in 0..count.start + more {
            let user = self.random(USERS);
            self.log.append_event(user, EventKind::Changed, &self.lag);
        }
    }

    pub(super) fn remove_somebody(&mut self) {
        let user = self.random(USERS);
        self.log.append_event(user, EventKind::Removed, &self.lag);
    }

    /// What the next event will look like, but for one thing.
    pub(super) fn forge(&mut self) -> u64 {
        let records = self.log.records();
        let last = records.last().unwrap();
        let mut record = Record::clone(last);
        record.position = last.position.next();
        let mut forged = EventMessage::event(&record);
        match self.random(3) {
            0 => forged = EventMessage::withheld(&record),
            1 => forged.payload = Bytes::from_static(b"forged"),
            _ => forged.position = None,
        }
        self.model.forge(forged)
    }

    pub(super) fn is_withheld(&self, record: &Record) -> bool {
        record.kind != EventKind::Removed && self.log.is_removed(&record.user)
    }

    /// Events of users who were removed up to `through` that are in the stream all the same.
    pub(super) fn check_erased(&self, through: Position) -> Vec<String> {
        let records = self.log.all();
        let removed: HashSet<_> = records
            .iter()
            .filter(|it| it.kind == EventKind::Removed && it.position <= through)
            .map(|it| it.user.clone())
            .collect();
        let mut complaints = Vec::new();
        for (sequence, message) in self.model.stored() {
            let index = usize::try_from(sequence - 1).unwrap();
            let is_to_go = records.get(index).is_some_and(|record| {
                record.kind != EventKind::Removed && removed.contains(&record.user)
            });
            if is_to_go && !message.withheld {
                complaints.push(format!("sequence {sequence} is still there: {message:?}"));
            }
        }
        complaints
    }

    /// What is wrong with what consumers saw: nothing twice under another sequence, nothing missing,
    /// nothing that was not committed.
    pub(super) fn check(&self) -> Vec<String> {
        let (seen, mut complaints) = self.model.ledger();
        let records = self.log.all();
        for record in &records {
            let Some(message) = seen.get(&record.position.0) else {
                complaints.push(format!("position {} is missing", record.position));
                continue;
            };
            let withheld = message.withheld && self.is_withheld(record);
            if *message != EventMessage::event(record) && !withheld {
                complaints.push(format!("position {} is {message:?}", record.position));
            }
        }
        let end = records.last().map_or(0, |record| record.position.0);
        for (sequence, _) in seen.range(end + 1..) {
            complaints.push(format!("sequence {sequence} was never committed"));
        }
        let (stored, ends) = (self.model.stored(), self.model.ends());
        for (sequence, message) in &stored {
            if message.position != Some(Position(*sequence)) {
                complaints.push(format!("{message:?} is stored at {sequence}"));
            }
        }
        // Only a removed user's events may be missing in what the stream keeps.
        for record in records.iter().skip_while(|it| it.position.0 < ends.first) {
            if !stored.contains_key(&record.position.0) && !self.is_withheld(record) {
                complaints.push(format!("{} was erased", record.position));
            }
        }
        if ends.last != end {
            complaints.push(format!("the stream does not end at {end}"));
        }
        complaints
    }
}

#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000)
    }

    fn monotonic(&self) -> Instant {
        panic!("the relay asks tokio")
    }

    fn random_id(&self) -> String {
        "8".repeat(32)
    }
}

/// Log and view in one: everything is durable at once.
#[derive(Debug)]
pub(super) struct FakeLog {
    records: Mutex<Vec<Arc<Record>>>,
    first_kept: Mutex<Position>,
    removed: Mutex<HashSet<UserId>>,
    pub(super) durable: watch::Sender<Position>,
}

impl Default for FakeLog {
    fn default() -> Self {
        FakeLog {
            records: Mutex::default(),
            first_kept: Mutex::default(),
            removed: Mutex::default(),
            durable: watch::Sender::new(Position::NONE),
        }
    }
}

impl FakeLog {
    pub(super) fn all(&self) -> Vec<Arc<Record>> {
        self.records.lock().unwrap().clone()
    }

    pub(super) fn records(&self) -> Vec<Arc<Record>> {
        self.all()
    }

    pub(super) fn is_removed(&self, user: &UserId) -> bool {
        self.removed.lock().unwrap().contains(user)
    }

    pub(super) fn compact(&self, first_kept: Position) {
        *self.first_kept.lock().unwrap() = first_kept;
    }

    /// Appends unless the user is removed.
    fn append_event(&self, user: u64, kind: EventKind, lag: &RelayLag) {
        let user = UserId::parse(&format!("u-{user}")).unwrap();
        if self.is_removed(&user) {
            return;
        }
        let mut records = self.records.lock().unwrap();
        let position = Position(records.len() as u64 + 1);
        let version = records.iter().filter(|it| it.user == user).count() as u64 + 1;
        if kind == EventKind::Removed {
            self.removed.lock().unwrap().insert(user.clone());
        }
        let record = Arc::new(Record {
            position,
            previous: records
                .iter()
                .rfind(|it| it.user == user)
                .map_or(Position::NONE, |it| it.position),
            event: Bytes::from(format!("{{\"user\":\"{user}\",\"version\":{version}}}")),
            user,
            org: OrgId::parse("org").unwrap(),
            version: Version(version),
            epoch: 1,
            at: Timestamp(0),
            kind,
            key: None,
            request_hash: [0; 16],
            actor: String::new(),
            actor_issuer: String::new(),
            state: None,
            trace: None,
        });
        records.push(record.clone());
        lag.committed(&[record]);
        self.durable.send_replace(position);
    }
}

#[async_trait]
impl CommitLog for FakeLog {
    async fn append(&self, _: Commit) -> Result<Arc<Record>, AppendError> {
        Err(AppendError::NotWritten(NotWritten::Closed))
    }

    async fn read_after(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        let after = after.max(*self.first_kept.lock().unwrap());
        let records = self.records.lock().unwrap();
        let skipped = usize::try_from(after.0).unwrap();
        let read = records.iter().skip(skipped).take(limits.records_max);
        Ok(read.cloned().collect())
    }

    async fn read_one(&self, position: Position) -> Result<Option<Arc<Record>>, ReadError> {
        let is_kept = position > *self.first_kept.lock().unwrap();
        let records = self.records.lock().unwrap();
        let index = usize::try_from(position.0 - 1).unwrap();
        Ok(records.get(index).filter(|_| is_kept).cloned())
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.durable.subscribe()
    }

    fn failed(&self) -> watch::Receiver<Option<String>> {
        watch::channel(None).1
    }

    async fn close(&self) {}
}

impl CurrentView for FakeLog {
    fn user(&self, user: &UserId) -> Result<Option<Arc<CurrentUser>>, ViewError> {
        let removed = self.is_removed(user);
        let records = self.records.lock().unwrap();
        let last = records.iter().rev().find(|record| record.user == *user);
        let is_here = |_: &&Arc<Record>| removed;
        Ok(last
            .filter(is_here)
            .map(|it| Arc::new(CurrentUser::fold(None, it))))
    }

    fn list(&self, _: &ListRequest) -> Result<ListRows, ViewError> {
        Err(ViewError::Unreadable("no lists here".to_owned()))
    }

    fn org_had_user(&self, _: &OrgId) -> Result<bool, ViewError> {
        Ok(true)
    }

    fn position(&self) -> Position {
        *self.durable.borrow()
    }

    fn is_full(&self) -> bool {
        false
    }
}
