//! What a caller may do where. Pure.

use std::collections::{BTreeMap, BTreeSet};

use profile_messages::OrgId;

use super::{AuthError, Permission, Principal};
use crate::config::AuthConfig;

/// Roles with this prefix count for all organizations when they are held in the instance organization.
const INSTANCE_ROLE_PREFIX: &str = "IAM_";

#[derive(Debug)]
pub(super) struct Policy {
    roles: BTreeMap<String, BTreeSet<Permission>>,
    instance_org: Option<String>,
    organizations: BTreeSet<String>,
}

impl Policy {
    pub(super) fn new(config: &AuthConfig) -> Policy {
        Policy {
            roles: config.roles.clone(),
            instance_org: config.instance_org.clone(),
            organizations: config.organizations.iter().cloned().collect(),
        }
    }

    /// `refused` is the answer to a member whose roles do not grant the permission.
    pub(super) fn authorize(
        &self,
        principal: &Principal,
        permission: Permission,
        org: &OrgId,
        refused: AuthError,
    ) -> Result<(), AuthError> {
        let here = |role: &str, orgs: &BTreeSet<String>| {
            orgs.contains(org.as_str()) || self.is_instance_role(principal, role, orgs)
        };
        self.decide(principal, permission, here, refused)
    }

    pub(super) fn authorize_everywhere(
        &self,
        principal: &Principal,
        permission: Permission,
    ) -> Result<(), AuthError> {
        let everywhere =
            |role: &str, orgs: &BTreeSet<String>| self.is_instance_role(principal, role, orgs);
        self.decide(principal, permission, everywhere, AuthError::NoPermission)
    }

    /// A role without permissions, even one that we do not know, is a membership: ZITADEL answers such a
    /// caller 403, and one without any role 404.
    fn decide(
        &self,
        principal: &Principal,
        permission: Permission,
        counts: impl Fn(&str, &BTreeSet<String>) -> bool,
        refused: AuthError,
    ) -> Result<(), AuthError> {
        let held = principal.roles.iter();
        let mut held = held.filter(|(role, orgs)| counts(role, orgs)).peekable();
        if held.peek().is_none() {
            return Err(AuthError::NoMembership);
        }
        let grants = |role: &String| {
            self.roles
                .get(role)
                .is_some_and(|p| p.contains(&permission))
        };
        match held.any(|(role, _)| grants(role)) {
            true => Ok(()),
            false => Err(refused),
        }
    }

    pub(super) fn names(&self, principal: &Principal, org: &OrgId) -> bool {
        principal.org.as_ref() == Some(org)
            || principal
                .roles
                .values()
                .any(|orgs| orgs.contains(org.as_str()))
            || self.organizations.contains(org.as_str())
    }

    /// An issuer that speaks only for listed organizations cannot make its roles count everywhere, even
    /// if the instance's own organization is in its list.
    fn is_instance_role(&self, principal: &Principal, role: &str, orgs: &BTreeSet<String>) -> bool {
        let instance = self
            .instance_org
            .as_ref()
            .filter(|_| principal.speaks_for_all);
        role.starts_with(INSTANCE_ROLE_PREFIX) && instance.is_some_and(|org| orgs.contains(org))
    }
}
