//! Copies rows of a column chunk, levels and values, whatever its type and nesting.

use parquet::column::page::PageReader;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::column::writer::{ColumnWriter, ColumnWriterImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescPtr;

use crate::TextCheck;
use crate::footer::guarded;
use crate::leaf::too_few_rows;

/// Rows of variable size decoded at once: the values stay in their pages until they are written.
const ROWS: usize = 64;

/// A run of rows of one row group: pass over some, copy the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) skipped: usize,
    pub(crate) copied: usize,
}

/// The runs that copy `rows` (rising, counted from the start of the row group) from a reader that stands at `position`.
pub(crate) fn runs(rows: &[u64], mut position: u64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for row in rows {
        let skipped = usize::try_from(row.saturating_sub(position)).unwrap_or(usize::MAX);
        match runs.last_mut() {
            Some(run) if skipped == 0 => run.copied += 1,
            _ => runs.push(Run { skipped, copied: 1 }),
        }
        position = row + 1;
    }
    runs
}

/// Reads a column chunk for copying.
pub(crate) struct Copier {
    reader: ColumnReader,
    max_definition: i16,
    max_repetition: i16,
}

/// What went wrong, and on which side.
pub(crate) enum CopyError {
    Read(ParquetError),
    Write(ParquetError),
    /// The text at this place of the checks is another.
    OtherText(usize),
}

impl Copier {
    pub(crate) fn new(column: ColumnDescPtr, pages: Box<dyn PageReader>) -> Self {
        let (max_definition, max_repetition) = (column.max_def_level(), column.max_rep_level());
        Self { reader: get_column_reader(column, pages), max_definition, max_repetition }
    }

    /// Copies `runs` to a writer of a column of the same type. If it is the text column, `checks` has one for each copied row.
    pub(crate) fn copy(
        &mut self,
        runs: &[Run],
        checks: Option<&[TextCheck]>,
        writer: &mut ColumnWriter<'_>,
    ) -> Result<(), CopyError> {
        use {ColumnReader as R, ColumnWriter as W};
        let levels = (self.max_definition, self.max_repetition);
        match (&mut self.reader, writer) {
            (R::BoolColumnReader(reader), W::BoolColumnWriter(writer)) => copy(reader, writer, runs, levels),
            (R::Int32ColumnReader(reader), W::Int32ColumnWriter(writer)) => copy(reader, writer, runs, levels),
            (R::Int64ColumnReader(reader), W::Int64ColumnWriter(writer)) => copy(reader, writer, runs, levels),
            (R::Int96ColumnReader(reader), W::Int96ColumnWriter(writer)) => copy(reader, writer, runs, levels),
            (R::FloatColumnReader(reader), W::FloatColumnWriter(writer)) => copy(reader, writer, runs, levels),
            (R::DoubleColumnReader(reader), W::DoubleColumnWriter(writer)) => copy(reader, writer, runs, levels),
            (R::ByteArrayColumnReader(reader), W::ByteArrayColumnWriter(writer)) => {
                let Some(checks) = checks else { return copy(reader, writer, runs, levels) };
                let mut checked = 0;
                copy_seen(reader, writer, (runs, levels), |texts: &[ByteArray]| {
                    // a null is no text and leaves one too few in the end
                    let rest = checks.get(checked..).unwrap_or_default();
                    let is_other = |(text, check): (&ByteArray, &TextCheck)| !check.fits(text.data());
                    match texts.iter().zip(rest).position(is_other) {
                        Some(at) => return Err(CopyError::OtherText(checked + at)),
                        None => checked += texts.len(),
                    }
                    Ok(())
                })?;
                if checked == checks.len() { Ok(()) } else { Err(CopyError::OtherText(checked.min(checks.len() - 1))) }
            }
            (R::FixedLenByteArrayColumnReader(reader), W::FixedLenByteArrayColumnWriter(writer)) => {
                copy(reader, writer, runs, levels)
            }
            _ => Err(CopyError::Write(ParquetError::General("the columns' types differ".to_owned()))),
        }
    }
}

fn copy<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    writer: &mut ColumnWriterImpl<'_, T>,
    runs: &[Run],
    levels: (i16, i16),
) -> Result<(), CopyError> {
    copy_seen(reader, writer, (runs, levels), |_| Ok(()))
}

/// Copies rows whose values `see` is shown first.
fn copy_seen<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    writer: &mut ColumnWriterImpl<'_, T>,
    (runs, (max_definition, max_repetition)): (&[Run], (i16, i16)),
    mut see: impl FnMut(&[T::T]) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    let mut rows = Rows::default();
    for run in runs {
        if max_repetition > 0 {
            // `skip_records` never ends on repetition levels that are cut short; reading tells
            rows.read(reader, run.skipped, &mut |_| Ok(()))?;
        } else if guarded(|| reader.skip_records(run.skipped)).map_err(CopyError::Read)? < run.skipped {
            return Err(CopyError::Read(too_few_rows()));
        }
        rows.read(reader, run.copied, &mut |rows| {
            // the decoder hands on whatever the page's bits say, and the writer trusts it
            let is_beyond = |levels: &[i16], most| levels.iter().any(|level| !(0..=most).contains(level));
            if is_beyond(&rows.definition, max_definition) || is_beyond(&rows.repetition, max_repetition) {
                return Err(CopyError::Read(ParquetError::General("a level is beyond the column's".to_owned())));
            }
            see(&rows.values)?;
            let definition = (max_definition > 0).then_some(rows.definition.as_slice());
            let repetition = (max_repetition > 0).then_some(rows.repetition.as_slice());
            writer.write_batch(&rows.values, definition, repetition).map(drop).map_err(CopyError::Write)
        })?;
    }
    Ok(())
}

/// Rows of a column on their way from a reader to a writer.
struct Rows<T: DataType> {
    values: Vec<T::T>,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl<T: DataType> Default for Rows<T> {
    fn default() -> Self {
        Self { values: Vec::new(), definition: Vec::new(), repetition: Vec::new() }
    }
}

impl<T: DataType> Rows<T> {
    /// Reads `count` rows and hands them to `take`, some at a time.
    fn read(
        &mut self,
        reader: &mut ColumnReaderImpl<T>,
        count: usize,
        take: &mut dyn FnMut(&Self) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        let mut left = count;
        while left > 0 {
            let Self { values, definition, repetition } = self;
            values.clear();
            definition.clear();
            repetition.clear();
            let read = guarded(|| reader.read_records(left.min(ROWS), Some(definition), Some(repetition), values));
            let (rows, ..) = read.map_err(CopyError::Read)?;
            if rows == 0 {
                return Err(CopyError::Read(too_few_rows()));
            }
            take(self)?;
            left -= rows;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_runs() {
        let run = |skipped, copied| Run { skipped, copied };
        assert_eq!(runs(&[0, 1, 5, 6, 9], 0), [run(0, 2), run(3, 2), run(2, 1)]);
        assert_eq!(runs(&[7, 8], 4), [run(3, 2)]);
        assert_eq!(runs(&[], 4), []);
    }
}
