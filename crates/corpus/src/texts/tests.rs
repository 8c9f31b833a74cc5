use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray};
use headwater_store::Stores;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::*;
use crate::traced::Traced;
use crate::{PlanOptions, SourceConfig, footer};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A file of row groups of `row_group_rows` with small pages.
fn encoded(
    columns: &[(&str, ArrayRef)],
    row_group_rows: usize,
    has_dictionary: bool,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let columns = columns.iter().map(|(name, array)| (*name, Arc::clone(array), true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(row_group_rows))
        .set_dictionary_enabled(has_dictionary)
        .set_write_batch_size(4)
        .set_data_page_size_limit(200)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

/// The shard that `file` is, in a place of memory.
fn shard(name: &str, file: Vec<u8>) -> Result<PlannedShard, Box<dyn std::error::Error>> {
    let stores = Stores::default();
    stores.open(&format!("memory://{name}"))?.write("a.parquet", file.into())?;
    let source = SourceConfig {
        name: "s".into(),
        paths: vec![format!("memory://{name}/a.parquet")],
        text: "text".into(),
        id: "id".into(),
        domain: "domain".into(),
        domain_value: None,
        sample: 1.0,
    };
    Ok(crate::plan(&[source], &PlanOptions::default(), &stores, &|_| {})?.sources[0].shards[0].clone())
}

fn beginning_of(text: &str, is_cut_off: bool) -> Option<BeginningText> {
    Some(BeginningText { text: text.to_owned(), is_cut_off })
}

#[test]
fn the_rows_asked_for_are_cut_at_characters() -> Outcome {
    let text = |row: usize| match row % 5 {
        0 => None,
        1 => Some("ärgerlich".to_owned()),
        2 => Some(String::new()),
        3 => Some("日本語".to_owned()),
        _ => Some(format!("{row} words")),
    };
    let texts: ArrayRef = Arc::new((0..100).map(text).collect::<StringArray>());
    for has_dictionary in [false, true] {
        let name = format!("texts-cut-{has_dictionary}");
        let shard = shard(&name, encoded(&[("text", Arc::clone(&texts))], 30, has_dictionary)?)?;
        let expected = |row: u64, most: usize| {
            let whole = text(usize::try_from(row).ok()?)?;
            beginning_of(&whole.chars().take(most).collect::<String>(), whole.chars().count() > most)
        };
        let rows = [0, 1, 2, 3, 4, 28, 29, 30, 33, 91, 99];
        for most in [0, 3, 4, 1000] {
            let read = read_texts(&shard, "text", &rows, most)?;
            assert_eq!(read, rows.map(|row| expected(row, most)), "{most} characters");
        }
        let every: Vec<u64> = (0..100).collect();
        let read = read_texts(&shard, "text", &every, 4)?;
        assert_eq!(read, every.iter().map(|row| expected(*row, 4)).collect::<Vec<_>>());
        assert_eq!(read[3], beginning_of("日本語", false));
        assert_eq!(read_texts(&shard, "text", &[], 4)?, []);
    }
    Ok(())
}

#[test]
fn bytes_that_are_not_utf8_are_replaced() -> Outcome {
    let texts: ArrayRef = Arc::new(BinaryArray::from(vec![&b"good"[..], b"b\xffd one"]));
    let shard = shard("texts-bytes", encoded(&[("text", texts)], 10, false)?)?;
    let read = read_texts(&shard, "text", &[0, 1], 3)?;
    assert_eq!(read, [beginning_of("goo", true), beginning_of("b\u{fffd}d", true)]);
    Ok(())
}

#[test]
fn other_row_groups_pages_and_columns_are_not_fetched() -> Outcome {
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..4000).map(|row| format!("{row:0100}"))));
    let traced = Traced::new(encoded(&[("fat", Arc::clone(&texts)), ("text", texts)], 1000, false)?.into());
    let metadata = footer::read("x.parquet", &traced)?.metadata;
    let groups = Groups::of(&metadata, 1, &[]);
    traced.take_asked();
    let rows = [1500, 1501, 1900, 3999];
    let read = beginnings((&traced, &metadata), 1, (&groups, &rows), 200);
    let read = read.map_err(|failure| failure.of("x.parquet".to_owned(), "text"))?;
    assert_eq!(read, rows.map(|row| beginning_of(&format!("{row:0100}"), false)));

    let chunk = |row_group: usize| metadata.row_group(row_group).column(1).byte_range();
    let data_end = metadata.row_groups().iter().flat_map(|group| group.columns()).map(|column| column.byte_range());
    let data_end = data_end.map(|(start, bytes)| start + bytes).max().ok_or("no columns")?;
    let pages: Vec<_> = traced.take_asked().into_iter().filter(|range| range.start < data_end).collect();
    let within = |range: &std::ops::Range<u64>| {
        [1, 3]
            .iter()
            .map(|group| chunk(*group))
            .any(|(start, bytes)| start <= range.start && range.end <= start + bytes)
    };
    assert!(pages.iter().all(within), "{pages:?}");
    let bytes: u64 = pages.iter().map(|range| range.end - range.start).sum();
    assert!(bytes < chunk(1).1 / 20, "{bytes} of {}", chunk(1).1);
    Ok(())
}

#[test]
fn rows_and_columns_that_are_not_there_are_named() -> Outcome {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let shard = shard("texts-wrong", encoded(&[("text", texts), ("number", numbers)], 2, false)?)?;
    let wrong = |column: &str, rows: &[u64]| read_texts(&shard, column, rows, 10).expect_err("nothing to read");
    assert!(matches!(wrong("text", &[1, 1]), Error::RowOrder { row: 1, before: 1 }));
    assert!(matches!(wrong("text", &[0, 3]), Error::RowOutOfRange { row: 3, rows: 3, .. }));
    assert!(matches!(wrong("tekst", &[0]), Error::MissingColumn { near: Some(near), .. } if near == "text"));
    assert!(matches!(wrong("number", &[0]), Error::ColumnType { role: "text", .. }));
    Ok(())
}

#[test]
fn what_cannot_be_decoded_is_corrupt_and_another_version_is_a_failure_of_the_store() -> Outcome {
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..100).map(|row| format!("text {row}"))));
    let mut file = encoded(&[("text", texts)], 25, false)?;
    let at = file.windows(7).position(|window| window == b"text 60").ok_or("the text is not there")?;
    file[at - 3] = 0xff;
    let shard = shard("texts-corrupt", file.clone())?;
    assert!(read_texts(&shard, "text", &[10, 99], 10).is_ok());
    let error = read_texts(&shard, "text", &[10, 60, 70], 10).expect_err("the length of a text is wrong");
    assert!(
        matches!(&error, Error::Corrupt { row_group: 2, first_row: 60, last_row: 70, column, .. } if column == "text"),
        "{error}"
    );
    shard.place.write("a.parquet", file[4..].to_vec().into())?;
    let error = read_texts(&shard, "text", &[10], 10).expect_err("the file is another one");
    assert!(matches!(error, Error::Store(headwater_store::Error::Changed { .. })), "{error}");
    Ok(())
}
