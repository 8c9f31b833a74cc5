//! Which documents a selection keeps, from its cuts alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use headwater_record::{DocumentAddress, SelectionFile};

use crate::config::RankBy;
use crate::rank::{Rank, each_row};
use crate::sidecars::Unit;
use crate::{Error, Result};

/// The cuts of a selection, ready to be asked.
#[derive(Clone, Debug)]
pub struct Membership {
    rank: Rank,
    index: BTreeMap<Arc<str>, usize>,
    cuts: Vec<Option<Cut>>,
}

#[derive(Clone, Debug)]
struct Cut {
    key: u32,
    address: DocumentAddress,
}

impl Membership {
    /// Reads the cuts of a selection. `seed` is the run's, for the `random` rank.
    ///
    /// # Errors
    /// [`Error::UnknownRank`].
    pub fn new(selection: &SelectionFile, seed: u64) -> Result<Self> {
        let rank = Rank::new(RankBy::from_name(&selection.rank)?, seed);
        let mut membership = Self { rank, index: BTreeMap::new(), cuts: Vec::new() };
        for domain in &selection.domains {
            membership.index.insert(Arc::from(domain.domain.as_str()), membership.cuts.len());
            let cut = domain
                .cut
                .as_ref()
                .and_then(|last| rank.key(last.value).map(|key| Cut { key, address: last.address.clone() }));
            membership.cuts.push(cut);
        }
        Ok(membership)
    }

    /// Whether the document at `address` of `domain`, ranked by `value` (greater is better), is kept.
    #[must_use]
    pub fn is_kept(&self, domain: &str, value: f64, address: &DocumentAddress) -> bool {
        let cut = self.index.get(domain).and_then(|&at| self.cuts[at].as_ref());
        match (cut, self.rank.key(value)) {
            (Some(cut), Some(key)) => cut.keeps(key, || address.clone()),
            _ => false,
        }
    }

    /// The rank's columns, to be read for [`Membership::kept_rows`].
    #[must_use]
    pub fn columns(&self) -> &'static [&'static str] {
        self.rank.columns()
    }

    /// The rows of `unit` that are kept, counted from the start of the shard and rising, each with its influence.
    ///
    /// `batches` are the whole of the unit's sidecar, with at least [`Membership::columns`].
    ///
    /// # Errors
    /// [`Error::Changed`] if there is a domain that the selection does not know; [`Error::Sidecar`].
    pub fn kept_rows(&self, unit: &Unit, batches: &[RecordBatch]) -> Result<Vec<(u64, f32)>> {
        let mut kept = Vec::new();
        let mut resolve =
            |name: &str| self.index.get(name).copied().ok_or_else(|| Error::Changed { domain: name.to_owned() });
        each_row(unit, batches, self.rank, &mut resolve, |row| {
            let (Some(cut), Some(key), Some(influence)) = (&self.cuts[row.domain], row.key, row.influence) else {
                return;
            };
            if cut.keeps(key, || unit.address(row.offset)) {
                kept.push((unit.key.first_row + row.offset, influence));
            }
        })?;
        Ok(kept)
    }
}

impl Cut {
    fn keeps(&self, key: u32, address: impl FnOnce() -> DocumentAddress) -> bool {
        key > self.key || (key == self.key && address() <= self.address)
    }
}
