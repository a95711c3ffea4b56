//! Which user each call is for.

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Zipf};

/// Skew of the Zipf keys: YCSB's.
const ZIPF_EXPONENT: f64 = 0.99;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Each of so many users alike.
    Uniform(usize),
    /// Few of so many users take most of the calls.
    Zipf(usize),
    /// Always the same user.
    OneUser,
}

/// The keys of one caller, the same for the same seed.
#[derive(Debug)]
pub(crate) struct KeySource {
    random: ChaCha8Rng,
    keys: Keys,
    zipf: Option<Zipf<f64>>,
}

impl Keys {
    pub(crate) fn source(self, seed: u64) -> KeySource {
        let zipf = match self {
            Keys::Zipf(users) => Some(Zipf::new(users as f64, ZIPF_EXPONENT).expect("a law")),
            Keys::Uniform(_) | Keys::OneUser => None,
        };
        KeySource {
            random: ChaCha8Rng::seed_from_u64(seed),
            keys: self,
            zipf,
        }
    }
}

impl KeySource {
    /// The number of the next user, from 0.
    pub(crate) fn next(&mut self) -> usize {
        match (self.keys, &self.zipf) {
            (Keys::Zipf(users), Some(zipf)) => {
                let rank = zipf.sample(&mut self.random) as usize;
                // Spread over the ids, so that neighbours are not alike.
                rank.wrapping_mul(0x9E37_79B1) % users
            }
            (Keys::Uniform(users) | Keys::Zipf(users), _) => self.random.random_range(0..users),
            (Keys::OneUser, _) => 0,
        }
    }

    /// A number that makes each change another one.
    pub(crate) fn salt(&mut self) -> u64 {
        self.random.next_u64()
    }
}
