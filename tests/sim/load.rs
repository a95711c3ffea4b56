//! What the simulated clients want: the same load for bare entities and for the whole service.

use std::collections::VecDeque;

use profile_messages::record::KeyOrigin;
use profile_messages::{Gender, ProfileFields, UserId, Version};

use crate::dice::Dice;

/// Users that are addressed most of the time.
const USERS: usize = 4;
/// Enough that a repetition may be older than what is remembered.
const WISHES_KEPT: usize = 80;

/// One request of a client, whatever way it goes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Its idempotency key.
    pub(crate) key: u64,
    pub(crate) origin: KeyOrigin,
    pub(crate) user: UserId,
    pub(crate) org: &'static str,
    pub(crate) change: Change,
    pub(crate) expected: Option<Version>,
    pub(crate) patience: Patience,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Create(ProfileFields),
    Update(ProfileFields),
    Patch { nick_name: Option<String> },
    Remove,
}

/// When the client stops waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Endless,
    Short,
}

impl Wish {
    /// The same key with another body.
    pub(crate) fn altered(mut self) -> Wish {
        match &mut self.change {
            Change::Create(fields) | Change::Update(fields) => {
                fields.last_name = "altered".to_owned();
            }
            Change::Patch { nick_name } => *nick_name = Some("altered".to_owned()),
            Change::Remove => self.expected = Some(Version(1_000)),
        }
        self
    }

    pub(crate) fn is_the_callers(&self) -> bool {
        self.origin == KeyOrigin::Caller
    }

    /// As a client sends it again: a key that it was told is its own from then on.
    pub(crate) fn again(&self) -> Wish {
        Wish {
            origin: KeyOrigin::Caller,
            patience: Patience::Endless,
            ..self.clone()
        }
    }
}

/// Makes wishes, and remembers what was sent.
#[derive(Debug)]
pub(crate) struct Load {
    dice: Dice,
    users: Vec<UserId>,
    /// Users that were asked to be removed: their ids must never live again.
    former: Vec<UserId>,
    users_made: u32,
    keys_made: u64,
    sent: VecDeque<Wish>,
}

impl Load {
    pub(crate) fn new(seed: u64) -> Load {
        let mut load = Load {
            dice: Dice::new(seed, 1),
            users: Vec::new(),
            former: Vec::new(),
            users_made: 0,
            keys_made: 0,
            sent: VecDeque::new(),
        };
        for _ in 0..USERS {
            let user = load.new_user();
            load.users.push(user);
        }
        load
    }

    fn new_user(&mut self) -> UserId {
        self.users_made += 1;
        UserId::parse(&format!("u{}", self.users_made)).unwrap()
    }

    /// A wish that nobody had before; `version` tells the current one of a user.
    pub(crate) fn next(&mut self, version: impl Fn(&UserId) -> Version) -> Wish {
        let user = self.some_user();
        let change = self.new_change(&user);
        self.keys_made += 1;
        let expected = match self.dice.below(10) {
            0 => Some(Version(u64::from(self.dice.below(6)))),
            1..4 => Some(version(&user)),
            _ => None,
        };
        let origin = match self.dice.below(6) {
            0 => KeyOrigin::Generated,
            _ => KeyOrigin::Caller,
        };
        let patience = match self.dice.below(30) {
            0 => Patience::Short,
            _ => Patience::Endless,
        };
        Wish {
            key: self.keys_made,
            origin,
            org: self.org(),
            user,
            change,
            expected,
            patience,
        }
    }

    /// A wish that must succeed: a new user.
    pub(crate) fn last(&mut self) -> Wish {
        self.keys_made += 1;
        Wish {
            key: self.keys_made,
            origin: KeyOrigin::Caller,
            user: self.new_user(),
            org: "zoo",
            change: Change::Create(self.new_fields()),
            expected: None,
            patience: Patience::Endless,
        }
    }

    /// An earlier wish, now and then with another body under its key.
    pub(crate) fn earlier(&mut self) -> Option<Wish> {
        let bound = u32::try_from(self.sent.len()).unwrap();
        if bound == 0 {
            return None;
        }
        let wish = self.sent[self.dice.below(bound) as usize].again();
        Some(match self.dice.below(10) {
            0 => wish.altered(),
            _ => wish,
        })
    }

    /// From now on it may be sent again.
    pub(crate) fn sent(&mut self, wish: &Wish) {
        if self.sent.len() == WISHES_KEPT {
            self.sent.pop_front();
        }
        self.sent.push_back(wish.clone());
    }

    fn some_user(&mut self) -> UserId {
        let former = u32::try_from(self.former.len()).unwrap();
        if former > 0 && self.dice.percent(5) {
            return self.former[self.dice.below(former) as usize].clone();
        }
        self.users[self.dice.below(USERS as u32) as usize].clone()
    }

    fn org(&mut self) -> &'static str {
        match self.dice.below(20) {
            0 => "farm",
            _ => "zoo",
        }
    }

    fn new_change(&mut self, user: &UserId) -> Change {
        match self.dice.below(40) {
            0..10 => Change::Create(self.new_fields()),
            10..27 => Change::Update(self.new_fields()),
            27..39 => Change::Patch {
                nick_name: (self.dice.below(4) > 0).then(|| self.dice.below(3).to_string()),
            },
            _ => {
                self.retire(user);
                Change::Remove
            }
        }
    }

    /// Somebody new takes the place of a user that is to be removed.
    fn retire(&mut self, user: &UserId) {
        let place = self.users.iter().position(|it| it == user);
        if let Some(place) = place {
            self.users[place] = self.new_user();
            self.former.push(user.clone());
        }
    }

    fn new_fields(&mut self) -> ProfileFields {
        ProfileFields {
            first_name: format!("first {}", self.dice.below(3)),
            last_name: format!("last {}", self.dice.below(3)),
            nick_name: String::new(),
            display_name: format!("display {}", self.dice.below(2)),
            preferred_language: "en".to_owned(),
            gender: Gender::from_number(self.dice.below(4) as i32),
        }
    }
}
