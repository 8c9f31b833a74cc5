//! Columns of numbers of shards on disk, of every type, over row groups, nulls and nesting.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, DictionaryArray, Float16Array,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type, i256};
use headwater_corpus::{Class, Error, PlanOptions, PlannedShard, SourceConfig, plan, read_numbers};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{WriterProperties, WriterVersion};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const ROWS: usize = 100;

/// How a file is written.
#[derive(Clone, Copy, Debug)]
struct Style {
    version: WriterVersion,
    has_dictionary: bool,
}

const STYLES: [Style; 3] = [
    Style { version: WriterVersion::PARQUET_1_0, has_dictionary: true },
    Style { version: WriterVersion::PARQUET_1_0, has_dictionary: false },
    Style { version: WriterVersion::PARQUET_2_0, has_dictionary: true },
];

/// Writes the columns and a text in row groups of 33 rows, and plans that shard.
fn shard(path: &Path, columns: &[(&str, ArrayRef)], style: Style) -> Result<PlannedShard, Box<dyn std::error::Error>> {
    let text: ArrayRef = Arc::new(StringArray::from_iter_values((0..columns[0].1.len()).map(|row| row.to_string())));
    let columns = columns.iter().cloned().chain([("text", text)]);
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))?;
    let properties = WriterProperties::builder()
        .set_writer_version(style.version)
        .set_dictionary_enabled(style.has_dictionary)
        .set_max_row_group_row_count(Some(33))
        .set_write_batch_size(3)
        .set_data_page_size_limit(32)
        .build();
    let mut writer = ArrowWriter::try_new(fs_err::File::create(path)?, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    let source = SourceConfig {
        name: "s".into(),
        paths: vec![path.display().to_string()],
        text: "text".into(),
        id: "id".into(),
        domain: "domain".into(),
        domain_value: None,
        sample: 1.0,
    };
    Ok(plan(&[source], &PlanOptions::default(), &headwater_store::Stores::default(), &|_| {})?.sources[0].shards[0]
        .clone())
}

/// The number of a row, small enough for every type; every seventh is null.
fn number(row: usize) -> Option<i8> {
    (row % 7 != 3).then(|| i8::try_from(row % 100).unwrap_or_default())
}

fn signed(row: usize) -> Option<i8> {
    number(row).map(|number| if row.is_multiple_of(2) { number } else { -number })
}

/// NaN for null, and alike.
fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

#[test]
fn every_type_of_number_reads_as_the_same_number() -> Outcome {
    let integers: ArrayRef = Arc::new((0..ROWS).map(number).collect::<Int8Array>());
    let signed_integers: ArrayRef = Arc::new((0..ROWS).map(signed).collect::<Int8Array>());
    let floats = |number: fn(usize) -> Option<i8>| -> Vec<f32> {
        (0..ROWS).map(|row| number(row).map_or(f32::NAN, f32::from)).collect()
    };
    let types = [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal32(7, 2),
        DataType::Decimal64(16, 3),
        DataType::Decimal128(5, 1),
        DataType::Decimal128(38, 20),
        DataType::Decimal256(70, 30),
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Int64)),
    ];
    let folder = tempfile::tempdir()?;
    for data_type in types {
        let is_signed = !data_type.is_unsigned_integer();
        let integers = if is_signed { &signed_integers } else { &integers };
        let expected = bits(&floats(if is_signed { signed } else { number }));
        let column = cast(integers, &data_type)?;
        assert_eq!(column.null_count(), 14, "{data_type}");
        for style in STYLES {
            let shard = shard(&folder.path().join("x.parquet"), &[("score", Arc::clone(&column))], style)?;
            for rows in [0..100, 0..1, 3..4, 32..34, 33..66, 40..50, 66..100, 10..95, 99..100, 20..20, 100..100] {
                let read = read_numbers(&shard, "score", rows.clone())?;
                let place = usize::try_from(rows.start)?..usize::try_from(rows.end)?;
                assert_eq!(bits(&read), expected[place], "{data_type} {style:?} {rows:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_ends_of_the_types_are_kept() -> Outcome {
    let decimals = Decimal128Array::from(vec![123_456, -50]).with_precision_and_scale(10, 2)?;
    let long = Decimal256Array::from(vec![i256::from_i128(-25), i256::from_i128(10).wrapping_pow(40)]);
    let columns: [(&str, ArrayRef, [f32; 2]); 12] = [
        ("i8", Arc::new(Int8Array::from(vec![i8::MIN, i8::MAX])), [-128.0, 127.0]),
        ("i16", Arc::new(Int16Array::from(vec![i16::MIN, i16::MAX])), [-32768.0, 32767.0]),
        ("i32", Arc::new(Int32Array::from(vec![i32::MIN, 1 << 24])), [-2_147_483_648.0, 16_777_216.0]),
        ("i64", Arc::new(Int64Array::from(vec![i64::MIN, 1 << 40])), [-9.223_372e18, 1_099_511_627_776.0]),
        ("u8", Arc::new(UInt8Array::from(vec![0, u8::MAX])), [0.0, 255.0]),
        ("u16", Arc::new(UInt16Array::from(vec![0, u16::MAX])), [0.0, 65535.0]),
        ("u32", Arc::new(UInt32Array::from(vec![1, u32::MAX])), [1.0, 4_294_967_296.0]),
        ("u64", Arc::new(UInt64Array::from(vec![1, u64::MAX])), [1.0, 18_446_744_073_709_551_616.0]),
        ("f16", halves([0.1, f32::NEG_INFINITY])?, [0.099_975_586, f32::NEG_INFINITY]),
        ("f64", Arc::new(Float64Array::from(vec![0.1, 1e300])), [0.1, f32::INFINITY]),
        ("decimal", Arc::new(decimals), [1234.56, -0.5]),
        ("long", Arc::new(long.with_precision_and_scale(76, 2)?), [-0.25, 1e38]),
    ];
    let folder = tempfile::tempdir()?;
    let named: Vec<(&str, ArrayRef)> = columns.iter().map(|(name, array, _)| (*name, Arc::clone(array))).collect();
    let shard = shard(&folder.path().join("x.parquet"), &named, STYLES[0])?;
    for (name, _, expected) in &columns {
        assert_eq!(read_numbers(&shard, name, 0..2)?, expected, "{name}");
    }
    Ok(())
}

fn halves(numbers: [f32; 2]) -> Result<ArrayRef, arrow::error::ArrowError> {
    let halves = cast(&Float32Array::from(numbers.to_vec()), &DataType::Float16)?;
    assert!(halves.as_any().is::<Float16Array>());
    Ok(halves)
}

#[test]
fn booleans_are_zero_and_one_and_structs_are_named_with_dots() -> Outcome {
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]));
    let scores: ArrayRef = Arc::new(Float32Array::from(vec![Some(0.5), Some(1.5), None, Some(3.5)]));
    let field = |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
    let inner = StructArray::try_new(
        vec![field("score", &scores)].into(),
        vec![Arc::clone(&scores)],
        Some(vec![true, false, true, true].into()),
    )?;
    let inner: ArrayRef = Arc::new(inner);
    let outer: ArrayRef = Arc::new(StructArray::from(vec![(field("quality", &inner), Arc::clone(&inner))]));
    let folder = tempfile::tempdir()?;
    let columns = [("flag", flags), ("metadata", outer), ("metadata.flat", Arc::clone(&scores))];
    let shard = shard(&folder.path().join("x.parquet"), &columns, STYLES[0])?;
    let read = |name: &str| read_numbers(&shard, name, 0..4).map(|numbers| bits(&numbers));
    let nan = f32::NAN;
    assert_eq!(read("flag")?, bits(&[1.0, nan, 0.0, 1.0]));
    assert_eq!(read("metadata.quality.score")?, bits(&[0.5, nan, nan, 3.5]));
    assert_eq!(read("metadata.flat")?, bits(&[0.5, 1.5, nan, 3.5]));
    Ok(())
}

