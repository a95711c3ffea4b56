//! The event as subscribers receive it. Contact data and the actor never enter it.

use bytes::Bytes;
use profile_messages::event::{CloudEvent, Event, EventData, EventPayload, event_id};
use profile_messages::{FieldChanges, OrgId, ProfileFields, Timestamp, UserId, Version};

use super::EntityPorts;
use crate::error::ServiceError;

#[cfg(test)]
mod tests;

/// All that one event is made of.
pub(super) struct Announced<'a> {
    pub(super) user: &'a UserId,
    pub(super) org: &'a OrgId,
    pub(super) version: Version,
    pub(super) at: Timestamp,
    pub(super) event: &'a Event,
    pub(super) before: Option<&'a ProfileFields>,
    pub(super) after: Option<&'a ProfileFields>,
}

impl Announced<'_> {
    /// The structured CloudEvent, as it will be sent byte for byte.
    pub(super) fn encode(&self, ports: &EntityPorts) -> Result<Bytes, ServiceError> {
        let kind = self.event.kind();
        let event = CloudEvent {
            specversion: "1.0".to_owned(),
            id: event_id(self.user, ports.epoch, self.version),
            source: format!("/profile/{}", ports.store_id),
            event_type: kind.type_name().to_owned(),
            subject: self.user.to_string(),
            time: self.at,
            datacontenttype: "application/json".to_owned(),
            userversion: self.version.0,
            data: self.data(ports.payload),
        };
        serde_json::to_vec(&event)
            .map(Bytes::from)
            .map_err(|_| ServiceError::Internal)
    }

    fn data(&self, payload: EventPayload) -> EventData {
        let (values, old_values) = self.changes();
        let names = values
            .iter()
            .flat_map(FieldChanges::names)
            .map(str::to_owned)
            .collect();
        let mut data = EventData {
            user_id: self.user.to_string(),
            org_id: self.org.to_string(),
            changed: names,
            values: None,
            old_values: None,
            profile: None,
        };
        match payload {
            EventPayload::Names => {}
            EventPayload::Changed => data.values = values,
            EventPayload::Full => {
                data.values = values;
                data.old_values = old_values;
                data.profile = self.after.cloned();
            }
        }
        data
    }

    /// New and old values of what changed; a new user has no old ones, a removed one has neither.
    fn changes(&self) -> (Option<FieldChanges>, Option<FieldChanges>) {
        match self.event {
            Event::Created { fields, .. } => (
                Some(FieldChanges::between(&ProfileFields::default(), fields)),
                None,
            ),
            Event::Changed { changes } => {
                let old = self.before.zip(self.after);
                let old = old.map(|(before, after)| FieldChanges::between(after, before));
                (Some(changes.clone()), old)
            }
            Event::Removed => (None, None),
        }
    }
}
