//! Per command: authorize and validate, in ZITADEL's order.

use profile_domain::{Rejection, Violations};
use profile_messages::UserId;
use profile_messages::command::{Command, CommandRequest};
use profile_messages::subject::Operation;

use super::caller::Caller;
use super::{ProfileService, RequestContext};
use crate::auth::Permission;
use crate::error::ServiceError;

mod create;
mod unsupported;
mod update;

/// A valid, authorized command for a user. `operation` is part of an idempotency key's scope.
pub(super) struct Accepted {
    pub(super) operation: &'static str,
    pub(super) user: UserId,
    pub(super) command: Command,
}

impl ProfileService {
    pub(super) fn accept(
        &self,
        caller: &Caller,
        context: &RequestContext,
        request: CommandRequest,
    ) -> Result<Accepted, ServiceError> {
        match request {
            CommandRequest::Create(body) => self.accept_create(caller, context, &body),
            CommandRequest::Import(body) => self.accept_import(caller, context, &body),
            CommandRequest::AddHuman(body) => self.accept_add_human(caller, context, &body),
            CommandRequest::CreateUser(body) => self.accept_create_user(caller, context, &body),
            CommandRequest::Update { user_id, body } => self.accept_update(caller, &user_id, &body),
            CommandRequest::UpdateMe { body } => update::accept_my_update(caller, &body),
            CommandRequest::Patch { user_id, body } => self.accept_patch(caller, &user_id, &body),
            CommandRequest::PatchMe { body } => self.accept_my_patch(caller, &body),
            CommandRequest::UpdateHuman { user_id, body } => {
                self.accept_update_human(caller, &user_id, &body)
            }
            CommandRequest::UpdateUser { user_id, body } => {
                self.accept_update_user(caller, &user_id, &body)
            }
            CommandRequest::Remove { user_id } => {
                let org = self.authorized_org(caller, Permission::UserWrite)?;
                let user = parsed(&user_id, Rejection::RemoveNotFound)?;
                Ok(Accepted {
                    operation: Operation::Remove.name(),
                    user,
                    command: Command::Remove { org },
                })
            }
        }
    }
}

fn parsed(user_id: &str, not_found: Rejection) -> Result<UserId, ServiceError> {
    UserId::parse(user_id).map_err(|_| ServiceError::Rejected(not_found))
}

pub(super) fn invalid(violations: Violations) -> ServiceError {
    ServiceError::Invalid {
        message: violations.message,
        violations: violations.fields,
    }
}

/// A request that holds what is not supported is refused as a whole, by the JSON name of the first such
/// field: what a caller asked for is never done by half.
fn supported(unsupported: Option<&'static str>) -> Result<(), ServiceError> {
    match unsupported {
        None => Ok(()),
        Some(field) => Err(ServiceError::Unsupported(field)),
    }
}
