//! ZITADEL's reads of one user. They differ in the organization, in the order of the checks and in the
//! error that tells of a user that is not there.

use profile_domain::validate::query;
use profile_messages::UserId;
use profile_messages::reply::QueryReply;

use super::ProfileService;
use super::accept::invalid;
use super::caller::{Caller, Target};
use super::read::{get_reply, unreadable};
use crate::auth::Permission;
use crate::error::{Read, ServiceError};

impl ProfileService {
    /// ZITADEL management GetHumanProfile.
    pub(super) fn get_profile(
        &self,
        caller: &Caller,
        user_id: &str,
    ) -> Result<QueryReply, ServiceError> {
        let org = self.authorized_org(caller, Permission::UserRead)?;
        query::human_profile(user_id).map_err(invalid)?;
        let user = UserId::parse(user_id).ok();
        self.reply(user.map(|user| Target { user, org }), Read::Profile)
    }

    /// ZITADEL management GetUserByID.
    pub(super) fn get_user(
        &self,
        caller: &Caller,
        user_id: &str,
    ) -> Result<QueryReply, ServiceError> {
        let org = self.authorized_org(caller, Permission::UserRead)?;
        query::management_user(user_id).map_err(invalid)?;
        let user = UserId::parse(user_id).ok();
        self.reply(user.map(|user| Target { user, org }), Read::ManagementUser)
    }

    fn reply(&self, target: Option<Target>, read: Read) -> Result<QueryReply, ServiceError> {
        let not_found = ServiceError::ReadNotFound(read);
        let target = target.ok_or(not_found.clone())?;
        let current = self.current(&target)?.ok_or(not_found.clone())?;
        let state = current.state.as_ref().ok_or(not_found)?;
        Ok(QueryReply::Get(Box::new(get_reply(&current, state))))
    }

    /// ZITADEL user v2 GetUserByID: of any organization, the permission is asked for once the user is
    /// known. Everybody may read themselves.
    pub(super) fn get_any_user(
        &self,
        caller: &Caller,
        user_id: &str,
    ) -> Result<QueryReply, ServiceError> {
        query::any_user(user_id).map_err(invalid)?;
        let not_found = ServiceError::ReadNotFound(Read::User);
        let user = UserId::parse(user_id).map_err(|_| not_found.clone())?;
        let current = self.ports.view.user(&user).map_err(|_| unreadable())?;
        let current = current.ok_or(not_found.clone())?;
        let state = current.state.as_ref().ok_or(not_found)?;
        self.authorize_on(caller, Permission::UserRead, &current)?;
        Ok(QueryReply::Get(Box::new(get_reply(&current, state))))
    }
}
