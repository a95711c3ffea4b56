//! The port to the current view: every current profile and every index, as of the newest commit.

mod catch_up;
mod list_place;
pub mod memory;
mod overlay;
pub mod sled;
#[cfg(test)]
mod tests;

pub use catch_up::CatchUpError;

use std::sync::Arc;

use profile_messages::current::CurrentUser;
use profile_messages::{OrgId, Position, Timestamp, UserId};

/// Why the view could not be read. Never holds a profile value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    #[error("the current view cannot be read: {0}")]
    Unreadable(String),
}

/// One page of an organization's users, by (case-folded display name, user id).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest {
    pub org: OrgId,
    /// Only display names that start with this, case-folded already; empty for all.
    pub prefix_folded: String,
    /// The last key of the page before.
    pub after: Option<ListKey>,
    pub rows_max: usize,
}

/// Place of a user in its organization's list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListKey {
    pub display_name_folded: String,
    pub user: UserId,
}

impl ListKey {
    /// Where `entry` stands in its organization's list; `None` for a removed user.
    pub fn of(entry: &CurrentUser) -> Option<ListKey> {
        entry.state.as_ref().map(|state| ListKey {
            display_name_folded: folded(&state.fields.display_name),
            user: entry.user.clone(),
        })
    }
}

/// The one way in which display names are case-folded: for list keys, and for prefixes before a query.
pub fn folded(display_name: &str) -> String {
    display_name.to_lowercase()
}

/// Rows in key order, all true at `position`; `more` when the page ended before the list did.
#[derive(Clone, Debug)]
pub struct ListRows {
    pub rows: Vec<Arc<CurrentUser>>,
    pub position: Position,
    pub more: bool,
}

/// What a view has in memory only: it is written behind the commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    pub users: usize,
    pub bytes: usize,
    /// The commit that waits longest.
    pub since: Option<Timestamp>,
}

/// Reads merge what is committed but not yet stored (the overlay) with what is stored.
pub trait CurrentView: Send + Sync + std::fmt::Debug {
    /// The user as of the newest commit; `None` if there never was one. A removed user has no `state`.
    fn user(&self, user: &UserId) -> Result<Option<Arc<CurrentUser>>, ViewError>;

    /// Existing (not removed) users of an organization.
    fn list(&self, request: &ListRequest) -> Result<ListRows, ViewError>;

    /// Whether the organization ever had a user.
    fn org_had_user(&self, org: &OrgId) -> Result<bool, ViewError>;

    /// The newest commit that reads see.
    fn position(&self) -> Position;

    /// Whether the overlay is at its bound, so that no further write may be accepted for now.
    fn is_full(&self) -> bool;
}
