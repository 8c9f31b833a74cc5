//! Ranks by one column of the sidecars: `loss`, a perplexity filter, lowest base loss first; `compression` and `copied`, greatest first.

use headwater_record::sidecar::column;

use super::key::{Rank, keys_of};
use crate::Result;
use crate::rows::UnitRows;

/// A column whose least or greatest values come first.
#[derive(Debug)]
pub(super) struct Counted {
    column: &'static str,
    /// 1 if the greatest come first, −1 if the least do.
    sign: f32,
}

impl Counted {
    pub(super) const LOSS: Self = Self { column: column::LOSS_BASE, sign: -1.0 };
    pub(super) const COMPRESSION: Self = Self { column: column::COMPRESSION, sign: 1.0 };
    pub(super) const COPIED: Self = Self { column: column::COPIED, sign: 1.0 };
}

impl Rank for Counted {
    fn columns(&self) -> Vec<&'static str> {
        vec![self.column]
    }

    fn keys(&self, rows: &UnitRows<'_>) -> Result<Vec<Option<u32>>> {
        let values = if self.column == column::COPIED { rows.copied()? } else { rows.floats(self.column)? };
        let values: Vec<f32> = values.into_iter().map(|value| self.sign * value).collect();
        Ok(keys_of(&values))
    }

    fn shown(&self, value: f64) -> f64 {
        // a sum, so that zero has no sign
        0.0 + f64::from(self.sign) * value
    }
}
