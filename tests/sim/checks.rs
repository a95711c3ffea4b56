//! The invariants, looked at from outside: over the log, the answers and the view.

use std::collections::BTreeMap;
use std::sync::Arc;

use profile::current_view::CurrentView;
use profile::entity::{Done, Order};
use profile::error::ServiceError;
use profile_domain::Profile;
use profile_messages::current::{CALLER_KEYS_KEPT_MAX, CurrentUser, KEYS_KEPT_US_MAX};
use profile_messages::record::Record;
use profile_messages::{UserId, Version};

/// What was answered to one order, with the log before and after it.
pub(crate) struct Answered<'a> {
    pub(crate) order: &'a Order,
    pub(crate) result: &'a Result<Done, ServiceError>,
    pub(crate) before: &'a [Arc<Record>],
    pub(crate) after: &'a [Arc<Record>],
}

/// I1: what was acknowledged is in the log. I6: what was refused left no trace.
pub(crate) fn answer_matches_the_log(answered: &Answered<'_>) -> Result<(), String> {
    let Answered {
        order,
        result,
        before,
        after,
    } = answered;
    match result {
        Ok(Done { kind: None, .. }) => same(before, after, "an accepted nothing wrote something"),
        Ok(done) => {
            let found = after.iter().any(|record| {
                let same_user = record.user == order.user && record.version == done.version;
                same_user && record.at == done.at && Some(record.kind) == done.kind
            });
            require(found, || {
                format!("I1: version {} acknowledged, not in the log", done.version)
            })
        }
        Err(ServiceError::OutcomeUnknown { .. }) => Ok(()),
        Err(_) => same(before, after, "I6: a refused command left a trace"),
    }
}

/// I2: a repetition of a remembered key changes nothing and gets the first answer.
pub(crate) fn repetition_gets_the_first_answer(
    answered: &Answered<'_>,
    now: i64,
) -> Result<(), String> {
    let Answered {
        order,
        result,
        before,
        after,
    } = answered;
    let keyed = before
        .iter()
        .filter(|record| record.user == order.user && record.key.is_some());
    let recent: Vec<_> = keyed.rev().take(CALLER_KEYS_KEPT_MAX).collect();
    let young = |record: &Record| now - record.at.0 <= KEYS_KEPT_US_MAX;
    let first = recent
        .into_iter()
        .find(|record| record.key.is_some_and(|key| key.hash == order.key.hash) && young(record));
    let Some(first) = first else {
        return Ok(());
    };
    same(before, after, "I2: a repetition changed the log")?;
    match result {
        Ok(done) => {
            // A node that is behind may still remember an older commit of a key that came again after
            // it was forgotten elsewhere: that is the first answer all the more.
            let same_key = |record: &Arc<Record>| {
                record.key.is_some_and(|key| key.hash == order.key.hash)
                    && record.user == order.user
            };
            let mut commits = before.iter().filter(|record| same_key(record));
            let answered = commits.any(|r| done.version == r.version && done.at == r.at);
            require(answered, || format!("I2: a repetition got {done:?}"))
        }
        Err(ServiceError::KeyReused) => {
            let other = order.request_hash != first.request_hash;
            require(other, || "I2: a true repetition was refused".to_owned())
        }
        // A node that is behind asks the log, which may fail.
        Err(ServiceError::Overloaded(_) | ServiceError::OutcomeUnknown { .. }) => Ok(()),
        Err(error) => Err(format!("I2: a repetition got {error:?}")),
    }
}

/// I2, from the answers alone: an acknowledged order, sent again while it is remembered, is answered
/// with the same version.
pub(crate) fn acknowledged_again(
    answered: &Answered<'_>,
    first: Option<&Done>,
    now: i64,
) -> Result<(), String> {
    let (Some(first), Ok(done)) = (first, answered.result) else {
        return Ok(());
    };
    let user = |record: &&Arc<Record>| record.user == answered.order.user;
    let later = answered
        .before
        .iter()
        .filter(user)
        .filter(|r| r.version > first.version)
        .count();
    let remembered = later < CALLER_KEYS_KEPT_MAX && now - first.at.0 <= KEYS_KEPT_US_MAX;
    require(!remembered || done == first, || {
        "I2: acknowledged twice, differently".to_owned()
    })
}

/// I2, over the whole log: one key changes a user at most once while it is remembered.
pub(crate) fn no_key_twice(log: &[Arc<Record>]) -> Result<(), String> {
    let mut by_user: BTreeMap<&UserId, Vec<&Record>> = BTreeMap::new();
    for record in log {
        let records = by_user.entry(&record.user).or_default();
        let remembered = records.iter().rev().take(CALLER_KEYS_KEPT_MAX);
        for earlier in remembered {
            let young = record.at.0 - earlier.at.0 <= KEYS_KEPT_US_MAX;
            let twice = young && earlier.key.is_some() && earlier.key == record.key;
            require(!twice, || {
                format!("I2: a key was committed twice for {}", record.user)
            })?;
        }
        records.push(record);
    }
    Ok(())
}

/// I3: versions 1, 2, 3 ... per user without gap or fork, positions too, time never back.
pub(crate) fn versions_have_no_gap(log: &[Arc<Record>]) -> Result<(), String> {
    let mut newest: BTreeMap<&UserId, &Record> = BTreeMap::new();
    for (index, record) in log.iter().enumerate() {
        let position = record.position.0;
        require(position == index as u64 + 1, || {
            format!("I3: position {position} out of order")
        })?;
        let before = newest.insert(&record.user, record);
        let expected = before.map_or(Version(1), |before| before.version.next());
        require(record.version == expected, || {
            format!("I3: version {}", record.version)
        })?;
        let previous = before.map_or_else(Default::default, |before| before.position);
        require(record.previous == previous, || {
            "I3: previous position is wrong".to_owned()
        })?;
        let forward = before.is_none_or(|before| record.at > before.at);
        require(forward, || "I3: the change date went back".to_owned())?;
    }
    Ok(())
}

/// I4: folding the log gives the view.
pub(crate) fn the_view_is_the_log(
    log: &[Arc<Record>],
    view: &dyn CurrentView,
) -> Result<(), String> {
    let mut folded: BTreeMap<UserId, CurrentUser> = BTreeMap::new();
    for record in log {
        let before = folded.get(&record.user);
        folded.insert(record.user.clone(), CurrentUser::fold(before, record));
    }
    for (user, expected) in &folded {
        let seen = view.user(user).map_err(|error| error.to_string())?;
        require(seen.as_deref() == Some(expected), || {
            format!("I4: the view of {user} differs")
        })?;
    }
    Ok(())
}

/// I4: an entity that is kept in memory is what the log says, unless it is behind another node.
pub(crate) fn an_entity_is_a_state_of_the_log(
    log: &[Arc<Record>],
    user: &UserId,
    version: Version,
    profile: &Profile,
) -> Result<(), String> {
    let record = log
        .iter()
        .find(|record| record.user == *user && record.version == version);
    let logged = match record {
        None => Profile::Absent,
        Some(record) => Profile::from_stored(Some((record.org.clone(), record.state.clone()))),
    };
    require(logged == *profile, || {
        format!("I4: the entity of {user} at {version} differs")
    })
}

fn same(before: &[Arc<Record>], after: &[Arc<Record>], broken: &str) -> Result<(), String> {
    require(before.len() == after.len(), || broken.to_owned())
}

fn require(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
