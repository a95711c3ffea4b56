//! Every NATS subject and queue, built and parsed in one place.

use crate::event::EventKind;
use crate::{OrgId, UserId};

/// What the service subscribes to, as members of [`QUEUE`].
pub const REQUESTS: &str = "profile.v1.>";
/// The queue group of the request subscription (ADR-32's default).
pub const QUEUE: &str = "q";
/// The stream of the events and the subjects it holds.
pub const EVENT_STREAM: &str = "PROFILE_EVENTS";
pub const EVENTS: &str = "profile-event.v1.>";
/// The stream with what the nodes of a cluster share beside the log, and its subjects. Private.
pub const CLUSTER_STREAM: &str = "PROFILE_CLUSTER";
pub const CLUSTER: &str = "profile-cluster.>";

/// The stream of one partition of the replicated commit log. Private, as the log in files is.
pub fn log_stream(partition: u16) -> String {
    format!("PROFILE_LOG_{partition}")
}

/// All subjects of that stream.
pub fn log_subjects(partition: u16) -> String {
    format!("profile-log.{partition}.*")
}

/// What takes a place without a commit while a log in files is moved into the stream; no user's subject.
pub fn log_filler(partition: u16) -> String {
    format!("profile-log.filler.{partition}")
}

/// The subject of one user's commits. An id holds no character that a subject gives a meaning to.
pub fn log_subject(partition: u16, user: &UserId) -> String {
    format!("profile-log.{partition}.{user}")
}

/// The subject of one shared value.
pub fn cluster_subject(name: &str) -> String {
    format!("profile-cluster.{name}")
}

/// What a node subscribes to, as a member of [`QUEUE`]: every request, or those alone that a mapping of
/// nats-server sends to a partition (docs/scale-out.md). A node without a partition also takes the latter.
pub fn requests(partition: Option<u16>) -> String {
    match partition {
        None => REQUESTS.to_owned(),
        Some(partition) => format!("{PREFIX}{PARTITION_PREFIX}{partition}.>"),
    }
}

const PREFIX: &str = "profile.v1.";
const PARTITION_PREFIX: &str = "at.";
const USER_PREFIX: &str = "user.";

/// The operations of the NATS contract, in the order of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    Create,
    Update,
    Patch,
    MeUpdate,
    MePatch,
    MeGet,
    MeHistory,
    Get,
    History,
    List,
    Replay,
    Remove,
}

impl Operation {
    pub const ALL: [Operation; 12] = [
        Operation::Create,
        Operation::Update,
        Operation::Patch,
        Operation::MeUpdate,
        Operation::MePatch,
        Operation::MeGet,
        Operation::MeHistory,
        Operation::Get,
        Operation::History,
        Operation::List,
        Operation::Replay,
        Operation::Remove,
    ];

    /// The tail of the wildcard-free subject, e.g. `me.update`.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Update => "update",
            Operation::Patch => "patch",
            Operation::MeUpdate => "me.update",
            Operation::MePatch => "me.patch",
            Operation::MeGet => "me.get",
            Operation::MeHistory => "me.history",
            Operation::Get => "get",
            Operation::History => "history",
            Operation::List => "list",
            Operation::Replay => "replay",
            Operation::Remove => "remove",
        }
    }

    /// Whether the operation has the per-user form `profile.v1.user.<userId>.<name>` as well.
    pub fn has_user_form(self) -> bool {
        match self {
            Operation::Update
            | Operation::Patch
            | Operation::Get
            | Operation::History
            | Operation::Remove => true,
            Operation::Create
            | Operation::MeUpdate
            | Operation::MePatch
            | Operation::MeGet
            | Operation::MeHistory
            | Operation::List
            | Operation::Replay => false,
        }
    }

    /// The wildcard-free subject; the user id, where there is one, stands in the body.
    pub fn subject(self) -> String {
        format!("{PREFIX}{}", self.name())
    }

    /// The per-user subject, or `None` where the operation has none.
    pub fn user_subject(self, user: &UserId) -> Option<String> {
        self.has_user_form()
            .then(|| format!("{PREFIX}{USER_PREFIX}{user}.{}", self.name()))
    }
}

/// A parsed request subject; `user` is the token of the per-user form, in any form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSubject<'a> {
    pub operation: Operation,
    pub user: Option<&'a str>,
}

/// Reads a request subject, mapped to a partition or not; `None` when it is none of ours.
pub fn parse_request(subject: &str) -> Option<RequestSubject<'_>> {
    let tail = subject.strip_prefix(PREFIX)?;
    let tail = match tail.strip_prefix(PARTITION_PREFIX) {
        Some(mapped) => behind_partition(mapped)?,
        None => tail,
    };
    let (user, name) = match tail.strip_prefix(USER_PREFIX) {
        Some(tail) => tail
            .split_once('.')
            .map(|(user, name)| (Some(user), name))?,
        None => (None, tail),
    };
    let operation = Operation::ALL
        .into_iter()
        .find(|operation| operation.name() == name)?;
    (user.is_none() || operation.has_user_form()).then_some(RequestSubject { operation, user })
}

fn behind_partition(mapped: &str) -> Option<&str> {
    let (partition, tail) = mapped.split_once('.')?;
    partition.parse::<u16>().ok().map(|_| tail)
}

/// `profile-event.v1.<orgId>.<userId>.<kind>`
pub fn event(org: &OrgId, user: &UserId, kind: EventKind) -> String {
    format!("profile-event.v1.{org}.{user}.{}", kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_parses_back_in_both_forms() {
        let user = UserId::parse("u-1").unwrap();
        for operation in Operation::ALL {
            let subject = operation.subject();
            assert_eq!(
                parse_request(&subject),
                Some(RequestSubject {
                    operation,
                    user: None
                })
            );
            if let Some(subject) = operation.user_subject(&user) {
                let user = Some("u-1");
                assert_eq!(
                    parse_request(&subject),
                    Some(RequestSubject { operation, user })
                );
            }
        }
    }

    #[test]
    fn a_mapped_subject_is_the_same_request() {
        for (mapped, plain) in [
            ("profile.v1.at.0.update", "profile.v1.update"),
            ("profile.v1.at.12.me.get", "profile.v1.me.get"),
            (
                "profile.v1.at.2.user.u-1.patch",
                "profile.v1.user.u-1.patch",
            ),
        ] {
            assert!(parse_request(plain).is_some(), "{plain}");
            assert_eq!(parse_request(mapped), parse_request(plain), "{mapped}");
        }
        assert_eq!(requests(None), "profile.v1.>");
        assert_eq!(requests(Some(2)), "profile.v1.at.2.>");
    }

    #[test]
    fn other_subjects_are_none_of_ours() {
        for subject in [
            "profile.v1.",
            "profile.v1.nothing",
            "profile.v1.user.u.create",
            "profile.v1.user.u",
            "profile.v1.user.u.me.get",
            "profile.v2.update",
            "profile.v1.at.update",
            "profile.v1.at.x.update",
            "profile.v1.at.1.at.1.update",
            "profile.v1.at.65536.update",
            "profile-event.v1.o.u.changed",
        ] {
            assert_eq!(parse_request(subject), None, "{subject}");
        }
    }
}
