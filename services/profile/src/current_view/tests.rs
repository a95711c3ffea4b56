//! What every current view keeps to, run against each of them; and the model, records and log for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use profile_messages::current::CurrentUser;
use profile_messages::event::EventKind;
use profile_messages::record::Record;
use profile_messages::{
    Contact, Gender, OrgId, Position, ProfileFields, Timestamp, UserId, UserState, Version,
};
use proptest::prelude::*;
use tokio::sync::watch;

use super::memory::MemoryView;
use super::{CurrentView, ListKey, ListRequest, ListRows, folded};
use crate::commit_log::{
    AppendError, Commit, CommitLog, CommitObserver, Head, NotWritten, ReadError, ReadLimits,
};

pub(super) trait View: CurrentView + CommitObserver {}
impl<T: CurrentView + CommitObserver> View for T {}

/// A view under test and what happens to it after each commit.
pub(super) struct Subject<'a> {
    pub(super) view: &'a dyn View,
    pub(super) after_commit: &'a dyn Fn(),
    history: History,
}

impl<'a> Subject<'a> {
    pub(super) fn new(view: &'a dyn View, after_commit: &'a dyn Fn()) -> Self {
        let history = History::default();
        Subject {
            view,
            after_commit,
            history,
        }
    }

    fn commit(&mut self, org: &str, user: &str, display_name: Option<&str>) {
        let record = self.history.next(org, user, display_name);
        self.view.committed(&[record]);
        (self.after_commit)();
    }

    fn names(&self, request: &ListRequest) -> Vec<String> {
        names(&self.view.list(request).unwrap())
    }
}

/// Records in commit order, and the model that a view has to agree with.
#[derive(Clone, Default)]
pub(super) struct History {
    pub(super) records: Vec<Arc<Record>>,
    pub(super) model: BTreeMap<UserId, CurrentUser>,
}

impl History {
    /// The user's next record; no display name removes the user.
    pub(super) fn next(&mut self, org: &str, user: &str, name: Option<&str>) -> Arc<Record> {
        let user = UserId::parse(user).unwrap();
        let before = self.model.get(&user);
        let kind = match (before, name) {
            (None, _) => EventKind::Created,
            (Some(_), Some(_)) => EventKind::Changed,
            (Some(_), None) => EventKind::Removed,
        };
        let position = Position(self.records.len() as u64 + 1);
        let record = Arc::new(Record {
            position,
            previous: before.map_or(Position::NONE, |before| before.position),
            user: user.clone(),
            org: OrgId::parse(org).unwrap(),
            version: before.map_or(Version(1), |before| before.version.next()),
            epoch: 1,
            at: Timestamp(position.0 as i64),
            kind,
            key: None,
            request_hash: [0; 16],
            event: Bytes::from_static(b"{}"),
            actor: "actor".to_owned(),
            actor_issuer: String::new(),
            state: name.map(state),
            trace: None,
        });
        let entry = CurrentUser::fold(before, &record);
        self.model.insert(user, entry);
        self.records.push(Arc::clone(&record));
        record
    }

    pub(super) fn listed(&self, org: &str, prefix: &str) -> Vec<String> {
        let org = OrgId::parse(org).unwrap();
        let listed: BTreeSet<ListKey> = self
            .model
            .values()
            .filter(|entry| entry.org == org)
            .filter_map(ListKey::of)
            .filter(|key| key.display_name_folded.starts_with(prefix))
            .collect();
        listed
            .iter()
            .map(|key| name(&key.display_name_folded, &key.user))
            .collect()
    }

    #[track_caller]
    pub(super) fn check(&self, view: &dyn View) {
        for (user, entry) in &self.model {
            assert_eq!(view.user(user).unwrap().as_deref(), Some(entry));
            let head = Head {
                version: entry.version,
                position: entry.position,
            };
            assert_eq!(view.head(user), Ok(head));
        }
        let orgs: BTreeSet<&OrgId> = self.model.values().map(|entry| &entry.org).collect();
        for org in orgs {
            assert!(view.org_had_user(org).unwrap());
            let listed = self.listed(org.as_str(), "");
            assert_eq!(names(&view.list(&all(org.as_str())).unwrap()), listed);
        }
        assert_eq!(view.position(), Position(self.records.len() as u64));
    }
}

fn state(display_name: &str) -> UserState {
    UserState {
        fields: ProfileFields {
            first_name: "First".to_owned(),
            last_name: "Last".to_owned(),
            nick_name: String::new(),
            display_name: display_name.to_owned(),
            preferred_language: "und".to_owned(),
            gender: Gender::Unspecified,
        },
        contact: Contact {
            user_name: "name".to_owned(),
            email: "a@example.org".to_owned(),
            email_verified: false,
            phone: String::new(),
            phone_verified: false,
        },
        created_at: Timestamp(1),
    }
}

