use profile_messages::UserId;

use super::*;
use crate::commit_log::Head;
use crate::commit_log::conformance::commit;

const ALL: ReadLimits = ReadLimits {
    records_max: usize::MAX,
    bytes_max: usize::MAX,
};

fn record(position: u64, event_bytes: usize) -> Arc<Record> {
    let user = UserId::parse("u").unwrap();
    Arc::new(commit(&user, Head::default(), event_bytes).into_record(Position(position)))
}

fn kept(positions: impl Iterator<Item = u64>) -> Recent {
    let recent = Recent::default();
    for position in positions {
        recent.keep(&[record(position, 10)], &[10]);
    }
    recent
}

fn positions(found: Option<Vec<Arc<Record>>>) -> Option<Vec<u64>> {
    Some(found?.iter().map(|record| record.position.0).collect())
}

#[test]
fn what_is_here_is_given_in_order_up_to_the_bounds() {
    let recent = kept(5..=9);
    let between = |after, to| positions(recent.between(Position(after), Position(to), ALL));
    assert_eq!(between(4, 100), Some(vec![5, 6, 7, 8, 9]));
    assert_eq!(between(6, 8), Some(vec![7, 8]));
    let two = ReadLimits {
        records_max: 2,
        ..ALL
    };
    let found = recent.between(Position(4), Position(100), two);
    assert_eq!(positions(found), Some(vec![5, 6]));
}

#[test]
fn what_is_not_here_is_left_to_the_files() {
    let recent = kept(5..=9);
    for after in [0, 3, 9, 100] {
        let found = recent.between(Position(after), Position(100), ALL);
        assert_eq!(positions(found), None, "after {after}");
    }
    let empty = Recent::default().between(Position(0), Position(100), ALL);
    assert_eq!(positions(empty), None);
}

#[test]
fn what_was_compacted_is_forgotten() {
    let recent = kept(5..=9);
    recent.forget_through(Position(7));
    assert_eq!(
        positions(recent.between(Position(4), Position(100), ALL)),
        None
    );
    let found = recent.between(Position(7), Position(100), ALL);
    assert_eq!(positions(found), Some(vec![8, 9]));
}

#[test]
fn it_stays_within_its_bounds() {
    let many = kept(1..=RECORDS_MAX as u64 + 10);
    assert_eq!(many.lock().records.len(), RECORDS_MAX);
    let large = Recent::default();
    for position in 1..=20 {
        large.keep(&[record(position, 10)], &[BYTES_MAX / 10]);
    }
    let tail = large.lock();
    assert!(tail.bytes <= BYTES_MAX, "{}", tail.bytes);
    assert_eq!(
        tail.bytes,
        tail.records.iter().map(|it| it.bytes).sum::<usize>()
    );
    assert_eq!(tail.records.back().unwrap().record.position, Position(20));
}
