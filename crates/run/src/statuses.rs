//! How far a run is, from listings and the ends of sidecars.

use std::collections::BTreeMap;

use headwater_record::run::RunSource;
use headwater_record::sidecar::footer as keys;
use headwater_record::{Status, UnitKey};
use headwater_store::{Entry, Place};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;

use crate::sidecar::footer::{self, Problem};
use crate::{Error, Result, RunFolder};

/// End of a sidecar that is fetched at first; it nearly always holds the whole footer.
const FOOTER_BYTES: u64 = 32 << 10;

/// Sidecars read at the same time, to hide the latency of a store.
const READERS: usize = 32;

/// Rows of a unit by status.
pub type Statuses = BTreeMap<Status, u64>;

impl RunFolder {
    /// The units of `source` that have a sidecar, with its file, found by one listing.
    ///
    /// # Errors
    /// What the store says.
    pub fn done_units(&self, source: &RunSource) -> Result<BTreeMap<UnitKey, Entry>> {
        let unit = |path: &str| path.rsplit('/').next()?.strip_suffix(".parquet")?.parse().ok();
        let entries = self.place().list(&Self::sidecars(&source.fingerprint, &source.name))?;
        Ok(entries.into_iter().filter_map(|entry| Some((unit(&entry.path)?, entry))).collect())
    }

    /// The rows of the sidecars `entries` by status, from their footers alone.
    ///
    /// # Errors
    /// [`Error::Damaged`] naming a file that is no sidecar; what the store says.
    pub fn statuses(&self, entries: &[&Entry]) -> Result<Statuses> {
        let parts = entries.chunks(entries.len().div_ceil(READERS).max(1));
        let counted: Result<Vec<Vec<Statuses>>> = std::thread::scope(|scope| {
            let readers: Vec<_> = parts
                .map(|part| scope.spawn(move || part.iter().map(|entry| statuses_of(self.place(), entry)).collect()))
                .collect();
            let join = |reader: std::thread::ScopedJoinHandle<'_, _>| {
                reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            readers.into_iter().map(join).collect()
        });
        let mut sum = Statuses::new();
        for (status, rows) in counted?.into_iter().flatten().flatten() {
            let of_status = sum.entry(status).or_default();
            *of_status = rows.saturating_add(*of_status);
        }
        Ok(sum)
    }
}

fn statuses_of(place: &Place, entry: &Entry) -> Result<Statuses> {
    let damaged = |reason: &str| Error::Damaged { path: entry.path.clone(), reason: reason.to_owned() };
    let footer = footer::read(&place.reader(entry)?, FOOTER_BYTES).map_err(|problem| match problem {
        Problem::Store(error) => Error::Store(error),
        Problem::Parquet(ParquetError::General(reason)) => damaged(&reason),
        Problem::Parquet(error) => damaged(&error.to_string()),
    })?;
    let pairs = footer.metadata.file_metadata().key_value_metadata();
    let value = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == keys::STATUSES)?.value.as_deref());
    decode(value.ok_or_else(|| damaged("its footer does not count its rows"))?)
        .ok_or_else(|| damaged("its footer counts rows of unknown statuses"))
}

/// Encodes the footer entry that counts a sidecar's rows: `status rows`, with commas between.
pub(crate) fn encode(statuses: &Statuses) -> KeyValue {
    let counts: Vec<String> = statuses.iter().map(|(status, rows)| format!("{status} {rows}")).collect();
    KeyValue::new(keys::STATUSES.to_owned(), counts.join(","))
}

fn decode(counts: &str) -> Option<Statuses> {
    let pair = |count: &str| {
        let (status, rows) = count.split_once(' ')?;
        Some((status.parse().ok()?, rows.parse().ok()?))
    };
    counts.split(',').filter(|count| !count.is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_round_trip() {
        let some: Statuses = Status::ALL.into_iter().zip([5, 0, 1 << 40, 7, 1]).collect();
        for statuses in [some, Statuses::new(), [(Status::Short, 3)].into()] {
            let pair = encode(&statuses);
            assert_eq!(decode(pair.value.as_deref().unwrap_or("none")), Some(statuses));
        }
        assert!(["scored", "scored x", "lost 3", "scored -1"].into_iter().all(|counts| decode(counts).is_none()));
    }
}