fn name(display_name_folded: &str, user: &UserId) -> String {
    format!("{display_name_folded}/{user}")
}

pub(super) fn names(page: &ListRows) -> Vec<String> {
    let keys = page.rows.iter().map(|row| ListKey::of(row).unwrap());
    keys.map(|key| name(&key.display_name_folded, &key.user))
        .collect()
}

pub(super) fn all(org: &str) -> ListRequest {
    ListRequest {
        org: OrgId::parse(org).unwrap(),
        prefix_folded: String::new(),
        after: None,
        rows_max: 1_000,
    }
}

/// Reads a whole list in pages.
fn paged(view: &dyn View, org: &str, prefix: &str, rows_max: usize) -> Vec<String> {
    let mut request = ListRequest {
        prefix_folded: folded(prefix),
        rows_max,
        ..all(org)
    };
    let mut found = Vec::new();
    loop {
        let page = view.list(&request).unwrap();
        assert!(page.rows.len() <= rows_max);
        assert_eq!(page.position, view.position());
        found.extend(names(&page));
        if !page.more {
            return found;
        }
        request.after = page.rows.last().and_then(|row| ListKey::of(row));
    }
}

/// Every law below.
pub(super) const LAWS: [fn(&mut Subject<'_>); 6] = [
    a_commit_is_read_at_once,
    a_removed_user_leaves_the_list_and_keeps_the_entry,
    a_new_display_name_moves_the_user_in_the_list,
    an_organization_stays_known_after_its_last_user,
    organizations_and_prefixes_do_not_mix,
    a_group_is_taken_in_order_and_twice_is_once,
];

fn a_commit_is_read_at_once(subject: &mut Subject<'_>) {
    assert_eq!(subject.view.position(), Position::NONE);
    let unknown = UserId::parse("u1").unwrap();
    assert_eq!(subject.view.user(&unknown), Ok(None));
    assert_eq!(subject.view.head(&unknown), Ok(Head::default()));
    for (user, name) in [
        ("u1", "Zoë"),
        ("u2", "ada"),
        ("u1", "Bob"),
        ("u3", "bob"),
        ("u1", "bOb"),
    ] {
        subject.commit("o1", user, Some(name));
        subject.history.check(subject.view);
    }
    assert_eq!(subject.names(&all("o1")), ["ada/u2", "bob/u1", "bob/u3"]);
}

fn a_removed_user_leaves_the_list_and_keeps_the_entry(subject: &mut Subject<'_>) {
    subject.commit("o1", "u1", Some("Ada"));
    subject.commit("o1", "u2", Some("Bob"));
    subject.commit("o1", "u1", None);
    assert_eq!(subject.names(&all("o1")), ["bob/u2"]);
    let removed = subject
        .view
        .user(&UserId::parse("u1").unwrap())
        .unwrap()
        .unwrap();
    assert_eq!((removed.version, &removed.state), (Version(2), &None));
    subject.history.check(subject.view);
}

fn a_new_display_name_moves_the_user_in_the_list(subject: &mut Subject<'_>) {
    for (user, name) in [("u1", "A"), ("u2", "B"), ("u3", "C")] {
        subject.commit("o1", user, Some(name));
    }
    for name in ["b", "D", "a\0", "", "C", "A"] {
        subject.commit("o1", "u2", Some(name));
        subject.history.check(subject.view);
    }
}

fn an_organization_stays_known_after_its_last_user(subject: &mut Subject<'_>) {
    let org = OrgId::parse("o1").unwrap();
    assert_eq!(subject.view.org_had_user(&org), Ok(false));
    subject.commit("o1", "u1", Some("A"));
    subject.commit("o1", "u1", None);
    assert_eq!(subject.view.org_had_user(&org), Ok(true));
    assert_eq!(
        subject.view.org_had_user(&OrgId::parse("o").unwrap()),
        Ok(false)
    );
    assert!(subject.names(&all("o1")).is_empty());
}

fn organizations_and_prefixes_do_not_mix(subject: &mut Subject<'_>) {
    for (org, user, name) in [
        ("o", "u1", "1x"),
        ("o1", "u2", "x"),
        ("o1", "u3", "XY"),
        ("o-1", "u4", "x"),
        ("o1", "u5", "y"),
        ("o1", "u6", "x\0y"),
    ] {
        subject.commit(org, user, Some(name));
    }
    assert_eq!(subject.names(&all("o")), ["1x/u1"]);
    assert_eq!(
        paged(subject.view, "o1", "X", 2),
        ["x/u2", "x\0y/u6", "xy/u3"]
    );
    assert_eq!(paged(subject.view, "o1", "xY", 1), ["xy/u3"]);
    assert!(paged(subject.view, "o1", "z", 1).is_empty());
    let none = ListRequest {
        rows_max: 0,
        ..all("o1")
    };
    let page = subject.view.list(&none).unwrap();
    assert!(page.rows.is_empty() && page.more);
}

fn a_group_is_taken_in_order_and_twice_is_once(subject: &mut Subject<'_>) {
    for (user, name) in [
        ("u1", Some("A")),
        ("u2", Some("B")),
        ("u1", Some("C")),
        ("u2", None),
    ] {
        subject.history.next("o1", user, name);
    }
    let group = subject.history.records.clone();
    for records in [&group[..], &group[..], &group[1..3]] {
        subject.view.committed(records);
        (subject.after_commit)();
        subject.history.check(subject.view);
    }
}

/// One step of a random history: user, display name or removal.
pub(super) type Step = (u8, Option<String>);

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = proptest::option::weighted(0.8, "[aAbB\0ß]{0,3}");
    proptest::collection::vec((0u8..12, name), 1..60)
}

