use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::*;
use crate::footer;
use crate::traced::Traced;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const ROWS: u32 = 300_000;

#[test]
fn of_a_large_column_only_the_pages_of_the_rows_are_fetched() -> Outcome {
    let scores: ArrayRef = Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| f64::from(row).sqrt())));
    let small: ArrayRef = Arc::new(Float32Array::from_iter_values((0..ROWS).map(|row| (row % 7) as f32)));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| row.to_string())));
    let batch = RecordBatch::try_from_iter([("text", texts), ("score", scores), ("small", small)])?;
    for has_offset_index in [true, false] {
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(ROWS as usize))
            .set_data_page_row_count_limit(10_000)
            .set_offset_index_disabled(!has_offset_index)
            .set_statistics_enabled(parquet::file::properties::EnabledStatistics::None)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        let traced = Traced::new(writer.into_inner()?.into());
        let metadata = footer::read("x.parquet", &traced)?.metadata;
        let chunk = |leaf: usize| metadata.row_group(0).column(leaf).byte_range();
        assert!(chunk(1).1 > WHOLE_BYTES && chunk(2).1 < WHOLE_BYTES);

        let rows = 200_000..215_000;
        let first = [rows.start];
        for (leaf, expected) in [(1, Seek::Lookup(&first)), (2, Seek::Walk)] {
            let (piece_bytes, seek) = fetching(&metadata, (0, leaf), &rows, &first);
            assert_eq!(seek, if has_offset_index { expected } else { Seek::Walk });
            assert_eq!(piece_bytes < PIECE_BYTES, seek != Seek::Walk);
            traced.take_asked();
            let mut numbers = Vec::new();
            let take = |number: Option<f64>| numbers.push(number.map_or(f32::NAN, nearest));
            each((&traced, &metadata), (0, leaf, Conversion::Float), rows.clone(), take)?;
            let number = |row: u64| if leaf == 1 { nearest((row as f64).sqrt()) } else { (row % 7) as f32 };
            assert_eq!(numbers, rows.clone().map(number).collect::<Vec<_>>());
            let (start, bytes) = chunk(leaf);
            let data_end = chunk(2).0 + chunk(2).1;
            let asked: Vec<Range<u64>> =
                traced.take_asked().into_iter().filter(|range| range.start < data_end).collect();
            assert!(asked.iter().all(|range| range.start >= start && range.end <= start + bytes), "{asked:?}");
            if seek != Seek::Walk {
                let read: u64 = asked.iter().map(|range| range.end - range.start).sum();
                assert!(read < bytes / 5, "{read} of {bytes}");
            }
        }
    }
    Ok(())
}

#[test]
fn whole_numbers_of_any_length_keep_their_sign() {
    assert_eq!(whole(&[]), 0.0);
    assert_eq!(whole(&[0xff]), -1.0);
    assert_eq!(whole(&[0x00, 0xff]), 255.0);
    for number in [0, 1, -1, 300, -300, i128::from(i64::MAX), -(1_i128 << 100), 1_i128 << 100] {
        assert_eq!(whole(&number.to_be_bytes()), number as f64, "{number}");
        let longer = [[if number < 0 { 0xff } else { 0 }; 16], number.to_be_bytes()].concat();
        assert_eq!(whole(&longer), number as f64, "{number}");
    }
}
