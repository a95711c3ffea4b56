//! Tokens that only their issuer can read: who is asked, how often, and how many at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::cache::{Digest, Entry, Proof, TokenCache};
use super::introspection::{Answer, Introspection, IntrospectionError};
use super::token::Issuer;
use super::turns::{NoTurn, QUESTIONS_PER_ISSUER_MAX};
use super::{AuthError, Principal};
use crate::clock::Clock;

/// From the question to its answer, however many issuers are asked. Each gets an equal share of what is left,
/// so that one that hangs leaves time for those after it.
pub(super) const QUESTION_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a token that nobody called active is not asked about again. Short: it may be one that the issuer
/// has not yet told all of its own nodes.
pub(super) const REFUSED_FOR: Duration = Duration::from_secs(5);
/// Refused tokens that are remembered, apart from the good ones, which they must not displace.
const REFUSED_TOKENS_MAX: usize = 10_000;
/// An issuer that is away is told of once in this time, however many ask.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

type Outcome = Result<Arc<Principal>, AuthError>;

/// The questions to all issuers that answer any.
pub(super) struct Questions {
    shared: Arc<Shared>,
}

struct Shared {
    issuers: Arc<[Issuer]>,
    verified: Arc<TokenCache<Entry>>,
    /// Until when a token stays refused.
    refused: TokenCache<Instant>,
    /// One question for each token, however many callers wait for it.
    open: Mutex<HashMap<Digest, watch::Receiver<Option<Outcome>>>>,
    logged_at: Mutex<Option<Instant>>,
    clock: Arc<dyn Clock>,
}

struct Asked {
    answer: Answer,
    /// How long it counts.
    until: Instant,
}

/// A place among the open questions, given back when it is dropped.
struct Place {
    shared: Arc<Shared>,
    digest: Digest,
}

impl Questions {
    pub(super) fn new(
        issuers: Arc<[Issuer]>,
        verified: Arc<TokenCache<Entry>>,
        clock: Arc<dyn Clock>,
    ) -> Questions {
        Questions {
            shared: Arc::new(Shared {
                issuers,
                verified,
                refused: TokenCache::new(REFUSED_TOKENS_MAX),
                open: Mutex::default(),
                logged_at: Mutex::default(),
                clock,
            }),
        }
    }

    /// The caller behind a token, asked of the issuers in their order.
    pub(super) async fn ask(&self, token: &str, digest: Digest) -> Outcome {
        if self.shared.introspecting().next().is_none() || self.shared.is_refused(&digest) {
            return Err(AuthError::TokenInvalid);
        }
        let mut answer = self.join(token, digest)?;
        let outcome = match answer.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            // The asking task ended early: the service stops.
            Err(_) => None,
        };
        outcome.unwrap_or(Err(AuthError::IssuerUnavailable))
    }

    /// The open question about this token, or a new one. It goes on when its callers do not wait for it: the
    /// next one finds the answer.
    fn join(
        &self,
        token: &str,
        digest: Digest,
    ) -> Result<watch::Receiver<Option<Outcome>>, AuthError> {
        let mut open = lock(&self.shared.open);
        if let Some(question) = open.get(&digest) {
            return Ok(question.clone());
        }
        // Each of them is at one issuer, or ends without asking any.
        let open_max = QUESTIONS_PER_ISSUER_MAX * self.shared.introspecting().count();
        if open.len() >= open_max {
            return Err(AuthError::IssuerBusy);
        }
        let (sender, receiver) = watch::channel(None);
        open.insert(digest, receiver.clone());
        drop(open);
        let place = Place {
            shared: Arc::clone(&self.shared),
            digest,
        };
        let token = token.to_owned();
        tokio::spawn(async move {
            let outcome = place.shared.settle(&token, digest).await;
            // In this order: who comes now finds what was kept.
            drop(place);
            sender.send_replace(Some(outcome));
        });
        Ok(receiver)
    }
}

impl Shared {
    fn introspecting(&self) -> impl Iterator<Item = (&Issuer, &Introspection)> {
        let issuers = self.issuers.iter();
        issuers.filter_map(|issuer| Some((issuer, issuer.introspection.as_ref()?)))
    }

