//! The four ways to make a user. They differ in their bodies, in where the organization comes from and
//! in whether validation or authorization comes first.

use profile_domain::validate::NewUser;
use profile_domain::{Rejection, validate};
use profile_messages::OrgId;
use profile_messages::command::v2::{AddHumanBody, CreateUserBody};
use profile_messages::command::{Command, CreateBody, ImportBody};
use profile_messages::json::Message;
use profile_messages::subject::Operation;

use super::{Accepted, invalid, parsed, supported, unsupported};
use crate::auth::{AuthError, Permission};
use crate::clock::hex;
use crate::error::ServiceError;
use crate::service::caller::Caller;
use crate::service::{ProfileService, RequestContext};

impl ProfileService {
    pub(super) fn accept_create(
        &self,
        caller: &Caller,
        context: &RequestContext,
        body: &CreateBody,
    ) -> Result<Accepted, ServiceError> {
        let org = self.authorized_org(caller, Permission::UserWrite)?;
        let new = validate::create(body).map_err(invalid)?;
        self.accept_new_user(caller, context, org, new)
    }

    pub(super) fn accept_import(
        &self,
        caller: &Caller,
        context: &RequestContext,
        body: &ImportBody,
    ) -> Result<Accepted, ServiceError> {
        let org = self.authorized_org(caller, Permission::UserWrite)?;
        let new = validate::import(body).map_err(invalid)?;
        supported(unsupported::import(body))?;
        self.accept_new_user(caller, context, org, new)
    }

    /// The organization that the body names is the context organization of the call: ZITADEL checks it
    /// where it checks that of the header, before the body is validated.
    pub(super) fn accept_add_human(
        &self,
        caller: &Caller,
        context: &RequestContext,
        body: &AddHumanBody,
    ) -> Result<Accepted, ServiceError> {
        let named = body.organization.as_ref();
        let named = named.and_then(|Message(organization)| organization.org_id.as_deref());
        let org = match named.filter(|named| !named.is_empty()) {
            None => self.authorized_org(caller, Permission::UserWrite)?,
            Some(named) => {
                let org = self.existing_org(&caller.principal, named)?;
                self.authorized_in(caller, Permission::UserWrite, org)?
            }
        };
        let new = validate::v2::add_human(body).map_err(invalid)?;
        supported(unsupported::add_human(body))?;
        self.accept_new_user(caller, context, org, new)
    }

    /// Validation comes first here, and who may not write is told so before who names an organization
    /// that does not exist.
    pub(super) fn accept_create_user(
        &self,
        caller: &Caller,
        context: &RequestContext,
        body: &CreateUserBody,
    ) -> Result<Accepted, ServiceError> {
        let human = validate::v2::create_user(body).map_err(invalid)?;
        if human.is_none() && body.machine.is_none() {
            return Err(ServiceError::NoUserType);
        }
        let named = body.organization_id.as_deref().unwrap_or_default();
        let org = OrgId::parse(named).map_err(|_| ServiceError::Auth(AuthError::OrgUnknown))?;
        let permission = Permission::UserWrite;
        let (auth, principal) = (&self.authenticator, &caller.principal);
        let authorized = auth.authorize_in_command(principal, permission, &org);
        authorized.map_err(ServiceError::Auth)?;
        let org = self.existing_org(&caller.principal, org.as_str())?;
        supported(unsupported::create_user(body))?;
        let new = human.ok_or(ServiceError::NoUserType)?;
        self.accept_new_user(caller, context, org, new)
    }

    fn accept_new_user(
        &self,
        caller: &Caller,
        context: &RequestContext,
        org: OrgId,
        new: NewUser,
    ) -> Result<Accepted, ServiceError> {
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
}
