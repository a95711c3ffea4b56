//! Verified tokens by the hash of their text: a signature costs 40 to 90 microseconds, a hash one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest as hash};

use super::Principal;
use super::token::Lifetime;

/// What a verified token said. Good while its lifetime lasts and its issuer's keys are the same.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) principal: Arc<Principal>,
    /// Place of the issuer in the configuration.
    pub(super) issuer: usize,
    pub(super) key_generation: u64,
    pub(super) lifetime: Lifetime,
}

/// Two generations of half the bound each: what was not asked for during one generation is dropped with it.
pub(super) struct TokenCache {
    generation_entries_max: usize,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<[u8; 32], Entry>,
    old: HashMap<[u8; 32], Entry>,
}

/// SHA-256 of the token: the cache must not hold what opens doors.
pub(super) fn digest(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    let digest = hash(&SHA256, token.as_bytes());
    for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    bytes
}

impl TokenCache {
    pub(super) fn new(entries_max: usize) -> TokenCache {
        TokenCache {
            generation_entries_max: entries_max / 2,
            generations: Mutex::default(),
        }
    }

    pub(super) fn get(&self, digest: &[u8; 32]) -> Option<Entry> {
        let mut generations = self.lock();
        if let Some(entry) = generations.young.get(digest) {
            return Some(entry.clone());
        }
        let entry = generations.old.remove(digest)?;
        self.insert(&mut generations, *digest, entry.clone());
        Some(entry)
    }

    pub(super) fn put(&self, digest: [u8; 32], entry: Entry) {
        if self.generation_entries_max > 0 {
            self.insert(&mut self.lock(), digest, entry);
        }
    }

    fn insert(&self, generations: &mut Generations, digest: [u8; 32], entry: Entry) {
        if generations.young.len() >= self.generation_entries_max {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(digest, entry);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
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

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").finish_non_exhaustive()
    }
}
