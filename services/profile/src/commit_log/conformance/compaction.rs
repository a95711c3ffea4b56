//! The laws of compaction.

use std::collections::BTreeSet;

use futures::future::join;

use super::*;
use crate::commit_log::{CompactError, Fate, Retention};

/// Records of a usual size fill several segments of a file log under test with these.
const ROUNDS: u64 = 14;
const USERS: u64 = 9;
const EVENT_BYTES: usize = 6_000;

/// Keeps the newest `versions` of each user; of the users `erased` the newest alone.
#[derive(Debug)]
pub struct KeepNewest {
    pub heads: Arc<HeadsInMemory>,
    pub versions: u64,
    pub erased: BTreeSet<UserId>,
}

impl Retention for KeepNewest {
    fn fate(&self, record: &Record) -> Result<Fate, String> {
        let head = self.heads.head(&record.user)?;
        if record.version == head.version {
            return Ok(Fate::Keep);
        }
        if self.erased.contains(&record.user) {
            return Ok(Fate::Erased);
        }
        let is_kept = record.version.0.saturating_add(self.versions) > head.version.0;
        Ok(if is_kept {
            Fate::Keep
        } else {
            Fate::Superseded
        })
    }
}

/// Cannot tell.
#[derive(Debug)]
struct Unsure;

impl Retention for Unsure {
    fn fate(&self, record: &Record) -> Result<Fate, String> {
        Err(format!("position {}", record.position))
    }
}

pub(super) async fn every_law_holds(fresh: Factory<'_>) {
    what_is_kept_reads_back_and_the_rest_is_a_hole(fresh().await).await;
    what_is_erased_goes_and_is_no_dropped_history(fresh().await).await;
    nothing_after_the_bound_is_touched(fresh().await).await;
    appends_and_reads_go_on_during_a_compaction(fresh().await).await;
    who_cannot_tell_what_is_kept_loses_nothing(fresh().await).await;
    a_closed_log_is_not_compacted(fresh().await).await;
}

impl Subject {
    fn keep_newest(&self, versions: u64, erased: &[u64]) -> Arc<KeepNewest> {
        Arc::new(KeepNewest {
            heads: Arc::clone(&self.observer),
            versions,
            erased: erased.iter().map(|number| user(*number)).collect(),
        })
    }

    async fn fill(&self) -> Vec<Arc<Record>> {
        let mut all = Vec::new();
        for _ in 0..ROUNDS {
            let appends = (0..USERS).map(|number| {
                let head = self.observer.head(&user(number)).unwrap();
                self.log.append(commit(&user(number), head, EVENT_BYTES))
            });
            all.extend(join_all(appends).await.into_iter().map(Result::unwrap));
        }
        all
    }

    async fn compact(&self, retention: Arc<KeepNewest>) {
        let durable = *self.log.durable().borrow();
        self.log.compact(durable, retention).await.unwrap();
    }
}

/// What is left of `all` is in order and byte for byte; what is not was not to be kept.
async fn assert_rest(subject: &Subject, all: &[Arc<Record>], retention: &KeepNewest) {
    let rest = subject.all().await;
    let mut left = rest.iter().peekable();
    let mut superseded = Position::NONE;
    for record in all {
        let read = subject.log.read_one(record.position).await.unwrap();
        if left.peek() == Some(&record) {
            assert_eq!(left.next(), read.as_ref());
            continue;
        }
        assert_eq!(read, None);
        match retention.fate(record).unwrap() {
            Fate::Keep => panic!("position {} is lost", record.position),
            Fate::Superseded => superseded = record.position,
            Fate::Erased => {}
        }
        let before = Position(record.position.0 - 1);
        let behind = subject.log.read_after(before, EVERYTHING).await.unwrap();
        let expected = rest.iter().find(|it| it.position > record.position);
        assert_eq!(behind.first(), expected, "a read goes on behind a hole");
    }
    assert_eq!(left.next(), None);
    assert_eq!(subject.log.dropped_through(), superseded);
}

