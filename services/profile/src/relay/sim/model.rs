//! A stream in memory that behaves like JetStream's, the bad days included.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::time::Instant;

use crate::relay::message::EventMessage;
use crate::relay::stream::{Ack, AckFuture, Erasure, EventStream, StreamError, StreamState};

/// Chances of each fault, out of 100 messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    /// The message never arrives.
    lost: u32,
    /// It arrives, the answer does not.
    unanswered: u32,
    /// It arrives twice.
    doubled: u32,
    /// It arrives when everybody has given up on it.
    late: u32,
}

impl Default for Faults {
    fn default() -> Self {
        Faults {
            lost: 2,
            unanswered: 2,
            doubled: 3,
            late: 2,
        }
    }
}

impl Faults {
    pub(super) fn none() -> Faults {
        Faults {
            lost: 0,
            unanswered: 0,
            doubled: 0,
            late: 0,
        }
    }
}

/// Everything that any stream ever showed to consumers under a sequence.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    seen: BTreeMap<u64, EventMessage>,
    pub(super) complaints: Vec<String>,
}

impl Ledger {
    pub(super) fn store(&mut self, sequence: u64, message: &EventMessage) {
        let first = self.seen.entry(sequence).or_insert_with(|| message.clone());
        let same = first.position == message.position && (first == message || message.withheld);
        if !same {
            let complaint = format!("sequence {sequence} was {first:?} and is {message:?}");
            self.complaints.push(complaint);
        }
    }
}

#[derive(Debug, Default)]
struct Stream {
    first: u64,
    last: u64,
    messages: BTreeMap<u64, EventMessage>,
    ids: HashMap<String, u64>,
    /// What was erased, with the time: power loss may bring it back.
    erased: Vec<(u64, EventMessage, Instant)>,
}

#[derive(Debug)]
pub(super) struct Model {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    stream: Option<Stream>,
    ledger: Ledger,
    faults: Faults,
    random: ChaCha8Rng,
    received: usize,
    denies_deletes: bool,
    late: Vec<(EventMessage, u64)>,
}

impl Model {
    pub(super) fn new(seed: u64, faults: Faults) -> Model {
        let inner = Inner {
            stream: None,
            ledger: Ledger::default(),
            faults,
            random: ChaCha8Rng::seed_from_u64(seed),
            received: 0,
            denies_deletes: false,
            late: Vec::new(),
        };
        Model {
            inner: Mutex::new(inner),
        }
    }

    pub(super) fn heal(&self) {
        self.inner.lock().unwrap().faults = Faults::none();
    }

    pub(super) fn wipe(&self) {
        self.inner.lock().unwrap().stream = None;
    }

    /// The server comes back with an older state.
    pub(super) fn lose_tail(&self, messages: u64) {
        let mut inner = self.inner.lock().unwrap();
        let Some(stream) = &mut inner.stream else {
            return;
        };
        stream.last = stream.last.saturating_sub(messages).max(stream.first - 1);
        let last = stream.last;
        stream.messages.retain(|sequence, _| *sequence <= last);
        stream.ids.retain(|_, sequence| *sequence <= last);
        stream.erased.retain(|(sequence, ..)| *sequence <= last);
    }

    /// The server lost power: what was erased less than `settle` ago may be there again.
    pub(super) fn bring_back(&self, settle: Duration) {
        let mut inner = self.inner.lock().unwrap();
        let Some(stream) = &mut inner.stream else {
            return;
        };
        for (sequence, message, at) in std::mem::take(&mut stream.erased) {
            if at.elapsed() < settle {
                stream.messages.entry(sequence).or_insert(message);
            }
        }
        let first = stream.messages.keys().next().copied();
        stream.first = first.unwrap_or(stream.first).min(stream.first);
    }

    pub(super) fn purge(&self) {
        if let Some(stream) = &mut self.inner.lock().unwrap().stream {
            stream.messages.clear();
            stream.erased.clear();
            stream.first = stream.last + 1;
        }
    }

    /// Stored by somebody else, unconditionally.
    pub(super) fn forge(&self, message: EventMessage) -> u64 {
        let mut inner = self.inner.lock().unwrap();
        let stream = inner.stream.as_mut().unwrap();
        stream.last += 1;
        stream.messages.insert(stream.last, message);
        stream.last
    }

    /// As after a restore from a backup: ids known, messages gone.
    pub(super) fn remember_ids_elsewhere(&self) {
        let mut inner = self.inner.lock().unwrap();
        let seen: Vec<_> = inner
            .ledger
            .seen
            .values()
            .filter_map(|it| it.id.clone())
            .collect();
        let stream = inner.stream.as_mut().unwrap();
        for id in seen {
            stream.ids.entry(id).or_insert(1);
        }
    }

    /// The duplicate window is over.
    pub(super) fn forget_ids(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.stream.as_mut().unwrap().ids.clear();
    }

    pub(super) fn received(&self) -> usize {
        self.inner.lock().unwrap().received
    }

    pub(super) fn stored(&self) -> BTreeMap<u64, EventMessage> {
        let inner = self.inner.lock().unwrap();
        let stream = inner.stream.as_ref();
        stream.map(|it| it.messages.clone()).unwrap_or_default()
    }

    /// Where the stream begins and ends.
    pub(super) fn ends(&self) -> StreamState {
        let inner = self.inner.lock().unwrap();
        let stream = inner.stream.as_ref().unwrap();
        StreamState {
            first: stream.first,
            last: stream.last,
        }
    }

    /// `deny_delete`, from now on or no more.
    pub(super) fn deny_deletes(&self, denied: bool) {
        self.inner.lock().unwrap().denies_deletes = denied;
    }

