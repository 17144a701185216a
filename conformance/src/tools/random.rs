//! Seeds and rounds.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::BuildHasher;

use super::note;

/// Returns the number of rounds of a randomized test: `IOLITE_TEST_ROUNDS`, or else the test's own number.
pub fn rounds(default: usize) -> usize {
    env::var("IOLITE_TEST_ROUNDS").map_or(default, |rounds| rounds.parse().expect("IOLITE_TEST_ROUNDS is a number"))
}

/// A sequence of numbers from a seed, which it notes: `IOLITE_TEST_SEED` repeats a run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Makes the sequence from `IOLITE_TEST_SEED`, or else from a new seed, which is noted under the name `of`.
    pub fn new(of: &str) -> Self {
        let seed = env::var("IOLITE_TEST_SEED").map_or_else(
            |_| RandomState::new().hash_one(of),
            |seed| seed.parse().expect("IOLITE_TEST_SEED is a number"),
        );
        note(format_args!("{of}: IOLITE_TEST_SEED={seed}"));
        Self(seed)
    }

    /// Returns the next number (splitmix64).
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// Makes another, independent sequence.
    pub fn fork(&mut self) -> Self {
        Self(self.number())
    }

    /// Returns a number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }
}
