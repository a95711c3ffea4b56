//! Restores with a stream that knows more than the backup.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use profile_messages::event::{CloudEvent, EventData, EventKind, EventPayload, event_id};
use profile_messages::record::Record;
use profile_messages::{FieldChanges, OrgId, ProfileFields, Timestamp, UserId, UserState, Version};

use super::*;
use crate::commit_log::{Commit, Head};
use crate::relay::message::EventMessage;
use crate::relay::stream::StreamError;

const ORG: &str = "org-1";

/// A stream that holds what it is given.
#[derive(Debug, Default)]
struct Messages {
    kept: Mutex<BTreeMap<u64, EventMessage>>,
    first: u64,
    /// Where it stands when that is behind all it holds.
    last: Option<u64>,
    epoch: u32,
    /// One more message at each look.
    grows: bool,
}

#[async_trait]
impl Tail for Messages {
    async fn look(&self) -> Result<Option<TailState>, StreamError> {
        let mut kept = self.kept.lock().unwrap();
        let newest = kept.keys().next_back().copied();
        let last = self.last.or(newest).unwrap_or_default();
        if self.grows {
            kept.insert(last + 1, EventMessage::compacted(Position(last + 1)));
        }
        Ok(Some(TailState {
            first: self.first,
            last,
            epoch: self.epoch,
        }))
    }

    async fn read(&self, from: u64, to: u64) -> Result<Vec<(u64, EventMessage)>, StreamError> {
        assert!(from <= to);
        let kept = self.kept.lock().unwrap();
        let found = kept.range(from..=to);
        Ok(found.map(|(at, message)| (*at, message.clone())).collect())
    }
}

impl Messages {
    fn of(records: &[Arc<Record>]) -> Messages {
        let messages = records
            .iter()
            .map(|it| (it.position.0, EventMessage::event(it)));
        Messages {
            kept: Mutex::new(messages.collect()),
            first: 1,
            last: None,
            epoch: 1,
            grows: false,
        }
    }

    fn edit(self, edit: impl FnOnce(&mut BTreeMap<u64, EventMessage>)) -> Messages {
        edit(&mut self.kept.lock().unwrap());
        self
    }
}

/// A log whose events are what the service sends.
struct Story {
    world: World,
    source: Opened,
    payload: EventPayload,
}

impl Story {
    fn new(payload: EventPayload) -> Story {
        let world = World::new(1);
        let source = world.open(DATA);
        Story {
            world,
            source,
            payload,
        }
    }

    fn state(&self, user: &UserId) -> Option<UserState> {
        let all = self.source.all();
        let newest = all.iter().rev().find(|record| record.user == *user)?;
        newest.state.clone()
    }

    /// Changes the nick name of a user, whom the first change creates.
    fn change(&self, name: &str, nick_name: &str) -> Arc<Record> {
        let user = UserId::parse(name).unwrap();
        let before = self.state(&user);
        let mut state = before.clone().unwrap_or_else(|| new_state(name));
        state.fields.nick_name = nick_name.to_owned();
        let kind = match before {
            None => EventKind::Created,
            Some(_) => EventKind::Changed,
        };
        let former = before.map(|state| state.fields).unwrap_or_default();
        let changes = FieldChanges::between(&former, &state.fields);
        self.commit(user, kind, Some(changes), Some(state))
    }

    fn remove(&self, name: &str) -> Arc<Record> {
        let user = UserId::parse(name).unwrap();
        self.commit(user, EventKind::Removed, None, None)
    }

    fn commit(
        &self,
        user: UserId,
        kind: EventKind,
        values: Option<FieldChanges>,
        state: Option<UserState>,
    ) -> Arc<Record> {
        let expected = self.source.heads.head(&user).unwrap();
        let (store, payload) = (self.source.dir.store_id(), self.payload);
        let at = Timestamp(1_757_062_536_156_333 + expected.position.0 as i64);
        let names = values.iter().flat_map(FieldChanges::names);
        let profile = state.as_ref().map(|state| state.fields.clone());
        let event = CloudEvent {
            specversion: "1.0".to_owned(),
            id: event_id(&user, 1, expected.version.next()),
            source: format!("/profile/{store}"),
            event_type: kind.type_name().to_owned(),
            subject: user.to_string(),
            time: at,
            datacontenttype: "application/json".to_owned(),
            userversion: expected.version.next().0,
            data: EventData {
                user_id: user.to_string(),
                org_id: ORG.to_owned(),
                changed: names.map(str::to_owned).collect(),
                values: values.filter(|_| payload != EventPayload::Names),
                old_values: None,
                profile: profile.filter(|_| payload == EventPayload::Full),
            },
        };
        let commit = Commit {
            org: OrgId::parse(ORG).unwrap(),
            at,
            kind,
            event: serde_json::to_vec(&event).unwrap().into(),
            state,
            ..commit(&user, expected, 0)
        };
        block_on(self.source.log.append(commit)).unwrap()
    }

    fn restore_with(&self, tail: &Messages) -> Result<Restored, BackupError> {
        block_on(restore(&self.world.around, &wanted(), Some(tail)))
    }