async fn what_is_kept_reads_back_and_the_rest_is_a_hole(subject: Subject) {
    let mut all = subject.fill().await;
    let everything = subject.keep_newest(ROUNDS, &[]);
    subject.compact(Arc::clone(&everything)).await;
    assert_eq!(subject.all().await, all, "what is kept stays");
    let retention = subject.keep_newest(2, &[]);
    subject.compact(Arc::clone(&retention)).await;
    assert!(
        subject.all().await.len() < all.len(),
        "something is dropped"
    );
    assert_rest(&subject, &all, &retention).await;
    all.extend(subject.fill().await);
    subject.compact(Arc::clone(&retention)).await;
    assert_rest(&subject, &all, &retention).await;
    let Some(reopen) = subject.reopen else {
        return;
    };
    let (rest, dropped_through) = (
        subject.log.read_after(Position::NONE, EVERYTHING).await,
        subject.log.dropped_through(),
    );
    subject.log.close().await;
    drop(subject.log);
    let again = reopen().await;
    assert_eq!(again.log.dropped_through(), dropped_through);
    assert_eq!(Ok(again.all().await), rest);
    all.extend(again.fill().await);
    let retention = again.keep_newest(1, &[]);
    again.compact(Arc::clone(&retention)).await;
    assert_rest(&again, &all, &retention).await;
}

async fn what_is_erased_goes_and_is_no_dropped_history(subject: Subject) {
    let all = subject.fill().await;
    let retention = subject.keep_newest(ROUNDS, &[2, 5]);
    subject.compact(Arc::clone(&retention)).await;
    let expected: Vec<_> = all
        .iter()
        .filter(|record| retention.fate(record) == Ok(Fate::Keep))
        .cloned()
        .collect();
    assert_eq!(subject.all().await, expected);
    assert_eq!(subject.log.dropped_through(), Position::NONE);
    let next = subject.append(&user(2)).await;
    assert_eq!(next.position.0, ROUNDS * USERS + 1);
}

async fn nothing_after_the_bound_is_touched(subject: Subject) {
    let all = subject.fill().await;
    let until = all[all.len() / 2].position;
    let retention = subject.keep_newest(1, &[3]);
    subject
        .log
        .compact(until, Arc::clone(&retention) as _)
        .await
        .unwrap();
    assert_rest(&subject, &all, &retention).await;
    let rest = subject.all().await;
    let behind: Vec<_> = rest.into_iter().filter(|it| it.position > until).collect();
    assert_eq!(behind, all[all.len() / 2 + 1..]);
}

async fn appends_and_reads_go_on_during_a_compaction(subject: Subject) {
    let mut all = subject.fill().await;
    let heads = subject.keep_newest(1, &[1]);
    // The fates of before: what is appended meanwhile makes more of it superseded.
    let kept: Vec<_> = all
        .iter()
        .filter(|record| heads.fate(record) == Ok(Fate::Keep))
        .cloned()
        .collect();
    let durable = *subject.log.durable().borrow();
    let frozen = Arc::new(KeepNewest {
        heads: Arc::new(HeadsInMemory::default()),
        versions: 1,
        erased: BTreeSet::from([user(1)]),
    });
    frozen.heads.committed(&all);
    let compaction = subject.log.compact(durable, Arc::clone(&frozen) as _);
    let beside = async {
        let mut more = Vec::new();
        for _ in 0..3 {
            more.extend(subject.fill().await);
            let read = subject.all().await;
            let positions: Vec<_> = read.iter().map(|record| record.position).collect();
            assert!(positions.is_sorted_by(|a, b| a < b));
            assert!(kept.iter().all(|record| read.contains(record)));
            assert!(more.iter().all(|record| read.contains(record)));
        }
        more
    };
    let (outcome, more) = join(compaction, beside).await;
    outcome.unwrap();
    all.extend(more);
    let read = subject.all().await;
    assert!(kept.iter().all(|record| read.contains(record)));
    assert!(read.ends_with(&all[durable.0 as usize..]));
}

async fn who_cannot_tell_what_is_kept_loses_nothing(subject: Subject) {
    let all = subject.fill().await;
    let durable = *subject.log.durable().borrow();
    let outcome = subject.log.compact(durable, Arc::new(Unsure)).await;
    assert!(matches!(outcome, Err(CompactError::Retention(_))));
    assert_eq!(subject.all().await, all);
    assert_eq!(subject.log.dropped_through(), Position::NONE);
    subject.append(&user(1)).await;
    assert_eq!(*subject.log.failed().borrow(), None);
}

async fn a_closed_log_is_not_compacted(subject: Subject) {
    let all = subject.fill().await;
    subject.log.close().await;
    let retention = subject.keep_newest(1, &[]);
    let outcome = subject.log.compact(Position(u64::MAX), retention).await;
    assert_eq!(outcome, Err(CompactError::Closed));
    assert_eq!(subject.all().await, all);
}
