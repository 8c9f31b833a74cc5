//! `column:NAME`: a score that the source brings, such as `int_score`, read from its shards by projection.

use super::key::{Rank, keys_of};
use crate::Result;
use crate::config::{ImportedColumn, Order};
use crate::rows::UnitRows;

#[derive(Debug)]
pub(super) struct Imported(pub(super) ImportedColumn);

impl Rank for Imported {
    fn columns(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn keys(&self, rows: &UnitRows<'_>) -> Result<Vec<Option<u32>>> {
        let mut values = rows.sidecars.source_numbers(rows.unit, &self.0.name)?;
        if self.0.order == Order::Ascending {
            values.iter_mut().for_each(|value| *value = -*value);
        }
        Ok(keys_of(&values))
    }

    fn shown(&self, value: f64) -> f64 {
        if self.0.order == Order::Ascending { 0.0 - value } else { value }
    }
}
