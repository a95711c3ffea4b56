//! The checks themselves: a wrong answer is seen, and only the last frame of a log may be lost.

use std::collections::BTreeMap;

use serde_json::json;

use crate::frames::uncovered;
use crate::observe::{Told, Verdict};

fn told(answers: &[(&str, Option<u16>, &str)]) -> Told {
    let answers = answers.iter();
    let answers = answers.map(|(question, status, body)| {
        let answer = (*status, json!(body));
        ((*question).to_owned(), answer)
    });
    Told(answers.collect::<BTreeMap<_, _>>())
}

#[test]
fn an_answer_that_is_wrong_missing_or_new_is_caught() {
    let truth = told(&[("get ann", None, "Ann"), ("get eve", Some(404), "")]);
    let judge = |answers: &[(&str, Option<u16>, &str)]| told(answers).judge(&truth);
    assert_eq!(truth.judge(&truth), Verdict::Equal);
    for wrong in [
        &[("get ann", None, "Bob"), ("get eve", Some(404), "")][..],
        &[("get ann", Some(404), ""), ("get eve", Some(404), "")],
        &[("get ann", None, "Ann"), ("get eve", None, "Eve")],
        &[("get ann", None, "Ann")],
        &[
            ("get ann", None, "Ann"),
            ("get eve", Some(404), ""),
            ("list page 2", None, ""),
        ],
        &[("get ann", Some(503), ""), ("get eve", None, "Eve")],
    ] {
        assert!(matches!(judge(wrong), Verdict::Wrong(_)), "{wrong:?}");
    }
    let refused = judge(&[("get ann", Some(503), ""), ("get eve", Some(404), "")]);
    assert_eq!(refused, Verdict::Refused(1));
}

#[test]
fn only_a_last_group_is_uncovered() {
    let frame = |length: u32, kind: u8| {
        let mut bytes = vec![0; (length as usize).next_multiple_of(8)];
        bytes[..8].copy_from_slice(b"magic123");
        bytes[8..12].copy_from_slice(&length.to_le_bytes());
        bytes[38] = kind;
        bytes
    };
    let segment = |frames: &[Vec<u8>]| [vec![1; 4096], frames.concat(), vec![0; 1000]].concat();
    let (group, idle) = (frame(77, 1), frame(40, 2));
    let last = 4096 + 80;
    let end = last + 80 + 1000;
    assert_eq!(
        uncovered(&segment(&[group.clone(), group.clone()])),
        Some(last..end)
    );
    assert_eq!(uncovered(&segment(&[group, idle])), None);
    assert_eq!(uncovered(&segment(&[])), None);
}
