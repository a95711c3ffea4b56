//! An event stream in memory that behaves like JetStream's, the bad days included.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use profile::relay::message::EventMessage;
use profile::relay::stream::{Ack, AckFuture, Erasure, EventStream, StreamError, StreamState};

use crate::dice::Dice;

#[derive(Debug)]
pub(crate) struct SimStream(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    dice: Dice,
    healed: bool,
    stream: Option<Stream>,
    /// Arrives when everybody has given up on it.
    late: Vec<(EventMessage, u64)>,
}

#[derive(Debug, Default)]
struct Stream {
    first: u64,
    last: u64,
    messages: BTreeMap<u64, EventMessage>,
    ids: BTreeMap<String, u64>,
}

impl SimStream {
    pub(crate) fn new(dice: Dice) -> SimStream {
        SimStream(Mutex::new(Inner {
            dice,
            healed: false,
            stream: None,
            late: Vec::new(),
        }))
    }

    pub(crate) fn heal(&self) {
        self.0.lock().unwrap().healed = true;
    }

    /// Somebody deletes the stream.
    pub(crate) fn wipe(&self) {
        self.0.lock().unwrap().stream = None;
    }

    /// The server comes back with an older state.
    pub(crate) fn lose_tail(&self, messages: u64) {
        let mut inner = self.0.lock().unwrap();
        let Some(stream) = &mut inner.stream else {
            return;
        };
        stream.last = stream.last.saturating_sub(messages).max(stream.first - 1);
        let last = stream.last;
        stream.messages.split_off(&(last + 1));
        stream.ids.retain(|_, sequence| *sequence <= last);
    }

    /// What is stored from `sequence` on, at most `messages_max`, and where the stream ends.
    pub(crate) fn from(
        &self,
        sequence: u64,
        messages_max: usize,
    ) -> (Vec<(u64, EventMessage)>, u64) {
        let inner = self.0.lock().unwrap();
        let Some(stream) = &inner.stream else {
            return (Vec::new(), 0);
        };
        let found = stream.messages.range(sequence..).take(messages_max);
        (
            found
                .map(|(sequence, it)| (*sequence, it.clone()))
                .collect(),
            stream.last,
        )
    }
}

impl Inner {
    /// The server's checks, in its order: id, then sequence.
    fn take(&mut self, message: &EventMessage, expected_last: u64) -> Result<Ack, StreamError> {
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
        Ok(Ack {
            sequence: stream.last,
            duplicate: false,
        })
    }
}

#[async_trait]
impl EventStream for SimStream {
    async fn inspect(&self) -> Result<Option<StreamState>, StreamError> {
        let mut inner = self.0.lock().unwrap();
        if !inner.healed && inner.dice.percent(5) {
            return Err(StreamError::Unavailable("no answer in time".to_owned()));
        }
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
        self.0.lock().unwrap().stream = Some(Stream {
            first: first_sequence,
            last: first_sequence - 1,
            ..Stream::default()
        });
        Ok(())
    }

    async fn read(&self, from: u64, to: u64) -> Result<Vec<(u64, EventMessage)>, StreamError> {
        let inner = self.0.lock().unwrap();
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
        let mut inner = self.0.lock().unwrap();
        let draw = match inner.healed {
            true => 100,
            false => inner.dice.below(100),
        };
        match draw {
            // It never arrives.
            0..2 => Ok(no_answer()),
            2..4 => {
                inner.late.push((message, expected_last));
                Ok(no_answer())
            }
            // It arrives, the answer does not.
            4..6 => {
                let _ = inner.take(&message, expected_last);
                Ok(no_answer())
            }
            6..9 => {
                let _ = inner.take(&message, expected_last);
                let answer = inner.take(&message, expected_last);
                Ok(async move { answer }.boxed())
            }
            _ => {
                let answer = inner.take(&message, expected_last);
                Ok(async move { answer }.boxed())
            }
        }
    }

    async fn find(
        &self,
        subject: &str,
        from: u64,
    ) -> Result<Option<(u64, EventMessage)>, StreamError> {
        let inner = self.0.lock().unwrap();
        let stored = inner.stream.iter().flat_map(|it| it.messages.range(from..));
        let mut found = stored.filter(|(_, message)| message.subject == subject);
        Ok(found.next().map(|(sequence, it)| (*sequence, it.clone())))
    }

    async fn erase(&self, sequence: u64) -> Result<Erasure, StreamError> {
        let mut inner = self.0.lock().unwrap();
        if !inner.healed && inner.dice.percent(5) {
            return Err(StreamError::Unavailable("no answer in time".to_owned()));
        }
        let Some(stream) = &mut inner.stream else {
            return Err(StreamError::Surprise("no stream".to_owned()));
        };
        Ok(match stream.messages.remove(&sequence) {
            Some(_) => Erasure::Erased,
            None => Erasure::AlreadyGone,
        })
    }
}

fn no_answer() -> AckFuture {
    async {
        crate::clock::pass(Duration::from_secs(5)).await;
        Err(StreamError::Unavailable("no answer in time".to_owned()))
    }
    .boxed()
}
