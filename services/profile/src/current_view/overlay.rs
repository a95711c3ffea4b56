//! What is committed but not yet in sled, newest entry per user, in two generations: `active` takes
//! commits, `flushing` is being written to sled and does not change any more.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use profile_messages::current::CurrentUser;
use profile_messages::{OrgId, Position, Timestamp, UserId};

use super::Behind;
use super::list_place::{self, Span};

#[derive(Default)]
pub(super) struct Overlay {
    active: Generation,
    flushing: Option<Arc<Generation>>,
    position: Position,
}

impl Overlay {
    pub(super) fn starting_at(position: Position) -> Overlay {
        Overlay {
            position,
            ..Overlay::default()
        }
    }

    /// The newest commit that reads see.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The entry of a user who changed since it was last in sled.
    pub(super) fn user(&self, user: &UserId) -> Option<&Arc<CurrentUser>> {
        let flushing = || self.flushing.as_ref()?.users.get(user);
        self.active.users.get(user).or_else(flushing)
    }

    pub(super) fn org_had_user(&self, org: &OrgId) -> bool {
        let flushing = || self.flushing.as_ref().is_some_and(|f| f.orgs.contains(org));
        self.active.orgs.contains(org) || flushing()
    }

    /// Takes the entries of a whole group at once, so that readers see all of it or nothing.
    pub(super) fn commit(&mut self, entries: Vec<Arc<CurrentUser>>, position: Position) {
        for entry in entries {
            self.active.put(entry);
        }
        self.position = self.position.max(position);
        self.active.position = self.position;
    }

    pub(super) fn bytes_used(&self) -> usize {
        let flushing = self.flushing.as_ref().map_or(0, |f| f.bytes_used);
        self.active.bytes_used.saturating_add(flushing)
    }

    /// What is not in sled yet.
    pub(super) fn behind(&self) -> Behind {
        let flushing = self.flushing.as_deref();
        let users = |generation: &Generation| generation.users.len();
        Behind {
            users: users(&self.active) + flushing.map_or(0, users),
            bytes: self.bytes_used(),
            since: flushing.and_then(|f| f.first_at).or(self.active.first_at),
        }
    }

    /// The generation that takes commits.
    pub(super) fn active(&self) -> &Generation {
        &self.active
    }

    pub(super) fn flushing(&self) -> Option<&Arc<Generation>> {
        self.flushing.as_ref()
    }

    /// The generation to write to sled: the one whose writing did not end well, else the active one.
    pub(super) fn begin_flush(&mut self) -> Option<Arc<Generation>> {
        if self.flushing.is_none() && !self.active.users.is_empty() {
            self.flushing = Some(Arc::new(std::mem::take(&mut self.active)));
        }
        self.flushing.clone()
    }

    /// The flushing generation is in sled. Handed out so that it is freed outside the lock.
    pub(super) fn end_flush(&mut self) -> Option<Arc<Generation>> {
        self.flushing.take()
    }
}

/// Entries of some time, coalesced: the newest only.
#[derive(Default)]
pub(super) struct Generation {
    users: HashMap<UserId, Arc<CurrentUser>>,
    /// By [`list_place`]; existing users only.
    list: BTreeMap<Vec<u8>, Arc<CurrentUser>>,
    orgs: HashSet<OrgId>,
    bytes_used: usize,
    position: Position,
    first_at: Option<Timestamp>,
}

impl Generation {
    fn put(&mut self, entry: Arc<CurrentUser>) {
        self.first_at.get_or_insert(entry.at);
        self.bytes_used = self.bytes_used.saturating_add(bytes_of(&entry));
        if self.orgs.insert(entry.org.clone()) {
            self.bytes_used = self.bytes_used.saturating_add(ENTRY_OVERHEAD_BYTES);
        }
        let before = self.users.insert(entry.user.clone(), Arc::clone(&entry));
        if let Some(before) = before {
            self.bytes_used = self.bytes_used.saturating_sub(bytes_of(&before));
            if let Some(gone) = list_place::of_entry(&before) {
                self.list.remove(&gone);
            }
        }
        if let Some(place) = list_place::of_entry(&entry) {
            self.list.insert(place, entry);
        }
    }

    pub(super) fn holds(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// The newest commit in here.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    pub(super) fn bytes_used(&self) -> usize {
        self.bytes_used
    }

    /// Every entry in the order of user ids, so that sled writes neighbours together.
    pub(super) fn entries(&self) -> Vec<&Arc<CurrentUser>> {
        let mut entries: Vec<_> = self.users.values().collect();
        entries.sort_unstable_by(|a, b| a.user.cmp(&b.user));
        entries
    }

    /// Listed entries of a span, in order.
    pub(super) fn listed<'a>(
        &'a self,
        span: &'a Span,
    ) -> impl Iterator<Item = (&'a [u8], &'a Arc<CurrentUser>)> {
        self.list
            .range(span.start()..)
            .take_while(|(place, _)| span.holds(place))
            .map(|(place, entry)| (place.as_slice(), entry))
    }
}

/// Hash table, tree node, the `Arc`s and their headers: a generous guess.
pub(super) const ENTRY_OVERHEAD_BYTES: usize = 256;

/// Memory that one entry takes in a generation, about.
pub(super) fn bytes_of(entry: &CurrentUser) -> usize {
    let texts = entry.state.as_ref().map_or(0, |state| {
        // The list's key holds the organization, the name and the user once more.
        let listed = entry.org.as_str().len() + state.fields.display_name.len() + 4;
        state.text_bytes() + listed + entry.user.as_str().len()
    });
    let recent = entry.recent.len() * size_of::<profile_messages::current::RecentCommand>();
    ENTRY_OVERHEAD_BYTES
        + size_of::<CurrentUser>()
        + 2 * entry.user.as_str().len()
        + entry.org.as_str().len()
        + texts
        + recent
}
