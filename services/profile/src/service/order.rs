//! The hashes under which a command is remembered.

use profile_messages::record::{CommandKey, KeyOrigin};

use super::accept::Accepted;
use super::caller::Caller;
use super::{ProfileService, RequestContext};
use crate::entity::Order;
use crate::error::ServiceError;

impl ProfileService {
    /// Scope of a key: caller, operation, target user. The request hash covers the decoded command with
    /// its expected version, so that whitespace and transport do not matter.
    pub(super) fn order(
        &self,
        caller: &Caller,
        context: &RequestContext,
        accepted: Accepted,
    ) -> Result<Order, ServiceError> {
        let Accepted {
            operation,
            user,
            command,
        } = accepted;
        let (key_text, origin) = match context.envelope.idempotency_key.clone() {
            Some(key) => (key, KeyOrigin::Caller),
            None => (self.ports.clock.random_id(), KeyOrigin::Generated),
        };
        let subject = caller.principal.subject.as_str();
        // Subjects are unique within an issuer only, and each issuer has its own organizations.
        let own_org = caller.principal.org.as_ref().map_or("", |org| org.as_str());
        let parts = ["key", own_org, subject, operation, user.as_str(), &key_text];
        let scope = parts.map(str::as_bytes);
        let body = serde_json::to_vec(&command).map_err(|_| ServiceError::Internal)?;
        let expected_version = context.envelope.expected_version;
        let expected = expected_version
            .map(|version| version.to_string())
            .unwrap_or_default();
        let request = [b"request", operation.as_bytes(), expected.as_bytes(), &body];
        Ok(Order {
            operation,
            key: CommandKey {
                hash: self.data_dir.keyed_hash(&scope),
                origin,
            },
            request_hash: self.data_dir.keyed_hash(&request),
            user,
            command,
            key_text,
            expected_version,
            actor: subject.to_owned(),
            deadline: context.deadline(),
        })
    }
}
