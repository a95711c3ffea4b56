//! The simulated world: users, two nodes with live entities, one faulty log, one clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use profile::clock::Clock;
use profile::commit_log::{CommitLog, CommitObserver, Head, ReadLimits};
use profile::current_view::CurrentView;
use profile::current_view::memory::MemoryView;
use profile::entity::{Done, EntityPorts, Order, ProfileEntity, Verdict};
use profile::error::ServiceError;
use profile_messages::command::{Command, ProfilePatch};
use profile_messages::event::EventPayload;
use profile_messages::record::{CommandKey, KeyOrigin, Record};
use profile_messages::{Contact, Gender, OrgId, Position, ProfileFields, UserId, Version};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::checks::{self, Answered};
use crate::clock::SimClock;
use crate::faulty_log::FaultyLog;

const USERS: u32 = 3;
const NODES: usize = 2;
/// Enough that a repetition may be older than what is remembered.
const ORDERS_KEPT: usize = 80;

/// A bug planted on purpose, which the checks must catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    Nothing,
    /// Acknowledges some commits without keeping them.
    ForgetsAcknowledged,
    /// Takes whatever head there is for the expected one.
    NoVersionCheck,
    /// Stores the commit without its idempotency key.
    KeyNotWithCommit,
}

/// The view behind the log, replaced at a restart as the memory of a process is.
#[derive(Debug, Default)]
struct Memory(Mutex<Arc<MemoryView>>);

impl Memory {
    fn view(&self) -> Arc<MemoryView> {
        Arc::clone(&self.0.lock().unwrap())
    }
}

impl CommitObserver for Memory {
    fn head(&self, user: &UserId) -> Result<Head, String> {
        self.view().head(user)
    }

    fn committed(&self, group: &[Arc<Record>]) {
        self.view().committed(group);
    }
}

struct World {
    rng: ChaCha8Rng,
    clock: Arc<SimClock>,
    memory: Arc<Memory>,
    log: Arc<FaultyLog>,
    nodes: Vec<BTreeMap<UserId, ProfileEntity>>,
    sent: Vec<Order>,
    /// First acknowledgement of each order that changed something, by key and request.
    acknowledged: BTreeMap<([u8; 16], [u8; 16]), Done>,
    trace: u64,
}

/// Runs one seed; returns the hash of its trace.
pub(crate) fn run(seed: u64, steps: usize, plant: Plant) -> Result<u64, String> {
    let memory = Arc::new(Memory::default());
    let observer: Arc<dyn CommitObserver> = Arc::clone(&memory) as _;
    let faults = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
    let clock = Arc::new(SimClock::at(1_000_000_000_000_000));
    let log_clock: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let mut world = World {
        rng: ChaCha8Rng::seed_from_u64(seed),
        clock,
        memory,
        log: Arc::new(FaultyLog::new(log_clock, observer, faults, plant)),
        nodes: Vec::new(),
        sent: Vec::new(),
        acknowledged: BTreeMap::new(),
        trace: 0xcbf2_9ce4_8422_2325,
    };
    world.nodes.resize_with(NODES, BTreeMap::new);
    for step in 0..steps {
        world
            .step()
            .map_err(|broken| format!("step {step}: {broken}"))?;
    }
    world.check_all()?;
    Ok(world.trace)
}

impl World {
    fn step(&mut self) -> Result<(), String> {
        match self.below(100) {
            0..60 => {
                let order = self.new_order();
                self.send(order)
            }
            60..80 if !self.sent.is_empty() => self.repeat(),
            80..86 => {
                let micros = i64::from(self.below(10_000_000));
                self.clock.jump(micros);
                Ok(())
            }
            86..88 => {
                let micros = i64::from(self.below(100_000_000));
                self.clock.jump(-micros);
                Ok(())
            }
            88 => {
                self.clock.jump(25 * 3_600_000_000);
                Ok(())
            }
            89..94 => self.passivate(),
            94..97 => self.crash(),
            _ => self.check_all(),
        }
    }

    fn send(&mut self, order: Order) -> Result<(), String> {
        let node = self.below(NODES as u32) as usize;
        let before = self.records();
        let ports = self.ports();
        let entity = match self.nodes[node].remove(&order.user) {
            Some(entity) => entity,
            None => ProfileEntity::load(&order.user, ports.view.as_ref()).unwrap(),
        };
        let now = self.clock.now().0;
        let (entity, result) = block_on(executed(entity, &order, &ports));
        if let Some(entity) = entity {
            self.nodes[node].insert(order.user.clone(), entity);
        }
        let after = self.records();
        self.note(&format!("{:?} {:?} {}", order.command, result, after.len()));
        let answered = Answered {
            order: &order,
            result: &result,
            before: &before,
            after: &after,
        };
        checks::answer_matches_the_log(&answered)?;
        checks::repetition_gets_the_first_answer(&answered, now)?;
        let identity = (order.key.hash, order.request_hash);
        checks::acknowledged_again(&answered, self.acknowledged.get(&identity), now)?;
        if let Ok(done) = &result
            && done.kind.is_some()
        {
            self.acknowledged
                .entry(identity)
                .or_insert_with(|| done.clone());
        }
        self.sent.push(order);
        if self.sent.len() > ORDERS_KEPT {
            self.sent.remove(0);
        }
        Ok(())
    }

