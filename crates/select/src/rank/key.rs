//! Values as keys, and what gives them.

use std::fmt::Debug;

use headwater_record::selection::Correction;

use crate::Result;
use crate::rows::UnitRows;

const SIGN: u32 = 1 << 31;

/// A finite value as bits whose unsigned order is the order of values, −0.0 as 0.0; `None` if it is not finite.
pub(crate) fn ordered_bits(value: f32) -> Option<u32> {
    if !value.is_finite() {
        return None;
    }
    let bits = if value == 0.0 { 0 } else { value.to_bits() };
    Some(if bits & SIGN == 0 { bits | SIGN } else { !bits })
}

/// The value that [`ordered_bits`] turned into `bits`.
pub(crate) fn from_ordered_bits(bits: u32) -> f32 {
    f32::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN })
}

/// A way of ranking documents, ready to be asked for keys.
pub(crate) trait Rank: Debug + Send + Sync {
    /// The sidecar columns that it reads.
    fn columns(&self) -> Vec<&'static str>;

    /// The key of each row; `None` where a row has no value to be ranked by.
    fn keys(&self, rows: &UnitRows<'_>) -> Result<Vec<Option<u32>>>;

    /// The value of a key: greater is better.
    fn value(&self, key: u32) -> f64 {
        f64::from(from_ordered_bits(key))
    }

    /// A value as people read it: with its own sign where the least of something is best.
    fn shown(&self, value: f64) -> f64 {
        value
    }

    /// The value of a key as people read it.
    fn shown_value(&self, key: u32) -> f64 {
        self.shown(self.value(key))
    }

    /// The sidecar columns that [`Rank::stderrs`] reads; empty if the value's noise is not known.
    fn stderr_columns(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// The standard error of each row's value; NaN where it is not known.
    fn stderrs(&self, rows: &UnitRows<'_>) -> Result<Vec<f32>> {
        Ok(vec![f32::NAN; rows.len()])
    }

    /// What the rank takes off influence in a domain, if it does.
    fn correction(&self, _domain: &str) -> Option<&Correction> {
        None
    }
}

/// The keys of a column of floats.
pub(super) fn keys_of(values: &[f32]) -> Vec<Option<u32>> {
    values.iter().map(|value| ordered_bits(*value)).collect()
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
    }

    #[test]
    fn zeros_are_equal_and_what_is_not_finite_has_no_key() {
        assert_eq!(ordered_bits(-0.0), ordered_bits(0.0));
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(ordered_bits(value), None);
        }
    }
}
