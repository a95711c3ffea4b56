//! Changes of an existing user: v1's full replacement, and what only names some fields.

use std::sync::Arc;

use profile_domain::{Rejection, validate};
use profile_messages::UserId;
use profile_messages::command::v2::{UpdateHumanBody, UpdateUserBody};
use profile_messages::command::{Command, PatchBody, UpdateBody};
use profile_messages::current::CurrentUser;
use profile_messages::subject::Operation;

use super::{Accepted, invalid, parsed, supported, unsupported};
use crate::auth::Permission;
use crate::error::ServiceError;
use crate::service::ProfileService;
use crate::service::caller::{Caller, Target};

impl ProfileService {
    pub(super) fn accept_update(
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

    pub(super) fn accept_patch(
        &self,
        caller: &Caller,
        user_id: &str,
        body: &PatchBody,
    ) -> Result<Accepted, ServiceError> {
        let command = validate::patch(body).map_err(invalid)?;
        self.accept_valid_patch(caller, user_id, command)
    }

    pub(super) fn accept_update_human(
        &self,
        caller: &Caller,
        user_id: &str,
        body: &UpdateHumanBody,
    ) -> Result<Accepted, ServiceError> {
        let command = validate::v2::update_human(user_id, body).map_err(invalid)?;
        let accepted = self.accept_valid_patch(caller, user_id, command)?;
        supported(unsupported::update_human(body))?;
        Ok(accepted)
    }

    /// Which type of user is meant is the first thing that ZITADEL looks at in a valid body.
    pub(super) fn accept_update_user(
        &self,
        caller: &Caller,
        user_id: &str,
        body: &UpdateUserBody,
    ) -> Result<Accepted, ServiceError> {
        let command = validate::v2::update_user(user_id, body).map_err(invalid)?;
        if body.human.is_none() && body.machine.is_none() {
            return Err(ServiceError::NoUserType);
        }
        let accepted = self.accept_valid_patch(caller, user_id, command)?;
        supported(unsupported::update_user(body))?;
        Ok(accepted)
    }

    /// ZITADEL v2's order: validate, look the user up, authorize in the user's own organization. One
    /// operation for all, so that a key means the same change whatever it is sent by.
    fn accept_valid_patch(
        &self,
        caller: &Caller,
        user_id: &str,
        command: Command,
    ) -> Result<Accepted, ServiceError> {
        let user = parsed(user_id, Rejection::UserNotFound)?;
        let current = self.known_user(&user)?;
        let authorized = self.authorize_on(caller, Permission::UserWrite, &current);
        authorized.map_err(|error| match current.state {
            Some(_) => error,
            None => ServiceError::Rejected(Rejection::UserNotFound),
        })?;
        Ok(Accepted {
            operation: Operation::Patch.name(),
            user,
            command,
        })
    }

    pub(super) fn accept_my_patch(
        &self,
        caller: &Caller,
        body: &PatchBody,
    ) -> Result<Accepted, ServiceError> {
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
    fn known_user(&self, user: &UserId) -> Result<Arc<CurrentUser>, ServiceError> {
        let current = self.ports.view.user(user);
        let current =
            current.map_err(|_| ServiceError::Unavailable("the current view cannot be read"))?;
        current.ok_or(ServiceError::Rejected(Rejection::UserNotFound))
    }
}

pub(super) fn accept_my_update(
    caller: &Caller,
    body: &UpdateBody,
) -> Result<Accepted, ServiceError> {
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
