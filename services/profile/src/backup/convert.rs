//! From a message of the event stream to the record that the lost log had at the same position, as far
//! as an event tells: no contact data, no actor, no idempotency key, and profile fields by its payload.

use bytes::Bytes;
use profile_messages::event::{CloudEvent, EventData, EventKind, event_id};
use profile_messages::record::Record;
use profile_messages::{
    Contact, FieldChanges, OrgId, Position, ProfileFields, Timestamp, UserId, UserState, Version,
};

use super::BackupError;
use super::tail::TailUser;
use crate::relay::message::EventMessage;

/// The newest known record of a user, without its event.
#[derive(Clone, Debug)]
pub(super) struct Known {
    position: Position,
    version: Version,
    org: OrgId,
    state: Option<UserState>,
}

impl Known {
    pub(super) fn of(record: Record) -> Known {
        Known {
            position: record.position,
            version: record.version,
            org: record.org,
            state: record.state,
        }
    }

    pub(super) fn is_removed(&self) -> bool {
        self.state.is_none()
    }
}

/// One event of the tail, checked against itself.
#[derive(Debug)]
pub(super) struct TailEvent {
    position: Position,
    pub(super) user: UserId,
    org: OrgId,
    kind: EventKind,
    pub(super) epoch: u32,
    version: Version,
    at: Timestamp,
    data: EventData,
    payload: Bytes,
}

impl TailEvent {
    /// Reads the message at `sequence`; `None` for the placeholder of a withheld event.
    ///
    /// # Errors
    /// [`BackupError::NotOurs`] for anything that the service of `store_id` does not send.
    pub(super) fn read(
        sequence: u64,
        message: &EventMessage,
        store_id: &str,
    ) -> Result<Option<TailEvent>, BackupError> {
        let not_ours = |what| BackupError::NotOurs { sequence, what };
        if message.position != Some(Position(sequence)) {
            return Err(not_ours("its position"));
        }
        if message.withheld {
            return Ok(None);
        }
        let event: CloudEvent =
            serde_json::from_slice(&message.payload).map_err(|_| not_ours("its payload"))?;
        let kind = EventKind::ALL
            .into_iter()
            .find(|kind| kind.type_name() == event.event_type);
        let user = UserId::parse(&event.subject).map_err(|_| not_ours("its user"))?;
        let version = Version(event.userversion);
        let epoch = epoch_of(&event.id).ok_or_else(|| not_ours("its id"))?;
        if event.source != format!("/profile/{store_id}") {
            return Err(not_ours("its source"));
        }
        if event.id != event_id(&user, epoch, version) {
            return Err(not_ours("its id"));
        }
        Ok(Some(TailEvent {
            position: Position(sequence),
            org: OrgId::parse(&event.data.org_id).map_err(|_| not_ours("its organization"))?,
            user,
            kind: kind.ok_or_else(|| not_ours("its type"))?,
            epoch,
            version,
            at: event.time,
            data: event.data,
            payload: message.payload.clone(),
        }))
    }

    /// The record at the event's own position, behind what is known of its user, which it becomes.
    ///
    /// # Errors
    /// [`BackupError::NotOurs`] when the user cannot have come from there to here.
    pub(super) fn into_record(self, before: &mut TailUser) -> Result<Record, BackupError> {
        let known = before.known.as_ref();
        if let Some(what) = self.contradiction(known) {
            let sequence = self.position.0;
            return Err(BackupError::NotOurs { sequence, what });
        }
        let follows = self.version == known.map_or(Version::NONE, |known| known.version).next();
        let former = known.and_then(|known| known.state.as_ref());
        let missing = &mut before.missing;
        missing.keys = true;
        missing.contact |= former.is_none();
        missing.profile |= !follows;
        let state = match self.kind {
            EventKind::Removed => None,
            EventKind::Created | EventKind::Changed => {
                let fields = former.map(|state| state.fields.clone()).unwrap_or_default();
                let (fields, is_known) = fields_after(fields, &self.data);
                missing.profile = match is_known {
                    Fields::Whole => false,
                    Fields::Changed => missing.profile,
                    Fields::Unknown => true,
                };
                Some(UserState {
                    fields,
                    contact: former.map_or_else(no_contact, |state| state.contact.clone()),
                    created_at: former.map_or(self.at, |state| state.created_at),
                })
            }
        };
        let record = Record {
            position: self.position,
            previous: known.map_or(Position::NONE, |known| known.position),
            user: self.user,
            org: self.org,
            version: self.version,
            epoch: self.epoch,
            at: self.at,
            kind: self.kind,
            key: None,
            request_hash: [0; 16],
            event: self.payload,
            actor: String::new(),
            actor_issuer: String::new(),
            state,
            trace: None,
        };
        before.known = Some(Known::of(record.clone()));
        Ok(record)
    }

    fn contradiction(&self, known: Option<&Known>) -> Option<&'static str> {
        let known = known?;
        if known.is_removed() {
            Some("its user is removed")
        } else if self.org != known.org {
            Some("its organization")
        } else if self.version <= known.version {
            Some("its version")
        } else if self.kind == EventKind::Created {
            Some("its type")
        } else {
            None
        }
    }
}

/// How much an event says of the profile after it.
enum Fields {
    Whole,
    Changed,
    Unknown,
}

fn fields_after(before: ProfileFields, data: &EventData) -> (ProfileFields, Fields) {
    match (&data.profile, &data.values) {
        (Some(profile), _) => (profile.clone(), Fields::Whole),
        (None, Some(values)) => (overlaid(before, values), Fields::Changed),
        (None, None) => (before, Fields::Unknown),
    }
}

fn overlaid(before: ProfileFields, values: &FieldChanges) -> ProfileFields {
    fn text(before: String, new: Option<&String>) -> String {
        new.cloned().unwrap_or(before)
    }
    ProfileFields {
        first_name: text(before.first_name, values.first_name.as_ref()),
        last_name: text(before.last_name, values.last_name.as_ref()),
        nick_name: text(before.nick_name, values.nick_name.as_ref()),
        display_name: text(before.display_name, values.display_name.as_ref()),
        preferred_language: text(
            before.preferred_language,
            values.preferred_language.as_ref(),
        ),
        gender: values.gender.unwrap_or(before.gender),
    }
}

/// No event holds it.
fn no_contact() -> Contact {
    Contact {
        user_name: String::new(),
        email: String::new(),
        email_verified: false,
        phone: String::new(),
        phone_verified: false,
    }
}

/// The epoch in `<user>/<epoch>.<version>`.
fn epoch_of(id: &str) -> Option<u32> {
    let (_, at) = id.rsplit_once('/')?;
    let (epoch, _) = at.split_once('.')?;
    epoch.parse().ok()
}
