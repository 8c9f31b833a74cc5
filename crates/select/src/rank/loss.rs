//! `loss`: a perplexity filter, lowest base loss first.

use headwater_record::sidecar::column;

use super::key::{Rank, keys_of};
use crate::Result;
use crate::rows::UnitRows;

#[derive(Debug)]
pub(super) struct Loss;

impl Rank for Loss {
    fn columns(&self) -> Vec<&'static str> {
        vec![column::LOSS_BASE]
    }

    fn keys(&self, rows: &UnitRows<'_>) -> Result<Vec<Option<u32>>> {
        let falling: Vec<f32> = rows.floats(column::LOSS_BASE)?.into_iter().map(|loss| -loss).collect();
        Ok(keys_of(&falling))
    }

    fn shown(&self, value: f64) -> f64 {
        0.0 - value
    }
}
