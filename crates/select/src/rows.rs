//! The rows of one unit, by column, as ranks and guards see them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, Float32Type, UInt32Type, UInt64Type};
use headwater_corpus::TextCheck;
use headwater_record::sidecar::column;
use headwater_run::sidecar::{numbers, word_indices, words};
use headwater_run::{Error as RunError, Unit};

use crate::sidecars::Sidecars;
use crate::{Error, Result};

/// The rows of one unit.
#[derive(Clone, Copy)]
pub(crate) struct UnitRows<'a> {
    /// The unit's place among all units.
    pub(crate) index: usize,
    pub(crate) unit: &'a Unit,
    pub(crate) batches: &'a [RecordBatch],
    /// Where they come from, for what sidecars do not hold.
    pub(crate) sidecars: &'a dyn Sidecars,
}

impl UnitRows<'_> {
    /// Rows of the unit.
    pub(crate) fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// A column of 32-bit floats; NaN where it is null.
    pub(crate) fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let mut all = self.values::<Float32Type>(name)?;
        let mut first = 0;
        for batch in self.batches {
            let column = numbers::<Float32Type>(self.unit, batch, name)?;
            if column.null_count() > 0 {
                (0..column.len()).filter(|row| column.is_null(*row)).for_each(|row| all[first + row] = f32::NAN);
            }
            first += column.len();
        }
        Ok(all)
    }

    /// The share of each row that is copied; NaN where it is null.
    pub(crate) fn copied(&self) -> Result<Vec<f32>> {
        if self.batches.iter().any(|batch| batch.column_by_name(column::COPIED).is_none()) {
            return Err(Error::NoCopied { path: self.unit.sidecar_path() });
        }
        self.floats(column::COPIED)
    }

    /// A column of 32-bit counts.
    pub(crate) fn counts(&self, name: &str) -> Result<Vec<u32>> {
        self.values::<UInt32Type>(name)
    }

    /// What the texts of some rows, rising, are known by.
    pub(crate) fn text_checks(&self, wanted: impl Iterator<Item = usize>) -> Result<Vec<TextCheck>> {
        let mut wanted = wanted.peekable();
        let (mut checks, mut first) = (Vec::new(), 0);
        for batch in self.batches {
            let bytes = numbers::<UInt64Type>(self.unit, batch, column::BYTES)?;
            // a sidecar of an earlier version has no hashes
            let hashes =
                batch.column_by_name(column::TEXT_HASH).and_then(|hashes| hashes.as_primitive_opt::<UInt64Type>());
            while let Some(row) = wanted.next_if(|row| *row < first + batch.num_rows()) {
                let at = row - first;
                let hash = hashes.filter(|hashes| hashes.is_valid(at)).map(|hashes| hashes.value(at));
                checks.push(TextCheck { bytes: bytes.value(at), hash });
            }
            first += batch.num_rows();
        }
        Ok(checks)
    }

    fn values<T: ArrowPrimitiveType>(&self, name: &str) -> Result<Vec<T::Native>> {
        let mut all = Vec::new();
        for batch in self.batches {
            all.extend_from_slice(numbers::<T>(self.unit, batch, name)?.values());
        }
        Ok(all)
    }

    /// The ids of some rows, rising.
    pub(crate) fn ids(&self, wanted: &[u64]) -> Result<Vec<Option<String>>> {
        let mut ids = Vec::with_capacity(wanted.len());
        let mut first = 0;
        for batch in self.batches {
            let column = batch.column_by_name(column::ID);
            let column = column.ok_or_else(|| RunError::sidecar(self.unit, column::ID, &"Utf8", &"missing"))?;
            let texts = column.as_string_opt::<i32>();
            let texts = texts.ok_or_else(|| RunError::sidecar(self.unit, column::ID, &"Utf8", &column.data_type()))?;
            let end = first + batch.num_rows() as u64;
            let inside = wanted.iter().filter(|row| (first..end).contains(row));
            ids.extend(inside.map(|row| {
                let at = usize::try_from(row - first).unwrap_or_default();
                (!texts.is_null(at)).then(|| texts.value(at).to_owned())
            }));
            first = end;
        }
        Ok(ids)
    }

    /// The domains of the rows.
    pub(crate) fn domains(&self) -> Result<Domains> {
        let mut domains = Domains { names: Vec::new(), of: Vec::new() };
        let mut known: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        for batch in self.batches {
            let (column, present) = words(self.unit, batch, column::DOMAIN)?;
            let mut resolved: Vec<Option<u32>> = vec![None; present.len()];
            for word in word_indices(column) {
                let index = match resolved[word] {
                    Some(index) => index,
                    None => *resolved[word].insert(enlist(present.value(word), &mut known, &mut domains.names)),
                };
                domains.of.push(index);
            }
        }
        Ok(domains)
    }
}

/// The domains of a unit's rows.
#[derive(Clone, Debug)]
pub(crate) struct Domains {
    /// Names that some row has, in the order in which they first appear.
    pub(crate) names: Vec<Arc<str>>,
    /// For each row, the index of its name.
    pub(crate) of: Vec<u32>,
}

/// The index of a name, which is added if it is not known.
fn enlist(name: &str, known: &mut BTreeMap<Arc<str>, u32>, names: &mut Vec<Arc<str>>) -> u32 {
    if let Some(index) = known.get(name) {
        return *index;
    }
    let (index, name) = (u32::try_from(names.len()).unwrap_or(u32::MAX), Arc::from(name));
    names.push(Arc::clone(&name));
    known.insert(name, index);
    index
}

impl Domains {
    /// The name of a row's domain.
    pub(crate) fn name(&self, row: usize) -> &Arc<str> {
        &self.names[self.of[row] as usize]
    }
}
