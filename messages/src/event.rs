//! Events: what the domain decides, and the CloudEvent that subscribers receive.

use serde::{Deserialize, Serialize};

use crate::{Contact, FieldChanges, OrgId, ProfileFields, Timestamp, UserId, Version};

/// Content type of every event message (CloudEvents 1.0.2, structured mode).
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// What happened to a user. The last token of the event's subject is the kind's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    Created,
    Changed,
    Removed,
}

impl EventKind {
    pub const ALL: [EventKind; 3] = [EventKind::Created, EventKind::Changed, EventKind::Removed];

    pub fn name(self) -> &'static str {
        match self {
            EventKind::Created => "created",
            EventKind::Changed => "changed",
            EventKind::Removed => "removed",
        }
    }

    /// The CloudEvents `type`.
    pub fn type_name(self) -> &'static str {
        match self {
            EventKind::Created => "profile-service.profile.created.v1",
            EventKind::Changed => "profile-service.profile.changed.v1",
            EventKind::Removed => "profile-service.profile.removed.v1",
        }
    }

    pub fn number(self) -> u8 {
        match self {
            EventKind::Created => 1,
            EventKind::Changed => 2,
            EventKind::Removed => 3,
        }
    }

    pub fn from_number(number: u8) -> Option<EventKind> {
        EventKind::ALL
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

/// A fact that `decide` produced and `apply` folds. One command, one commit, one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Created {
        org: OrgId,
        fields: ProfileFields,
        contact: Contact,
    },
    Changed {
        changes: FieldChanges,
    },
    Removed,
}

impl Event {
    pub fn kind(&self) -> EventKind {
        match self {
            Event::Created { .. } => EventKind::Created,
            Event::Changed { .. } => EventKind::Changed,
            Event::Removed => EventKind::Removed,
        }
    }
}

/// How much of the profile an event carries (`events.payload`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventPayload {
    /// The names of the changed fields.
    Names,
    /// Their new values too.
    #[default]
    Changed,
    /// Old and new values, and the whole profile.
    Full,
}

/// The structured CloudEvent. `id` is also the message's `Nats-Msg-Id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudEvent {
    pub specversion: String,
    /// `<userId>/<epoch>.<version>`
    pub id: String,
    /// `/profile/<storeId>`
    pub source: String,
    #[serde(rename = "type")]
    pub event_type: String,
    /// The user id.
    pub subject: String,
    pub time: Timestamp,
    pub datacontenttype: String,
    /// The user's version after the event: dedupe and order by (subject, epoch in the id, version).
    pub userversion: u64,
    pub data: EventData,
}

/// The event's data. Contact data is never in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventData {
    pub user_id: String,
    pub org_id: String,
    /// Names of the fields that changed; on `created` all that are set, on `removed` none.
    pub changed: Vec<String>,
    /// Payload `changed` and `full`: the new values of those fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<FieldChanges>,
    /// Payload `full`: the values before; absent on `created`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_values: Option<FieldChanges>,
    /// Payload `full`: the whole profile after the event; absent on `removed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileFields>,
}

/// The event id: unique for ever, also across a restore, which raises the epoch.
pub fn event_id(user: &UserId, epoch: u32, version: Version) -> String {
    format!("{user}/{epoch}.{version}")
}
