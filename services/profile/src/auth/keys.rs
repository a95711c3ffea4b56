//! The public keys of an issuer: read, kept, and read again when a token names one that is not there.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::Algorithm;

use super::AuthError;
use super::key_set::{DevKeys, KeySetError, VerifyKey, parse};
use super::key_source::KeySource;
use crate::clock::Clock;
use crate::config::IssuerConfig;

/// How soon a set that was never read is asked for again.
const FIRST_READ_RETRY: Duration = Duration::from_secs(1);
#[derive(Debug)]
struct KeySet {
    keys: Vec<Arc<VerifyKey>>,
    hash: Vec<u8>,
    /// Counts the changes of the set's bytes.
    generation: u64,
    read_at: Instant,
}

enum Found {
    Key(Arc<VerifyKey>),
    /// The key is there, but not for this algorithm.
    WrongAlgorithm,
    Unknown,
}

impl KeySet {
    /// Without a key id the only key of the algorithm is meant.
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Found {
        let named = |key: &&Arc<VerifyKey>| kid.is_none() || key.kid.as_deref() == kid;
        let mut fitting = self
            .keys
            .iter()
            .filter(named)
            .filter(|key| key.algorithms.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Found::Key(Arc::clone(key)),
            (Some(_), Some(_)) => Found::WrongAlgorithm,
            (None, _) if kid.is_some() && self.keys.iter().any(|key| named(&key)) => {
                Found::WrongAlgorithm
            }
            (None, _) => Found::Unknown,
        }
    }
}

/// The newest good key set of one issuer.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    source: KeySource,
    algorithms: Vec<Algorithm>,
    dev: DevKeys,
    refetch_interval: Duration,
    refresh_interval: Duration,
    clock: Arc<dyn Clock>,
    current: RwLock<Option<Arc<KeySet>>>,
    /// When the source was asked last. Held while it is asked, so that callers share one answer.
    asked_at: tokio::sync::Mutex<Option<Instant>>,
}

impl IssuerKeys {
    /// Reads the set at once when it is a file.
    pub(super) fn new(
        issuer: &IssuerConfig,
        dev: DevKeys,
        clock: Arc<dyn Clock>,
    ) -> Result<IssuerKeys, KeySetError> {
        let keys = IssuerKeys {
            source: KeySource::new(issuer)?,
            algorithms: issuer.algorithms.iter().map(|&a| a.into()).collect(),
            dev,
            refetch_interval: Duration::from_secs(issuer.refetch_interval_s),
            refresh_interval: Duration::from_secs(issuer.refresh_interval_s),
            clock,
            current: RwLock::new(None),
            asked_at: tokio::sync::Mutex::new(None),
        };
        if let Some(bytes) = keys.source.read_file() {
            keys.keep(&bytes?)?;
        }
        Ok(keys)
    }

    /// The key that a token names, and the generation of its set.
    pub(super) async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<(Arc<VerifyKey>, u64), AuthError> {
        let set = self.fresh().await.ok_or(AuthError::KeysUnavailable)?;
        let (set, found) = match set.find(kid, algorithm) {
            Found::Unknown => {
                let seen = Some(set.generation);
                let newer = self.ask(seen, self.asked_at.lock().await).await;
                let newer = newer.unwrap_or(set);
                let found = newer.find(kid, algorithm);
                (newer, found)
            }
            found @ (Found::Key(_) | Found::WrongAlgorithm) => (set, found),
        };
        match found {
            Found::Key(key) => Ok((key, set.generation)),
            Found::WrongAlgorithm | Found::Unknown => Err(AuthError::TokenInvalid),
        }
    }

    /// The generation of the set as it stands, `None` when there never was one.
    pub(super) async fn generation(&self) -> Option<u64> {
        self.fresh().await.map(|set| set.generation)
    }

    /// The current set. An old one is read again by one caller, while the others go on with it: a
    /// withdrawn key goes out of use, and an issuer that is away stops nobody.
    async fn fresh(&self) -> Option<Arc<KeySet>> {
        let Some(set) = self.current() else {
            return self.ask(None, self.asked_at.lock().await).await;
        };
        let age = self
            .clock
            .monotonic()
            .saturating_duration_since(set.read_at);
        if age < self.refresh_interval {
            return Some(set);
        }
        match self.asked_at.try_lock() {
            Ok(turn) => self.ask(Some(set.generation), turn).await,
            Err(_) => Some(set),
        }
    }

    /// Asks the source, unless somebody did since `seen` or within the interval. Whatever goes wrong, the
    /// last good set stays.
    async fn ask(
        &self,
        seen: Option<u64>,
        mut asked_at: tokio::sync::MutexGuard<'_, Option<Instant>>,
    ) -> Option<Arc<KeySet>> {
        let current = self.current();
        if current.as_ref().map(|set| set.generation) != seen {
            return current;
        }
        let pause = match current {
            Some(_) => self.refetch_interval,
            None => self.refetch_interval.min(FIRST_READ_RETRY),
        };
        let now = self.clock.monotonic();
        if asked_at.is_some_and(|at| now.saturating_duration_since(at) < pause) {
            return current;
        }
        *asked_at = Some(now);
        let kept = self.source.read().await.and_then(|bytes| self.keep(&bytes));
        if let Err(error) = kept {
            tracing::warn!(%error, "an issuer's keys were not read again");
        }
        self.current()
    }

    fn keep(&self, bytes: &[u8]) -> Result<(), KeySetError> {
        let keys = parse(bytes, &self.algorithms, self.dev)?;
        let hash = digest(&SHA256, bytes).as_ref().to_vec();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let generation = match current.as_ref() {
            Some(set) if set.hash == hash => set.generation,
            Some(set) => set.generation + 1,
            None => 1,
        };
        *current = Some(Arc::new(KeySet {
            keys,
            hash,
            generation,
            read_at: self.clock.monotonic(),
        }));
        Ok(())
    }

    fn current(&self) -> Option<Arc<KeySet>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
