//! Histories of which everybody can say whether they are linearizable.

use crate::checker::{Bounds, Verdict, check};
use crate::model::{Change, Fields, Input, Operation, Outcome, Output, Patch, Told};

pub(crate) fn fields(name: &str) -> Fields {
    Fields {
        display_name: name.to_owned(),
        nick_name: String::new(),
        gender: "GENDER_FEMALE".to_owned(),
    }
}

fn create(name: &str) -> Input {
    Input::Create(fields(name))
}

fn update(name: &str) -> Input {
    Input::Update {
        fields: fields(name),
        expected_version: None,
    }
}

fn update_if(version: u64, name: &str) -> Input {
    Input::Update {
        fields: fields(name),
        expected_version: Some(version),
    }
}

fn patch(name: &str) -> Input {
    let display_name = Some(name.to_owned());
    Input::Patch {
        patch: Patch {
            display_name,
            nick_name: None,
        },
        expected_version: None,
    }
}

fn seen(version: u64, name: &str) -> Output {
    let fields = fields(name);
    Output::Seen { version, fields }
}

fn done(version: u64) -> Output {
    Output::Done { version }
}

/// One that was answered.
fn op(called_ns: u64, returned_ns: u64, input: Input, output: Output) -> Operation {
    Operation {
        client: 0,
        input,
        called_ns,
        outcome: Outcome::Known {
            output,
            returned_ns,
        },
    }
}

/// One that was not.
fn maybe(called_ns: u64, input: Input) -> Operation {
    Operation {
        client: 0,
        input,
        called_ns,
        outcome: Outcome::Maybe,
    }
}

#[track_caller]
fn accepted(history: &[Operation]) {
    assert_eq!(
        check(history, &Told::new(), Bounds::default()),
        Verdict::Linearizable
    );
}

#[track_caller]
fn refuted(history: &[Operation]) {
    let verdict = check(history, &Told::new(), Bounds::default());
    assert!(matches!(verdict, Verdict::Refuted(_)), "{verdict:?}");
}

#[test]
fn one_after_the_other_is_accepted() {
    accepted(&[]);
    accepted(&[
        op(0, 1, Input::Get, Output::NotFound),
        op(2, 3, update("a"), Output::NotFound),
        op(4, 5, create("a"), done(1)),
        op(6, 7, create("b"), Output::AlreadyExists),
        op(8, 9, update("b"), done(2)),
        op(10, 11, update("b"), Output::NotChanged),
        op(12, 13, patch("b"), done(2)),
        op(14, 15, patch("c"), done(3)),
        op(
            16,
            17,
            update_if(2, "d"),
            Output::OtherVersion { current: 3 },
        ),
        op(18, 19, update_if(3, "d"), done(4)),
        op(20, 21, Input::Get, seen(4, "d")),
        op(22, 23, Input::Remove, done(5)),
        op(24, 25, Input::Get, Output::NotFound),
        op(26, 27, create("e"), Output::AlreadyExists),
        op(28, 29, Input::Remove, Output::NotFound),
    ]);
}

#[test]
fn what_overlaps_may_be_in_any_order() {
    for (first, second) in [(1, 2), (2, 1)] {
        let (one, two) = (first + 1, second + 1);
        let newest = if one > two { "a" } else { "b" };
        accepted(&[
            op(0, 1, create("z"), done(1)),
            op(2, 9, update("a"), done(one)),
            op(3, 8, update("b"), done(two)),
            op(2, 9, Input::Get, seen(1, "z")),
            op(10, 11, Input::Get, seen(3, newest)),
        ]);
    }
}

#[test]
fn a_stale_read_is_refuted() {
    let mut history = vec![
        op(0, 1, create("a"), done(1)),
        op(2, 3, update("b"), done(2)),
        op(4, 5, Input::Get, seen(1, "a")),
    ];
    refuted(&history);
    history[2] = op(4, 5, Input::Get, Output::NotFound);
    refuted(&history);
    // The same is right while the update is under way.
    history[2] = op(2, 5, Input::Get, seen(1, "a"));
    accepted(&history);
}

#[test]
fn a_read_that_goes_back_is_refuted() {
    // Each read alone overlaps the update; together they say new, then old.
    refuted(&[
        op(0, 1, create("a"), done(1)),
        op(2, 20, update("b"), done(2)),
        op(3, 4, Input::Get, seen(2, "b")),
        op(5, 6, Input::Get, seen(1, "a")),
    ]);
}

#[test]
fn a_lost_update_is_refuted() {
    let acknowledged = |output| {
        [
            op(0, 1, create("a"), done(1)),
            op(2, 3, update("b"), done(2)),
            op(4, 5, update("c"), output),
            op(6, 7, Input::Get, seen(2, "c")),
        ]
    };
    refuted(&acknowledged(done(2)));
    refuted(&acknowledged(done(3)));
}

