//! The laws of every [`CommitLog`], as one suite for all adapters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test, kept where all can use it
#![allow(clippy::indexing_slicing)]

mod compaction;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use profile_messages::event::EventKind;
use profile_messages::record::{CommandKey, KeyOrigin, Record};
use profile_messages::{
    Contact, Gender, OrgId, Position, ProfileFields, Timestamp, UserId, UserState, Version,
};

pub use self::compaction::KeepNewest;
pub use super::memory::HeadsInMemory;
use super::{AppendError, Commit, CommitLog, CommitObserver, Head, NotWritten, ReadLimits};
use crate::clock::Clock;

/// A log under test with what observes it. `reopen` closes nothing: the laws close the log first.
pub struct Subject {
    pub log: Arc<dyn CommitLog>,
    pub observer: Arc<HeadsInMemory>,
    pub clock: Arc<dyn Clock>,
    /// The same log opened again, its observer brought up to date; `None` where nothing persists.
    pub reopen: Option<Reopen>,
}

pub type Reopen = Box<dyn FnOnce() -> BoxFuture<'static, Subject> + Send>;
pub type Factory<'a> = &'a (dyn Fn() -> BoxFuture<'static, Subject> + Sync);

const EVERYTHING: ReadLimits = ReadLimits {
    records_max: usize::MAX,
    bytes_max: usize::MAX,
};

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.log.fmt(f)
    }
}

/// Runs each law on a fresh log.
pub async fn every_law_holds(fresh: Factory<'_>) {
    positions_and_versions_count_up(fresh().await).await;
    a_stale_head_conflicts_and_the_head_is_reported(fresh().await).await;
    of_concurrent_appends_from_one_head_exactly_one_wins(fresh().await).await;
    what_was_appended_reads_back_byte_for_byte(fresh().await).await;
    a_read_keeps_its_limits(fresh().await).await;
    the_observer_knows_a_commit_before_its_append_returns(fresh().await).await;
    after_its_deadline_a_commit_is_not_written(fresh().await).await;
    an_oversized_commit_is_not_written(fresh().await).await;
    a_closed_log_takes_nothing(fresh().await).await;
    the_durable_position_is_never_ahead_of_what_can_be_read(fresh().await).await;
    compaction::every_law_holds(fresh).await;
}

pub fn user(number: u64) -> UserId {
    UserId::parse(&format!("user-{number}")).expect("of the form")
}

/// A commit of `user` on `expected`, with an event of `event_bytes` bytes.
pub fn commit(user: &UserId, expected: Head, event_bytes: usize) -> Commit {
    let text = |name: &str| format!("{name} {user} {}", expected.version);
    Commit {
        user: user.clone(),
        org: OrgId::parse("org-1").expect("of the form"),
        expected,
        epoch: 1,
        at: Timestamp(1_757_062_536_156_333),
        kind: EventKind::Changed,
        key: Some(CommandKey {
            hash: [7; 16],
            origin: KeyOrigin::Caller,
        }),
        request_hash: [9; 16],
        event: Bytes::from(vec![b'e'; event_bytes]),
        actor: text("actor"),
        actor_issuer: String::new(),
        state: Some(UserState {
            fields: ProfileFields {
                first_name: text("first"),
                last_name: text("last"),
                nick_name: String::new(),
                display_name: text("display"),
                preferred_language: "de".to_owned(),
                gender: Gender::Diverse,
            },
            contact: Contact {
                user_name: text("name"),
                email: text("mail"),
                email_verified: true,
                phone: String::new(),
                phone_verified: false,
            },
            created_at: Timestamp(1),
        }),
        trace: None,
        deadline: None,
    }
}

impl Subject {
    async fn append(&self, user: &UserId) -> Arc<Record> {
        let head = self.observer.head(user).unwrap();
        self.log.append(commit(user, head, 300)).await.unwrap()
    }

    async fn all(&self) -> Vec<Arc<Record>> {
        self.log
            .read_after(Position::NONE, EVERYTHING)
            .await
            .unwrap()
    }
}

async fn positions_and_versions_count_up(subject: Subject) {
    for round in 1..=3 {
        for number in 0..2 {
            let record = subject.append(&user(number)).await;
            let position = 2 * (round - 1) + number + 1;
            assert_eq!(record.position, Position(position));
            assert_eq!(record.version, Version(round));
            assert_eq!(record.previous, Position(position.saturating_sub(2)));
            assert_eq!(*subject.log.durable().borrow(), Position(position));
        }
    }
}

async fn a_stale_head_conflicts_and_the_head_is_reported(subject: Subject) {
    subject.append(&user(1)).await;
    let second = subject.append(&user(2)).await;
    let head = Head::after(&second);
    let ahead = Head {
        version: Version(2),
        position: second.position,
    };
    for wrong in [Head::default(), ahead] {
        let outcome = subject.log.append(commit(&user(2), wrong, 10)).await;
        assert_eq!(outcome, Err(AppendError::Conflict { head }));
    }
    assert_eq!(subject.all().await.len(), 2);
    assert_eq!(subject.append(&user(2)).await.position, Position(3));
}

