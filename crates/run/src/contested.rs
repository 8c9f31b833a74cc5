//! The documents of a cascade that the teacher scores: those of which the student leaves open on which side of the cut they are.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, UInt32Type, UInt64Type};
use arrow::error::ArrowError;
use headwater_record::{ContentHash, TokenCount};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::parquet_guard::guarded;
use crate::sidecar::{dictionary, encode_batch, word_indices};
use crate::{Error, Result, RunFolder};

const SOURCE: &str = "source";
const SHARD: &str = "shard";
const ROW: &str = "row";
const TOKENS: &str = "tokens";

/// A source and the path of one of its shards.
type Shard = (Arc<str>, Arc<str>);

/// Documents by the source and the path of their shard, rising, each with its tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contested {
    shards: BTreeMap<Shard, Vec<(u64, u32)>>,
}

impl Contested {
    /// Adds a document of `tokens` tokens; those of a shard must rise.
    pub fn add(&mut self, (source, shard): (&Arc<str>, &Arc<str>), row: u64, tokens: u32) {
        self.shards.entry((source.clone(), shard.clone())).or_default().push((row, tokens));
    }

    /// The rows of `shard` that are among them, of those in `rows`.
    pub fn rows(&self, source: &str, shard: &str, rows: Range<u64>) -> impl Iterator<Item = u64> {
        let there = self.shards.get(&(source.into(), shard.into())).map_or(&[][..], Vec::as_slice);
        let from = there.partition_point(|(row, _)| *row < rows.start);
        there[from..].iter().map(|(row, _)| *row).take_while(move |row| *row < rows.end)
    }

    /// How many there are.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.shards.values().map(|rows| rows.len() as u64).sum()
    }

    /// Tokens of all of them.
    #[must_use]
    pub fn tokens(&self) -> TokenCount {
        TokenCount(self.shards.values().flatten().map(|(_, tokens)| u64::from(*tokens)).sum())
    }

    fn batch(&self) -> std::result::Result<RecordBatch, ArrowError> {
        let each = || self.shards.iter().flat_map(|(names, rows)| rows.iter().map(move |row| (names, row)));
        let words = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let schema = Schema::new(vec![
            Field::new(SOURCE, words(), false),
            Field::new(SHARD, words(), false),
            Field::new(ROW, DataType::UInt64, false),
            Field::new(TOKENS, DataType::UInt32, false),
        ]);
        let columns = vec![
            dictionary(each().map(|((source, _), _)| &**source))?,
            dictionary(each().map(|((_, shard), _)| &**shard))?,
            Arc::new(UInt64Array::from_iter_values(each().map(|(_, (row, _))| *row))),
            Arc::new(UInt32Array::from_iter_values(each().map(|(_, (_, tokens))| *tokens))),
        ];
        RecordBatch::try_new(Arc::new(schema), columns)
    }

    /// Adds the documents of a batch; `None` if it has other columns.
    fn extend(&mut self, batch: &RecordBatch) -> Option<()> {
        let names = |name| {
            let column = batch.column_by_name(name)?.as_dictionary_opt::<Int32Type>()?;
            let words: Vec<Arc<str>> =
                column.values().as_string_opt::<i32>()?.iter().flatten().map(Arc::from).collect();
            Some((word_indices(column).collect::<Vec<_>>(), words))
        };
        let (sources, shards) = (names(SOURCE)?, names(SHARD)?);
        let rows = batch.column_by_name(ROW)?.as_primitive_opt::<UInt64Type>()?;
        let tokens = batch.column_by_name(TOKENS)?.as_primitive_opt::<UInt32Type>()?;
        for at in 0..batch.num_rows() {
            let names = (sources.1.get(sources.0[at])?, shards.1.get(shards.0[at])?);
            self.add(names, rows.value(at), tokens.value(at));
        }
        Some(())
    }
}

impl RunFolder {
    /// Where the documents that `choice` chose are listed.
    #[must_use]
    pub fn contested_file(choice: &ContentHash) -> String {
        format!("{}/{choice}.parquet", Self::CASCADE)
    }

    /// The documents that `choice` chose, if they are listed already.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the list cannot be understood; what the store says.
    pub fn contested(&self, choice: &ContentHash) -> Result<Option<Contested>> {
        let path = Self::contested_file(choice);
        let Some(bytes) = self.place().read_if_exists(&path)? else { return Ok(None) };
        let damaged = |reason: String| Error::Damaged { path: path.clone(), reason };
        let batches = guarded(|| {
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
            Ok(reader.collect::<std::result::Result<Vec<_>, ArrowError>>()?)
        });
        let mut contested = Contested::default();
        for batch in batches.map_err(|error| damaged(error.to_string()))? {
            contested
                .extend(&batch)
                .ok_or_else(|| damaged("it has other columns than a list of documents".to_owned()))?;
        }
        Ok(Some(contested))
    }

    /// Lists the documents that `choice` chose.
    ///
    /// # Errors
    /// [`Error::Columns`] or [`Error::Encode`] if the encoder fails; what the store says.
    pub fn write_contested(&self, choice: &ContentHash, contested: &Contested) -> Result<()> {
        let path = Self::contested_file(choice);
        let batch = contested.batch().map_err(|source| Error::Columns { unit: path.clone(), source })?;
        let bytes = encode_batch(&batch, Vec::new()).map_err(|source| Error::Encode { path: path.clone(), source })?;
        Ok(self.place().write(&path, bytes.into())?)
    }
}

#[cfg(test)]
mod tests {
    use headwater_store::Stores;

    use super::*;

    #[test]
    fn a_list_comes_back_and_is_asked_by_stretches_of_a_shard() {
        let folder = RunFolder::new(Stores::default().open("memory://contested").unwrap());
        let choice = ContentHash::of(b"choice");
        assert_eq!(folder.contested(&choice).unwrap(), None);
        let name = |name: &str| Arc::<str>::from(name);
        let mut contested = Contested::default();
        for row in [3, 7, 8, 20] {
            contested.add((&name("web"), &name("a.parquet")), row, 100);
        }
        contested.add((&name("code"), &name("a.parquet")), 4, 11);
        folder.write_contested(&choice, &contested).unwrap();
        let read = folder.contested(&choice).unwrap().unwrap();
        assert_eq!(read, contested);
        assert_eq!((read.documents(), read.tokens()), (5, TokenCount(411)));
        assert_eq!(read.rows("web", "a.parquet", 4..20).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(read.rows("web", "b.parquet", 0..99).count(), 0);
        folder.place().write(&RunFolder::contested_file(&choice), "x".into()).unwrap();
        assert!(matches!(folder.contested(&choice), Err(Error::Damaged { .. })));
    }
}