    /// What the relay would find in the restored log.
    fn assert_adopted(&self, tail: &Messages, restored: &Restored) -> Vec<Arc<Record>> {
        let copy = self.world.open(RESTORED);
        assert_eq!(*copy.log.durable().borrow(), restored.end);
        let all = copy.all();
        for record in all
            .iter()
            .filter(|it| it.position.0 > restored.manifest.end)
        {
            let kept = tail.kept.lock().unwrap();
            assert_eq!(EventMessage::event(record), kept[&record.position.0]);
        }
        let next = Head::default();
        let appended = block_on(copy.log.append(commit(&user(9), next, 10))).unwrap();
        assert_eq!(appended.position, restored.end.next());
        drop(copy);
        let again = self.world.open(RESTORED).all();
        assert_eq!(again.len(), all.len() + 1);
        all
    }
}

fn new_state(name: &str) -> UserState {
    UserState {
        fields: ProfileFields {
            first_name: "Gigi".to_owned(),
            last_name: name.to_owned(),
            ..ProfileFields::default()
        },
        ..commit(&user(1), Head::default(), 0).state.unwrap()
    }
}

fn missing(restored: &Restored) -> Vec<String> {
    let flags = |it: &Missing| {
        let Missing {
            contact,
            profile,
            keys,
        } = *it;
        format!("{contact} {profile} {keys}")
    };
    let older = restored.older.iter();
    older
        .map(|(user, missing)| format!("{user} {}", flags(missing)))
        .collect()
}

/// Three users in the backup; after it one is changed, one removed, one created and changed.
fn told(payload: EventPayload) -> (Story, Messages) {
    let story = Story::new(payload);
    for name in ["ada", "bob", "cleo"] {
        story.change(name, "one");
        story.change(name, "two");
    }
    story.world.backup().unwrap();
    story.change("ada", "three");
    story.remove("bob");
    story.change("dora", "new");
    story.change("dora", "newer");
    let tail = Messages::of(&story.source.all());
    (story, tail)
}

#[test]
fn with_values_in_the_events_every_profile_comes_back() {
    for payload in [EventPayload::Changed, EventPayload::Full] {
        let (story, tail) = told(payload);
        let restored = story.restore_with(&tail).unwrap();
        assert_eq!((restored.end, restored.events), (Position(10), 4));
        assert_eq!(
            missing(&restored),
            ["ada false false true", "dora true false true"]
        );
        let all = story.assert_adopted(&tail, &restored);
        for (copy, original) in all.iter().zip(story.source.all()) {
            let fields = |record: &Record| record.state.as_ref().map(|it| it.fields.clone());
            assert_eq!(fields(copy), fields(&original), "{payload:?}");
            let place = |it: &Record| (it.position, it.previous, it.version, it.epoch, it.at);
            assert_eq!(place(copy), place(&original));
        }
        let contact = |at: usize| all[at].state.as_ref().unwrap().contact.email.clone();
        assert_eq!((contact(6), contact(9)), (contact(0), String::new()));
        assert_eq!(all[7].state, None);
        assert_eq!((all[6].key, all[0].key.is_some()), (None, true));
    }
}

#[test]
fn with_names_alone_the_versions_come_back_and_the_users_are_told() {
    let (story, tail) = told(EventPayload::Names);
    let restored = story.restore_with(&tail).unwrap();
    assert_eq!(
        missing(&restored),
        ["ada false true true", "dora true true true"]
    );
    let all = story.assert_adopted(&tail, &restored);
    let nick = |at: usize| all[at].state.as_ref().unwrap().fields.nick_name.clone();
    assert_eq!((nick(6), all[6].version), ("two".to_owned(), Version(3)));
    assert_eq!((nick(9), all[9].version), (String::new(), Version(2)));
}

#[test]
fn withheld_and_deleted_messages_are_holes_also_at_the_end() {
    let (story, tail) = told(EventPayload::Changed);
    let tail = tail.edit(|kept| {
        kept.remove(&7);
        for at in [9, 10] {
            kept.insert(at, EventMessage::compacted(Position(at)));
        }
    });
    let restored = story.restore_with(&tail).unwrap();
    assert_eq!((restored.end, restored.events), (Position(10), 1));
    assert_eq!(missing(&restored), [""; 0]);
    let all = story.assert_adopted(&tail, &restored);
    assert_eq!(all.last().unwrap().position, Position(8));
}

#[test]
fn a_missing_version_of_an_existing_user_is_told() {
    let (story, _) = told(EventPayload::Changed);
    story.change("ada", "four");
    let tail = Messages::of(&story.source.all()).edit(|kept| drop(kept.remove(&7)));
    let restored = story.restore_with(&tail).unwrap();
    assert_eq!(missing(&restored)[0], "ada false true true");
    story.assert_adopted(&tail, &restored);
}

