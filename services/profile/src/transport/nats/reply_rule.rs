//! Where an answer may go. A request's reply subject is the requester's choice, and the service may
//! publish where the requester may not: so it is checked before anything else of the message.

/// Longest reply subject in bytes.
const REPLY_BYTES_MAX: usize = 1024;

/// The rule of the contract: under an allowed prefix, never `$*`, `profile*` or an inbox of our own.
#[derive(Debug)]
pub(crate) struct ReplyRule {
    allowed: Vec<String>,
    own_inboxes: Vec<String>,
}

/// Why a message is dropped unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyRefused {
    /// Nobody waits for an answer.
    Missing,
    /// The answer would go where answers must not.
    Forbidden,
}

impl ReplyRule {
    /// `allowed`: prefixes such as `_INBOX.`; `own_inboxes`: inbox prefixes of our own connections,
    /// without the last dot.
    pub(crate) fn new(allowed: &[String], own_inboxes: &[&str]) -> ReplyRule {
        ReplyRule {
            allowed: allowed.to_vec(),
            own_inboxes: own_inboxes.iter().map(|&own| own.to_owned()).collect(),
        }
    }

    pub(crate) fn check(&self, reply: Option<&str>) -> Result<(), ReplyRefused> {
        let reply = reply
            .filter(|reply| !reply.is_empty())
            .ok_or(ReplyRefused::Missing)?;
        let literal = reply
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'*' && byte != b'>');
        let ours = reply.starts_with('$')
            || reply.starts_with("profile")
            || self.own_inboxes.iter().any(|own| is_under(reply, own));
        let allowed = self
            .allowed
            .iter()
            .any(|prefix| reply.starts_with(prefix.as_str()));
        if allowed && literal && !ours && reply.len() <= REPLY_BYTES_MAX {
            Ok(())
        } else {
            Err(ReplyRefused::Forbidden)
        }
    }
}

fn is_under(subject: &str, prefix: &str) -> bool {
    subject
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> ReplyRule {
        let allowed = ["_INBOX.", "_R_.", "profile-tools.", "$X."].map(str::to_owned);
        ReplyRule::new(&allowed, &["_INBOX.own", "_INBOX_egress"])
    }

    #[test]
    fn an_inbox_under_an_allowed_prefix_is_answered() {
        for reply in ["_INBOX.a", "_INBOX.a.b", "_R_.x", "_INBOX.owner.1"] {
            assert_eq!(rule().check(Some(reply)), Ok(()), "{reply}");
        }
    }

    #[test]
    fn nobody_waiting_is_told_from_a_forbidden_place() {
        assert_eq!(rule().check(None), Err(ReplyRefused::Missing));
        assert_eq!(rule().check(Some("")), Err(ReplyRefused::Missing));
    }

    #[test]
    fn system_subjects_our_own_subjects_and_our_own_inboxes_are_never_answered() {
        let long = format!("_INBOX.{}", "x".repeat(REPLY_BYTES_MAX));
        for reply in [
            "$JS.API.STREAM.DELETE.PROFILE_EVENTS",
            "$X.allowed",
            "profile.v1.remove",
            "profile-event.v1.o.u.changed",
            "profile-tools.inbox",
            "_INBOX.own",
            "_INBOX.own.1",
            "_INBOX_egress.1",
            "_INBOX",
            "_INBOX.*",
            "_INBOX.>",
            "_INBOX.a\tb",
            "orders.new",
            &long,
        ] {
            let refused = Err(ReplyRefused::Forbidden);
            assert_eq!(rule().check(Some(reply)), refused, "{reply}");
        }
    }
}
