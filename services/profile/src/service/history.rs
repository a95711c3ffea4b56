//! The changes of one user, newest first, walked from commit to commit in the log.

use std::sync::Arc;

use profile_messages::event::{CloudEvent, EventKind};
use profile_messages::query::PageBody;
use profile_messages::record::Record;
use profile_messages::reply::{FieldChange, HistoryChange, HistoryReply, QueryReply};
use profile_messages::{FieldChanges, Gender, Position, ProfileFields};

use super::caller::{Caller, Target};
use super::read::read_error;
use super::{ProfileService, cursor};
use crate::error::{Read, ServiceError};

/// How often the newest commit of a user is looked for while compaction and others' changes go on.
const NEWEST_READS_MAX: usize = 8;

impl ProfileService {
    pub(super) async fn history(
        &self,
        caller: &Caller,
        target: Target,
        body: PageBody,
    ) -> Result<QueryReply, ServiceError> {
        let rows_max = self.page_rows(body.limit)?;
        let _page = self.page_permit()?;
        let [issuer, subject] = caller.principal.identity();
        let scope = [
            "history",
            target.org.as_str(),
            target.user.as_str(),
            issuer,
            subject,
        ];
        let newest = self.newest_record(&target).await?;
        let newest = newest.ok_or(ServiceError::ReadNotFound(Read::Profile))?;
        let mut next = match body.cursor.as_deref() {
            None => Some(newest),
            Some(sealed) => {
                let place = cursor::open(&self.data_dir, &scope, sealed)?;
                self.record(position(&place)?).await?
            }
        };
        let (mut changes, mut bytes) = (Vec::new(), 0);
        let own = |record: &Arc<Record>| record.user == target.user && record.org == target.org;
        if !next.as_ref().is_none_or(own) {
            return Err(ServiceError::ReadNotFound(Read::Profile));
        }
        while let Some(record) = next.take() {
            if changes.len() == rows_max || bytes > self.reads.page_bytes_max {
                next = Some(record);
                break;
            }
            let before = self.record(record.previous).await?;
            let change = match &before {
                None if record.previous != Position::NONE => oldest_kept_change(&record),
                before => history_change(&record, before.as_deref()),
            };
            bytes += serde_json::to_vec(&change).map_or(0, |json| json.len());
            changes.push(change);
            next = before;
        }
        let next_cursor = next
            .map(|record| cursor::seal(&self.data_dir, &scope, &record.position.0.to_le_bytes()));
        Ok(QueryReply::History(HistoryReply {
            changes,
            next_cursor,
        }))
    }

    /// The newest commit of a user that exists. Compaction may drop what was the newest when the view was
    /// asked: then there is a newer one.
    ///
    /// # Errors
    /// `UNAVAILABLE` when that happens again and again.
    pub(super) async fn newest_record(
        &self,
        target: &Target,
    ) -> Result<Option<Arc<Record>>, ServiceError> {
        for _ in 0..NEWEST_READS_MAX {
            let Some(current) = self.current(target)? else {
                return Ok(None);
            };
            if let Some(record) = self.record(current.position).await? {
                return Ok(Some(record));
            }
        }
        Err(ServiceError::Unavailable(
            "the newest change of this user cannot be read",
        ))
    }

    /// The record at a position; none before the first commit and none that was compacted away.
    pub(super) async fn record(
        &self,
        position: Position,
    ) -> Result<Option<Arc<Record>>, ServiceError> {
        if position == Position::NONE {
            return Ok(None);
        }
        self.ports.log.read_one(position).await.map_err(read_error)
    }
}

fn position(place: &[u8]) -> Result<Position, ServiceError> {
    let bytes: [u8; 8] = place.try_into().map_err(|_| ServiceError::Internal)?;
    Ok(Position(u64::from_le_bytes(bytes)))
}

fn history_change(record: &Record, before: Option<&Record>) -> HistoryChange {
    HistoryChange {
        fields: field_changes(record, before),
        ..bare_change(record)
    }
}

/// Who changed the user and when, without what was changed.
pub(super) fn bare_change(record: &Record) -> HistoryChange {
    HistoryChange {
        sequence: record.version.0,
        change_date: record.at,
        kind: record.kind.name().to_owned(),
        editor_id: record.actor.clone(),
        resource_owner: record.org.to_string(),
        fields: Vec::new(),
    }
}

/// The commit before it is not kept any more, so what was there before is not known; the event names the
/// fields that changed.
fn oldest_kept_change(record: &Record) -> HistoryChange {
    let event = serde_json::from_slice::<CloudEvent>(&record.event);
    let changed = event.map(|event| event.data.changed).unwrap_or_default();
    let after = record.state.as_ref().map(|state| &state.fields);
    let fields = after.map_or_else(Vec::new, |after| {
        let told = changed.into_iter().map(|field| FieldChange {
            old: None,
            new: value(after, &field),
            field,
        });
        told.collect()
    });
    HistoryChange {
        fields,
        ..bare_change(record)
    }
}

/// New and old value of each field that changed; no old ones where there was nothing before.
fn field_changes(record: &Record, before: Option<&Record>) -> Vec<FieldChange> {
    let Some(after) = record.state.as_ref().map(|state| &state.fields) else {
        return Vec::new();
    };
    let known_before = before
        .and_then(|before| before.state.as_ref())
        .map(|state| &state.fields);
    let nothing = ProfileFields::default();
    let changes = FieldChanges::between(known_before.unwrap_or(&nothing), after);
    let shows_old = record.kind == EventKind::Changed;
    let names = changes.names().into_iter();
    names
        .map(|name| FieldChange {
            field: name.to_owned(),
            old: known_before
                .filter(|_| shows_old)
                .map(|fields| value(fields, name)),
            new: value(after, name),
        })
        .collect()
}

fn value(fields: &ProfileFields, name: &str) -> String {
    match name {
        "firstName" => fields.first_name.clone(),
        "lastName" => fields.last_name.clone(),
        "nickName" => fields.nick_name.clone(),
        "displayName" => fields.display_name.clone(),
        "preferredLanguage" => fields.preferred_language.clone(),
        _ => Gender::name(fields.gender).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::commit_log::Head;
    use crate::commit_log::conformance::{commit, user};

    #[test]
    fn the_oldest_kept_change_tells_what_its_event_names_and_no_old_value() {
        let before = Head {
            version: profile_messages::Version(4),
            position: Position(9),
        };
        let golden = include_bytes!("../../../../messages/golden/event-changed-names.json");
        let mut record = commit(&user(1), before, 0).into_record(Position(12));
        record.event = Bytes::from_static(golden);
        let change = oldest_kept_change(&record);
        assert_eq!((change.sequence, change.kind.as_str()), (5, "changed"));
        let told = change.fields.iter();
        let told: Vec<_> = told.map(|it| (it.field.as_str(), it.old.clone())).collect();
        let names = ["nickName", "preferredLanguage", "gender"];
        assert_eq!(told, names.map(|name| (name, None)));
        assert_eq!(change.fields[1].new, "de");
    }
}
