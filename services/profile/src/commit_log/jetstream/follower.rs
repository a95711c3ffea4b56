//! The thread that tells the observer of commits: in the order of the stream, without a gap, whether this
//! node's appends, the consumer or a read brought them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use profile_messages::Position;
use profile_messages::record::Record;
use tokio::sync::{mpsc, watch};

use super::reading::Run;
use crate::commit_log::file::recent::Recent;
use crate::commit_log::{CommitObserver, ReadError, ReadLimits};

/// Runs that wait for the thread.
const QUEUE_RUNS_MAX: usize = 4096;
/// Runs that wait for what is before them; beyond, the latest are read again when their turn comes.
const EARLY_RUNS_MAX: usize = 16_384;
/// A head that cannot be read now (the view is being written anew), or room that is not there, is asked for again
/// after this long.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Follower {
    /// `None` once it is told to end.
    runs: Mutex<Option<mpsc::Sender<Run>>>,
    shared: Arc<Shared>,
    /// Closed when the thread has gone.
    running: watch::Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    observer: Arc<dyn CommitObserver>,
    recent: Recent,
    durable: watch::Sender<Position>,
    failed: watch::Sender<Option<String>>,
}

impl Follower {
    pub(super) fn start(
        durable: Position,
        observer: Arc<dyn CommitObserver>,
    ) -> std::io::Result<Follower> {
        let (sender, runs) = mpsc::channel(QUEUE_RUNS_MAX);
        let shared = Arc::new(Shared {
            observer,
            recent: Recent::default(),
            durable: watch::Sender::new(durable),
            failed: watch::Sender::new(None),
        });
        let own = Arc::clone(&shared);
        let (alive, running) = watch::channel(());
        let follow = move || {
            if catch_unwind(AssertUnwindSafe(|| own.follow(runs))).is_err() {
                own.fail("the thread that follows the log panicked");
            }
            drop(alive);
        };
        std::thread::Builder::new()
            .name("log-follower".to_owned())
            .spawn(follow)?;
        Ok(Follower {
            runs: Mutex::new(Some(sender)),
            shared,
            running,
        })
    }

    pub(super) async fn take(&self, run: Run) {
        let sender = self
            .runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(sender) = sender {
            // Fails when the thread is gone, and `failed` says so.
            let _ = sender.send(run).await;
        }
    }

    /// Tells the observer what is here already, and nothing after the return.
    pub(super) async fn end(&self) {
        *self.runs.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = self.running.clone().changed().await;
    }

