//! ZITADEL's lists of a user's changes: pages by version instead of a cursor, in either direction.

use std::collections::VecDeque;

use profile_domain::validate::query::{self, ChangesOrder, ChangesPage};
use profile_messages::UserId;
use profile_messages::query::ChangesBody;
use profile_messages::reply::{HistoryReply, QueryReply};

use super::accept::invalid;
use super::caller::{Caller, Target};
use super::history::bare_change;
use super::{ProfileService, RequestContext};
use crate::auth::Permission;
use crate::error::ServiceError;

/// Records that one call walks over: a page far from the newest change reads all that is newer first.
/// Compaction keeps far fewer by default.
const CHANGES_WALKED_RECORDS_MAX: usize = 10_000;
const WALK_TOO_LONG: &str =
    "the page is more than CHANGES_WALKED_RECORDS_MAX = 10000 changes behind the newest one";

impl ProfileService {
    /// ZITADEL management ListUserChanges: a search among events, so that a user that is unknown,
    /// removed or of another organization has none.
    pub(super) async fn user_changes(
        &self,
        caller: &Caller,
        user_id: &str,
        body: &ChangesBody,
        context: &RequestContext,
    ) -> Result<QueryReply, ServiceError> {
        let org = self.authorized_org(caller, Permission::UserRead)?;
        let page = query::user_changes(user_id, body, self.reads.page_rows_max).map_err(invalid)?;
        let user = UserId::parse(user_id).ok();
        let target = user.map(|user| Target { user, org });
        self.changes(target, page, context).await
    }

    /// ZITADEL auth ListMyUserChanges.
    pub(super) async fn my_changes(
        &self,
        caller: &Caller,
        body: &ChangesBody,
        context: &RequestContext,
    ) -> Result<QueryReply, ServiceError> {
        let page = query::my_changes(body, self.reads.page_rows_max).map_err(invalid)?;
        self.changes(caller.me(), page, context).await
    }

    /// Walks back from the newest change, the only way through the log, and holds one page at most: a
    /// page from the old end forgets what is newer than it. A row has no field values, as ZITADEL's has
    /// none, so that its size is bounded too. The way is bounded as well, and by the caller's deadline: the
    /// permits for pages are few.
    async fn changes(
        &self,
        target: Option<Target>,
        page: ChangesPage,
        context: &RequestContext,
    ) -> Result<QueryReply, ServiceError> {
        let _page = self.page_permit()?;
        let rows_max = usize::try_from(page.rows_max).unwrap_or(usize::MAX);
        let mut rows = VecDeque::new();
        let mut next = match &target {
            None => None,
            Some(target) => self.newest_record(target).await?,
        };
        let (deadline, mut walked) = (context.deadline(), 0);
        while let Some(record) = next.take() {
            if deadline.is_some_and(|deadline| self.ports.clock.monotonic() >= deadline) {
                return Err(ServiceError::DeadlineExceeded);
            }
            walked += 1;
            if walked > CHANGES_WALKED_RECORDS_MAX {
                return Err(ServiceError::Overloaded(WALK_TOO_LONG));
            }
            match page.order {
                ChangesOrder::NewestFirst { before } => {
                    if before.is_none_or(|before| record.version < before) {
                        rows.push_back(bare_change(&record));
                    }
                    if rows.len() >= rows_max {
                        break;
                    }
                }
                ChangesOrder::OldestFirst { after } => {
                    if record.version <= after {
                        break;
                    }
                    rows.push_front(bare_change(&record));
                    rows.truncate(rows_max);
                }
            }
            next = self.record(record.previous).await?;
        }
        Ok(QueryReply::History(HistoryReply {
            changes: rows.into(),
            next_cursor: None,
        }))
    }
}
