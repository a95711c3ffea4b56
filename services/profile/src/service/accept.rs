//! Per command: authorize and validate, in ZITADEL's order.

use profile_domain::{Rejection, Violations, validate};
use profile_messages::UserId;
use profile_messages::command::{Command, CommandRequest, CreateBody, PatchBody, UpdateBody};
use profile_messages::current::CurrentUser;
use profile_messages::subject::Operation;

use super::caller::{Caller, Target};
use super::{ProfileService, RequestContext};
use crate::auth::Permission;
use crate::clock::hex;
use crate::error::ServiceError;

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
            CommandRequest::Import(_)
            | CommandRequest::AddHuman(_)
            | CommandRequest::CreateUser(_)
            | CommandRequest::UpdateHuman { .. }
            | CommandRequest::UpdateUser { .. } => Err(ServiceError::Unsupported("this call")),
            CommandRequest::Update { user_id, body } => self.accept_update(caller, &user_id, &body),
            CommandRequest::UpdateMe { body } => accept_my_update(caller, &body),
            CommandRequest::Patch { user_id, body } => self.accept_patch(caller, &user_id, &body),
            CommandRequest::PatchMe { body } => self.accept_my_patch(caller, &body),
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

    fn accept_create(
        &self,
        caller: &Caller,
        context: &RequestContext,
        body: &CreateBody,
    ) -> Result<Accepted, ServiceError> {
        let org = self.authorized_org(caller, Permission::UserWrite)?;
        let new = validate::create(body).map_err(invalid)?;
        let key = context.envelope.idempotency_key.as_deref();
        let user = match (new.user, key) {
            (Some(user), _) => user,
            // A retry must meet the same actor, so the key decides the id.
            (None, Some(key)) => {
                let [issuer, subject] = caller.principal.identity();
                let parts = ["user id", org.as_str(), issuer, subject, key].map(str::as_bytes);
                parsed(
                    &hex(&self.data_dir.keyed_hash(&parts)),
                    Rejection::UserNotFound,
                )?
            }
            (None, None) => parsed(&self.ports.clock.random_id(), Rejection::UserNotFound)?,
        };
        let (fields, contact) = (new.fields, new.contact);
        let command = Command::Create {
            user: user.clone(),
            org,
            fields,
            contact,
        };
        Ok(Accepted {
            operation: Operation::Create.name(),
            user,
            command,
        })
    }

    fn accept_update(
        &self,
        caller: &Caller,
        user_id: &str,
        body: &UpdateBody,
    ) -> Result<Accepted, ServiceError> {
        let org = self.authorized_org(caller, Permission::UserWrite)?;
        let command = validate::management_update(user_id, body, org).map_err(invalid)?;
        let user = parsed(user_id, Rejection::ProfileNotFound)?;
        Ok(Accepted {
            operation: Operation::Update.name(),
            user,
            command,
        })
    }

    /// ZITADEL v2's order: validate, look the user up, authorize in the user's own organization.
    fn accept_patch(
        &self,
        caller: &Caller,
        user_id: &str,
        body: &PatchBody,
    ) -> Result<Accepted, ServiceError> {
        let command = validate::patch(body).map_err(invalid)?;
        let user = parsed(user_id, Rejection::UserNotFound)?;
        let current = self.known_user(&user)?;
        let itself = caller.principal.is_user(&user, &current.org);
        if !itself {
            let permission = Permission::UserWrite;
            let (auth, principal) = (&self.authenticator, &caller.principal);
            let authorized = auth.authorize_in_command(principal, permission, &current.org);
            authorized.map_err(|error| match current.state {
                Some(_) => ServiceError::Auth(error),
                None => ServiceError::Rejected(Rejection::UserNotFound),
            })?;
        }
        Ok(Accepted {
            operation: Operation::Patch.name(),
            user,
            command,
        })
    }

    fn accept_my_patch(&self, caller: &Caller, body: &PatchBody) -> Result<Accepted, ServiceError> {
        let command = validate::patch(body).map_err(invalid)?;
        let unknown = ServiceError::Rejected(Rejection::UserNotFound);
        let Some(Target { user, org }) = caller.me() else {
            return Err(unknown);
        };
        if self.known_user(&user)?.org != org {
            return Err(unknown);
        }
        Ok(Accepted {
            operation: Operation::MePatch.name(),
            user,
            command,
        })
    }

    /// A removed one too: the command may be the repetition of one that was done before, so its actor
    /// refuses it or remembers it.
    fn known_user(&self, user: &UserId) -> Result<std::sync::Arc<CurrentUser>, ServiceError> {
        let current = self.ports.view.user(user);
        let current =
            current.map_err(|_| ServiceError::Unavailable("the current view cannot be read"))?;
        current.ok_or(ServiceError::Rejected(Rejection::UserNotFound))
    }
}

fn accept_my_update(caller: &Caller, body: &UpdateBody) -> Result<Accepted, ServiceError> {
    let unknown = ServiceError::Rejected(Rejection::ProfileNotFound);
    let Some(Target { user, org }) = caller.me() else {
        // Validation comes first in ZITADEL, also for a caller that has no profile.
        validate::my_update_fields(body).map_err(invalid)?;
        return Err(unknown);
    };
    let command = validate::my_update(body, org).map_err(invalid)?;
    Ok(Accepted {
        operation: Operation::MeUpdate.name(),
        user,
        command,
    })
}

fn parsed(user_id: &str, not_found: Rejection) -> Result<UserId, ServiceError> {
    UserId::parse(user_id).map_err(|_| ServiceError::Rejected(not_found))
}

fn invalid(violations: Violations) -> ServiceError {
    ServiceError::Invalid {
        message: violations.message,
        violations: violations.fields,
    }
}
