//! Queries: reads never change anything and never wake an actor.

use serde::Deserialize;

use crate::json::{Message, WireU64};
use crate::subject::Operation;

/// Rows of one page when the request names no `limit`.
pub const PAGE_ROWS_DEFAULT: u64 = 100;
/// Most rows of one page.
pub const PAGE_ROWS_MAX: u64 = 1_000;

/// A query as a transport decoded it: not yet authenticated, not yet validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryRequest {
    /// `user_id` is as sent, in any form.
    Get {
        user_id: String,
        body: GetBody,
    },
    /// ZITADEL management GetHumanProfile: `get` with ZITADEL's rule for the id.
    GetProfile {
        user_id: String,
    },
    GetMe {
        body: GetBody,
    },
    /// ZITADEL management GetUserByID.
    GetUser {
        user_id: String,
    },
    /// ZITADEL user v2 GetUserByID.
    GetAnyUser {
        user_id: String,
    },
    History {
        user_id: String,
        body: PageBody,
    },
    HistoryMe {
        body: PageBody,
    },
    /// ZITADEL management ListUserChanges.
    Changes {
        user_id: String,
        body: ChangesBody,
    },
    /// ZITADEL auth ListMyUserChanges.
    ChangesMe {
        body: ChangesBody,
    },
    List {
        body: PageBody,
    },
    Replay {
        body: ReplayBody,
    },
}

impl QueryRequest {
    pub fn operation(&self) -> Operation {
        match self {
            QueryRequest::Get { .. }
            | QueryRequest::GetProfile { .. }
            | QueryRequest::GetUser { .. }
            | QueryRequest::GetAnyUser { .. } => Operation::Get,
            QueryRequest::GetMe { .. } => Operation::MeGet,
            QueryRequest::History { .. } | QueryRequest::Changes { .. } => Operation::History,
            QueryRequest::HistoryMe { .. } | QueryRequest::ChangesMe { .. } => Operation::MeHistory,
            QueryRequest::List { .. } => Operation::List,
            QueryRequest::Replay { .. } => Operation::Replay,
        }
    }
}

/// Body of `get`. `min_version`: answer only from this version on; waits, bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetBody {
    #[serde(alias = "user_id")]
    pub user_id: Option<String>,
    #[serde(alias = "min_version")]
    pub min_version: Option<WireU64>,
}

/// Body of `history` and `list`: a page. `prefix` is read by `list` only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PageBody {
    #[serde(alias = "user_id")]
    pub user_id: Option<String>,
    /// Rows wanted, 1 to [`PAGE_ROWS_MAX`].
    pub limit: Option<WireU64>,
    /// `nextCursor` of the page before: opaque, bound to organization, filter and caller.
    pub cursor: Option<String>,
    /// Beginning of the display name, letter case aside.
    pub prefix: Option<String>,
}

/// Body of ZITADEL ListUserChanges and ListMyUserChanges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChangesBody {
    #[serde(alias = "user_id")]
    pub user_id: Option<String>,
    pub query: Option<Message<ChangeQuery>>,
}

/// ZITADEL ChangeQuery: changes after (`asc`) or before `sequence`, which does not count itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChangeQuery {
    /// 0 or absent: from the end that `asc` names.
    pub sequence: Option<WireU64>,
    /// 0 or absent: [`PAGE_ROWS_DEFAULT`]. At most [`PAGE_ROWS_MAX`].
    pub limit: Option<WireU64>,
    pub asc: Option<bool>,
}

/// Body of `replay`: events after a position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplayBody {
    pub after: Option<WireU64>,
    pub limit: Option<WireU64>,
}
