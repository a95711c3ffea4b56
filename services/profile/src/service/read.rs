//! Reads of one user, and the replay of events.

use std::sync::Arc;

use profile_messages::current::CurrentUser;
use profile_messages::error::FieldViolation;
use profile_messages::event::EventKind;
use profile_messages::json::WireU64;
use profile_messages::query::{GetBody, PAGE_ROWS_DEFAULT, ReplayBody};
use profile_messages::record::Record;
use profile_messages::reply::{
    EmailView, GetReply, ObjectDetails, PhoneView, ProfileView, QueryReply, ReplayReply,
    ReplayedEvent,
};
use profile_messages::{OrgId, Position, UserState, Version};
use serde_json::value::RawValue;

use super::caller::{Caller, Target};
use super::{ProfileService, RequestContext};
use crate::auth::Permission;
use crate::commit_log::{ReadError, ReadLimits};
use crate::current_view::CurrentView;
use crate::error::{Read, ServiceError};

impl ProfileService {
    /// A user and its details, from `minVersion` on if the caller asks so.
    pub(super) async fn get(
        &self,
        target: Target,
        body: GetBody,
        context: &RequestContext,
    ) -> Result<QueryReply, ServiceError> {
        let wanted = Version(body.min_version.map_or(0, |version| version.0));
        let current = match self
            .current(&target)?
            .ok_or(ServiceError::ReadNotFound(Read::Profile))?
        {
            current if current.version >= wanted => current,
            _ => self.wait_for_version(&target, wanted, context).await?,
        };
        let state = current
            .state
            .as_ref()
            .ok_or(ServiceError::ReadNotFound(Read::Profile))?;
        Ok(QueryReply::Get(Box::new(get_reply(&current, state))))
    }

    /// The user as of the newest commit, if it exists in the target's organization.
    pub(super) fn current(
        &self,
        target: &Target,
    ) -> Result<Option<Arc<CurrentUser>>, ServiceError> {
        let current = self
            .ports
            .view
            .user(&target.user)
            .map_err(|_| unreadable())?;
        Ok(current.filter(|current| current.org == target.org && current.state.is_some()))
    }

    /// Only for a user that exists: the view sees every answered commit, so waiting is for those that are
    /// not answered yet. Bounded in time and in number, since each waiter looks at every group of commits.
    async fn wait_for_version(
        &self,
        target: &Target,
        wanted: Version,
        context: &RequestContext,
    ) -> Result<Arc<CurrentUser>, ServiceError> {
        let busy = |_| ServiceError::Overloaded("too many reads wait for a version");
        let _wait = self.waits.try_acquire().map_err(busy)?;
        let bound = self.ports.clock.monotonic() + self.reads.min_version_wait_max;
        let deadline = context.deadline();
        let bound = deadline.map_or(bound, |deadline| deadline.min(bound));
        let mut durable = self.ports.log.durable();
        loop {
            durable.borrow_and_update();
            let current = self
                .current(target)?
                .ok_or(ServiceError::ReadNotFound(Read::Profile))?;
            if current.version >= wanted {
                return Ok(current);
            }
            let changed = tokio::time::timeout_at(bound.into(), durable.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return Err(ServiceError::VersionNotReached { wanted });
            }
        }
    }