    /// Delivers an earlier order again, now and then with another body under its key.
    fn repeat(&mut self) -> Result<(), String> {
        let index = self.below(self.sent.len() as u32) as usize;
        let mut order = self.sent[index].clone();
        if self.below(10) == 0 {
            order.request_hash[0] ^= 1;
        }
        self.send(order)
    }

    fn passivate(&mut self) -> Result<(), String> {
        let node = self.below(NODES as u32) as usize;
        self.nodes[node].pop_first();
        Ok(())
    }

    /// Everything in memory is gone; the log stays.
    fn crash(&mut self) -> Result<(), String> {
        self.nodes.iter_mut().for_each(BTreeMap::clear);
        let view = Arc::new(MemoryView::default());
        block_on(view.catch_up(self.log.as_ref())).map_err(|error| error.to_string())?;
        *self.memory.0.lock().unwrap() = view;
        self.note("crash");
        Ok(())
    }

    fn check_all(&mut self) -> Result<(), String> {
        let log = self.records();
        checks::versions_have_no_gap(&log)?;
        checks::no_key_twice(&log)?;
        checks::the_view_is_the_log(&log, self.memory.view().as_ref())?;
        for (user, entity) in self.nodes.iter().flatten() {
            let version = entity.head().version;
            checks::an_entity_is_a_state_of_the_log(&log, user, version, entity.profile())?;
        }
        Ok(())
    }

    fn new_order(&mut self) -> Order {
        let user = UserId::parse(&format!("u{}", self.below(USERS))).unwrap();
        let command = self.new_command(&user);
        let key = self.rng.next_u64();
        let mut hash = [0; 16];
        hash[..8].copy_from_slice(&key.to_le_bytes());
        let mut request_hash = [0; 16];
        request_hash[..8].copy_from_slice(&self.rng.next_u64().to_le_bytes());
        let expected_version = match self.below(10) {
            0 => Some(Version(u64::from(self.below(6)))),
            1..4 => self.memory.view().head(&user).ok().map(|head| head.version),
            _ => None,
        };
        Order {
            operation: "simulated",
            user,
            command,
            key: CommandKey {
                hash,
                origin: KeyOrigin::Caller,
            },
            key_text: key.to_string(),
            request_hash,
            expected_version,
            actor: "operator".to_owned(),
            actor_issuer: String::new(),
            deadline: None,
        }
    }

    fn new_command(&mut self, user: &UserId) -> Command {
        let org = OrgId::parse(if self.below(20) == 0 { "farm" } else { "zoo" }).unwrap();
        match self.below(20) {
            0..5 => Command::Create {
                user: user.clone(),
                org,
                fields: self.new_fields(),
                contact: Contact {
                    user_name: user.to_string(),
                    email: "a@b".to_owned(),
                    email_verified: false,
                    phone: String::new(),
                    phone_verified: false,
                },
            },
            5..13 => Command::Update {
                org,
                fields: self.new_fields(),
            },
            13..19 => {
                let nick_name = (self.below(4) > 0).then(|| self.below(3).to_string());
                let patch = ProfilePatch {
                    nick_name,
                    ..ProfilePatch::default()
                };
                Command::Patch { patch }
            }
            _ if self.below(4) == 0 => Command::Remove { org },
            _ => Command::Update {
                org,
                fields: self.new_fields(),
            },
        }
    }

    fn new_fields(&mut self) -> ProfileFields {
        ProfileFields {
            first_name: format!("first {}", self.below(3)),
            last_name: format!("last {}", self.below(3)),
            nick_name: String::new(),
            display_name: format!("display {}", self.below(2)),
            preferred_language: "en".to_owned(),
            gender: Gender::from_number(self.below(4) as i32),
        }
    }

    fn ports(&self) -> EntityPorts {
        EntityPorts {
            log: Arc::clone(&self.log) as Arc<dyn CommitLog>,
            view: self.memory.view() as Arc<dyn CurrentView>,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            store_id: "simulated".into(),
            epoch: 1,
            payload: EventPayload::Changed,
        }
    }

    fn records(&self) -> Vec<Arc<Record>> {
        let limits = ReadLimits {
            records_max: usize::MAX,
            bytes_max: usize::MAX,
        };
        block_on(self.log.read_after(Position::NONE, limits)).unwrap()
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.rng.next_u32() % bound
    }

    fn note(&mut self, line: &str) {
        for byte in line.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// As the actor does it: an uncertain outcome ends the entity.
async fn executed(
    mut entity: ProfileEntity,
    order: &Order,
    ports: &EntityPorts,
) -> (Option<ProfileEntity>, Result<Done, ServiceError>) {
    match entity.execute(order, ports).await {
        Verdict::Answered(result) => (Some(entity), result),
        Verdict::MaybeWritten => (
            None,
            Err(ServiceError::OutcomeUnknown {
                key: order.key_text.clone(),
            }),
        ),
    }
}