#[test]
fn what_holds_no_numbers_is_named_with_its_type() -> Outcome {
    let words: ArrayRef = Arc::new(["a", "b"].into_iter().collect::<DictionaryArray<Int32Type>>());
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![1, 2]));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>([
        Some(vec![Some(1.0)]),
        Some(vec![Some(2.0), None]),
    ]));
    let scores: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0]));
    let columns = [("word", words), ("date", dates), ("list", lists), ("edu_score", scores)];
    let folder = tempfile::tempdir()?;
    let shard = shard(&folder.path().join("x.parquet"), &columns, STYLES[0])?;
    let wrong = |name: &str| {
        let error = read_numbers(&shard, name, 0..2).expect_err("no numbers");
        assert_eq!(error.class(), Class::User);
        error.to_string().replace(&shard.location(), "x.parquet")
    };
    let must = "but must hold numbers, decimals or booleans, one a row";
    assert_eq!(wrong("word"), format!("x.parquet: column `word` is BYTE_ARRAY (String), {must}"));
    assert_eq!(wrong("date"), format!("x.parquet: column `date` is INT32 (Date), {must}"));
    let nested = format!("is nested (a list, map or struct), {must}");
    assert_eq!(wrong("list"), format!("x.parquet: column `list` {nested}"));
    assert_eq!(wrong("list.list.item"), format!("x.parquet: column `list.list.item` {nested}"));
    assert_eq!(
        wrong("edu_scor"),
        "x.parquet: no column `edu_scor` (did you mean `edu_score`?); its columns of numbers are edu_score"
    );
    assert!(matches!(read_numbers(&shard, "edu_score", 1..3), Err(Error::RowOutOfRange { row: 2, rows: 2, .. })));
    Ok(())
}

#[test]
fn another_version_of_the_file_is_a_failure_of_the_store() -> Outcome {
    let scores: ArrayRef = Arc::new(Float32Array::from_iter_values((0..100).map(|row| row as f32)));
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.parquet");
    let planned = shard(&path, &[("score", Arc::clone(&scores))], STYLES[1])?;
    assert_eq!(read_numbers(&planned, "score", 50..52)?, [50.0, 51.0]);
    shard(&path, &[("score", scores), ("more", Arc::new(Int64Array::from(vec![0; 100])))], STYLES[1])?;
    let error = read_numbers(&planned, "score", 50..52).expect_err("the file is another one");
    assert!(matches!(error, Error::Store(headwater_store::Error::Changed { .. })), "{error}");
    Ok(())
}
