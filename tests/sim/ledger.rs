//! The checker's own copy of the log, looked at record by record as it grows.

use std::collections::BTreeMap;
use std::sync::Arc;

use profile::current_view::CurrentView;
use profile_domain::Profile;
use profile_messages::current::{
    CALLER_KEYS_KEPT_MAX, CurrentUser, GENERATED_KEYS_KEPT_MAX, KEYS_KEPT_US_MAX,
};
use profile_messages::event::EventKind;
use profile_messages::record::{Hash16, KeyOrigin, Record};
use profile_messages::{Position, UserId, Version};

use crate::require;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: Vec<Arc<Record>>,
    users: BTreeMap<UserId, Story>,
}

/// One user's part of the log; version 1 is the first record.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) records: Vec<Arc<Record>>,
    pub(crate) current: CurrentUser,
}

impl Story {
    pub(crate) fn at(&self, version: Version) -> Option<&Record> {
        let index = usize::try_from(version.0).unwrap().checked_sub(1)?;
        self.records.get(index).map(Arc::as_ref)
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.current.state.is_none()
    }

    /// Commits whose key a repetition must meet at `now`, newest first: 16 of callers and 4 generated,
    /// none that was over 24 h old at `now` or at a later commit.
    pub(crate) fn remembered(&self, now: i64) -> impl Iterator<Item = &Record> {
        let newest = self.records.last().map_or(now, |record| record.at.0);
        let (mut caller, mut generated) = (CALLER_KEYS_KEPT_MAX, GENERATED_KEYS_KEPT_MAX);
        let kept = self.records.iter().rev().filter(move |record| {
            let places = match record.key.map(|key| key.origin) {
                None => return false,
                Some(KeyOrigin::Caller) => &mut caller,
                Some(KeyOrigin::Generated) => &mut generated,
            };
            let fits = *places > 0;
            *places = places.saturating_sub(1);
            fits
        });
        kept.map(Arc::as_ref)
            .filter(move |record| newest.max(now) - record.at.0 <= KEYS_KEPT_US_MAX)
    }

    /// Commits with this key, oldest first: more than one only when it was forgotten in between.
    pub(crate) fn with_key(&self, key: Hash16) -> impl Iterator<Item = &Record> {
        let records = self.records.iter().map(Arc::as_ref);
        records.filter(move |record| record.key.is_some_and(|it| it.hash == key))
    }
}

impl Ledger {
    pub(crate) fn end(&self) -> Position {
        Position(self.records.len() as u64)
    }

    pub(crate) fn at(&self, position: Position) -> Option<&Arc<Record>> {
        let index = usize::try_from(position.0).unwrap().checked_sub(1)?;
        self.records.get(index)
    }

    pub(crate) fn story(&self, user: &UserId) -> Option<&Story> {
        self.users.get(user)
    }

    pub(crate) fn stories(&self) -> impl Iterator<Item = (&UserId, &Story)> {
        self.users.iter()
    }

    pub(crate) fn version(&self, user: &UserId) -> Version {
        let story = self.users.get(user);
        story.map(|story| story.current.version).unwrap_or_default()
    }

    /// Takes in what the log has more by now.
    pub(crate) fn take(&mut self, new: &[Arc<Record>]) -> Result<(), String> {
        for record in new {
            self.follows(record)?;
            let before = self.users.remove(&record.user);
            let current = CurrentUser::fold(before.as_ref().map(|it| &it.current), record);
            let mut records = before.map(|it| it.records).unwrap_or_default();
            records.push(Arc::clone(record));
            self.users
                .insert(record.user.clone(), Story { records, current });
            self.records.push(Arc::clone(record));
        }
        Ok(())
    }

    /// I3: versions 1, 2, 3 ... per user without gap or fork, positions too, time never back, nothing
    /// after the removal. I2: one key changes a user at most once while it is remembered.
    fn follows(&self, record: &Record) -> Result<(), String> {
        let position = record.position;
        require(position == self.end().next(), || {
            format!("I3: position {position} out of order")
        })?;
        let story = self.story(&record.user);
        let before = story.and_then(|story| story.records.last());
        let expected = before.map_or(Version(1), |before| before.version.next());
        require(record.version == expected, || {
            format!(
                "I3: version {} of {}, not {expected}",
                record.version, record.user
            )
        })?;
        let previous = before.map_or(Position::NONE, |before| before.position);
        require(record.previous == previous, || {
            "I3: previous position is wrong".to_owned()
        })?;
        let forward = before.is_none_or(|before| record.at > before.at);
        require(forward, || "I3: the change date went back".to_owned())?;
        let reused = before.is_some_and(|before| before.kind == EventKind::Removed);
        require(!reused, || {
            format!("I3: {} lives again after its removal", record.user)
        })?;
        let is_first = before.is_none();
        require(is_first == (record.kind == EventKind::Created), || {
            format!(
                "I3: {:?} is version {} of {}",
                record.kind, record.version, record.user
            )
        })?;
        let mut remembered = story
            .into_iter()
            .flat_map(|story| story.remembered(record.at.0));
        let twice = remembered
            .any(|earlier| earlier.key.map(|key| key.hash) == record.key.map(|key| key.hash));
        require(!twice, || {
            format!("I2: a key was committed twice for {}", record.user)
        })
    }

    /// I1: nothing that was ever in the log is gone or another now.
    pub(crate) fn is_the_log(&self, log: &[Arc<Record>]) -> Result<(), String> {
        let same =
            |(ours, now): (&Arc<Record>, &Arc<Record>)| Arc::ptr_eq(ours, now) || ours == now;
        let whole = log.len() == self.records.len() && self.records.iter().zip(log).all(same);
        require(whole, || "I1: the log is another one now".to_owned())
    }

    /// I4: folding the log gives the view.
    pub(crate) fn is_the_view(&self, view: &dyn CurrentView) -> Result<(), String> {
        for (user, story) in &self.users {
            let seen = view.user(user).map_err(|error| error.to_string())?;
            require(seen.as_deref() == Some(&story.current), || {
                format!("I4: the view of {user} differs")
            })?;
        }
        Ok(())
    }

    /// I4: an entity that is kept in memory is what the log said at its version.
    pub(crate) fn knows_the_entity(
        &self,
        user: &UserId,
        version: Version,
        profile: &Profile,
    ) -> Result<(), String> {
        let record = self.story(user).and_then(|story| story.at(version));
        let logged = match record {
            None => Profile::Absent,
            Some(record) => Profile::from_stored(Some((record.org.clone(), record.state.clone()))),
        };
        require(logged == *profile, || {
            format!("I4: the entity of {user} at {version} differs")
        })
    }
}
