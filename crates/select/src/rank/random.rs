//! `random`: a draw for each document, the control that any rank must beat.
//!
//! The draw depends on the document's address alone, see [`crate::draws`].

use super::key::Rank;
use crate::Result;
use crate::draws::{Purpose, draws};
use crate::rows::UnitRows;

#[derive(Debug)]
pub(super) struct Random {
    pub(super) seed: u64,
}

impl Rank for Random {
    fn columns(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn keys(&self, rows: &UnitRows<'_>) -> Result<Vec<Option<u32>>> {
        Ok(draws(self.seed, rows.unit, Purpose::Rank).take(rows.len()).map(Some).collect())
    }

    /// A number in [0, 1).
    fn value(&self, key: u32) -> f64 {
        f64::from(key) / f64::from(2.0_f32.powi(32))
    }
}