#[test]
fn an_update_if_version_that_won_twice_is_refuted() {
    let twice = |second| {
        [
            op(0, 1, create("a"), done(1)),
            op(2, 9, update_if(1, "b"), done(2)),
            op(3, 8, update_if(1, "c"), second),
        ]
    };
    refuted(&twice(done(2)));
    refuted(&twice(done(3)));
    accepted(&twice(Output::OtherVersion { current: 2 }));
    refuted(&twice(Output::OtherVersion { current: 1 }));
}

#[test]
fn a_refused_update_that_took_effect_is_refuted() {
    let refused = |output| {
        [
            op(0, 1, create("a"), done(1)),
            op(2, 3, update_if(7, "b"), output),
            op(4, 5, Input::Get, seen(2, "b")),
        ]
    };
    refuted(&refused(Output::OtherVersion { current: 1 }));
    refuted(&refused(Output::NotFound));
    // Refused with "not done, try again", it is not in the history at all.
    let [create, _, get] = refused(done(2));
    refuted(&[create, get]);
}

#[test]
fn an_open_operation_is_done_at_any_time_after_its_call_or_never() {
    let story = |called_ns, version, name| {
        [
            op(0, 1, create("a"), done(1)),
            maybe(called_ns, update("b")),
            op(10, 11, Input::Get, seen(1, "a")),
            op(20, 21, Input::Get, seen(version, name)),
        ]
    };
    accepted(&story(2, 1, "a"));
    accepted(&story(2, 2, "b"));
    accepted(&story(15, 2, "b"));
    refuted(&story(22, 2, "b"));
    refuted(&story(2, 2, "c"));
    let mut undone = story(2, 2, "b").to_vec();
    undone.push(op(30, 31, Input::Get, seen(1, "a")));
    refuted(&undone);
}

#[test]
fn a_key_that_was_executed_twice_is_refuted() {
    // The client sent it twice with one key, and it is one operation.
    let story = |version| {
        [
            op(0, 1, create("a"), done(1)),
            op(2, 9, patch("b"), done(2)),
            op(4, 5, update("c"), done(3)),
            op(10, 11, Input::Get, seen(version, "b")),
        ]
    };
    refuted(&story(4));
    let mut with_open = story(4).to_vec();
    refuted(&with_open);
    // An open one without a key may be what did it.
    with_open.push(maybe(3, patch("b")));
    accepted(&with_open);
}

#[test]
fn a_removed_user_that_comes_back_is_refuted() {
    let then = |next: Operation| {
        [
            op(0, 1, create("a"), done(1)),
            op(2, 3, Input::Remove, done(2)),
            next,
        ]
    };
    refuted(&then(op(4, 5, create("a"), done(1))));
    refuted(&then(op(4, 5, create("a"), done(3))));
    refuted(&then(op(4, 5, Input::Get, seen(1, "a"))));
    refuted(&then(op(4, 5, update("b"), done(3))));
    accepted(&then(op(4, 5, create("a"), Output::AlreadyExists)));
}

#[test]
fn what_histories_tell_of_a_version_must_be_so() {
    let history = [
        op(0, 1, create("a"), done(1)),
        maybe(2, patch("b")),
        maybe(2, patch("c")),
        op(4, 5, update("d"), done(3)),
        op(6, 7, Input::History, Output::Newest { version: 3 }),
    ];
    let change = |old: Option<&str>, new: &str| {
        let old = old.map(str::to_owned);
        Change::from([("displayName", (old, new.to_owned()))])
    };
    let verdict = |two: Change, three: Change| {
        check(
            &history,
            &Told::from([(2, two), (3, three)]),
            Bounds::default(),
        )
    };
    let right = verdict(change(Some("a"), "c"), change(Some("c"), "d"));
    assert_eq!(right, Verdict::Linearizable);
    for (two, three) in [
        (change(Some("a"), "c"), change(Some("b"), "d")),
        (change(Some("a"), "e"), change(Some("e"), "d")),
        (change(None, "c"), change(Some("c"), "d")),
        (change(Some("a"), "c"), change(Some("c"), "e")),
    ] {
        let verdict = verdict(two, three);
        assert!(matches!(verdict, Verdict::Refuted(_)), "{verdict:?}");
    }
    let mut stale = history.to_vec();
    stale.push(op(8, 9, Input::History, Output::Newest { version: 2 }));
    refuted(&stale);
}

#[test]
fn a_version_that_is_skipped_is_refuted() {
    refuted(&[
        op(0, 1, create("a"), done(1)),
        op(2, 3, update("b"), done(3)),
    ]);
}

#[test]
fn what_cannot_be_decided_within_the_bounds_is_no_pass() {
    // Open patches whose versions nobody saw, and an end that only one order reaches.
    let mut history = vec![op(0, 1, create("a"), done(1))];
    history.extend((0..12).map(|n| maybe(2 + n, patch(&format!("p{n}")))));
    history.push(op(20, 21, update("z"), done(9)));
    history.push(op(22, 23, Input::Get, seen(8, "y")));
    let bounds = Bounds {
        steps_max: 1_000,
        cached_states_max: 1_000,
    };
    let verdict = check(&history, &Told::new(), bounds);
    assert!(matches!(verdict, Verdict::Undecided(_)), "{verdict:?}");
    refuted(&history);
}
