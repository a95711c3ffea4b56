//! The relay over a log with holes.

use std::collections::BTreeSet;

use super::*;
use crate::clock::SystemClock;
use crate::commit_log::conformance::{commit, user};
use crate::commit_log::memory::MemoryLog;
use crate::commit_log::{CommitObserver, Fate, Retention};
use crate::current_view::memory::MemoryView;

#[derive(Debug)]
struct Drops(BTreeSet<u64>);

impl Retention for Drops {
    fn fate(&self, record: &Record) -> Result<Fate, String> {
        let is_dropped = self.0.contains(&record.position.0);
        Ok(if is_dropped {
            Fate::Superseded
        } else {
            Fate::Keep
        })
    }
}

/// Ten commits, without those at `holes`.
async fn source(holes: &[u64]) -> Source {
    let view = Arc::new(MemoryView::default());
    let log = MemoryLog::observed(Arc::new(SystemClock::default()), Arc::clone(&view) as _);
    for number in 0..10 {
        let user = user(number % 3);
        let head = view.head(&user).unwrap();
        log.append(commit(&user, head, 10)).await.unwrap();
    }
    let drops = Drops(holes.iter().copied().collect());
    log.compact(Position(10), Arc::new(drops)).await.unwrap();
    Source {
        log: Arc::new(log),
        view,
    }
}

/// Positions up to the end, a placeholder as its negative.
async fn relayed(source: &Source, after: u64, refill: u64) -> Result<Vec<i64>, Trouble> {
    let (mut at, mut relayed) = (Position(after), Vec::new());
    loop {
        let messages = source.messages_after(at, Position(refill)).await?;
        let Some(last) = messages.last() else {
            return Ok(relayed);
        };
        at = last.message.position.unwrap();
        relayed.extend(messages.iter().map(|it| {
            let position = it.message.position.unwrap().0 as i64;
            if it.message.withheld {
                -position
            } else {
                position
            }
        }));
    }
}

#[tokio::test]
async fn a_hole_that_was_acknowledged_once_has_placeholders() {
    let source = source(&[1, 4, 5, 9]).await;
    assert_eq!(
        relayed(&source, 0, 10).await.unwrap(),
        [-1, 2, 3, -4, -5, 6, 7, 8, -9, 10]
    );
    assert_eq!(relayed(&source, 9, 0).await.unwrap(), [10]);
}

#[tokio::test]
async fn a_hole_that_was_never_acknowledged_is_refused() {
    for (holes, after, refill) in [
        (vec![4, 5], 0, 0),
        (vec![4, 5], 0, 4),
        (vec![1], 0, 0),
        (vec![9, 10], 6, 9),
    ] {
        let source = source(&holes).await;
        let outcome = relayed(&source, after, refill).await;
        assert!(
            matches!(outcome, Err(Trouble::Refused(Refusal::LogGap { .. }))),
            "{holes:?} {after} {refill}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_log_that_keeps_nothing_at_its_end_is_relayed_to_it() {
    let source = source(&[8, 9, 10]).await;
    assert_eq!(relayed(&source, 6, 10).await.unwrap(), [7, -8, -9, -10]);
}

#[tokio::test]
async fn a_message_at_a_hole_is_taken_if_it_says_where_it_stands() {
    let source = source(&[4]).await;
    let at = |position| EventMessage::compacted(Position(position));
    source.compare(&[(4, at(4))]).await.unwrap();
    assert!(source.compare(&[(4, at(5))]).await.is_err());
    assert!(source.compare(&[(5, at(5))]).await.is_err());
    let counted = source.bytes(Position::NONE, Position(10)).await.unwrap();
    assert_eq!(counted, 9 * 10);
}
