//! `influence`: how much the loss rises when the head set is masked, greatest first.

use headwater_record::sidecar::column;

use super::key::{Rank, keys_of};
use crate::Result;
use crate::rows::UnitRows;

#[derive(Debug)]
pub(super) struct Influence;

impl Rank for Influence {
    fn columns(&self) -> Vec<&'static str> {
        vec![column::INFLUENCE]
    }

    fn keys(&self, rows: &UnitRows<'_>) -> Result<Vec<Option<u32>>> {
        Ok(keys_of(&rows.floats(column::INFLUENCE)?))
    }

    fn stderr_columns(&self) -> Vec<&'static str> {
        vec![column::INFLUENCE_STDERR]
    }

    fn stderrs(&self, rows: &UnitRows<'_>) -> Result<Vec<f32>> {
        rows.floats(column::INFLUENCE_STDERR)
    }
}