#[test]
fn a_tail_of_many_messages_is_taken_in_whole() {
    let story = Story::new(EventPayload::Changed);
    story.change("ada", "one");
    story.world.backup().unwrap();
    for number in 0..700 {
        story.change("ada", &format!("nick {number}"));
    }
    let tail = Messages::of(&story.source.all());
    let restored = story.restore_with(&tail).unwrap();
    assert_eq!(restored.events, 700);
    assert_eq!(story.assert_adopted(&tail, &restored).len(), 701);
}

#[test]
fn a_stream_that_lost_the_beginning_of_the_tail_is_refused_unless_that_is_accepted() {
    let (story, tail) = told(EventPayload::Changed);
    let mut tail = tail.edit(|kept| kept.retain(|at, _| *at > 7));
    tail.first = 8;
    let error = story.restore_with(&tail).unwrap_err();
    let gap = matches!(
        error,
        BackupError::Gap {
            first: Position(8),
            end: Position(6)
        }
    );
    assert!(gap, "{error}");
    let accepting = Restore {
        gap: Gap::Accepted,
        ..wanted()
    };
    let restored = block_on(restore(&story.world.around, &accepting, Some(&tail))).unwrap();
    assert_eq!(restored.events, 3);
    story.assert_adopted(&tail, &restored);
}

#[test]
fn an_emptied_stream_is_adopted_at_its_last_sequence_if_the_gap_is_accepted() {
    let (story, tail) = told(EventPayload::Changed);
    let mut tail = tail.edit(BTreeMap::clear);
    (tail.first, tail.last) = (11, Some(10));
    let error = story.restore_with(&tail).unwrap_err();
    assert!(matches!(error, BackupError::Gap { .. }), "{error}");
    let accepting = Restore {
        gap: Gap::Accepted,
        ..wanted()
    };
    let restored = block_on(restore(&story.world.around, &accepting, Some(&tail))).unwrap();
    assert_eq!((restored.end, restored.events), (Position(10), 0));
    let all = story.assert_adopted(&tail, &restored);
    assert_eq!(all[..], story.source.all()[..6]);
}

#[test]
fn a_stream_behind_the_backup_adds_nothing() {
    let (story, tail) = told(EventPayload::Changed);
    let tail = tail.edit(|kept| kept.retain(|at, _| *at < 5));
    let restored = story.restore_with(&tail).unwrap();
    assert_eq!((restored.end, restored.events), (Position(6), 0));
}

#[test]
fn the_new_epoch_is_above_that_of_the_stream() {
    let (story, mut tail) = told(EventPayload::Changed);
    tail.epoch = 4;
    assert_eq!(story.restore_with(&tail).unwrap().epoch, 5);
}

type Forge = fn(&mut EventMessage);

#[test]
fn what_this_store_did_not_send_is_refused_by_its_sequence() {
    let forge: [(&str, Forge); 6] = [
        ("its position", |it| it.position = Some(Position(70))),
        ("its payload", |it| it.payload = "{}".into()),
        ("its source", |it| {
            it.payload = replaced(it, "/profile/", "/other/")
        }),
        ("its id", |it| it.payload = replaced(it, "/1.3", "/1.4")),
        ("its subject", |it| {
            it.subject = "profile-event.v1.x.ada.changed".to_owned()
        }),
        ("its version", |it| {
            let text = String::from_utf8(it.payload.to_vec()).unwrap();
            let older = text
                .replace("/1.3\"", "/1.2\"")
                .replace("\"userversion\":3", "\"userversion\":2");
            it.payload = older.into();
            it.id = Some("ada/1.2".to_owned());
        }),
    ];
    for (what, change) in forge {
        let (story, tail) = told(EventPayload::Changed);
        let tail = tail.edit(|kept| change(kept.get_mut(&7).unwrap()));
        let error = story.restore_with(&tail).unwrap_err().to_string();
        assert!(
            error.contains("sequence 7") && error.contains(what),
            "{what}: {error}"
        );
        assert!(!error.contains("three"), "no value in {error}");
    }
}

fn replaced(message: &EventMessage, from: &str, to: &str) -> bytes::Bytes {
    let text = String::from_utf8(message.payload.to_vec()).unwrap();
    assert!(text.contains(from), "{text}");
    text.replace(from, to).into()
}

#[test]
fn a_stream_that_goes_on_meanwhile_leaves_a_directory_that_does_not_start() {
    let (story, mut tail) = told(EventPayload::Changed);
    tail.grows = true;
    let error = story.restore_with(&tail).unwrap_err();
    assert!(matches!(error, BackupError::StreamMoved { .. }), "{error}");
    let error = story.world.dir(RESTORED).unwrap_err();
    assert!(
        matches!(error, DataDirError::HalfRestored { .. }),
        "{error}"
    );
}

#[test]
fn a_stream_without_a_tail_that_goes_on_meanwhile_is_refused_too() {
    let (story, tail) = told(EventPayload::Changed);
    let mut tail = tail.edit(|kept| kept.retain(|at, _| *at <= 6));
    tail.grows = true;
    let error = story.restore_with(&tail).unwrap_err();
    let moved = matches!(error, BackupError::StreamMoved { from: 6, to: 7 });
    assert!(moved, "{error}");
}
