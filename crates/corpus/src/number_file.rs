//! A Parquet file of numbers that belongs to no corpus, such as the log of a training run.

use std::sync::Arc;

use headwater_store::Place;
use parquet::file::metadata::ParquetMetaData;

use crate::chunks::StoredShard;
use crate::columns::roots;
use crate::footer::{self, guarded, plainly};
use crate::numbers::{each, find, number_columns};
use crate::{Error, Result};

/// A Parquet file whose columns are read whole, in 64-bit floats.
#[derive(Debug)]
pub struct NumberFile {
    location: String,
    stored: StoredShard,
    footer: Arc<ParquetMetaData>,
}

impl NumberFile {
    /// Opens the file `relative` in `place` and reads its footer.
    ///
    /// # Errors
    /// [`Error::NumberFile`] if it is no Parquet file, or a failure of the disk or store.
    pub fn open(place: &Place, relative: &str) -> Result<Self> {
        let location = place.describe(relative);
        let stored = StoredShard::open(place, &place.entry(relative)?)?;
        let read = footer::read(relative, &stored);
        if let Some(failure) = stored.take_failure() {
            return Err(failure.into());
        }
        match read {
            Ok(read) => Ok(Self { location, stored, footer: read.metadata }),
            Err(reason) => Err(Error::NumberFile { file: location, reason }),
        }
    }

    /// Returns the names of the top-level columns, in order.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        roots(self.footer.file_metadata().schema_descr()).collect()
    }

    /// Returns the names of the columns that hold numbers, one a row, in order; those inside structs with dots.
    #[must_use]
    pub fn number_columns(&self) -> Vec<String> {
        number_columns(self.footer.file_metadata().schema_descr())
    }

    /// Reads one column, `None` for null, by the rules of [`read_numbers`](crate::read_numbers).
    ///
    /// # Errors
    /// [`Error::NoNumbers`] if there is no such column, [`Error::NotNumbers`] if it holds something else, [`Error::NumberFile`] if it
    /// cannot be decoded, or a failure of the disk or store.
    pub fn read(&self, column: &str) -> Result<Vec<Option<f64>>> {
        let (leaf, conversion) = find(&self.location, self.footer.file_metadata().schema_descr(), column)?;
        let mut numbers = Vec::new();
        for (row_group, metadata) in self.footer.row_groups().iter().enumerate() {
            let rows = 0..u64::try_from(metadata.num_rows()).unwrap_or(0);
            let source = (&self.stored, &*self.footer);
            let read = guarded(|| each(source, (row_group, leaf, conversion), rows, |number| numbers.push(number)));
            if let Some(failure) = self.stored.take_failure() {
                return Err(failure.into());
            }
            read.map_err(|error| {
                let reason = format!("column `{column}` cannot be decoded ({})", plainly(&error));
                Error::NumberFile { file: self.location.clone(), reason }
            })?;
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn written() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let columns: [(&str, ArrayRef); 4] = [
            ("step", Arc::new(Int64Array::from(vec![1, 2, 3]))),
            ("norm", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(f64::INFINITY)]))),
            ("small", Arc::new(Float32Array::from(vec![0.5, 1.5, 2.5]))),
            ("note", Arc::new(StringArray::from(vec!["a", "b", "c"]))),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))?;
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        Ok(writer.into_inner()?)
    }

    #[test]
    fn columns_are_read_whole_and_exactly() -> Outcome {
        let place = Place::in_memory("number-file-exact")?;
        place.write("a.parquet", written()?.into())?;
        let file = NumberFile::open(&place, "a.parquet")?;
        assert_eq!(file.columns(), ["step", "norm", "small", "note"]);
        assert_eq!(file.number_columns(), ["step", "norm", "small"]);
        assert_eq!(file.read("norm")?, [Some(0.1), None, Some(f64::INFINITY)]);
        assert_eq!(file.read("step")?, [Some(1.0), Some(2.0), Some(3.0)]);
        assert!(matches!(file.read("note"), Err(Error::NotNumbers { .. })));
        assert!(matches!(file.read("gone"), Err(Error::NoNumbers { .. })));
        Ok(())
    }

    #[test]
    fn files_of_another_kind_are_refused() -> Outcome {
        let place = Place::in_memory("number-file-refused")?;
        place.write("short.parquet", "PAR1".into())?;
        let whole = written()?;
        let mut broken = whole.clone();
        broken[4..40].fill(0xff);
        place.write("broken.parquet", broken.into())?;
        let error = NumberFile::open(&place, "short.parquet").expect_err("no footer").to_string();
        assert!(error.contains("short.parquet") && error.contains("too short"), "{error}");
        let error = NumberFile::open(&place, "broken.parquet")?.read("step").expect_err("no pages").to_string();
        assert!(error.contains("broken.parquet: column `step` cannot be decoded"), "{error}");
        assert!(matches!(NumberFile::open(&place, "gone.parquet"), Err(Error::Store(_))));
        Ok(())
    }
}
