//! A wish as an order to an entity.

use std::time::Instant;

use profile::entity::Order;
use profile::telemetry::traces::Trace;
use profile_messages::canonical::canonical_bytes;
use profile_messages::command::{Command, ProfilePatch};
use profile_messages::record::{CommandKey, Hash16};
use profile_messages::{Contact, OrgId};

use crate::load::{Change, Patience, Wish};

impl Wish {
    /// As the funnel would hand it to the entity at `now`.
    pub(crate) fn order(&self, now: Instant) -> Order {
        let command = self.command();
        let request = canonical_bytes(&command, self.expected);
        Order {
            operation: "simulated",
            user: self.user.clone(),
            command,
            key: CommandKey {
                hash: spread(self.key),
                origin: self.origin,
            },
            key_text: self.key.to_string(),
            request_hash: spread(fnv(&request)),
            expected_version: self.expected,
            actor: "operator".to_owned(),
            actor_issuer: String::new(),
            trace: Trace::default(),
            deadline: match self.patience {
                Patience::Endless => None,
                Patience::Short => Some(now),
            },
        }
    }

    fn command(&self) -> Command {
        let org = OrgId::parse(self.org).unwrap();
        match &self.change {
            Change::Create(fields) => Command::Create {
                user: self.user.clone(),
                org,
                fields: fields.clone(),
                contact: Contact {
                    user_name: self.user.to_string(),
                    email: "a@b".to_owned(),
                    email_verified: false,
                    phone: String::new(),
                    phone_verified: false,
                },
            },
            Change::Update(fields) => Command::Update {
                org,
                fields: fields.clone(),
            },
            Change::Patch { nick_name } => Command::Patch {
                patch: ProfilePatch {
                    nick_name: nick_name.clone(),
                    ..ProfilePatch::default()
                },
            },
            Change::Remove => Command::Remove { org },
        }
    }
}

fn spread(number: u64) -> Hash16 {
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&number.to_le_bytes());
    hash[8..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    hash
}

fn fnv(bytes: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv)
}
