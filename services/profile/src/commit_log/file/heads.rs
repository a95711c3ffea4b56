//! A bounded memory of recent heads, so that a busy user's head is not asked of the view each time.

use std::collections::HashMap;

use profile_messages::UserId;

use crate::commit_log::Head;

/// Two generations: when the young one is full it becomes the old one, and the old one is forgotten.
#[derive(Debug)]
pub(super) struct RecentHeads {
    young: HashMap<UserId, Head>,
    old: HashMap<UserId, Head>,
    generation_max: usize,
}

impl RecentHeads {
    pub(super) fn new(heads_max: usize) -> RecentHeads {
        RecentHeads {
            young: HashMap::new(),
            old: HashMap::new(),
            generation_max: (heads_max / 2).max(1),
        }
    }

    pub(super) fn get(&self, user: &UserId) -> Option<Head> {
        self.young.get(user).or_else(|| self.old.get(user)).copied()
    }

    pub(super) fn put(&mut self, user: &UserId, head: Head) {
        if self.young.len() >= self.generation_max && !self.young.contains_key(user) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(user.clone(), head);
    }
}

#[cfg(test)]
mod tests {
    use profile_messages::{Position, Version};

    use super::*;

    #[test]
    fn the_newest_head_is_kept_and_the_number_is_bounded() {
        let user = |n: u64| UserId::parse(&format!("u{n}")).unwrap();
        let head = |n: u64| Head {
            version: Version(n),
            position: Position(n),
        };
        let mut heads = RecentHeads::new(8);
        for n in 0..100 {
            heads.put(&user(7), head(n));
            heads.put(&user(n), head(n));
            assert!(heads.young.len() + heads.old.len() <= 8);
            assert_eq!(heads.get(&user(n)), Some(head(n)));
        }
        assert_eq!(heads.get(&user(7)), Some(head(99)));
        assert_eq!(heads.get(&user(1)), None);
    }
}
