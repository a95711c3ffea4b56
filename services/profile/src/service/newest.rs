//! Where other nodes commit too: what this node's view may not have heard of yet.

use profile_messages::UserId;
use profile_messages::command::CommandRequest;
use profile_messages::query::QueryRequest;

use super::ProfileService;
use super::caller::Caller;
use crate::config::LogReads;
use crate::error::ServiceError;

impl ProfileService {
    /// Before a read: read your writes, whichever node took them. Costs nothing where there is one node.
    pub(super) async fn see_newest_of(
        &self,
        caller: &Caller,
        request: &QueryRequest,
    ) -> Result<(), ServiceError> {
        if !self.ports.log.is_shared() {
            return Ok(());
        }
        let me = || caller.me().map(|target| target.user);
        let (user, waits) = match request {
            QueryRequest::Get { user_id, body } => {
                (UserId::parse(user_id).ok(), body.min_version.is_some())
            }
            QueryRequest::GetMe { body } => (me(), body.min_version.is_some()),
            QueryRequest::GetProfile { user_id }
            | QueryRequest::GetUser { user_id }
            | QueryRequest::GetAnyUser { user_id }
            | QueryRequest::History { user_id, .. }
            | QueryRequest::Changes { user_id, .. } => (UserId::parse(user_id).ok(), false),
            QueryRequest::HistoryMe { .. } | QueryRequest::ChangesMe { .. } => (me(), false),
            // A consumer may know of positions from another node.
            QueryRequest::Replay { .. } => return self.see_newest(None).await,
            QueryRequest::List { .. } => {
                return match self.reads.log {
                    LogReads::Newest => self.see_newest(None).await,
                    LogReads::Local => Ok(()),
                };
            }
        };
        match (user, self.reads.log) {
            (Some(user), LogReads::Newest) => self.see_newest(Some(&user)).await,
            (Some(user), LogReads::Local) if waits => self.see_newest(Some(&user)).await,
            // An id that is none has no commits.
            (Some(_), LogReads::Local) | (None, LogReads::Newest | LogReads::Local) => Ok(()),
        }
    }

    /// Before a command whose user is looked up first: one that another node made a moment ago is not
    /// unknown. What the view has and is old, the log's fence finds out.
    pub(super) async fn see_named_user(
        &self,
        request: &CommandRequest,
    ) -> Result<(), ServiceError> {
        if !self.ports.log.is_shared() {
            return Ok(());
        }
        let user_id = match request {
            CommandRequest::Patch { user_id, .. }
            | CommandRequest::UpdateHuman { user_id, .. }
            | CommandRequest::UpdateUser { user_id, .. }
            | CommandRequest::Update { user_id, .. }
            | CommandRequest::Remove { user_id } => user_id,
            CommandRequest::Create(_)
            | CommandRequest::Import(_)
            | CommandRequest::AddHuman(_)
            | CommandRequest::CreateUser(_)
            | CommandRequest::UpdateMe { .. }
            | CommandRequest::PatchMe { .. } => return Ok(()),
        };
        let Ok(user) = UserId::parse(user_id) else {
            return Ok(());
        };
        match self.ports.view.user(&user) {
            Ok(Some(_)) | Err(_) => Ok(()),
            Ok(None) => self.see_newest(Some(&user)).await,
        }
    }

    async fn see_newest(&self, user: Option<&UserId>) -> Result<(), ServiceError> {
        let seen = self.ports.log.see_newest(user).await;
        seen.map_err(|error| {
            tracing::warn!(%error, "the newest commit cannot be asked for");
            ServiceError::Unavailable("the newest commit cannot be asked for")
        })
    }
}
