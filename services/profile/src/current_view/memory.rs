//! The current view in memory only, for simulation: no threads, nothing random, nothing kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use profile_messages::current::CurrentUser;
use profile_messages::record::Record;
use profile_messages::{OrgId, Position, UserId};

use super::catch_up::{self, CatchUpError};
use super::list_place::{self, Span};
use super::{CurrentView, ListRequest, ListRows, ViewError};
use crate::commit_log::{CommitLog, CommitObserver, Head};

#[derive(Default)]
pub struct MemoryView {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    users: BTreeMap<UserId, Arc<CurrentUser>>,
    list: BTreeMap<Vec<u8>, Arc<CurrentUser>>,
    orgs: BTreeSet<OrgId>,
    position: Position,
}

impl std::fmt::Debug for MemoryView {
    /// Without the entries: their values are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryView").finish_non_exhaustive()
    }
}

impl MemoryView {
    /// Folds in every durable record after the view's position.
    ///
    /// # Errors
    /// [`CatchUpError::Log`] when the log cannot be read.
    pub async fn catch_up(&self, log: &dyn CommitLog) -> Result<Position, CatchUpError> {
        catch_up::fold_after(log, self.position(), |records| {
            self.committed(records);
            Ok(())
        })
        .await
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fold(&mut self, record: &Record) {
        let before = self.users.get(&record.user);
        let entry = Arc::new(CurrentUser::fold(before.map(Arc::as_ref), record));
        if let Some(gone) = before.and_then(|before| list_place::of_entry(before)) {
            self.list.remove(&gone);
        }
        if let Some(place) = list_place::of_entry(&entry) {
            self.list.insert(place, Arc::clone(&entry));
        }
        self.orgs.insert(entry.org.clone());
        self.users.insert(entry.user.clone(), entry);
        self.position = self.position.max(record.position);
    }
}

impl CommitObserver for MemoryView {
    fn head(&self, user: &UserId) -> Result<Head, String> {
        let state = self.state();
        Ok(state.users.get(user).map_or(Head::default(), |entry| Head {
            version: entry.version,
            position: entry.position,
        }))
    }

    fn committed(&self, group: &[Arc<Record>]) {
        let mut state = self.state_mut();
        for record in group {
            state.fold(record);
        }
    }
}

impl CurrentView for MemoryView {
    fn user(&self, user: &UserId) -> Result<Option<Arc<CurrentUser>>, ViewError> {
        Ok(self.state().users.get(user).cloned())
    }

    fn list(&self, request: &ListRequest) -> Result<ListRows, ViewError> {
        let span = Span::of(request);
        let state = self.state();
        let mut rows: Vec<_> = state
            .list
            .range(span.start()..)
            .take_while(|(place, _)| span.holds(place))
            .take(request.rows_max.saturating_add(1))
            .map(|(_, entry)| Arc::clone(entry))
            .collect();
        let more = rows.len() > request.rows_max;
        rows.truncate(request.rows_max);
        Ok(ListRows {
            rows,
            position: state.position,
            more,
        })
    }

    fn org_had_user(&self, org: &OrgId) -> Result<bool, ViewError> {
        Ok(self.state().orgs.contains(org))
    }

    fn position(&self) -> Position {
        self.state().position
    }

    /// Never: everything is in memory anyway.
    fn is_full(&self) -> bool {
        false
    }
}