    fn is_refused(&self, digest: &Digest) -> bool {
        let until = self.refused.get(digest);
        until.is_some_and(|until| self.clock.monotonic() < until)
    }

    async fn settle(&self, token: &str, digest: Digest) -> Outcome {
        // Answered between the caller's look and this question.
        if self.is_refused(&digest) {
            return Err(AuthError::TokenInvalid);
        }
        if let Some(principal) = self.known(&digest) {
            return Ok(principal);
        }
        let started = tokio::time::Instant::now();
        let (mut unasked, mut without_answer) = (self.introspecting().count(), None);
        for (issuer, introspection) in self.introspecting() {
            let left = QUESTION_TIME_MAX.saturating_sub(started.elapsed());
            let share = left / u32::try_from(unasked).unwrap_or(1);
            unasked -= 1;
            match self.ask_one(issuer, introspection, token, share).await {
                Ok(Asked {
                    answer: Answer::Active(claims),
                    until,
                }) => {
                    if let Ok(principal) = self.keep(issuer, &claims, digest, until) {
                        return Ok(principal);
                    }
                }
                Ok(_) => {}
                Err(error) => without_answer = Some(error),
            }
        }
        if let Some(error) = without_answer {
            return Err(error);
        }
        let until = self.clock.monotonic() + REFUSED_FOR;
        self.refused.put(digest, until);
        Err(AuthError::TokenInvalid)
    }

    /// One issuer's answer, unless it is known to have no time.
    async fn ask_one(
        &self,
        issuer: &Issuer,
        introspection: &Introspection,
        token: &str,
        time: Duration,
    ) -> Result<Asked, AuthError> {
        // As of before the question: an answer on its way gets old.
        let asked_at = self.clock.monotonic();
        let turn = introspection.turns.take(asked_at);
        let _place = turn.map_err(|why| match why {
            NoTurn::Busy => AuthError::IssuerBusy,
            NoTurn::Silent => AuthError::IssuerUnavailable,
        })?;
        let answer = introspection.ask(token, time).await;
        match &answer {
            Err(error) if error.is_silence() => introspection.turns.silent(self.clock.monotonic()),
            // Nobody was asked.
            Err(IntrospectionError::NotFoundYet) => {}
            Ok(_) | Err(_) => introspection.turns.answered(),
        }
        let answer = answer.map_err(|error| {
            self.log(&issuer.name, &error);
            AuthError::IssuerUnavailable
        })?;
        let until = asked_at + introspection.cache;
        Ok(Asked { answer, until })
    }

    fn known(&self, digest: &Digest) -> Option<Arc<Principal>> {
        let entry = self.verified.get(digest)?;
        entry.lifetime.check(self.clock.now()).ok()?;
        match entry.proof {
            Proof::Introspection { until } if self.clock.monotonic() < until => {
                Some(entry.principal)
            }
            Proof::Introspection { .. } | Proof::Signature { .. } => None,
        }
    }

    fn keep(
        &self,
        issuer: &Issuer,
        claims: &Map<String, Value>,
        digest: Digest,
        until: Instant,
    ) -> Outcome {
        let verified = issuer.accept(claims)?;
        verified.lifetime.check(self.clock.now())?;
        let principal = Arc::new(verified.principal);
        let entry = Entry {
            principal: Arc::clone(&principal),
            proof: Proof::Introspection { until },
            lifetime: verified.lifetime,
        };
        self.verified.put(digest, entry);
        Ok(principal)
    }

    fn log(&self, issuer: &str, error: &IntrospectionError) {
        let now = self.clock.monotonic();
        let mut logged_at = lock(&self.logged_at);
        if logged_at.is_some_and(|at| now.saturating_duration_since(at) < LOG_INTERVAL) {
            return;
        }
        *logged_at = Some(now);
        tracing::warn!(issuer, %error, "an issuer could not be asked about a token");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.shared.open).remove(&self.digest);
    }
}

impl fmt::Debug for Questions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions").finish_non_exhaustive()
    }
}

/// Nothing is half done when a holder panics: a map has the entry or not.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