async fn of_concurrent_appends_from_one_head_exactly_one_wins(subject: Subject) {
    for round in 1..=5 {
        let head = subject.observer.head(&user(1)).unwrap();
        let appends = (0..8).map(|_| subject.log.append(commit(&user(1), head, 10)));
        let outcomes = join_all(appends).await;
        let won: Vec<_> = outcomes.iter().flatten().collect();
        assert_eq!(won.len(), 1);
        let head = Head::after(won[0]);
        let lost = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        assert!(
            lost.into_iter()
                .all(|e| *e == AppendError::Conflict { head })
        );
        assert_eq!(subject.all().await.len(), round);
    }
}

async fn what_was_appended_reads_back_byte_for_byte(subject: Subject) {
    let mut appended = Vec::new();
    for number in 0..60 {
        appended.push(subject.append(&user(number % 7)).await);
    }
    assert_reads_back(&subject, &appended).await;
    let Some(reopen) = subject.reopen else {
        return;
    };
    subject.log.close().await;
    drop(subject.log);
    let again = reopen().await;
    assert_reads_back(&again, &appended).await;
    appended.push(again.append(&user(3)).await);
    assert_reads_back(&again, &appended).await;
}

async fn assert_reads_back(subject: &Subject, appended: &[Arc<Record>]) {
    let encoded = |records: &[Arc<Record>]| {
        let mut bytes = Vec::new();
        records
            .iter()
            .for_each(|record| record.encode_into(&mut bytes));
        bytes
    };
    assert_eq!(encoded(&subject.all().await), encoded(appended));
    for record in appended.iter().rev() {
        let read = subject.log.read_one(record.position).await.unwrap();
        assert_eq!(read.as_ref(), Some(record));
    }
    let beyond = Position(appended.len() as u64 + 1);
    for nowhere in [Position::NONE, beyond, Position(u64::MAX)] {
        assert_eq!(subject.log.read_one(nowhere).await, Ok(None));
    }
    let end = subject.log.read_after(Position(u64::MAX), EVERYTHING).await;
    assert_eq!(end, Ok(Vec::new()));
}

async fn a_read_keeps_its_limits(subject: Subject) {
    for number in 0..20 {
        subject.append(&user(number)).await;
    }
    let read = async |after, records_max, bytes_max| {
        let limits = ReadLimits {
            records_max,
            bytes_max,
        };
        let records = subject.log.read_after(Position(after), limits).await;
        let records = records.unwrap();
        let positions: Vec<u64> = records.iter().map(|record| record.position.0).collect();
        positions
    };
    assert_eq!(read(0, 3, usize::MAX).await, [1, 2, 3]);
    assert_eq!(read(17, 30, usize::MAX).await, [18, 19, 20]);
    assert_eq!(read(20, 30, usize::MAX).await, Vec::<u64>::new());
    assert_eq!(read(4, 10, 0).await, [5], "one record at least");
    assert_eq!(read(4, 0, 0).await, [5], "one record at least");
    let some = read(4, 10, 2_000).await.len();
    assert!((2..=5).contains(&some), "{some} records in 2,000 bytes");
}

async fn the_observer_knows_a_commit_before_its_append_returns(subject: Subject) {
    let appends = (0..50).map(async |number| {
        let head = subject.observer.head(&user(number)).unwrap();
        let record = subject.log.append(commit(&user(number), head, 10)).await;
        let seen = subject.observer.head(&user(number)).unwrap();
        assert_eq!(seen, Head::after(&record.unwrap()));
    });
    join_all(appends).await;
}

async fn after_its_deadline_a_commit_is_not_written(subject: Subject) {
    let late = Commit {
        deadline: Some(subject.clock.monotonic()),
        ..commit(&user(1), Head::default(), 10)
    };
    let outcome = subject.log.append(late).await;
    let refused = AppendError::NotWritten(NotWritten::DeadlineExceeded);
    assert_eq!(outcome, Err(refused));
    assert_eq!(subject.all().await, []);
    subject.append(&user(1)).await;
}

async fn an_oversized_commit_is_not_written(subject: Subject) {
    let large = commit(&user(1), Head::default(), 256 * 1024);
    let outcome = subject.log.append(large).await;
    let refused = AppendError::NotWritten(NotWritten::TooLarge);
    assert_eq!(outcome, Err(refused));
    assert_eq!(subject.append(&user(1)).await.position, Position(1));
}

async fn a_closed_log_takes_nothing(subject: Subject) {
    let record = subject.append(&user(1)).await;
    subject.log.close().await;
    let outcome = subject
        .log
        .append(commit(&user(1), Head::after(&record), 10))
        .await;
    assert_eq!(outcome, Err(AppendError::NotWritten(NotWritten::Closed)));
    assert_eq!(subject.all().await, [record], "reads go on");
    subject.log.close().await;
}

async fn the_durable_position_is_never_ahead_of_what_can_be_read(subject: Subject) {
    let appends = (0..40).map(async |number| {
        subject.append(&user(number)).await;
        let durable = *subject.log.durable().borrow();
        let record = subject.log.read_one(durable).await.unwrap().unwrap();
        let seen = subject.observer.head(&record.user).unwrap();
        assert_eq!((record.position, seen.position), (durable, durable));
        let last = subject.all().await.pop().unwrap();
        assert!(last.position <= *subject.log.durable().borrow());
    });
    join_all(appends).await;
}
