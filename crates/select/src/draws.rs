//! A random number for every document, by its address.
//!
//! It is word `row` of a ChaCha8 stream whose key is the SHA-256 of seed, source and shard path: however the shard is cut into units, and
//! whatever else there is, a document keeps its draw.

use headwater_run::Unit;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// What a draw decides. A sample must not be drawn by the rank that it is to tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A document's place in the ranking.
    Rank,
    /// Whether it belongs to its domain's sample.
    Sample,
}

/// The draws of a unit's rows, in their order.
pub(crate) fn draws(seed: u64, unit: &Unit, purpose: Purpose) -> impl Iterator<Item = u32> {
    let mut hasher = Sha256::new();
    if purpose == Purpose::Sample {
        hasher.update(b"sample");
    }
    hasher.update(seed.to_le_bytes());
    for field in [&unit.source, &unit.path] {
        hasher.update((field.len() as u64).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    let mut stream = ChaCha8Rng::from_seed(hasher.finalize().into());
    stream.set_word_pos(u128::from(unit.key.first_row));
    std::iter::repeat_with(move || stream.next_u32())
}
