//! The window: messages under way to the stream, each chained to the one before it.
//!
//! Every message carries the sequence that the stream must be at, so that what follows a failed one
//! fails too. After the first failure nothing more is sent; what is under way is awaited (every
//! acknowledgement has a deadline), and then the relay looks at the stream before it sends again.

use std::collections::VecDeque;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use profile_messages::Position;
use tokio::sync::watch;

use super::message::EventMessage;
use super::progress::Progress;
use super::reconcile::Trouble;
use super::resume::{Context, Resumed};
use super::source::Outgoing;
use super::stream::{Ack, StreamError};
use crate::telemetry::traces::Span;

/// One message under way.
struct Landed {
    sequence: u64,
    event_bytes: u64,
    ack: Result<Ack, StreamError>,
}

pub(super) struct Window<'a> {
    context: &'a Context,
    progress: &'a Progress,
    messages_max: usize,
    durable: watch::Receiver<Position>,
    queue: VecDeque<Outgoing>,
    under_way: FuturesOrdered<BoxFuture<'static, Landed>>,
    /// The sequence of the message sent last.
    sent: u64,
    refill: Position,
    trouble: Option<Trouble>,
}

impl<'a> Window<'a> {
    pub(super) fn new(
        context: &'a Context,
        progress: &'a Progress,
        messages_max: usize,
        from: Resumed,
    ) -> Window<'a> {
        Window {
            context,
            progress,
            messages_max: messages_max.max(1),
            durable: context.source.log.durable(),
            queue: VecDeque::new(),
            under_way: FuturesOrdered::new(),
            sent: from.last,
            refill: from.refill,
            trouble: None,
        }
    }

    /// Publishes until there is trouble (returned) or until `stop` turns true (`None`), and in both
    /// cases until nothing is under way any more.
    pub(super) async fn run(mut self, stop: &mut watch::Receiver<bool>) -> Option<Trouble> {
        loop {
            let closing = self.trouble.is_some() || *stop.borrow();
            if !closing && let Err(trouble) = self.fill().await {
                self.trouble = Some(trouble);
                continue;
            }
            if closing && self.under_way.is_empty() {
                return self.trouble;
            }
            let open = !closing && self.under_way.len() < self.messages_max;
            // No branch starves another: `stop` and the log's end are looked at in every turn of the loop.
            tokio::select! {
                biased;
                Some(landed) = self.under_way.next() => self.land(landed),
                moved = self.durable.changed(), if open => {
                    if moved.is_err() {
                        let closed = "the commit log is closed".to_owned();
                        self.trouble = Some(Trouble::Later(closed));
                    }
                }
                () = self.progress.look_wanted(), if !closing => {
                    let gone = "the event stream was not found".to_owned();
                    self.trouble = Some(Trouble::Later(gone));
                }
                gone = stop.changed(), if !closing => {
                    if gone.is_err() {
                        return self.trouble;
                    }
                }
            }
        }
    }

    /// Sends as much as the window and the log allow.
    async fn fill(&mut self) -> Result<(), Trouble> {
        while self.under_way.len() < self.messages_max {
            let Some(outgoing) = self.next().await? else {
                return Ok(());
            };
            let Outgoing {
                message,
                event_bytes,
            } = outgoing;
            let sequence = self.sent + 1;
            if message.position != Some(Position(sequence)) {
                let text = format!("the log gave another commit than {sequence}");
                return Err(Trouble::Later(text));
            }
            if message.is_removal() {
                self.progress.sends_removal(Position(sequence));
            }
            let mut span = self.span(&message);
            let ack = self.context.stream.publish(message, self.sent).await?;
            self.sent = sequence;
            self.under_way.push_back(Box::pin(async move {
                let ack = ack.await;
                if ack.is_err() {
                    span.fail("not_acknowledged");
                }
                Landed {
                    sequence,
                    event_bytes,
                    ack,
                }
            }));
        }
        Ok(())
    }

    /// From here to the acknowledgement, in the trace of the commit.
    fn span(&self, message: &EventMessage) -> Span {
        let trace = self.context.tracer.at(message.trace.as_ref());
        let mut span = trace.produce("publish profile-event.v1.{orgId}.{userId}");
        span.note("messaging.system", "nats");
        span.note("messaging.operation.name", "publish");
        span.note("messaging.operation.type", "send");
        span.note_text("messaging.destination.name", &message.subject);
        if let Some(id) = &message.id {
            span.note_text("messaging.message.id", id);
        }
        span
    }

    async fn next(&mut self) -> Result<Option<Outgoing>, Trouble> {
        if self.queue.is_empty() && self.sent < self.durable.borrow_and_update().0 {
            let after = Position(self.sent);
            let source = &self.context.source;
            self.queue = source.messages_after(after, self.refill).await?.into();
        }
        Ok(self.queue.pop_front())
    }

    fn land(&mut self, landed: Landed) {
        if self.trouble.is_some() {
            // Behind a failed one: only a look at the stream tells what became of it.
            return;
        }
        match landed.ack {
            // A duplicate counts only when it is this very place: elsewhere the id is somebody's.
            Ok(ack) if ack.sequence == landed.sequence => {
                let position = Position(landed.sequence);
                self.progress
                    .acked(position, landed.event_bytes, self.refill);
            }
            Ok(Ack {
                sequence,
                duplicate,
            }) => {
                let expected = landed.sequence;
                self.progress.refused();
                self.trouble = Some(Trouble::Later(format!(
                    "sequence {sequence} acknowledged instead of {expected}, duplicate {duplicate}"
                )));
            }
            Err(error) => {
                match error {
                    StreamError::Unavailable(_) => self.progress.unanswered(),
                    StreamError::Surprise(_)
                    | StreamError::Unsupported(_)
                    | StreamError::Refused(_) => self.progress.refused(),
                }
                self.trouble = Some(error.into());
            }
        }
    }
}