    /// Events after a position out of the log: of all organizations for a caller whose permission is
    /// instance-wide and who names none, else of the context organization.
    pub(super) async fn replay(
        &self,
        caller: &Caller,
        body: ReplayBody,
    ) -> Result<QueryReply, ServiceError> {
        let permission = Permission::EventsRead;
        let (auth, principal) = (&self.authenticator, &caller.principal);
        let everywhere = auth.authorize_everywhere(principal, permission).is_ok();
        let only_org = match everywhere && !caller.names_org {
            true => None,
            false => Some(self.authorized_org(caller, permission)?),
        };
        let records_max = self.page_rows(body.limit)?;
        let _page = self.page_permit()?;
        let after = Position(body.after.map_or(0, |after| after.0));
        let durable = *self.ports.log.durable().borrow();
        // The view sees a group a moment before the log calls it durable, and `list` tells positions.
        let end = durable.max(self.ports.view.position());
        if after > end {
            return Err(ServiceError::PositionAhead { end });
        }
        let limits = ReadLimits {
            records_max,
            bytes_max: self.reads.page_bytes_max,
        };
        let records = self
            .ports
            .log
            .read_after(after, limits)
            .await
            .map_err(read_error)?;
        // After the read: what is compacted away beside it is told as well.
        let dropped_through = self.ports.log.dropped_through();
        if after < dropped_through {
            let first_kept = dropped_through.next();
            return Err(ServiceError::Compacted { first_kept });
        }
        // Nothing may be kept up to the end.
        let last = records.last().map(|record| record.position);
        let position = last.unwrap_or(after.max(durable));
        let view = Arc::clone(&self.ports.view);
        // A page of look-ups may read the disk, so not on an I/O thread.
        let events = tokio::task::spawn_blocking(move || {
            let shown = |record: &Record| is_replayed(view.as_ref(), record, only_org.as_ref());
            let mut events = Vec::with_capacity(records.len());
            for record in &records {
                if shown(record)? {
                    events.push(replayed(record)?);
                }
            }
            Ok::<_, ServiceError>(events)
        });
        let events = events.await.map_err(|_| ServiceError::Internal)??;
        let end = position >= durable;
        Ok(QueryReply::Replay(ReplayReply {
            events,
            position: position.0,
            end,
        }))
    }

    /// The rows of a page, checked.
    pub(super) fn page_rows(&self, limit: Option<WireU64>) -> Result<usize, ServiceError> {
        let rows_max = self.reads.page_rows_max;
        let rows = limit.map_or(PAGE_ROWS_DEFAULT.min(rows_max), |limit| limit.0);
        if (1..=rows_max).contains(&rows) {
            return Ok(usize::try_from(rows).unwrap_or(usize::MAX));
        }
        let description = format!("value must be between 1 and {rows_max}, inclusive");
        let violation = FieldViolation {
            field: "limit".to_owned(),
            description,
        };
        Err(ServiceError::Invalid {
            message: format!("invalid limit: {}", violation.description),
            violations: vec![violation],
        })
    }

    pub(super) fn page_permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, ServiceError> {
        let busy = |_| ServiceError::Overloaded("too many pages are being read");
        self.pages.try_acquire().map_err(busy)
    }
}

pub(super) fn get_reply(current: &CurrentUser, state: &UserState) -> GetReply {
    GetReply {
        user_id: current.user.to_string(),
        details: ObjectDetails {
            sequence: current.version.0,
            creation_date: Some(state.created_at),
            change_date: Some(current.at),
            resource_owner: current.org.to_string(),
        },
        profile: ProfileView::from(&state.fields),
        user_name: state.contact.user_name.clone(),
        email: EmailView::from(&state.contact),
        phone: PhoneView::of(&state.contact),
    }
}

/// A removed user's earlier events are withheld, `removed` never.
fn is_replayed(
    view: &dyn CurrentView,
    record: &Record,
    only: Option<&OrgId>,
) -> Result<bool, ServiceError> {
    if only.is_some_and(|org| *org != record.org) {
        return Ok(false);
    }
    if record.kind == EventKind::Removed {
        return Ok(true);
    }
    let current = view.user(&record.user).map_err(|_| unreadable())?;
    Ok(current.is_some_and(|current| current.state.is_some()))
}

fn replayed(record: &Record) -> Result<ReplayedEvent, ServiceError> {
    let text = std::str::from_utf8(&record.event).map_err(|_| ServiceError::Internal)?;
    let event = RawValue::from_string(text.to_owned()).map_err(|_| ServiceError::Internal)?;
    Ok(ReplayedEvent {
        position: record.position.0,
        event,
    })
}

pub(super) fn read_error(error: ReadError) -> ServiceError {
    tracing::error!(%error, "the commit log cannot be read");
    ServiceError::Unavailable("the commit log cannot be read")
}

pub(super) fn unreadable() -> ServiceError {
    ServiceError::Unavailable("the current view cannot be read")
}
