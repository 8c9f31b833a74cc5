//! Which bytes of a shard reading a unit asks for.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use bytes::Bytes;
use headwater_record::{ByteCount, UnitKey};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::properties::WriterProperties;

use super::row_groups::RowGroups;
use super::{UnitStart, Wanted, open, read_unit};
use crate::chunks::{Chunks, StoredChunk, StoredShard};
use crate::footers::Footers;
use crate::groups::Groups;
use crate::traced::Traced;
use crate::{
    Columns, Document, DocumentText, Domain, Plan, PlanOptions, Result, SourceConfig, footer, offset_index, units,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

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
    Ok(Traced::new(writer.into_inner()?.into()))
}

/// Documents, ranges asked for, and the range of the text column.
type Trace = (Vec<Document>, Vec<Range<u64>>, Range<u64>);

/// Reads a unit of 50,000 bytes; returns its documents and the ranges asked for, apart from the offset index.
fn trace(traced: &Traced, index: usize, wanted: Wanted) -> Result<Trace, Box<dyn std::error::Error>> {
    let footer = footer::read("x.parquet", traced)?;
    let groups = Groups::of(&footer.metadata, 1, &[]);
    let units: Vec<UnitKey> = units::cut(&footer.id, &groups, 50_000);
    let columns = Columns { text: "text".into(), id: None, domain: Domain::Constant("d".into()) };
    traced.take_asked();
    let row_groups = RowGroups::new(traced.clone(), Arc::clone(&footer.metadata), columns, wanted);
    let documents = open(row_groups, None, &groups, (&units[index], "x"))?;
    let documents = documents.collect::<Result<Vec<_>>>()?;
    let (start, length) = footer.metadata.row_group(0).column(1).byte_range();
    let asked = traced.take_asked();
    let data_end = footer.metadata.row_group(0).columns().iter().map(|c| c.byte_range()).map(|(s, l)| s + l).max();
    let asked = asked.into_iter().filter(|range| data_end.is_some_and(|end| range.start < end)).collect();
    Ok((documents, asked, start..start + length))
}

