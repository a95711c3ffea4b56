//! Is there an order of the operations, each between its call and its return, that the model agrees
//! with? The search of Wing & Gong (1993) with the cache of Lowe (2017), as in Porcupine: a list of
//! calls and returns in the order of time, from which an operation is lifted when it takes its place.
//!
//! Four shortcuts keep the search near linear, and none of them loses an order:
//! - an answered operation that fits and changes nothing goes next at once: if there is an order, there
//!   is one with it here;
//! - an unanswered operation that changes nothing is not placed at all: it may as well never be done;
//! - a version is reached once: an unanswered operation does not take the version of which an answer
//!   says that another operation made it, or that it looks otherwise;
//! - versions only grow: a version is not reached while an answer that tells an earlier one has no place.
//!
//! What histories tell of a version must be true where that version is reached.

mod line;

use std::collections::{BTreeMap, HashSet};

use crate::model::{Change, Fields, Input, Operation, Outcome, Output, State, Told};
use line::{Entry, Line};

/// What one check may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) steps_max: u64,
    /// Each is about an eighth of a byte for every operation of the history, and a state.
    pub(crate) cached_states_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            steps_max: 5_000_000,
            cached_states_max: 250_000,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Linearizable,
    /// There is no such order; how far the search came.
    Refuted(String),
    /// The bounds were reached. Not a pass.
    Undecided(String),
}

/// Checks the history of one user, which starts absent; every change is as `told`, where that tells it.
pub(crate) fn check(history: &[Operation], told: &Told, bounds: Bounds) -> Verdict {
    Search::new(history, told).run(bounds)
}

struct Search<'a> {
    history: &'a [Operation],
    told: &'a Told,
    facts: Facts<'a>,
    line: Line,
    placed: Placed,
    /// Answered operations without a place.
    unplaced: usize,
    /// Of those that tell a version, how many can have no place behind which version.
    latest: BTreeMap<u64, usize>,
    /// The most that were placed at once, and where it ended.
    farthest: (usize, String),
}

/// One place of the order: the state there and what may come next.
struct Frame {
    state: State,
    /// The operation before; none at the start.
    operation: Option<usize>,
    /// Last one first.
    untried: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(history: &'a [Operation], told: &'a Told) -> Search<'a> {
        let known = |operation: &&Operation| operation.outcome != Outcome::Maybe;
        let mut latest = BTreeMap::new();
        for version in history.iter().filter_map(latest_version) {
            *latest.entry(version).or_default() += 1;
        }
        Search {
            history,
            told,
            facts: Facts::of(history),
            line: Line::of(history),
            placed: Placed(vec![0; history.len().div_ceil(64)]),
            unplaced: history.iter().filter(known).count(),
            latest,
            farthest: (0, "nothing fits at the start".to_owned()),
        }
    }

    fn run(&mut self, bounds: Bounds) -> Verdict {
        let mut seen: HashSet<(Placed, State)> = HashSet::new();
        let mut frames = vec![self.frame(State::Absent, None)];
        let mut steps = 0;
        while self.unplaced > 0 {
            let Some(frame) = frames.last_mut() else {
                let (placed, at) = &self.farthest;
                return Verdict::Refuted(format!("{placed} operations fit, then {at}"));
            };
            steps += 1;
            if steps > bounds.steps_max || seen.len() >= bounds.cached_states_max {
                let (cached, (placed, at)) = (seen.len(), &self.farthest);
                let bound = format!("after {steps} steps and {cached} states");
                return Verdict::Undecided(format!("{bound}; {placed} operations fit, then {at}"));
            }
            let Some(operation) = frame.untried.pop() else {
                let gone = frame.operation;
                frames.pop();
                if let Some(operation) = gone {
                    self.take_back(operation);
                }
                continue;
            };
            let Some(after) = self.step(&frame.state, operation) else {
                continue;
            };
            self.place(operation);
            if self.is_too_late(&after) {
                self.take_back(operation);
                continue;
            }
            if seen.insert((self.placed.clone(), after.clone())) {
                let next = self.frame(after, Some(operation));
                frames.push(next);
            } else {
                self.take_back(operation);
            }
        }
        Verdict::Linearizable
    }

    /// The state after the operation, if it fits here.
    fn step(&self, state: &State, operation: usize) -> Option<State> {
        let Operation { input, outcome, .. } = &self.history[operation];
        let (told, after) = state.execute(input);
        let fits = match outcome {
            Outcome::Known { output, .. } => *output == told,
            Outcome::Maybe => after != *state && self.facts.allow(operation, &told, &after),
        };
        (fits && self.is_as_told(state, &after)).then_some(after)
    }

    fn is_as_told(&self, before: &State, after: &State) -> bool {
        let State::Present { version, fields } = after else {
            return true;
        };
        let before = match before {
            State::Present { fields, .. } => Some(fields.as_ref()),
            State::Absent | State::Removed => None,
        };
        let is_so = |change: &Change| *change == fields.change_from(before);
        before == Some(fields) || self.told.get(version).is_none_or(is_so)
    }

    /// What may come next: everything that was called before the first return.
    fn frame(&mut self, state: State, operation: Option<usize>) -> Frame {
        let (mut answered, mut open) = (Vec::new(), Vec::new());
        let mut end = None;
        for entry in self.line.entries() {
            match entry {
                Entry::Call(called) if self.history[called].outcome == Outcome::Maybe => {
                    open.push(called);
                }
                Entry::Call(called) => answered.push(called),
                Entry::Return(returned) => {
                    end = Some(returned);
                    break;
                }
            }
        }
        self.note(&state, end);
        let changes_nothing = |&&operation: &&usize| {
            self.step(&state, operation)
                .is_some_and(|after| after == state)
        };
        let untried = match answered.iter().find(changes_nothing) {
            Some(&operation) => vec![operation],
            None => answered.into_iter().chain(open).rev().collect(),
        };
        Frame {
            state,
            operation,
            untried,
        }
    }

    fn note(&mut self, state: &State, first_return: Option<usize>) {
        let placed = self.placed.count();
        if placed >= self.farthest.0
            && let Some(operation) = first_return
        {
            let operation = &self.history[operation];
            self.farthest = (placed, format!("in {state:?} does not fit {operation:?}"));
        }
    }

    /// Whether some answer tells a version that is gone by in this state.
    fn is_too_late(&self, state: &State) -> bool {
        let Some((earliest, _)) = self.latest.first_key_value() else {
            return false;
        };
        match state {
            State::Absent => false,
            State::Present { version, .. } => version > earliest,
            State::Removed => true,
        }
    }

    fn place(&mut self, operation: usize) {
        self.line.lift(operation);
        self.placed.flip(operation);
        if let Some(version) = latest_version(&self.history[operation])
            && let Some(count) = self.latest.get_mut(&version)
        {
            *count -= 1;
            if *count == 0 {
                self.latest.remove(&version);
            }
        }
        self.unplaced -= usize::from(self.history[operation].outcome != Outcome::Maybe);
    }

    fn take_back(&mut self, operation: usize) {
        self.line.put_back(operation);
        self.placed.flip(operation);
        if let Some(version) = latest_version(&self.history[operation]) {
            *self.latest.entry(version).or_default() += 1;
        }
        self.unplaced += usize::from(self.history[operation].outcome != Outcome::Maybe);
    }
}

