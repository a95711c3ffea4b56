//! Histories made from a real order: what is made right is accepted, and one lie is found.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::checker::{Bounds, Verdict, check};
use crate::known::fields;
use crate::model::{Fields, Input, Operation, Outcome, Output, Patch, State, Told};

const HISTORIES: u64 = 300;
const SMALL_HISTORIES: u64 = 5_000;
/// Time between two operations of the real order.
const STEP_NS: u64 = 100;

/// A history with the state before each of its operations in the real order.
struct Made {
    history: Vec<Operation>,
    /// When each took effect, and the state that it met.
    met: Vec<(u64, State)>,
}

fn below(rng: &mut ChaCha8Rng, bound: u64) -> u64 {
    rng.next_u64() % bound
}

fn input(rng: &mut ChaCha8Rng, names: u64, version: u64) -> Input {
    let name = format!("n{}", below(rng, names));
    let guess = (version + 1).saturating_sub(below(rng, 3));
    let expected_version = (below(rng, 3) == 0).then_some(guess);
    match below(rng, 20) {
        0..8 => Input::Get,
        8..10 => Input::Create(fields(&name)),
        10..15 => Input::Update {
            fields: fields(&name),
            expected_version,
        },
        15..19 => Input::Patch {
            patch: Patch {
                display_name: Some(name),
                nick_name: None,
            },
            expected_version,
        },
        _ if below(rng, 20) == 0 => Input::Remove,
        _ => Input::Get,
    }
}

/// Executes operations one by one and lets their intervals overlap at random; of some no answer comes.
fn made(rng: &mut ChaCha8Rng, count: u64) -> Made {
    let mut state = State::Absent;
    let mut made = Made {
        history: Vec::new(),
        met: Vec::new(),
    };
    for number in 0..count {
        let at = 10 * STEP_NS + number * STEP_NS;
        let version = version_of(&state);
        let input = input(rng, 2 * count, version);
        let (output, after) = state.execute(&input);
        let (before, behind) = (below(rng, 5 * STEP_NS), below(rng, 5 * STEP_NS));
        let is_open = below(rng, 15) == 0;
        // What is done late, or never: only the call is known.
        let is_done = !is_open || below(rng, 2) == 0;
        let outcome = match is_open {
            true => Outcome::Maybe,
            false => Outcome::Known {
                output,
                returned_ns: at + behind,
            },
        };
        made.history.push(Operation {
            client: 0,
            input,
            called_ns: at - before,
            outcome,
        });
        made.met.push((at, state.clone()));
        if is_done {
            state = after;
        }
    }
    made
}

fn version_of(state: &State) -> u64 {
    match state {
        State::Present { version, .. } => *version,
        State::Absent | State::Removed => 0,
    }
}

/// A read that saw something, from a place drawn at random.
fn a_read(rng: &mut ChaCha8Rng, history: &mut [Operation]) -> Option<usize> {
    let from = below(rng, history.len() as u64) as usize;
    let saw = |operation: &Operation| {
        let Outcome::Known { output, .. } = &operation.outcome else {
            return false;
        };
        matches!(output, Output::Seen { .. })
    };
    let places = (from..history.len()).chain(0..from);
    places.into_iter().find(|&place| saw(&history[place]))
}

fn seen_by(operation: &mut Operation) -> (&mut u64, &mut Fields) {
    match &mut operation.outcome {
        Outcome::Known {
            output: Output::Seen { version, fields },
            ..
        } => (version, fields),
        Outcome::Known { .. } | Outcome::Maybe => panic!("a read"),
    }
}

#[test]
fn what_was_executed_in_order_is_accepted_however_it_overlaps() {
    for seed in 0..HISTORIES {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = 20 + below(&mut rng, 300);
        let verdict = check(
            &made(&mut rng, count).history,
            &Told::new(),
            Bounds::default(),
        );
        assert_eq!(verdict, Verdict::Linearizable, "seed {seed}");
    }
}

