//! Who calls and for which organization.

use std::sync::Arc;

use profile_messages::current::CurrentUser;
use profile_messages::{OrgId, UserId};

use super::{ProfileService, RequestContext};
use crate::auth::{AuthError, Permission, Principal};
use crate::error::{Read, ServiceError};

/// The authenticated caller and the context organization (`Profile-Org`, else its own).
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) principal: Arc<Principal>,
    context_org: Option<OrgId>,
    /// Whether a header chose the context organization.
    pub(super) names_org: bool,
}

/// A user that a caller may act on, with the organization that it must belong to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) user: UserId,
    pub(super) org: OrgId,
}

impl Caller {
    /// The caller's own user in its own organization, whatever the organization header says.
    pub(super) fn me(&self) -> Option<Target> {
        let (user, org) = (self.principal.user.clone()?, self.principal.org.clone()?);
        Some(Target { user, org })
    }
}

impl ProfileService {
    /// Authenticates, then settles the organization; a header that names none is refused on every call.
    pub(super) async fn caller(&self, context: &RequestContext) -> Result<Caller, ServiceError> {
        let header = context.envelope.authorization.as_deref();
        let mut span = context.trace.step("authenticate");
        let principal = self.authenticator.authenticate(header).await;
        let principal = principal.map_err(ServiceError::Auth);
        span.answer(principal.as_ref().err().map(ServiceError::code));
        drop(span);
        let principal = principal?;
        let context_org = match context.envelope.org.as_deref() {
            None => principal.org.clone(),
            Some(named) => Some(self.existing_org(&principal, named)?),
        };
        Ok(Caller {
            principal,
            context_org,
            names_org: context.envelope.org.is_some(),
        })
    }

    /// The context organization, if the caller holds `permission` in it.
    pub(super) fn authorized_org(
        &self,
        caller: &Caller,
        permission: Permission,
    ) -> Result<OrgId, ServiceError> {
        let none = ServiceError::Auth(AuthError::NoMembership);
        let org = caller.context_org.clone().ok_or(none)?;
        self.authorized_in(caller, permission, org)
    }

    /// An organization that exists, if the caller holds `permission` in it.
    pub(super) fn authorized_in(
        &self,
        caller: &Caller,
        permission: Permission,
        org: OrgId,
    ) -> Result<OrgId, ServiceError> {
        let authorized = self
            .authenticator
            .authorize(&caller.principal, permission, &org);
        authorized.map_err(ServiceError::Auth)?;
        Ok(org)
    }

    /// ZITADEL v2's check inside a command or query: everybody may act on themselves, others need
    /// `permission` in the organization of the user.
    pub(super) fn authorize_on(
        &self,
        caller: &Caller,
        permission: Permission,
        on: &CurrentUser,
    ) -> Result<(), ServiceError> {
        if caller.principal.is_user(&on.user, &on.org) {
            return Ok(());
        }
        let (auth, principal) = (&self.authenticator, &caller.principal);
        let authorized = auth.authorize_in_command(principal, permission, &on.org);
        authorized.map_err(ServiceError::Auth)
    }

    /// The target of a read by id. An id outside the form is a user that does not exist.
    pub(super) fn readable_user(
        &self,
        caller: &Caller,
        user_id: &str,
    ) -> Result<Target, ServiceError> {
        let org = self.authorized_org(caller, Permission::UserRead)?;
        let user = UserId::parse(user_id).map_err(|_| ServiceError::ReadNotFound(Read::Profile))?;
        Ok(Target { user, org })
    }

    /// An organization exists if it has had a user, is named by the token, or is listed in the config.
    pub(super) fn existing_org(
        &self,
        principal: &Principal,
        named: &str,
    ) -> Result<OrgId, ServiceError> {
        let unknown = ServiceError::Auth(AuthError::OrgUnknown);
        let Ok(org) = OrgId::parse(named) else {
            return Err(unknown);
        };
        if self.authenticator.org_named_by(principal, &org) {
            return Ok(org);
        }
        match self.ports.view.org_had_user(&org) {
            Ok(true) => Ok(org),
            Ok(false) => Err(unknown),
            Err(_) => Err(ServiceError::Unavailable("the current view cannot be read")),
        }
    }
}
