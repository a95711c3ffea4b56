//! What the whole service may answer, with many requests under way at once.

use std::collections::BTreeMap;

use profile::error::ServiceError;
use profile_messages::event::EventKind;
use profile_messages::record::{Hash16, KeyOrigin, Record};
use profile_messages::reply::CommandReply;
use profile_messages::{UserId, Version};
use tokio::time::Instant;

use crate::ledger::Ledger;
use crate::load::{Change, Wish};
use crate::process::{Answer, Sent};
use crate::require;

/// Everything about one key: how often it was sent, and what is known of its end.
#[derive(Debug)]
struct Known {
    user: UserId,
    times_sent: u32,
    /// The number of its entry, while it was sent once only.
    entry: u64,
    /// Refused, and not sent again since.
    refused: bool,
}

/// What was sent and answered so far.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    keys: BTreeMap<Hash16, Known>,
    /// The latest entry that was answered by an actor, and when, by user.
    answered: BTreeMap<UserId, (u64, Instant)>,
    /// Entry of the newest commit of a wish that was sent once, by user.
    committed: BTreeMap<UserId, u64>,
    /// Wishes whose end nobody knows, with their keys.
    open: BTreeMap<String, Wish>,
    pub(crate) counts: Counts,
}

/// How often the interesting things happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) done: u64,
    pub(crate) refused: u64,
    pub(crate) overloaded: u64,
    pub(crate) unknown: u64,
}

impl Counts {
    pub(crate) fn and(self, other: Counts) -> Counts {
        Counts {
            done: self.done + other.done,
            refused: self.refused + other.refused,
            overloaded: self.overloaded + other.overloaded,
            unknown: self.unknown + other.unknown,
        }
    }
}

impl Conversation {
    pub(crate) fn sent(&mut self, sent: &Sent, key: Option<Hash16>) {
        let Some(key) = key else { return };
        let known = self.keys.entry(key).or_insert_with(|| Known {
            user: sent.wish.user.clone(),
            times_sent: 0,
            entry: sent.entry,
            refused: false,
        });
        known.times_sent += 1;
        known.refused = false;
    }

    /// The process is gone, and answers to nothing that was under way.
    pub(crate) fn process_died(&mut self) {
        // The next one has another clock, and later entries only.
        self.answered.clear();
    }

    /// The process is gone with this request.
    pub(crate) fn unanswered(&mut self, sent: Sent) {
        if let Some(key) = sent.key_text {
            self.open.insert(key, sent.wish.again());
        }
    }

    pub(crate) fn take_open(&mut self) -> BTreeMap<String, Wish> {
        std::mem::take(&mut self.open)
    }

    pub(crate) fn is_settled(&self) -> Result<(), String> {
        let open: Vec<_> = self.open.keys().collect();
        require(open.is_empty(), || format!("I8: {open:?} have no answer"))
    }

    /// I6: no commit of what was refused, or of what nobody sent. In order of entry: what a user's
    /// commands did comes in the order in which they entered.
    pub(crate) fn may_commit(&mut self, record: &Record) -> Result<(), String> {
        let Some(key) = record.key else {
            return Err("I2: a commit without its key".to_owned());
        };
        let Some(known) = self.keys.get(&key.hash) else {
            let generated = key.origin == KeyOrigin::Generated;
            return require(generated, || "I6: a commit that nobody ordered".to_owned());
        };
        let (user, position) = (&record.user, record.position);
        require(known.user == *user, || {
            format!("I6: {position} is of another user than was ordered")
        })?;
        require(!known.refused, || {
            format!("I6: {position} was refused before it was committed")
        })?;
        if known.times_sent > 1 {
            return Ok(());
        }
        let before = self.committed.insert(user.clone(), known.entry);
        require(before.is_none_or(|before| before < known.entry), || {
            format!("order of entry: {position} of {user} came before an earlier one")
        })
    }

