//! The hashes under which a command is remembered.

use profile_messages::canonical::canonical_bytes;
use profile_messages::record::{CommandKey, KeyOrigin};

use super::accept::Accepted;
use super::caller::Caller;
use super::{ProfileService, RequestContext};
use crate::entity::Order;

impl ProfileService {
    /// Scope of a key: caller, operation, target user. The request hash covers the decoded command with
    /// its expected version, so that whitespace and transport do not matter.
    pub(super) fn order(
        &self,
        caller: &Caller,
        context: &RequestContext,
        accepted: Accepted,
    ) -> Order {
        let Accepted {
            operation,
            user,
            command,
        } = accepted;
        let (key_text, origin) = match context.envelope.idempotency_key.clone() {
            Some(key) => (key, KeyOrigin::Caller),
            None => (self.ports.clock.random_id(), KeyOrigin::Generated),
        };
        let [issuer, subject] = caller.principal.identity();
        let scope = ["key", issuer, subject, operation, user.as_str(), &key_text];
        let scope = scope.map(str::as_bytes);
        let expected_version = context.envelope.expected_version;
        let command_bytes = canonical_bytes(&command, expected_version);
        let request = [b"request", operation.as_bytes(), &command_bytes];
        Order {
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
            actor_issuer: issuer.to_owned(),
            trace: context.trace.clone(),
            deadline: context.deadline(),
        }
    }
}