    /// What consumers have seen, by sequence, and what was wrong with it.
    pub(super) fn ledger(&self) -> (BTreeMap<u64, EventMessage>, Vec<String>) {
        let inner = self.inner.lock().unwrap();
        (inner.ledger.seen.clone(), inner.ledger.complaints.clone())
    }
}

impl Inner {
    fn happens_unanswered(&mut self) -> bool {
        self.happens(self.faults.unanswered)
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.random.next_u32() % 100 < percent
    }

    /// The server's checks, in its order: id, then sequence.
    fn take(&mut self, message: &EventMessage, expected_last: u64) -> Result<Ack, StreamError> {
        self.received += 1;
        let surprise = |text: &str| StreamError::Surprise(text.to_owned());
        let stream = self
            .stream
            .as_mut()
            .ok_or_else(|| surprise("no responders"))?;
        let known = message.id.as_ref().and_then(|id| stream.ids.get(id));
        if let Some(sequence) = known {
            return Ok(Ack {
                sequence: *sequence,
                duplicate: true,
            });
        }
        if stream.last != expected_last {
            return Err(surprise("wrong last sequence (10071)"));
        }
        stream.last += 1;
        stream.messages.insert(stream.last, message.clone());
        if let Some(id) = &message.id {
            stream.ids.insert(id.clone(), stream.last);
        }
        let sequence = stream.last;
        self.ledger.store(sequence, message);
        Ok(Ack {
            sequence,
            duplicate: false,
        })
    }
}

#[async_trait]
impl EventStream for Model {
    async fn inspect(&self) -> Result<Option<StreamState>, StreamError> {
        let mut inner = self.inner.lock().unwrap();
        // What was late arrives just after a look, when it disturbs most.
        let late = std::mem::take(&mut inner.late);
        let state = inner.stream.as_ref().map(|stream| StreamState {
            first: stream.first,
            last: stream.last,
        });
        for (message, expected_last) in late {
            let _ = inner.take(&message, expected_last);
        }
        Ok(state)
    }

    async fn create(&self, first_sequence: u64) -> Result<(), StreamError> {
        self.inner.lock().unwrap().stream = Some(Stream {
            first: first_sequence,
            last: first_sequence - 1,
            ..Stream::default()
        });
        Ok(())
    }

    async fn read(&self, from: u64, to: u64) -> Result<Vec<(u64, EventMessage)>, StreamError> {
        let inner = self.inner.lock().unwrap();
        let Some(stream) = &inner.stream else {
            return Err(StreamError::Surprise("no stream".to_owned()));
        };
        let found = stream.messages.range(from..=to);
        Ok(found
            .map(|(sequence, it)| (*sequence, it.clone()))
            .collect())
    }

    async fn publish(
        &self,
        message: EventMessage,
        expected_last: u64,
    ) -> Result<AckFuture, StreamError> {
        tokio::task::yield_now().await;
        let mut inner = self.inner.lock().unwrap();
        let faults = inner.faults;
        if inner.happens(faults.lost) {
            return Ok(no_answer());
        }
        if inner.happens(faults.late) {
            inner.late.push((message, expected_last));
            return Ok(no_answer());
        }
        let mut answer = inner.take(&message, expected_last);
        if inner.happens(faults.doubled) {
            answer = inner.take(&message, expected_last);
        }
        if inner.happens(faults.unanswered) {
            return Ok(no_answer());
        }
        Ok(async move { answer }.boxed())
    }

    async fn find(
        &self,
        subject: &str,
        from: u64,
    ) -> Result<Option<(u64, EventMessage)>, StreamError> {
        self.api_call().await?;
        let inner = self.inner.lock().unwrap();
        let stream = inner.stream.as_ref().ok_or_else(no_stream)?;
        let mut found = stream.messages.range(from..);
        Ok(found
            .find(|(_, it)| it.subject == subject)
            .map(|(sequence, it)| (*sequence, it.clone())))
    }

    async fn erase(&self, sequence: u64) -> Result<Erasure, StreamError> {
        self.api_call().await?;
        let mut inner = self.inner.lock().unwrap();
        if inner.denies_deletes {
            return Err(StreamError::Refused("deny_delete".to_owned()));
        }
        let is_unanswered = inner.happens_unanswered();
        let stream = inner.stream.as_mut().ok_or_else(no_stream)?;
        let Some(message) = stream.messages.remove(&sequence) else {
            return Ok(Erasure::AlreadyGone);
        };
        stream.erased.push((sequence, message, Instant::now()));
        let next = stream.messages.keys().next().copied();
        stream.first = next.unwrap_or(stream.last + 1);
        if is_unanswered {
            return Err(StreamError::Unavailable("no answer in time".to_owned()));
        }
        Ok(Erasure::Erased)
    }
}

impl Model {
    /// A call on its way, which may get lost.
    async fn api_call(&self) -> Result<(), StreamError> {
        tokio::task::yield_now().await;
        let is_lost = {
            let mut inner = self.inner.lock().unwrap();
            let lost = inner.faults.lost;
            inner.happens(lost)
        };
        if is_lost {
            tokio::time::sleep(Duration::from_secs(5)).await;
            return Err(StreamError::Unavailable("no answer in time".to_owned()));
        }
        Ok(())
    }
}

fn no_stream() -> StreamError {
    StreamError::Surprise("no stream".to_owned())
}

fn no_answer() -> AckFuture {
    async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Err(StreamError::Unavailable("no answer in time".to_owned()))
    }
    .boxed()
}
