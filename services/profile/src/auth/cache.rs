//! What is known of a token, by the hash of its text: a signature costs 40 to 90 microseconds, a question to
//! the issuer milliseconds, a hash one microsecond.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest as hash};

use super::Principal;
use super::token::Lifetime;

/// SHA-256 of a token's text.
pub(super) type Digest = [u8; 32];

/// What a verified token said. Good while its lifetime and its proof last.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) principal: Arc<Principal>,
    pub(super) proof: Proof,
    pub(super) lifetime: Lifetime,
}

/// Why the token was believed.
#[derive(Clone, Copy)]
pub(super) enum Proof {
    /// Signed by a key of this set.
    Signature {
        /// Place of the issuer in the configuration.
        issuer: usize,
        key_generation: u64,
    },
    /// The issuer called it active; it is asked again from then on.
    Introspection { until: Instant },
}

/// Two generations of half the bound each: what was not asked for during one generation is dropped with it.
pub(super) struct TokenCache<V> {
    generation_entries_max: usize,
    generations: Mutex<Generations<V>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What a token cache did since it was made, and holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    pub hits: u64,
    pub misses: u64,
    pub entries: usize,
}

struct Generations<V> {
    young: HashMap<Digest, V>,
    old: HashMap<Digest, V>,
}

/// SHA-256 of the token: the cache must not hold what opens doors.
pub(super) fn digest(token: &str) -> Digest {
    let mut bytes = [0; 32];
    let digest = hash(&SHA256, token.as_bytes());
    for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    bytes
}

impl<V: Clone> TokenCache<V> {
    pub(super) fn new(entries_max: usize) -> TokenCache<V> {
        TokenCache {
            generation_entries_max: entries_max / 2,
            generations: Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
            }),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<V> {
        let found = self.find(digest);
        let count = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub(super) fn counts(&self) -> CacheCounts {
        let generations = self.lock();
        CacheCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: generations.young.len() + generations.old.len(),
        }
    }

    fn find(&self, digest: &Digest) -> Option<V> {
        let mut generations = self.lock();
        if let Some(entry) = generations.young.get(digest) {
            return Some(entry.clone());
        }
        let entry = generations.old.remove(digest)?;
        self.insert(&mut generations, *digest, entry.clone());
        Some(entry)
    }

    pub(super) fn put(&self, digest: Digest, entry: V) {
        if self.generation_entries_max > 0 {
            self.insert(&mut self.lock(), digest, entry);
        }
    }

    fn insert(&self, generations: &mut Generations<V>, digest: Digest, entry: V) {
        if generations.young.len() >= self.generation_entries_max {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(digest, entry);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations<V>> {
        // Nothing is half done when a holder panics: a map has the entry or not.
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let generations = self.lock();
        generations.young.len() + generations.old.len()
    }
}

impl<V> fmt::Debug for TokenCache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").finish_non_exhaustive()
    }
}
