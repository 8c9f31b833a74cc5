//! `[select.guards]`: what keeps a scored document out of the ranking.
//!
//! A document that a guard keeps out is neither ranked nor counted when a fraction of the domain is taken.

use headwater_record::sidecar::column;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filter::Filter;
use crate::rows::UnitRows;
use crate::{Error, Result};

/// The `[select.guards]` table; a document must pass all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Guards {
    /// Fewest tokens.
    pub min_tokens: Option<u32>,
    /// Most tokens.
    pub max_tokens: Option<u32>,
    /// Highest ratio of text bytes to compressed bytes (zstd). Tables and boilerplate have high ratios; 5 is a start.
    pub max_compression: Option<f64>,
    /// Highest base loss, in nats per token.
    pub max_loss: Option<f64>,
    /// A condition in SQL on the columns of the scores, such as `"bytes / tokens >= 2 AND id NOT LIKE '%/test.rs'"`.
    pub filter: Option<String>,
}

/// The guards, in the order in which a document is held against them.
pub(crate) const NAMES: [&str; 5] = ["min_tokens", "max_tokens", "max_compression", "max_loss", "filter"];

impl Guards {
    /// Whether nothing is guarded against.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These guards, and those of `others` that these leave open.
    pub(crate) fn over(&self, others: &Self) -> Self {
        Self {
            min_tokens: self.min_tokens.or(others.min_tokens),
            max_tokens: self.max_tokens.or(others.max_tokens),
            max_compression: self.max_compression.or(others.max_compression),
            max_loss: self.max_loss.or(others.max_loss),
            filter: self.filter.clone().or_else(|| others.filter.clone()),
        }
    }

    /// Checks every limit and the filter. `key` is the table's place in the pipeline.
    pub(crate) fn validate(&self, key: &str) -> Result<()> {
        for (name, limit) in [("max_compression", self.max_compression), ("max_loss", self.max_loss)] {
            if let Some(got) = limit.filter(|limit| !(*limit > 0.0 && limit.is_finite())) {
                return Err(Error::number(&format!("{key}.{name}"), got, "a number above 0"));
            }
        }
        if let (Some(least), Some(most)) = (self.min_tokens, self.max_tokens)
            && least > most
        {
            return Err(Error::Limits { key: key.to_owned(), least, most });
        }
        self.filter.as_ref().map_or(Ok(()), |text| Filter::parse(&format!("{key}.filter"), text).map(drop))
    }
}

/// Guards ready to be asked.
#[derive(Debug)]
pub(crate) struct Guarding {
    guards: Guards,
    filter: Option<Filter>,
}

impl Guarding {
    /// Reads the filter of guards that were checked.
    pub(crate) fn new(guards: Guards) -> Result<Self> {
        let filter = guards.filter.as_ref().map(|text| Filter::parse("select.guards.filter", text)).transpose()?;
        Ok(Self { guards, filter })
    }

    /// The sidecar columns that the guards look at.
    pub(crate) fn columns(&self) -> Vec<&'static str> {
        let mut columns = vec![column::TOKENS];
        columns.extend(self.guards.max_compression.map(|_| column::COMPRESSION));
        columns.extend(self.guards.max_loss.map(|_| column::LOSS_BASE));
        columns.extend(self.filter.iter().flat_map(|filter| filter.columns().iter().copied()));
        columns
    }

    /// For each row the index in [`NAMES`] of the first guard that keeps it out.
    pub(crate) fn verdicts(&self, rows: &UnitRows<'_>, tokens: &[u32]) -> Result<Vec<Option<usize>>> {
        let mut verdicts = vec![None; tokens.len()];
        let mut refuse = |guard: usize, fails: &mut dyn FnMut(usize) -> bool| {
            for (row, verdict) in verdicts.iter_mut().enumerate() {
                if verdict.is_none() && fails(row) {
                    *verdict = Some(guard);
                }
            }
        };
        if let Some(least) = self.guards.min_tokens {
            refuse(0, &mut |row| tokens[row] < least);
        }
        if let Some(most) = self.guards.max_tokens {
            refuse(1, &mut |row| tokens[row] > most);
        }
        if let Some(most) = self.guards.max_compression {
            let compression = rows.floats(column::COMPRESSION)?;
            refuse(2, &mut |row| f64::from(compression[row]) > most);
        }
        if let Some(most) = self.guards.max_loss {
            let loss = rows.floats(column::LOSS_BASE)?;
            refuse(3, &mut |row| f64::from(loss[row]) > most);
        }
        if let Some(filter) = &self.filter {
            let mut kept = Vec::with_capacity(tokens.len());
            for batch in rows.batches {
                kept.extend(filter.keeps(batch)?);
            }
            refuse(4, &mut |row| !kept[row]);
        }
        Ok(verdicts)
    }
}