/// Commits the steps and, after every few, pages through the list in every way.
pub(super) fn pages_never_skip_or_repeat(subject: &mut Subject<'_>, steps: &[Step]) {
    for (index, (user, name)) in steps.iter().enumerate() {
        let user = format!("u{user}");
        let is_new = !subject
            .history
            .model
            .contains_key(&UserId::parse(&user).unwrap());
        let name = if is_new {
            Some(name.as_deref().unwrap_or("a"))
        } else {
            name.as_deref()
        };
        subject.commit("o1", &user, name);
        if index % 7 == 0 || index + 1 == steps.len() {
            for (prefix, rows_max) in [("", 1), ("", 3), ("", 100), ("A", 2), ("ß", 1)] {
                let expected = subject.history.listed("o1", &folded(prefix));
                assert_eq!(paged(subject.view, "o1", prefix, rows_max), expected);
            }
        }
    }
    subject.history.check(subject.view);
}

#[test]
fn the_memory_view_keeps_the_laws() {
    for law in LAWS {
        law(&mut Subject::new(&MemoryView::default(), &|| ()));
    }
}

proptest! {
    #[test]
    fn pages_of_the_memory_view_never_skip_or_repeat(steps in steps()) {
        pages_never_skip_or_repeat(&mut Subject::new(&MemoryView::default(), &|| ()), &steps);
    }
}

#[tokio::test]
async fn the_memory_view_catches_up() {
    let mut history = History::default();
    for round in 0..5_000 {
        history.next("o1", &format!("u{}", round % 70), Some("A"));
    }
    let view = MemoryView::default();
    let log = FakeLog::of(&history);
    assert_eq!(view.catch_up(&log).await, Ok(Position(5_000)));
    history.check(&view);
    assert_eq!(view.catch_up(&log).await, Ok(Position(5_000)));
    assert!(log.reads() < 5);
}

/// A log that only reads.
#[derive(Debug)]
pub(super) struct FakeLog {
    records: Vec<Arc<Record>>,
    durable: watch::Sender<Position>,
    reads: Mutex<usize>,
}

impl FakeLog {
    pub(super) fn of(history: &History) -> FakeLog {
        FakeLog {
            records: history.records.clone(),
            durable: watch::Sender::new(Position(history.records.len() as u64)),
            reads: Mutex::new(0),
        }
    }

    fn reads(&self) -> usize {
        *self.reads.lock().unwrap()
    }
}

#[async_trait]
impl CommitLog for FakeLog {
    async fn append(&self, _: Commit) -> Result<Arc<Record>, AppendError> {
        Err(AppendError::NotWritten(NotWritten::Closed))
    }

    async fn read_after(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        *self.reads.lock().unwrap() += 1;
        let later = self.records.iter().filter(|record| record.position > after);
        Ok(later.take(limits.records_max).cloned().collect())
    }

    async fn read_one(&self, position: Position) -> Result<Option<Arc<Record>>, ReadError> {
        Ok(self
            .records
            .iter()
            .find(|r| r.position == position)
            .cloned())
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.durable.subscribe()
    }

    fn failed(&self) -> watch::Receiver<Option<String>> {
        watch::Sender::new(None).subscribe()
    }

    async fn close(&self) {}
}