    /// The newest position that the observer knows.
    pub(super) fn position(&self) -> Position {
        *self.shared.durable.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Position> {
        self.shared.durable.subscribe()
    }

    pub(super) fn watch_failed(&self) -> watch::Receiver<Option<String>> {
        self.shared.failed.subscribe()
    }

    /// Whether the observer gets there within `bound`.
    pub(super) async fn reaches(&self, position: Position, bound: Duration) -> bool {
        let mut durable = self.watch();
        let reached = durable.wait_for(|durable| *durable >= position);
        matches!(tokio::time::timeout(bound, reached).await, Ok(Ok(_)))
    }

    /// What follows `after`, if it is still in memory.
    pub(super) fn read_recent(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Option<Vec<Arc<Record>>> {
        let to = self.position();
        self.shared.recent.between(after, to, limits)
    }

    pub(super) fn forget_recent(&self) {
        self.shared.recent.forget_through(Position(u64::MAX));
    }

    /// No append will be acknowledged any more: somebody has to look.
    pub(super) fn fail(&self, why: &str) {
        self.shared.fail(why);
    }

    pub(super) fn refuse_failed(&self) -> Result<(), ReadError> {
        match self.shared.failed.borrow().as_ref() {
            None => Ok(()),
            Some(why) => Err(ReadError::Io(why.clone())),
        }
    }
}

impl Shared {
    fn fail(&self, why: &str) {
        self.failed.send_if_modified(|failed| {
            let is_first = failed.is_none();
            failed.get_or_insert_with(|| why.to_owned());
            is_first
        });
    }

    fn follow(&self, mut runs: mpsc::Receiver<Run>) {
        let mut early = BTreeMap::new();
        while let Some(run) = runs.blocking_recv() {
            keep(&mut early, run);
            while let Ok(run) = runs.try_recv() {
                keep(&mut early, run);
            }
            let group = in_turn(&mut early, *self.durable.borrow());
            if let Some(group) = group
                && !self.tell(group, &runs)
            {
                return;
            }
        }
    }

    /// False when the log was closed meanwhile.
    fn tell(&self, group: Run, runs: &mpsc::Receiver<Run>) -> bool {
        // The stream keeps what the observer has no room for.
        while self.observer.has_no_room() {
            if runs.is_closed() {
                return false;
            }
            std::thread::park_timeout(AGAIN_AFTER);
        }
        let records: Vec<_> = group
            .commits
            .iter()
            .map(|it| Arc::clone(&it.record))
            .collect();
        for record in &records {
            while let Err(why) = self.observer.head(&record.user) {
                if runs.is_closed() {
                    return false;
                }
                tracing::warn!(why, "a head cannot be read, asking again");
                std::thread::park_timeout(AGAIN_AFTER);
            }
        }
        self.observer.committed(&records);
        if group.has_holes() {
            self.recent.forget_through(Position(u64::MAX));
        } else {
            let bytes: Vec<_> = group.commits.iter().map(|it| it.bytes).collect();
            self.recent.keep(&records, &bytes);
        }
        self.durable.send_replace(group.through);
        true
    }
}

/// Of two runs from the same place the longer one tells more.
fn keep(early: &mut BTreeMap<Position, Run>, run: Run) {
    let known = early.get(&run.after).map(|run| run.through);
    if known.is_none_or(|known| known < run.through) {
        early.insert(run.after, run);
    }
    if early.len() > EARLY_RUNS_MAX {
        early.pop_last();
    }
}

/// All that can be told now, as one group.
fn in_turn(early: &mut BTreeMap<Position, Run>, durable: Position) -> Option<Run> {
    let mut group = Run {
        after: durable,
        through: durable,
        commits: Vec::new(),
    };
    while let Some(first) = early.first_entry()
        && *first.key() <= group.through
    {
        let run = first.remove();
        let through = group.through;
        let newer = run.commits.into_iter();
        let newer = newer.filter(|it| it.record.position > through);
        group.commits.extend(newer);
        group.through = run.through.max(through);
    }
    (group.through > durable).then_some(group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit_log::Head;
    use crate::commit_log::conformance::{commit, user};
    use crate::commit_log::jetstream::stream::Stored;

    fn run(after: u64, through: u64, positions: &[u64]) -> Run {
        let stored = |position: &u64| Stored {
            record: Arc::new(commit(&user(1), Head::default(), 1).into_record(Position(*position))),
            bytes: 1,
        };
        Run {
            after: Position(after),
            through: Position(through),
            commits: positions.iter().map(stored).collect(),
        }
    }

    fn told(runs: Vec<Run>, durable: u64) -> (u64, Vec<u64>) {
        let mut early = BTreeMap::new();
        runs.into_iter().for_each(|run| keep(&mut early, run));
        let group = in_turn(&mut early, Position(durable));
        group.map_or((durable, Vec::new()), |group| {
            let positions = group.commits.iter().map(|it| it.record.position.0);
            (group.through.0, positions.collect())
        })
    }

    #[test]
    fn what_came_early_waits_for_what_is_before_it() {
        assert_eq!(told(vec![run(5, 6, &[6])], 4), (4, vec![]));
        let both = vec![run(5, 6, &[6]), run(4, 5, &[5])];
        assert_eq!(told(both, 4), (6, vec![5, 6]));
    }

    #[test]
    fn what_came_twice_is_told_once_and_a_known_hole_is_passed() {
        let twice = vec![run(3, 5, &[4, 5]), run(4, 6, &[5, 6]), run(6, 9, &[9])];
        assert_eq!(told(twice, 4), (9, vec![5, 6, 9]));
        assert_eq!(told(vec![run(1, 3, &[2, 3])], 4), (4, vec![]));
    }

    #[test]
    fn of_two_runs_from_one_place_the_longer_one_counts() {
        let two = vec![run(4, 8, &[5, 8]), run(4, 5, &[5])];
        assert_eq!(told(two, 4), (8, vec![5, 8]));
    }
}
