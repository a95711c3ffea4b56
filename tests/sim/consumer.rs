//! A consumer of the event stream as the documentation tells to write one: it takes each event in
//! order, keeps what it has seen by (user, epoch, version), and ignores what comes again.

use std::collections::{BTreeMap, BTreeSet};

use profile::relay::message::EventMessage;
use profile_domain::Profile;
use profile_messages::event::{CloudEvent, Event, EventKind};
use profile_messages::record::Record;
use profile_messages::{Contact, OrgId, ProfileFields, UserId, UserState};

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::planted::Plant;
use crate::require;
use crate::stream::SimStream;

/// Out of 100 messages so many are delivered again, at once or later.
const DUPLICATES_PERCENT: u32 = 10;
/// Sequences by which a redelivery may be late.
const LATE_MAX: u32 = 20;
const BATCH_MESSAGES_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Consumer {
    dice: Dice,
    next_sequence: u64,
    seen: BTreeSet<(String, u32, u64)>,
    users: BTreeMap<String, Known>,
    delivered: u64,
    plant: Plant,
}

/// What a consumer knows of a user by its events alone.
#[derive(Debug, Default)]
struct Known {
    version: u64,
    profile: Profile,
}

impl Consumer {
    pub(crate) fn new(dice: Dice, plant: Plant) -> Consumer {
        Consumer {
            dice,
            next_sequence: 1,
            seen: BTreeSet::new(),
            users: BTreeMap::new(),
            delivered: 0,
            plant,
        }
    }

    /// How many messages were delivered, and how many of them were new.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.delivered, self.seen.len() as u64)
    }

    /// Its acknowledgement of the newest messages is lost: they come again.
    pub(crate) fn forget_acks(&mut self) {
        let back = u64::from(self.dice.below(LATE_MAX));
        self.next_sequence = self.next_sequence.saturating_sub(back).max(1);
    }

    /// A stream that was made anew does not know how far this consumer was.
    pub(crate) fn starts_over(&mut self) {
        self.next_sequence = 1;
    }

    /// Reads the stream to its end.
    pub(crate) fn read(&mut self, stream: &SimStream, ledger: &Ledger) -> Result<(), String> {
        loop {
            let (messages, _) = stream.from(self.next_sequence, BATCH_MESSAGES_MAX);
            if messages.is_empty() {
                return Ok(());
            }
            for (sequence, message) in messages {
                self.receive(&message, ledger)?;
                self.next_sequence = sequence + 1;
                if self.dice.percent(DUPLICATES_PERCENT) {
                    let back = u64::from(self.dice.below(LATE_MAX));
                    let (again, _) = stream.from(sequence.saturating_sub(back), 1);
                    for (_, message) in again {
                        self.receive(&message, ledger)?;
                    }
                }
            }
        }
    }

    /// I5: what is delivered was committed, is the event of its commit, and comes in order per user.
    fn receive(&mut self, message: &EventMessage, ledger: &Ledger) -> Result<(), String> {
        self.delivered += 1;
        let position = message.position.unwrap_or_default();
        let Some(record) = ledger.at(position) else {
            return Err(format!("I5: {message:?} was never committed"));
        };
        let removed = ledger.story(&record.user).is_some_and(|it| it.is_removed());
        let may_be_withheld = removed && record.kind != EventKind::Removed;
        if *message == EventMessage::withheld(record) {
            return require(may_be_withheld, || format!("I5: {position} was withheld"));
        }
        require(*message == EventMessage::event(record), || {
            format!("I5: {message:?} is not the event of its commit")
        })?;
        let (event, epoch) = decoded(message)?;
        let name = (event.subject.clone(), epoch, event.userversion);
        let is_new = self.seen.insert(name);
        if !is_new && self.plant != Plant::ConsumerForgets {
            return Ok(());
        }
        let known = self.users.entry(event.subject.clone()).or_default();
        let in_order = match removed {
            // Its earlier events may be withheld.
            true => event.userversion > known.version,
            false => event.userversion == known.version + 1,
        };
        require(in_order, || {
            let (user, version) = (&record.user, event.userversion);
            format!("I5: version {version} of {user} after {}", known.version)
        })?;
        known.apply(&event, record)
    }

    /// I4, I5: by the events alone the consumer has come to what the log says.
    pub(crate) fn has_converged(&self, ledger: &Ledger) -> Result<(), String> {
        for (user, story) in ledger.stories() {
            let known = self.users.get(user.as_str());
            let version = known.map_or(0, |known| known.version);
            require(version == story.current.version.0, || {
                let logged = story.current.version;
                format!("I5: the consumer has version {version} of {user}, the log {logged}")
            })?;
            let seen = known.and_then(|known| known.profile.state());
            let logged = story.current.state.as_ref();
            let same = seen.map(|it| &it.fields) == logged.map(|it| &it.fields);
            require(same, || format!("I5: the consumer's {user} differs"))?;
        }
        Ok(())
    }
}

impl Known {
    fn apply(&mut self, event: &CloudEvent, record: &Record) -> Result<(), String> {
        self.version = event.userversion;
        let kind = EventKind::ALL
            .into_iter()
            .find(|kind| kind.type_name() == event.event_type);
        let changed = || Event::Changed {
            changes: event.data.values.clone().unwrap_or_default(),
        };
        match kind {
            None => return Err(format!("I5: an event of type {}", event.event_type)),
            Some(EventKind::Created) => {
                self.profile = nobody(&event.data.org_id)?;
                self.profile.apply(&changed(), event.time);
            }
            // Of a removed user, whose creation was withheld, nothing can be known.
            Some(EventKind::Changed) => self.profile.apply(&changed(), event.time),
            Some(EventKind::Removed) => self.profile.apply(&Event::Removed, event.time),
        }
        require(event.time == record.at, || "I5: an event's time".to_owned())
    }
}

fn nobody(org: &str) -> Result<Profile, String> {
    let org = OrgId::parse(org).map_err(|_| "I5: an event's organization".to_owned())?;
    let state = UserState {
        fields: ProfileFields::default(),
        contact: Contact {
            user_name: String::new(),
            email: String::new(),
            email_verified: false,
            phone: String::new(),
            phone_verified: false,
        },
        created_at: Default::default(),
    };
    Ok(Profile::Active { org, state })
}

/// The event, and the epoch out of its id `<user>/<epoch>.<version>`.
fn decoded(message: &EventMessage) -> Result<(CloudEvent, u32), String> {
    let event: CloudEvent = serde_json::from_slice(&message.payload)
        .map_err(|error| format!("I5: an event that is no CloudEvent: {error}"))?;
    let id = event.id.split_once('/').and_then(|(user, place)| {
        let (epoch, version) = place.split_once('.')?;
        let (epoch, version) = (epoch.parse().ok()?, version.parse::<u64>().ok()?);
        let whole = user == event.subject && version == event.userversion;
        (whole && UserId::parse(user).is_ok()).then_some(epoch)
    });
    let epoch = id.ok_or_else(|| format!("I5: an event of id {}", event.id))?;
    Ok((event, epoch))
}