    pub(crate) fn answered(
        &mut self,
        answer: &Answer,
        key: Option<Hash16>,
        ledger: &Ledger,
        now: i64,
    ) -> Result<(), String> {
        match &answer.result {
            Ok(reply) => {
                self.counts.done += 1;
                acknowledged(answer, reply, key, ledger, now)?;
            }
            Err(ServiceError::OutcomeUnknown { key }) => {
                self.counts.unknown += 1;
                self.open.insert(key.clone(), answer.sent.wish.again());
            }
            Err(ServiceError::Internal) => return Err("an internal error".to_owned()),
            Err(error) => {
                self.counts.refused += 1;
                self.refused(answer, error, key, ledger)?;
            }
        }
        if !matches!(answer.result, Err(ServiceError::OutcomeUnknown { .. }))
            && let Some(text) = &answer.sent.key_text
        {
            self.open.remove(text);
        }
        self.in_order_of_entry(answer)
    }

    /// I6: a refused command left no trace. An overload answer of the gateway takes no time.
    fn refused(
        &mut self,
        answer: &Answer,
        error: &ServiceError,
        key: Option<Hash16>,
        ledger: &Ledger,
    ) -> Result<(), String> {
        if is_overload_of_the_gateway(error) {
            self.counts.overloaded += 1;
            let waited = answer.at - answer.sent.started;
            require(waited.is_zero(), || {
                format!("overload was answered after {waited:?}")
            })?;
        }
        let Some(known) = key.and_then(|key| self.keys.get_mut(&key)) else {
            return Ok(());
        };
        if known.times_sent > 1 {
            return Ok(());
        }
        known.refused = true;
        let story = ledger.story(&known.user);
        let commits = story
            .zip(key)
            .map(|(story, key)| story.with_key(key).count());
        require(commits.unwrap_or(0) == 0, || {
            format!("I6: refused and committed: {error}")
        })
    }

    /// Whatever came through an actor is answered in the order in which it entered. What is answered at
    /// one moment is told in the order in which the clients happen to be woken.
    fn in_order_of_entry(&mut self, answer: &Answer) -> Result<(), String> {
        let by_gateway = match &answer.result {
            Ok(_) => false,
            Err(error) => is_overload_of_the_gateway(error) || is_refusal_of_the_gateway(error),
        };
        if answer.at_once || by_gateway {
            return Ok(());
        }
        let Sent { entry, wish, .. } = &answer.sent;
        let this = (*entry, answer.at);
        let latest = self.answered.entry(wish.user.clone()).or_insert(this);
        require(*entry >= latest.0 || answer.at <= latest.1, || {
            format!(
                "order of entry: {entry} of {} is answered after {}",
                wish.user, latest.0
            )
        })?;
        *latest = this.max(*latest);
        Ok(())
    }
}

/// I1: what is acknowledged is in the log at that moment. I2: a repetition gets the first answer.
fn acknowledged(
    answer: &Answer,
    reply: &CommandReply,
    key: Option<Hash16>,
    ledger: &Ledger,
    now: i64,
) -> Result<(), String> {
    let Sent { wish, after, .. } = &answer.sent;
    let version = Version(reply.details.sequence);
    let story = ledger.story(&wish.user);
    let missing = || format!("I1: version {version} acknowledged, not in the log");
    let record = story.and_then(|it| it.at(version)).ok_or_else(missing)?;
    require(record.position <= answer.durable, missing)?;
    let created = record.kind == EventKind::Created && reply.user_id.is_some();
    let date = match created {
        true => reply.details.creation_date,
        false => reply.details.change_date,
    };
    require(date == Some(record.at), || {
        format!("I1: version {version} has another date")
    })?;
    let Some((key, story)) = key.zip(story) else {
        return Ok(());
    };
    let is_own = |record: &Record| record.key.is_some_and(|it| it.hash == key);
    let nothing_to_do = matches!(wish.change, Change::Patch { .. });
    require(is_own(record) || nothing_to_do, || {
        format!("I2: version {version} is the commit of another command")
    })?;
    let was_there = |record: &&Record| is_own(record) && record.position <= *after;
    let first = story.remembered(now).find(was_there);
    require(first.is_none() || is_own(record), || {
        format!("I2: a repetition got version {version}")
    })
}

/// What gateway and funnel say when a bound is met; the log has its own words.
fn is_overload_of_the_gateway(error: &ServiceError) -> bool {
    matches!(
        error,
        ServiceError::Overloaded(
            "too many commands wait"
                | "too many commands wait for this user"
                | "all live actors are busy"
                | "the event relay is too far behind"
        )
    )
}

fn is_refusal_of_the_gateway(error: &ServiceError) -> bool {
    matches!(
        error,
        ServiceError::Unavailable("the user's actor is restarting")
    )
}