/// The last version of the user at which an answered operation can have its place; none if it tells none.
fn latest_version(operation: &Operation) -> Option<u64> {
    let Outcome::Known { output, .. } = &operation.outcome else {
        return None;
    };
    match (&operation.input, output) {
        (_, Output::Seen { version, .. } | Output::Newest { version })
        | (_, Output::OtherVersion { current: version })
        // It may have found everything as it wanted it.
        | (Input::Patch { .. }, Output::Done { version }) => Some(*version),
        (_, Output::Done { version }) => version.checked_sub(1),
        (_, Output::NotFound | Output::AlreadyExists | Output::NotChanged) => None,
    }
}

/// What the answers say of versions, whatever the order.
struct Facts<'a> {
    made_by: BTreeMap<u64, usize>,
    looks: BTreeMap<u64, &'a Fields>,
}

impl<'a> Facts<'a> {
    fn of(history: &'a [Operation]) -> Facts<'a> {
        let (mut made_by, mut looks) = (BTreeMap::new(), BTreeMap::new());
        for (index, Operation { input, outcome, .. }) in history.iter().enumerate() {
            let Outcome::Known { output, .. } = outcome else {
                continue;
            };
            match (input, output) {
                (Input::Get, Output::Seen { version, fields }) => {
                    looks.insert(*version, fields);
                }
                (
                    Input::Create(fields) | Input::Update { fields, .. },
                    Output::Done { version },
                ) => {
                    made_by.insert(*version, index);
                    looks.insert(*version, fields);
                }
                (Input::Remove, Output::Done { version }) => {
                    made_by.insert(*version, index);
                }
                // A patch may have found everything as it wanted it; the rest tells no version.
                (_, _) => {}
            }
        }
        Facts { made_by, looks }
    }

    /// Whether an unanswered operation may be the one that made this version.
    fn allow(&self, operation: usize, told: &Output, after: &State) -> bool {
        let Output::Done { version } = told else {
            return false;
        };
        let made_by = self.made_by.get(version).copied();
        made_by.is_none_or(|maker| maker == operation)
            && match (after, self.looks.get(version)) {
                (State::Present { fields, .. }, Some(looks)) => **fields == **looks,
                (State::Removed, Some(_)) => false,
                (State::Absent, _) | (_, None) => true,
            }
    }
}

/// A set of operations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Placed(Vec<u64>);

impl Placed {
    fn flip(&mut self, operation: usize) {
        self.0[operation / 64] ^= 1 << (operation % 64);
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}
