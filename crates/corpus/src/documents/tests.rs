//! Which bytes of a shard reading a unit asks for.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use bytes::Bytes;
use headwater_record::UnitKey;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, Length};

use super::open;
use crate::chunks::Chunks;
use crate::{Columns, Document, Domain, Result, footer, units};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A shard in memory that notes what is asked of it.
#[derive(Clone, Default)]
struct Traced {
    file: Bytes,
    asked: Arc<Mutex<Vec<Range<u64>>>>,
}

impl Length for Traced {
    fn len(&self) -> u64 {
        self.file.len() as u64
    }
}

impl ChunkReader for Traced {
    type T = <Bytes as ChunkReader>::T;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        // Headers: at most this much is looked at.
        self.asked.lock().expect("no reader panics").push(start..start + 64);
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.asked.lock().expect("no reader panics").push(start..start + length as u64);
        self.file.get_bytes(start, length)
    }
}

impl Chunks for Traced {
    type Chunk = Self;

    fn chunk(&self, _range: Range<u64>, _piece_bytes: u64) -> Result<Self, ParquetError> {
        Ok(self.clone())
    }

    fn bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.get_bytes(start, length)
    }

    fn file_bytes(&self) -> u64 {
        self.len()
    }
}

const ROWS: usize = 2000;

/// A shard of one row group with a narrow text column between two fat ones.
fn shard(has_offset_index: bool) -> Result<Traced, Box<dyn std::error::Error>> {
    let column = |bytes: usize| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("{row:0bytes$}"))))
    };
    let batch = RecordBatch::try_from_iter([("fat", column(900)), ("text", column(100)), ("fatter", column(1500))])?;
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(4096)
        .set_write_batch_size(16)
        .set_offset_index_disabled(!has_offset_index)
        .set_statistics_enabled(parquet::file::properties::EnabledStatistics::None)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    Ok(Traced { file: writer.into_inner()?.into(), ..Traced::default() })
}

/// Documents, ranges asked for, and the range of the text column.
type Trace = (Vec<Document>, Vec<Range<u64>>, Range<u64>);

/// Reads a unit; returns its documents and the ranges asked for, apart from the offset index.
fn trace(traced: &Traced, unit_bytes: u64, index: usize) -> Result<Trace, Box<dyn std::error::Error>> {
    let footer = footer::read("x.parquet", traced)?;
    let units: Vec<UnitKey> = units::cut(&footer.id, &footer.metadata, 1, unit_bytes);
    let columns = Columns { text: "text".into(), id: None, domain: Domain::Constant("d".into()) };
    traced.asked.lock().expect("no reader panics").clear();
    let documents = open(traced, None, &footer.metadata, &columns, (&units[index], "x"))?;
    let documents = documents.collect::<Result<Vec<_>>>()?;
    let (start, length) = footer.metadata.row_group(0).column(1).byte_range();
    let asked = traced.asked.lock().expect("no reader panics").clone();
    let data_end = footer.metadata.row_group(0).columns().iter().map(|c| c.byte_range()).map(|(s, l)| s + l).max();
    let asked = asked.into_iter().filter(|range| data_end.is_some_and(|end| range.start < end)).collect();
    Ok((documents, asked, start..start + length))
}

#[test]
fn columns_that_are_not_read_are_never_fetched() -> Outcome {
    for has_offset_index in [true, false] {
        let traced = shard(has_offset_index)?;
        for unit in 0..4 {
            let (documents, asked, text) = trace(&traced, 50_000, unit)?;
            assert_eq!(documents.len(), ROWS / 4);
            assert_eq!(documents[0].row, (unit * ROWS / 4) as u64);
            assert!(
                asked.iter().all(|range| text.contains(&range.start) && range.end <= text.end),
                "{asked:?} {text:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_column_is_fetched_page_by_page_and_skipped_pages_are_not() -> Outcome {
    let traced = shard(true)?;
    let (_, asked, text) = trace(&traced, 50_000, 3)?;
    let bytes: u64 = asked.iter().map(|range| range.end - range.start).sum();
    assert!(bytes < (text.end - text.start) / 4 + 3 * 4096, "{bytes} of {text:?}");
    assert!(asked.iter().all(|range| range.end - range.start < 6000), "{asked:?}");
    let traced = shard(false)?;
    let (_, asked, text) = trace(&traced, 50_000, 3)?;
    // Without an offset index the headers of skipped pages are read, their bodies are not.
    let bytes: u64 = asked.iter().map(|range| range.end - range.start).sum();
    assert!(bytes < (text.end - text.start) / 3 + 3 * 4096, "{bytes} of {text:?}");
    Ok(())
}
