//! What may be answered, given the log before and after.

use std::sync::Arc;

use profile::entity::{Done, Order};
use profile::error::ServiceError;
use profile_domain::Rejection;
use profile_messages::command::Command;
use profile_messages::current::{CALLER_KEYS_KEPT_MAX, KEYS_KEPT_US_MAX};
use profile_messages::record::{KeyOrigin, Record};
use profile_messages::{OrgId, Version};

use crate::ledger::{Ledger, Story};
use crate::require;

/// One order, what was answered to it (`None`: the process died), and what the log got by it. The
/// ledger has not taken that in yet.
pub(crate) struct Answered<'a> {
    pub(crate) order: &'a Order,
    pub(crate) result: Option<&'a Result<Done, ServiceError>>,
    pub(crate) new: &'a [Arc<Record>],
    pub(crate) before: &'a Ledger,
    pub(crate) now: i64,
}

impl Answered<'_> {
    fn story(&self) -> Option<&Story> {
        self.before.story(&self.order.user)
    }

    fn wrote_nothing(&self, broken: &str) -> Result<(), String> {
        require(self.new.is_empty(), || broken.to_owned())
    }
}

/// One order makes at most one commit, of its own user and with its own key.
pub(crate) fn only_its_own_commit(answered: &Answered<'_>) -> Result<(), String> {
    let order = answered.order;
    let own = |record: &Arc<Record>| {
        record.user == order.user
            && record.key.is_some_and(|key| key.hash == order.key.hash)
            && record.request_hash == order.request_hash
    };
    let holds = answered.new.len() <= 1 && answered.new.iter().all(own);
    require(holds, || {
        "I2: the log got another commit than was ordered".to_owned()
    })
}

/// I1: what was acknowledged is in the log. I6: what was refused left no trace.
pub(crate) fn answer_matches_the_log(answered: &Answered<'_>) -> Result<(), String> {
    match answered.result {
        None | Some(Err(ServiceError::OutcomeUnknown { .. })) => Ok(()),
        Some(Ok(Done { kind: None, .. })) => {
            answered.wrote_nothing("I6: an accepted nothing wrote something")
        }
        Some(Ok(done)) => {
            let own = answered.new.first().map(Arc::as_ref);
            let old = || answered.story()?.at(done.version);
            let found = own.filter(|it| it.version == done.version).or_else(old);
            let same = |record: &Record| record.at == done.at && Some(record.kind) == done.kind;
            require(found.is_some_and(same), || {
                format!("I1: version {} acknowledged, not in the log", done.version)
            })
        }
        Some(Err(_)) => answered.wrote_nothing("I6: a refused command left a trace"),
    }
}

/// A refusal, and that there is nothing to change, is true of the newest commit, whichever node says it.
pub(crate) fn a_refusal_is_up_to_date(answered: &Answered<'_>) -> Result<(), String> {
    let Some(result) = answered.result else {
        return Ok(());
    };
    let story = answered.story();
    let newest = story.map_or(Version::default(), |story| story.current.version);
    let is_true = match result {
        Ok(Done {
            kind: None,
            version,
            ..
        }) => *version == newest,
        Err(ServiceError::VersionMismatch { current }) => *current == newest,
        Err(ServiceError::Rejected(Rejection::AlreadyExists)) => story.is_some(),
        Err(ServiceError::Rejected(
            Rejection::UserNotFound | Rejection::ProfileNotFound | Rejection::RemoveNotFound,
        )) => story.is_none_or(|it| {
            let org = org(answered.order);
            it.is_removed() || org.is_some_and(|org| it.current.org != *org)
        }),
        Ok(_) | Err(_) => true,
    };
    require(is_true, || {
        format!("I7: {result:?} is not true of version {newest}")
    })
}

/// The organization that the user must be in; `None` for a command that goes to the user wherever it is.
fn org(order: &Order) -> Option<&OrgId> {
    match &order.command {
        Command::Create { org, .. } | Command::Update { org, .. } | Command::Remove { org } => {
            Some(org)
        }
        Command::Patch { .. } => None,
    }
}

/// I2: a repetition of a remembered key changes nothing and gets the first answer.
pub(crate) fn repetition_gets_the_first_answer(answered: &Answered<'_>) -> Result<(), String> {
    let key = answered.order.key.hash;
    let Some(story) = answered.story() else {
        return Ok(());
    };
    let is_first = |record: &&Record| record.key.is_some_and(|it| it.hash == key);
    let Some(first) = story.remembered(answered.now).find(is_first) else {
        return Ok(());
    };
    answered.wrote_nothing("I2: a repetition changed the log")?;
    match answered.result {
        None => Ok(()),
        Some(Ok(done)) => {
            // A node that is behind may still remember an older commit of a key that came again after
            // it was forgotten elsewhere: that is the first answer all the more.
            let mut commits = story.with_key(key);
            let answered = commits.any(|r| done.version == r.version && done.at == r.at);
            require(answered, || format!("I2: a repetition got {done:?}"))
        }
        Some(Err(ServiceError::KeyReused)) => {
            let other = answered.order.request_hash != first.request_hash;
            require(other, || "I2: a true repetition was refused".to_owned())
        }
        // A node that is behind asks the log, which may fail, or finds that it is too late to.
        Some(Err(
            ServiceError::Overloaded(_)
            | ServiceError::Unavailable(
                "the current view cannot be read"
                | "the newest commit cannot be asked for"
                | "the commit log cannot be reached",
            )
            | ServiceError::OutcomeUnknown { .. }
            | ServiceError::DeadlineExceeded,
        )) => Ok(()),
        Some(Err(error)) => Err(format!("I2: a repetition got {error:?}")),
    }
}

/// I2, from the answers alone: an acknowledged order, sent again while it is remembered, is answered
/// with the same version.
pub(crate) fn acknowledged_again(
    answered: &Answered<'_>,
    first: Option<&Done>,
) -> Result<(), String> {
    let (Some(first), Some(Ok(done))) = (first, answered.result) else {
        return Ok(());
    };
    let Some(story) = answered.story() else {
        return Err("I1: an acknowledged user is gone".to_owned());
    };
    let later = story.records.iter().filter(|r| r.version > first.version);
    let newest = story.current.at.0;
    let by_caller = |record: &Record| record.key.is_some_and(|it| it.origin == KeyOrigin::Caller);
    let was_callers = story.at(first.version).is_some_and(by_caller);
    let remembered = was_callers
        && later.count() < CALLER_KEYS_KEPT_MAX
        && newest.max(answered.now) - first.at.0 <= KEYS_KEPT_US_MAX;
    require(!remembered || done == first, || {
        "I2: acknowledged twice, differently".to_owned()
    })
}
