//! The calls and returns of a history as a list from which operations are lifted.

use crate::model::{Operation, Outcome};

#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    Call(usize),
    Return(usize),
}

/// Calls and returns in the order of time, linked both ways. Place 0 is in front of the first.
pub(super) struct Line {
    entries: Vec<Option<Entry>>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Of each operation: where it is called, and where it returns if it does.
    places: Vec<(usize, Option<usize>)>,
}

impl Line {
    pub(super) fn of(history: &[Operation]) -> Line {
        let mut timed = Vec::new();
        for (index, operation) in history.iter().enumerate() {
            // At the same moment calls come first: the two overlap, and nothing is said of their order.
            timed.push((operation.called_ns, 0, Entry::Call(index)));
            if let Outcome::Known { returned_ns, .. } = operation.outcome {
                timed.push((returned_ns, 1, Entry::Return(index)));
            }
        }
        timed.sort_by_key(|&(at, kind, _)| (at, kind));
        let mut places = vec![(0, None); history.len()];
        let mut entries = vec![None];
        for (_, _, entry) in timed {
            match entry {
                Entry::Call(operation) => places[operation].0 = entries.len(),
                Entry::Return(operation) => places[operation].1 = Some(entries.len()),
            }
            entries.push(Some(entry));
        }
        let count = entries.len();
        Line {
            entries,
            next: (0..count).map(|place| (place + 1) % count).collect(),
            previous: (0..count)
                .map(|place| (place + count - 1) % count)
                .collect(),
            places,
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        let mut place = 0;
        std::iter::from_fn(move || {
            place = self.next[place];
            self.entries[place]
        })
    }

    pub(super) fn lift(&mut self, operation: usize) {
        let (call, end) = self.places[operation];
        for place in [Some(call), end].into_iter().flatten() {
            let (before, behind) = (self.previous[place], self.next[place]);
            self.next[before] = behind;
            self.previous[behind] = before;
        }
    }

    /// The opposite of [`Line::lift`], last lifted first.
    pub(super) fn put_back(&mut self, operation: usize) {
        let (call, end) = self.places[operation];
        for place in [end, Some(call)].into_iter().flatten() {
            let (before, behind) = (self.previous[place], self.next[place]);
            self.next[before] = place;
            self.previous[behind] = place;
        }
    }
}
