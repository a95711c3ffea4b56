//! A bounded memory of entries, so that the head of a busy user is not read from sled each time, and so
//! that a commit needs no read at all once its head was told: the entry is in here until it is folded.

use std::collections::HashMap;
use std::sync::Arc;

use profile_messages::UserId;
use profile_messages::current::CurrentUser;

use crate::current_view::overlay::{ENTRY_OVERHEAD_BYTES, bytes_of};

/// Bound of the memory: some 60,000 users of a usual size. Half of it, the least that is remembered,
/// holds the heads of several groups of the log even when every entry is as large as can be.
pub(super) const RECENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// `None` for a user who never was.
type Known = Option<Arc<CurrentUser>>;

/// Two generations: when the young one is full it becomes the old one, and the old one is forgotten.
pub(super) struct RecentUsers {
    young: HashMap<UserId, Known>,
    young_bytes: usize,
    old: HashMap<UserId, Known>,
    generation_bytes_max: usize,
}

impl Default for RecentUsers {
    fn default() -> Self {
        RecentUsers::with_bytes_max(RECENT_BYTES_MAX)
    }
}

impl RecentUsers {
    fn with_bytes_max(bytes_max: usize) -> RecentUsers {
        RecentUsers {
            young: HashMap::new(),
            young_bytes: 0,
            old: HashMap::new(),
            generation_bytes_max: bytes_max / 2,
        }
    }

    pub(super) fn get(&self, user: &UserId) -> Option<&Known> {
        self.young.get(user).or_else(|| self.old.get(user))
    }

    /// Remembers what is known of a user by now, for half of the bound at least.
    pub(super) fn put(&mut self, user: &UserId, known: Known) {
        let bytes = bytes_known(user, &known);
        if self.young_bytes.saturating_add(bytes) > self.generation_bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes = self.young_bytes.saturating_add(bytes);
        if let Some(before) = self.young.insert(user.clone(), known) {
            let bytes_before = bytes_known(user, &before);
            self.young_bytes = self.young_bytes.saturating_sub(bytes_before);
        }
    }
}

fn bytes_known(user: &UserId, known: &Known) -> usize {
    let nobody = ENTRY_OVERHEAD_BYTES + user.as_str().len();
    known.as_ref().map_or(nobody, |entry| bytes_of(entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::current_view::tests::History;

    #[test]
    fn the_newest_entry_is_kept_and_the_memory_is_bounded() {
        const BYTES_MAX: usize = 16 * 1024;
        let mut recent = RecentUsers::with_bytes_max(BYTES_MAX);
        let mut history = History::default();
        for number in 0..200 {
            for user in ["busy".to_owned(), format!("u{number}")] {
                let record = history.next("o1", &user, Some("A"));
                let entry = Arc::new(history.model[&record.user].clone());
                recent.put(&record.user, Some(Arc::clone(&entry)));
                assert_eq!(recent.get(&record.user), Some(&Some(entry)));
            }
            let kept = recent.young.iter().chain(&recent.old);
            let bytes: usize = kept.map(|(user, known)| bytes_known(user, known)).sum();
            assert!(bytes <= BYTES_MAX, "{bytes}");
        }
        let [busy, first] = ["busy", "u1"].map(|user| UserId::parse(user).unwrap());
        let newest = Arc::new(history.model[&busy].clone());
        assert_eq!(recent.get(&busy), Some(&Some(newest)));
        assert_eq!(recent.get(&first), None);
    }

    #[test]
    fn that_a_user_never_was_is_remembered_too() {
        let mut recent = RecentUsers::default();
        let nobody = UserId::parse("nobody").unwrap();
        assert_eq!(recent.get(&nobody), None);
        recent.put(&nobody, None);
        assert_eq!(recent.get(&nobody), Some(&None));
    }
}