#[test]
fn one_value_that_is_not_true_is_refuted() {
    let mut lies = 0;
    for seed in 0..HISTORIES {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = 20 + below(&mut rng, 300);
        let Made { mut history, met } = made(&mut rng, count);
        let Some(place) = a_read(&mut rng, &mut history) else {
            continue;
        };
        let called_ns = history[place].called_ns;
        let (version, fields) = seen_by(&mut history[place]);
        match seed % 3 {
            0 => "nobody wrote this".clone_into(&mut fields.display_name),
            1 => *version += 1_000,
            _ => {
                let older = met.iter().rev().find_map(|(at, state)| match state {
                    State::Present {
                        version: old,
                        fields,
                    } if old < version => {
                        // Somebody made a newer one, and it was answered before this read began.
                        Some((*at, *old, Fields::clone(fields)))
                    }
                    State::Present { .. } | State::Absent | State::Removed => None,
                });
                let Some((_, old, old_fields)) = older else {
                    continue;
                };
                (*version, *fields) = (old, old_fields);
                let newer = history.iter().any(|other| {
                    matches!(&other.outcome, Outcome::Known {
                        output: Output::Seen { version, .. } | Output::Done { version },
                        returned_ns,
                    } if *version > old && *returned_ns < called_ns)
                });
                if !newer {
                    continue;
                }
            }
        }
        lies += 1;
        let verdict = check(&history, &Told::new(), Bounds::default());
        assert!(
            matches!(verdict, Verdict::Refuted(_)),
            "seed {seed}: {verdict:?}"
        );
    }
    assert!(lies > HISTORIES / 2, "{lies} lies");
}

/// Every order of every choice of the open ones, without any shortcut.
fn plainly(history: &[Operation], placed: &mut Vec<usize>, state: &State) -> bool {
    let is_answered = |place: &usize| history[*place].outcome != Outcome::Maybe;
    let mut left = (0..history.len()).filter(|place| !placed.contains(place));
    if !left.any(|place| is_answered(&place)) {
        return true;
    }
    for place in 0..history.len() {
        if placed.contains(&place) || is_late(history, placed, place) {
            continue;
        }
        let (told, after) = state.execute(&history[place].input);
        let fits = match &history[place].outcome {
            Outcome::Known { output, .. } => *output == told,
            Outcome::Maybe => true,
        };
        placed.push(place);
        if fits && plainly(history, placed, &after) {
            return true;
        }
        placed.pop();
    }
    false
}

/// Whether another one returned before this one was called, and has no place yet.
fn is_late(history: &[Operation], placed: &[usize], place: usize) -> bool {
    (0..history.len()).any(|other| match history[other].outcome {
        Outcome::Known { returned_ns, .. } => {
            returned_ns < history[place].called_ns && !placed.contains(&other)
        }
        Outcome::Maybe => false,
    })
}

#[test]
fn a_search_without_shortcuts_comes_to_the_same_verdict() {
    let (mut right, mut wrong) = (0, 0);
    for seed in 0..SMALL_HISTORIES {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut history = made(&mut rng, 7).history;
        // Few names and versions, so that a wrong one is often almost right.
        for operation in &mut history {
            let is_touched = below(&mut rng, 6) == 0;
            match &mut operation.outcome {
                Outcome::Known {
                    output: Output::Seen { version, .. } | Output::Done { version },
                    ..
                } if is_touched => *version = 1 + below(&mut rng, 4),
                Outcome::Known { returned_ns, .. } if is_touched => *returned_ns += 300,
                Outcome::Known { .. } | Outcome::Maybe => {}
            }
        }
        let plain = plainly(&history, &mut Vec::new(), &State::Absent);
        let verdict = check(&history, &Told::new(), Bounds::default());
        assert_eq!(
            verdict == Verdict::Linearizable,
            plain,
            "seed {seed}: {history:#?}"
        );
        *(if plain { &mut right } else { &mut wrong }) += 1;
    }
    assert!(right > SMALL_HISTORIES / 10 && wrong > SMALL_HISTORIES / 10);
}
