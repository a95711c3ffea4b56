//! Reproducible choices.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// Each part of a world draws from its own dice, so that one more draw here changes nothing there.
    pub(crate) fn new(seed: u64, part: u64) -> Dice {
        Dice(ChaCha8Rng::seed_from_u64(seed ^ part.rotate_left(40)))
    }

    /// A number in `0..bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0.next_u32() % bound
    }

    pub(crate) fn percent(&mut self, chance: u32) -> bool {
        self.below(100) < chance
    }
}
