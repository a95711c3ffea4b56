//! Answers on their way to the threads that wait for them: one wake-up for each thread and group.
//!
//! To wake a task of another thread's runtime takes a system call, and to wait again takes that thread
//! another one. Done for each commit, both took more time than everything else that the writer does. So
//! the answers of a group go in one message to a task on each of the waiting threads, and that hands
//! them out where waking is cheap.

use std::cell::RefCell;
use std::sync::Arc;

use profile_messages::record::Record;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot};

use crate::commit_log::AppendError;

pub(super) type Outcome = Result<Arc<Record>, AppendError>;

/// Who waits for the outcome of a commit.
#[derive(Debug)]
pub(super) struct Answer {
    waiting: oneshot::Sender<Outcome>,
    /// The task that hands out answers where it waits; `None` outside of a runtime.
    thread: Option<Handing>,
}

/// As many as commits may wait for the writer: it is bounded by the writer's queue.
type Handing = mpsc::UnboundedSender<Vec<(oneshot::Sender<Outcome>, Outcome)>>;

thread_local! {
    static HERE: RefCell<Option<Handing>> = const { RefCell::new(None) };
}

/// An answer that will be waited for on this thread.
pub(super) fn expected_here() -> (Answer, oneshot::Receiver<Outcome>) {
    let (waiting, answered) = oneshot::channel();
    let answer = Answer {
        waiting,
        thread: handing_here(),
    };
    (answer, answered)
}

/// Nobody may wait any more: that is no fault, what was committed stands all the same.
pub(super) fn hand_out(answers: impl Iterator<Item = (Answer, Outcome)>) {
    let mut threads: Vec<(Handing, Vec<_>)> = Vec::new();
    for (answer, outcome) in answers {
        let Some(thread) = answer.thread else {
            let _ = answer.waiting.send(outcome);
            continue;
        };
        let known = threads
            .iter_mut()
            .find(|(known, _)| known.same_channel(&thread));
        match known {
            Some((_, answers)) => answers.push((answer.waiting, outcome)),
            None => threads.push((thread, vec![(answer.waiting, outcome)])),
        }
    }
    for (thread, answers) in threads {
        // Its runtime is gone: whoever still waits is elsewhere.
        if let Err(SendError(answers)) = thread.send(answers) {
            hand_each(answers);
        }
    }
}

fn hand_each(answers: Vec<(oneshot::Sender<Outcome>, Outcome)>) {
    for (waiting, outcome) in answers {
        let _ = waiting.send(outcome);
    }
}

fn handing_here() -> Option<Handing> {
    let runtime = Handle::try_current().ok()?;
    HERE.with_borrow_mut(|here| {
        let usable = here.take().filter(|handing| !handing.is_closed());
        let handing = usable.unwrap_or_else(|| {
            let (handing, mut groups) = mpsc::unbounded_channel();
            runtime.spawn(async move {
                while let Some(answers) = groups.recv().await {
                    hand_each(answers);
                }
            });
            handing
        });
        *here = Some(handing.clone());
        Some(handing)
    })
}