#[test]
fn columns_that_are_not_read_are_never_fetched() -> Outcome {
    for has_offset_index in [true, false] {
        let traced = shard(has_offset_index)?;
        for (unit, wanted) in (0..4).flat_map(|unit| [(unit, Wanted::Documents), (unit, Wanted::Sample)]) {
            let (documents, asked, text) = trace(&traced, unit, wanted)?;
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
    let (_, asked, text) = trace(&traced, 3, Wanted::Sample)?;
    let bytes: u64 = asked.iter().map(|range| range.end - range.start).sum();
    assert!(bytes < (text.end - text.start) / 4 + 3 * 4096, "{bytes} of {text:?}");
    assert!(asked.iter().all(|range| range.end - range.start < 6000), "{asked:?}");
    for (traced, wanted) in [(traced, Wanted::Documents), (shard(false)?, Wanted::Sample)] {
        let (_, asked, text) = trace(&traced, 3, wanted)?;
        // the headers of skipped pages are read, their bodies are not
        let bytes: u64 = asked.iter().map(|range| range.end - range.start).sum();
        assert!(bytes < (text.end - text.start) / 3 + 3 * 4096, "{bytes} of {text:?}");
    }
    Ok(())
}

#[test]
fn a_wrong_offset_index_changes_no_document() -> Outcome {
    let sound = shard(true)?;
    let footer = footer::read("x.parquet", &sound)?;
    let column = footer.metadata.row_group(0).column(1).clone();
    let start = usize::try_from(column.offset_index_offset().ok_or("an index")?)?;
    let length = usize::try_from(column.offset_index_length().ok_or("an index")?)?;
    let whole = sound.bytes(0, usize::try_from(sound.file_bytes())?)?.to_vec();
    let expected = trace(&sound, 2, Wanted::Documents)?.0;
    let looked_up = trace(&sound, 2, Wanted::Sample)?.1.len();
    let mut passed_over = 0;
    for (at, bit) in (start..start + length).flat_map(|at| [(at, 1_u8), (at, 2), (at, 64)]) {
        let mut wrong = whole.clone();
        wrong[at] ^= bit;
        let wrong = Traced::new(wrong.into());
        assert!(trace(&wrong, 2, Wanted::Documents)?.0 == expected, "byte {at}");
        let (documents, asked, _) = trace(&wrong, 2, Wanted::Sample)?;
        assert!(documents == expected, "byte {at}");
        passed_over += usize::from(asked.len() > looked_up + 10);
    }
    assert!(passed_over > length, "most changes are noticed: {passed_over} of {}", 3 * length);
    Ok(())
}

#[test]
fn an_offset_index_whose_rows_are_shifted_is_passed_over() -> Outcome {
    let traced = shard(true)?;
    let footer = footer::read("x.parquet", &traced)?;
    let column = footer.metadata.row_group(0).column(1);
    let chunk = Arc::new(traced.clone());
    let pages = offset_index::checked((&traced, &chunk), &footer.metadata, (0, 1), &[1000])?.ok_or("a sound index")?;
    let agrees = |pages: &[PageLocation]| offset_index::agrees(pages, (&chunk, column), ROWS as i64, &[1000]);
    assert!(pages.len() > 20 && agrees(&pages));
    let holding = pages.partition_point(|page| page.first_row_index <= 1000) - 1;
    for shift in [-1, 1] {
        for first in [1, holding, holding + 1, pages.len() - 1] {
            let mut shifted = pages.clone();
            shifted[first..].iter_mut().for_each(|page| page.first_row_index += shift);
            assert!(!agrees(&shifted), "from page {first} on by {shift}");
        }
    }
    Ok(())
}

/// A shard whose column chunks are fetched in tiny pieces.
#[derive(Clone)]
struct TinyPieces(StoredShard, u64);

impl Chunks for TinyPieces {
    type Chunk = StoredChunk;

    fn chunk(&self, range: Range<u64>, _piece_bytes: u64) -> Result<StoredChunk, ParquetError> {
        self.0.chunk(range, self.1)
    }

    fn begin(&self, chunk: &StoredChunk) -> Result<u64, ParquetError> {
        self.0.begin(chunk)
    }

    fn bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.0.bytes(start, length)
    }

    fn file_bytes(&self) -> u64 {
        self.0.file_bytes()
    }
}

/// A plan of one shard with row groups of `group_rows` rows, with and without dictionaries, in a place of memory.
fn planned(name: &str, group_rows: usize) -> Result<Plan, Box<dyn std::error::Error>> {
    let texts = (0..ROWS).map(|row| format!("{row} {}", "word ".repeat(row % 90)));
    let kinds = (0..ROWS).map(|row| ["prose", "code", "tables"][row / 7 % 3]);
    let batch = RecordBatch::try_from_iter([
        ("text", Arc::new(StringArray::from_iter_values(texts)) as ArrayRef),
        ("domain", Arc::new(StringArray::from_iter_values(kinds))),
    ])?;
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .set_data_page_size_limit(3000)
        .set_write_batch_size(16)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    let stores = headwater_store::Stores::default();
    stores.open(&format!("memory://{name}"))?.write("a.parquet", writer.into_inner()?.into())?;
    let source = SourceConfig {
        name: "s".into(),
        paths: vec![format!("memory://{name}/a.parquet")],
        text: "text".into(),
        id: "id".into(),
        domain: "domain".into(),
        domain_value: None,
        sample: 1.0,
    };
    let options = PlanOptions { unit_bytes: Some(ByteCount(9000)), ..PlanOptions::default() };
    Ok(crate::plan(&[source], &options, &stores, &|_| {})?)
}

#[test]
fn documents_are_the_same_however_small_the_pieces_and_the_row_groups() -> Outcome {
    let mut all: Option<Vec<Document>> = None;
    for group_rows in [ROWS / 4, 45, 1] {
        let plan = planned(&format!("pieces{group_rows}"), group_rows)?;
        let (source, shard) = (&plan.sources[0], &plan.sources[0].shards[0]);
        let whole: Vec<Document> = shard
            .units
            .iter()
            .map(|unit| read_unit(shard, &source.columns, unit)?.collect())
            .collect::<Result<Vec<Vec<_>>>>()?
            .concat();
        assert!(whole.len() == ROWS && shard.units.len() > 12, "{} units", shard.units.len());
        assert!(all.get_or_insert_with(|| whole.clone()) == &whole, "row groups of {group_rows} rows");
        for (piece_bytes, first) in [64, 700, 5000].into_iter().flat_map(|bytes| [0, 1, 5].map(|first| (bytes, first)))
        {
            let stored = TinyPieces(shard.open()?, piece_bytes);
            let footer = shard.footer(&stored.0)?;
            let mut documents: Option<super::UnitDocuments> = None;
            let mut read = Vec::new();
            // one unit goes on where the one before it ended, or skips what another has
            for unit in shard.units[first..].iter().step_by(first.max(1)) {
                let gone_on = documents.take().and_then(|mut before| before.advance_to(unit).then_some(before));
                let anew = || {
                    let columns = source.columns.clone();
                    let row_groups = RowGroups::new(stored.clone(), Arc::clone(&footer), columns, Wanted::Documents);
                    open(row_groups, None, &shard.groups, (unit, "a.parquet"))
                };
                let mut now = gone_on.map_or_else(anew, Ok)?;
                read.extend(now.by_ref().collect::<Result<Vec<Document>>>()?);
                documents = Some(now);
            }
            let wanted = |row: u64| {
                let index = shard.units.iter().position(|unit| row < unit.first_row + unit.rows).unwrap_or_default();
                index >= first && (index - first).is_multiple_of(first.max(1))
            };
            let expected: Vec<Document> = whole.iter().filter(|document| wanted(document.row)).cloned().collect();
            assert!(read == expected, "pieces of {piece_bytes} bytes from unit {first}");
        }
    }
    Ok(())
}

#[test]
fn any_rows_are_read_across_row_groups() -> Outcome {
    let plan = planned("rows", 45)?;
    let (columns, shard) = (&plan.sources[0].columns, &plan.sources[0].shards[0]);
    for rows in [0..1, 44..46, 45..90, 30..200, 1_990..2_000, 0..2_000] {
        for wanted in [Wanted::Documents, Wanted::Sample] {
            let unit = shard.unit_of(rows.clone()).ok_or("no such rows")?;
            let documents = UnitStart::new(shard, columns, &unit).with_wanted(wanted).open()?;
            let documents = documents.collect::<Result<Vec<Document>>>()?;
            assert!(documents.iter().map(|document| document.row).eq(rows.clone()), "{rows:?}");
            let begins = |document: &Document| match &document.text {
                DocumentText::Text(text) => text.starts_with(&format!("{} ", document.row)),
                _ => false,
            };
            assert!(documents.iter().all(begins), "{rows:?}, {wanted:?}");
        }
    }
    assert!(shard.unit_of(1_999..2_001).is_none() && shard.unit_of(2_000..2_001).is_none());
    let foreign = UnitKey { row_group: 3, ..shard.unit_of(0..1).ok_or("no rows")? };
    assert!(matches!(read_unit(shard, columns, &foreign), Err(crate::Error::ForeignUnit { .. })));
    Ok(())
}

#[test]
fn footers_that_a_plan_had_no_room_for_are_read_again() -> Outcome {
    let mut plan = planned("footers", ROWS / 4)?;
    let source = &mut plan.sources[0];
    let whole = |source: &crate::PlannedSource| -> Result<Vec<Document>> {
        let units = source.units().map(|(shard, unit)| read_unit(shard, &source.columns, unit)?.collect());
        Ok(units.collect::<Result<Vec<Vec<Document>>>>()?.concat())
    };
    let before = whole(source)?;
    let footers = Arc::new(Footers::with_most_bytes(0));
    for shard in &mut source.shards {
        shard.footers = Arc::clone(&footers);
        footers.offer(&shard.id, &shard.footer(&shard.open()?)?);
    }
    assert_eq!(whole(source)?, before);
    assert_eq!(footers.count(), 1, "the one in use stays");
    // another version under the same name is no longer the shard
    let place = source.shards[0].place.clone();
    let mut other = place.read("a.parquet")?.to_vec();
    let end = other.len() - 12;
    other[end] ^= 1;
    place.write("a.parquet", other.into())?;
    source.shards[0].footers = Arc::new(Footers::with_most_bytes(0));
    assert!(whole(source).is_err());
    Ok(())
}
