//! The public keys of an issuer: read, kept, and read again when a token names one that is not there.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::Algorithm;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;

use super::AuthError;
use super::key_set::{DevKeys, KeySetError, VerifyKey, parse};
use super::key_source::KeySource;
use crate::clock::Clock;
use crate::config::IssuerConfig;

/// How soon a set that was never read is asked for again.
const FIRST_READ_RETRY: Duration = Duration::from_secs(1);
/// How long a caller waits for a newer set when the one there is would do: an issuer that is away must not
/// cost its callers their deadlines.
const REFRESH_WAIT_MAX: Duration = Duration::from_millis(500);

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

/// When the source was asked last. Whoever holds it asks, so that callers share one answer.
type Turn = OwnedMutexGuard<Option<Instant>>;

/// The newest good key set of one issuer.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    shared: Arc<Shared>,
    turn: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

#[derive(Debug)]
struct Shared {
    source: KeySource,
    algorithms: Vec<Algorithm>,
    dev: DevKeys,
    refetch_interval: Duration,
    refresh_interval: Duration,
    clock: Arc<dyn Clock>,
    current: RwLock<Option<Arc<KeySet>>>,
}

impl IssuerKeys {
    /// Reads the set at once when it is a file.
    pub(super) fn new(
        issuer: &IssuerConfig,
        dev: DevKeys,
        clock: Arc<dyn Clock>,
    ) -> Result<IssuerKeys, KeySetError> {
        let shared = Shared {
            source: KeySource::new(issuer)?,
            algorithms: issuer.algorithms.iter().map(|&a| a.into()).collect(),
            dev,
            refetch_interval: Duration::from_secs(issuer.refetch_interval_s),
            refresh_interval: Duration::from_secs(issuer.refresh_interval_s),
            clock,
            current: RwLock::new(None),
        };
        if let Some(bytes) = shared.source.read_file() {
            shared.keep(&bytes?)?;
        }
        Ok(IssuerKeys {
            shared: Arc::new(shared),
            turn: Arc::default(),
        })
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
                let newer = self.newer(Some(set.generation)).await;
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

    /// The current set. An old one is read again, so that a withdrawn key goes out of use: by one caller in
    /// an interval, who waits for a moment at most, while the others go on with what is there.
    async fn fresh(&self) -> Option<Arc<KeySet>> {
        let Some(set) = self.shared.current() else {
            return self.newer(None).await;
        };
        let now = self.shared.clock.monotonic();
        if now.saturating_duration_since(set.read_at) < self.shared.refresh_interval {
            return Some(set);
        }
        if let Ok(turn) = Arc::clone(&self.turn).try_lock_owned()
            && let Some(reading) = self.shared.read_again(Some(set.generation), turn)
        {
            let _ = tokio::time::timeout(REFRESH_WAIT_MAX, reading).await;
        }
        self.shared.current()
    }

    /// The set after whoever is asking the source has its answer, or after asking it.
    async fn newer(&self, seen: Option<u64>) -> Option<Arc<KeySet>> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if let Some(reading) = self.shared.read_again(seen, turn) {
            // An error is a reading that panicked: what is there stays.
            let _ = reading.await;
        }
        self.shared.current()
    }
}

impl Shared {
    /// Asks the source, unless somebody did since `seen` or within the interval. Whatever goes wrong, the
    /// last good set stays. A task of its own: a caller that hangs up would take the answer with it and leave
    /// the pause to the others.
    fn read_again(self: &Arc<Self>, seen: Option<u64>, mut turn: Turn) -> Option<JoinHandle<()>> {
        let current = self.current();
        if current.as_ref().map(|set| set.generation) != seen {
            return None;
        }
        let pause = match current {
            Some(_) => self.refetch_interval,
            None => self.refetch_interval.min(FIRST_READ_RETRY),
        };
        let now = self.clock.monotonic();
        if turn.is_some_and(|at| now.saturating_duration_since(at) < pause) {
            return None;
        }
        *turn = Some(now);
        let shared = Arc::clone(self);
        Some(tokio::spawn(async move {
            let read = shared.source.read().await;
            if let Err(error) = read.and_then(|bytes| shared.keep(&bytes)) {
                tracing::warn!(%error, "an issuer's keys were not read again");
            }
            // In this order: who waits for the turn finds the set.
            drop(turn);
        }))
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
