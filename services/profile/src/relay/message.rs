//! One message of the event stream: an event, or an empty placeholder in the place of a withheld one.

use bytes::Bytes;
use profile_messages::Position;
use profile_messages::event::{EventKind, event_id};
use profile_messages::record::Record;
use profile_messages::subject;
use profile_messages::trace::TraceContext;

/// Header of a placeholder; its value is `1`.
pub const WITHHELD: &str = "Profile-Withheld";
/// Subject of a placeholder for a commit that the log has compacted away, so that its user is not
/// known any more. It has three tokens: a filter of the events' five never matches it.
pub const WITHHELD_SUBJECT: &str = "profile-event.v1.withheld";

/// A message as it is published and as it is read back; equality is what "the same bytes" means.
#[derive(Clone)]
pub struct EventMessage {
    pub subject: String,
    /// `Nats-Msg-Id`; a placeholder has none, so it never clashes with its event.
    pub id: Option<String>,
    /// `Profile-Position`, which is also the stream sequence. `None` only in a forged message.
    pub position: Option<Position>,
    pub withheld: bool,
    pub payload: Bytes,
    /// Where in a trace its commit was made; not read back.
    pub trace: Option<TraceContext>,
}

/// All but the trace. That says nothing to consumers, and a log may lose it where the stream has it: written
/// by an older release, or restored from events.
impl PartialEq for EventMessage {
    fn eq(&self, other: &EventMessage) -> bool {
        let EventMessage {
            subject,
            id,
            position,
            withheld,
            payload,
            trace: _,
        } = self;
        (subject, id, position, withheld, payload)
            == (
                &other.subject,
                &other.id,
                &other.position,
                &other.withheld,
                &other.payload,
            )
    }
}

impl Eq for EventMessage {}

impl EventMessage {
    /// The event of a commit, byte for byte as the log keeps it.
    pub fn event(record: &Record) -> EventMessage {
        EventMessage {
            subject: subject::event(&record.org, &record.user, record.kind),
            id: Some(event_id(&record.user, record.epoch, record.version)),
            position: Some(record.position),
            withheld: false,
            payload: record.event.clone(),
            trace: record.trace.clone(),
        }
    }

    pub fn is_removal(&self) -> bool {
        let kind = self.subject.rsplit_once('.').map(|(_, kind)| kind);
        kind == Some(EventKind::Removed.name())
    }

    /// What stands in the place of a removed user's event.
    pub fn withheld(record: &Record) -> EventMessage {
        EventMessage {
            subject: subject::event(&record.org, &record.user, record.kind),
            ..EventMessage::compacted(record.position)
        }
    }

    /// What stands in the place of a commit that the log keeps no more.
    pub fn compacted(position: Position) -> EventMessage {
        EventMessage {
            subject: WITHHELD_SUBJECT.to_owned(),
            id: None,
            position: Some(position),
            withheld: true,
            payload: Bytes::new(),
            trace: None,
        }
    }
}

/// The payload holds profile fields, so only its length is shown.
impl std::fmt::Debug for EventMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventMessage")
            .field("subject", &self.subject)
            .field("id", &self.id)
            .field("position", &self.position)
            .field("withheld", &self.withheld)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}
