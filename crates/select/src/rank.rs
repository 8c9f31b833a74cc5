//! What a document is ranked by, as a 32-bit key: greater is better.
//!
//! Influence and loss are f32 in sidecars, so their order-preserving bits are exact. The random rank is word `row` of a ChaCha8
//! stream whose key is the SHA-256 of seed, source and shard path: it depends on a document's address alone, however the shard is
//! cut into units. Equal keys are ties, which the address breaks.

use arrow::array::{Array, Float32Array, RecordBatch};
use arrow::datatypes::{Float32Type, UInt32Type};
use headwater_record::sidecar::column;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use crate::Result;
use crate::config::RankBy;
use crate::sidecars::{Unit, numbers, word_indices, words};

const SIGN: u32 = 1 << 31;

/// A finite value as bits whose unsigned order is the order of values, −0.0 as 0.0; `None` if it is not finite.
fn ordered_bits(value: f32) -> Option<u32> {
    if !value.is_finite() {
        return None;
    }
    let bits = if value == 0.0 { 0 } else { value.to_bits() };
    Some(if bits & SIGN == 0 { bits | SIGN } else { !bits })
}

/// The value that [`ordered_bits`] turned into `bits`.
fn from_ordered_bits(bits: u32) -> f32 {
    f32::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN })
}

/// A rank with its seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rank {
    by: RankBy,
    seed: u64,
}

impl Rank {
    pub(crate) const fn new(by: RankBy, seed: u64) -> Self {
        Self { by, seed }
    }

    /// The sidecar columns that [`each_row`] reads.
    pub(crate) fn columns(self) -> &'static [&'static str] {
        match self.by {
            RankBy::Loss => &[column::DOMAIN, column::TOKENS, column::INFLUENCE, column::LOSS_BASE],
            RankBy::Influence | RankBy::Random => &[column::DOMAIN, column::TOKENS, column::INFLUENCE],
        }
    }

    /// The value that people see for a key: the influence, minus the base loss, or a number in [0, 1).
    pub(crate) fn value(self, key: u32) -> f64 {
        match self.by {
            RankBy::Influence | RankBy::Loss => f64::from(from_ordered_bits(key)),
            RankBy::Random => f64::from(key) / f64::from(2.0_f32.powi(32)),
        }
    }

    /// The key of a value; `None` if the value cannot be ranked. JSON readers may be off in the last bit of an f64, which the
    /// rounding here takes back.
    pub(crate) fn key(self, value: f64) -> Option<u32> {
        match self.by {
            #[expect(clippy::cast_possible_truncation, reason = "rounds to the f32 that the value was made from")]
            RankBy::Influence | RankBy::Loss => ordered_bits(value as f32),
            RankBy::Random => {
                let scaled = (value * f64::from(2.0_f32.powi(32))).round();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "saturates; NaN is refused"
                )]
                let key = scaled as u32;
                (!scaled.is_nan()).then_some(key)
            }
        }
    }

    /// The keys of the rows of `unit`, to be asked for in rising order of rows.
    fn keys_of(self, unit: &Unit) -> Keys {
        let random = (self.by == RankBy::Random).then(|| {
            let mut hasher = Sha256::new();
            hasher.update(self.seed.to_le_bytes());
            for field in [&unit.source, &unit.path] {
                hasher.update((field.len() as u64).to_le_bytes());
                hasher.update(field.as_bytes());
            }
            let mut stream = ChaCha8Rng::from_seed(hasher.finalize().into());
            stream.set_word_pos(u128::from(unit.key.first_row));
            stream
        });
        Keys { by: self.by, random }
    }
}

/// The keys of one unit's rows.
struct Keys {
    by: RankBy,
    random: Option<ChaCha8Rng>,
}

impl Keys {
    /// The key of the next row; `None` if it cannot be ranked. Every row must be asked for, in order.
    fn next_key(&mut self, influence: Option<f32>, loss: Option<f32>) -> Option<u32> {
        let drawn = self.random.as_mut().map(Rng::next_u32);
        let influence = ordered_bits(influence?)?;
        match self.by {
            RankBy::Influence => Some(influence),
            RankBy::Loss => ordered_bits(-loss?),
            RankBy::Random => drawn,
        }
    }
}

/// A row of a sidecar, as rankings see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// What `resolve` said of its domain's name.
    pub(crate) domain: usize,
    /// Rows of the unit before it.
    pub(crate) offset: u64,
    pub(crate) tokens: u32,
    /// `None` if the row cannot be ranked.
    pub(crate) key: Option<u32>,
    pub(crate) influence: Option<f32>,
}

/// Visits the rows of a unit in order. `resolve` turns the name of a domain into an index and is asked only for names in use.
pub(crate) fn each_row(
    unit: &Unit,
    batches: &[RecordBatch],
    rank: Rank,
    resolve: &mut dyn FnMut(&str) -> Result<usize>,
    mut visit: impl FnMut(&Row),
) -> Result<()> {
    let mut keys = rank.keys_of(unit);
    let mut offset = 0;
    for batch in batches {
        let (domains, names) = words(unit, batch, column::DOMAIN)?;
        let tokens = numbers::<UInt32Type>(unit, batch, column::TOKENS)?.values();
        let influences = numbers::<Float32Type>(unit, batch, column::INFLUENCE)?;
        let losses = match rank.by {
            RankBy::Loss => Some(numbers::<Float32Type>(unit, batch, column::LOSS_BASE)?),
            RankBy::Influence | RankBy::Random => None,
        };
        let at = |column: &Float32Array, row| column.is_valid(row).then(|| column.value(row));
        let mut resolved: Vec<Option<usize>> = vec![None; names.len()];
        for ((row, word), &tokens) in word_indices(domains).enumerate().zip(tokens) {
            let domain = match resolved[word] {
                Some(domain) => domain,
                None => *resolved[word].insert(resolve(names.value(word))?),
            };
            let influence = at(influences, row);
            let key = keys.next_key(influence, losses.and_then(|losses| at(losses, row)));
            visit(&Row { domain, offset, tokens, key, influence });
            offset += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_order_as_values_do(a: f32, b: f32) {
            prop_assume!(a.is_finite() && b.is_finite());
            let (a, b) = (a + 0.0, b + 0.0);
            let keys = (ordered_bits(a).unwrap(), ordered_bits(b).unwrap());
            prop_assert_eq!(keys.0.cmp(&keys.1), a.total_cmp(&b));
            prop_assert_eq!(from_ordered_bits(keys.0).to_bits(), a.to_bits());
        }

        #[test]
        fn values_read_back_as_keys(key: u32) {
            let random = Rank::new(RankBy::Random, 0);
            prop_assert_eq!(random.key(random.value(key)), Some(key));
            prop_assert_eq!(random.key(random.value(key) * (1.0 + f64::EPSILON)), Some(key));
            let influence = Rank::new(RankBy::Influence, 0);
            prop_assume!(from_ordered_bits(key).is_finite() && key != !SIGN);
            prop_assert_eq!(influence.key(influence.value(key)), Some(key));
        }
    }

    #[test]
    fn zeros_are_equal_and_what_is_not_finite_has_no_key() {
        assert_eq!(ordered_bits(-0.0), ordered_bits(0.0));
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(ordered_bits(value), None);
        }
    }
}
