//! Plans and documents of shards on disk: types, units, samples and bad input.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{
    ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, DictionaryArray, Float64Array, Int64Array, LargeBinaryArray,
    LargeStringArray, RecordBatch, StringArray, StringViewArray, UInt32Array,
};
use arrow::datatypes::Int32Type;
use headwater_corpus::{
    Class, Document, DocumentText, Domain, Error, OnBadShard, Plan, PlanOptions, SourceConfig, SourceFolder, plan,
    plan_folders, read_unit, spread,
};
use headwater_record::ByteCount;
use headwater_store::Stores;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn write(path: &Path, columns: &[(&str, ArrayRef)], row_group_rows: usize) -> Outcome {
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    let batch = RecordBatch::try_from_iter(columns.iter().map(|(name, array)| (*name, Arc::clone(array))))?;
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(row_group_rows))
        .set_dictionary_enabled(false)
        .set_write_batch_size(3)
        .set_data_page_size_limit(256)
        .build();
    let mut writer = ArrowWriter::try_new(fs_err::File::create(path)?, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

fn source(paths: &[String]) -> SourceConfig {
    SourceConfig {
        name: "s".into(),
        paths: paths.to_vec(),
        text: "text".into(),
        id: "id".into(),
        domain: "domain".into(),
        domain_value: None,
        sample: 1.0,
    }
}

fn entry(folder: &Path, rest: &str) -> String {
    format!("{}/{rest}", folder.display())
}

fn plan_of(source: &SourceConfig, unit_bytes: u64) -> Result<Plan, Error> {
    let options = PlanOptions { unit_bytes: Some(ByteCount(unit_bytes)), ..PlanOptions::default() };
    plan(std::slice::from_ref(source), &options, &Stores::default(), &|_| {})
}

fn documents(plan: &Plan) -> Result<Vec<Document>, Error> {
    let mut all = Vec::new();
    for source in &plan.sources {
        for shard in &source.shards {
            for unit in &shard.units {
                for document in read_unit(shard, &source.columns, unit)? {
                    all.push(document?);
                }
            }
        }
    }
    Ok(all)
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|row| format!("document {row} {}", "x".repeat(row % 50))).collect()
}

#[test]
fn units_cover_every_row_once_in_order() -> Outcome {
    let folder = tempfile::tempdir()?;
    let texts = texts(1000);
    let ids = Int64Array::from_iter_values(-3..997);
    let columns: [(&str, ArrayRef); 2] = [("id", Arc::new(ids)), ("text", Arc::new(StringArray::from(texts.clone())))];
    write(&folder.path().join("a/b.parquet"), &columns, 300)?;
    let planned = plan_of(&source(&[entry(folder.path(), "*/*.parquet")]), 2000)?;
    let shard = &planned.sources[0].shards[0];
    assert_eq!(shard.path, "a/b.parquet");
    assert!(shard.units.len() > 10, "{}", shard.units.len());
    let mut next = 0;
    for unit in &shard.units {
        assert_eq!(unit.first_row, next);
        assert!(unit.rows > 0 && unit.first_row / 300 == (unit.first_row + unit.rows - 1) / 300);
        next += unit.rows;
    }
    assert_eq!(next, 1000);
    for (row, document) in documents(&planned)?.into_iter().enumerate() {
        let expected = Document {
            row: row as u64,
            id: Some((i64::try_from(row)? - 3).to_string()),
            domain: Some("s".into()),
            text: DocumentText::Text(texts[row].clone().into()),
        };
        assert_eq!(document, expected);
    }
    Ok(())
}

#[test]
fn every_text_type_reads_alike() -> Outcome {
    let text = [Some("eins"), None, Some("drei"), Some("")];
    let bytes: Vec<Option<&[u8]>> = text.iter().map(|text| text.map(str::as_bytes)).collect();
    let arrays: [ArrayRef; 7] = [
        Arc::new(StringArray::from(text.to_vec())),
        Arc::new(LargeStringArray::from(text.to_vec())),
        Arc::new(StringViewArray::from(text.to_vec())),
        Arc::new(BinaryArray::from(bytes.clone())),
        Arc::new(LargeBinaryArray::from(bytes.clone())),
        Arc::new(BinaryViewArray::from(bytes)),
        Arc::new(text.into_iter().collect::<DictionaryArray<Int32Type>>()),
    ];
    let expected = text.map(|text| text.map_or(DocumentText::Null, |text| DocumentText::Text(text.into())));
    for array in arrays {
        let folder = tempfile::tempdir()?;
        let name = format!("{}", array.data_type());
        let domain: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None]));
        let id: ArrayRef = Arc::new(UInt32Array::from(vec![u32::MAX, 1, 2, 3]));
        write(&folder.path().join("x.parquet"), &[("text", array), ("domain", domain), ("id", id)], 3)?;
        let read = documents(&plan_of(&source(&[entry(folder.path(), "x.parquet")]), 1 << 20)?)?;
        assert_eq!(read.iter().map(|document| document.text.clone()).collect::<Vec<_>>(), expected, "{name}");
        assert_eq!(read[0].id.as_deref(), Some("4294967295"));
        assert_eq!((read[0].domain.as_deref(), read[1].domain.as_deref()), (Some("true"), None));
    }
    Ok(())
}

#[test]
fn bytes_that_are_not_utf8_are_a_status_also_in_a_string_column() -> Outcome {
    let folder = tempfile::tempdir()?;
    let binary = BinaryArray::from(vec![&b"good"[..], &[0xff, 0xfe, 0x41][..], b"fine"]);
    write(&folder.path().join("b/x.parquet"), &[("text", Arc::new(binary))], 10)?;
    let plain = StringArray::from(vec!["good", "@@@@", "fine"]);
    let path = folder.path().join("u/x.parquet");
    write(&path, &[("text", Arc::new(plain))], 10)?;
    let mut file = fs_err::read(&path)?;
    let at = file.windows(4).position(|bytes| bytes == b"@@@@").ok_or("no such page")?;
    file[at] = 0xff;
    fs_err::write(&path, file)?;
    for (folder, rest, bytes) in [(folder.path(), "b", 3), (folder.path(), "u/", 4)] {
        let read = documents(&plan_of(&source(&[entry(folder, rest)]), 1 << 20)?)?;
        assert_eq!(read[1].text, DocumentText::NotUtf8 { bytes });
        assert_eq!(read[2].text, DocumentText::Text("fine".into()));
    }
    Ok(())
}

#[test]
fn bad_shards_fail_or_are_listed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let text: ArrayRef = Arc::new(StringArray::from(texts(50)));
    let good = folder.path().join("good.parquet");
    write(&good, &[("text", Arc::clone(&text))], 10)?;
    write(&folder.path().join("norows.parquet"), &[("text", text.slice(0, 0))], 10)?;
    let whole = fs_err::read(&good)?;
    fs_err::write(folder.path().join("cut.parquet"), &whole[..whole.len() - 20])?;
    fs_err::write(folder.path().join("empty.parquet"), b"")?;
    let mut lying = whole.clone();
    let tail = lying.len() - 8;
    lying[tail..tail + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    fs_err::write(folder.path().join("lying.parquet"), lying)?;
    let source = source(&[entry(folder.path(), "")]);
    let error = plan_of(&source, 1 << 20).map(|_| ()).expect_err("a bad shard fails the plan");
    assert_eq!(error.class(), Class::Data);
    assert!(error.to_string().contains("cut.parquet") && error.to_string().contains("on_bad_shard"), "{error}");
    let seen = AtomicU64::new(0);
    let count = |footers| {
        seen.fetch_add(footers, Ordering::Relaxed);
    };
    let options = PlanOptions { on_bad_shard: OnBadShard::Skip, ..PlanOptions::default() };
    let planned = plan(&[source], &options, &Stores::default(), &count)?;
    assert_eq!(seen.into_inner(), 5);
    let names = |paths: Vec<&str>| paths.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let source = &planned.sources[0];
    assert_eq!(
        source.shards.iter().map(|shard| shard.path.clone()).collect::<Vec<_>>(),
        names(vec!["good.parquet", "norows.parquet"])
    );
    assert!(source.shards[1].units.is_empty());
    assert_eq!(
        source.skipped.iter().map(|shard| shard.path.clone()).collect::<Vec<_>>(),
        names(vec!["cut.parquet", "empty.parquet", "lying.parquet"])
    );
    Ok(())
}

#[test]
fn every_flipped_byte_is_an_error_or_harmless_never_a_panic() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.parquet");
    write(&path, &[("text", Arc::new(StringArray::from(texts(12))))], 6)?;
    let whole = fs_err::read(&path)?;
    let (mut errors, source) = (0, source(&[entry(folder.path(), "x.parquet")]));
    std::panic::set_hook(Box::new(|_| {}));
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xa5;
        fs_err::write(&path, damaged)?;
        let read = plan_of(&source, 100).and_then(|planned| documents(&planned));
        errors += u32::from(read.is_err());
    }
    drop(std::panic::take_hook());
    assert!(errors > 50, "{errors}");
    Ok(())
}

#[test]
fn a_corrupt_page_is_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.parquet");
    write(&path, &[("text", Arc::new(StringArray::from(texts(40))))], 20)?;
    let planned = plan_of(&source(&[entry(folder.path(), "x.parquet")]), 1 << 20)?;
    let mut file = fs_err::read(&path)?;
    file[4..200].fill(0xee);
    fs_err::write(&path, &file)?;
    // The version guard notices the change, so plan the damaged file.
    assert!(matches!(documents(&planned), Err(Error::Store(_))));
    let planned = plan_of(&source(&[entry(folder.path(), "x.parquet")]), 1 << 20)?;
    match documents(&planned) {
        Err(Error::Corrupt { shard, row_group: 0, first_row: 0, column, .. }) => {
            assert!(shard.ends_with("x.parquet") && column == "text");
        }
        other => panic!("{other:?}"),
    }
    let (shard, columns) = (&planned.sources[0].shards[0], &planned.sources[0].columns);
    let second = shard.unit_of(20..40).ok_or("there are 40 rows")?;
    let documents = read_unit(shard, columns, &second)?;
    assert_eq!(documents.filter(Result::is_ok).count(), 20, "the other row group is whole");
    Ok(())
}

#[test]
fn columns_are_checked_by_name_and_type() -> Outcome {
    let folder = tempfile::tempdir()?;
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let number: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    write(&folder.path().join("x.parquet"), &[("Text", text), ("score", number)], 10)?;
    let source = source(&[entry(folder.path(), "x.parquet")]);
    let error = plan_of(&source, 1).map(|_| ()).expect_err("no such column").to_string();
    assert!(
        error.contains("`text`") && error.contains("did you mean `Text`") && error.contains("Text, score"),
        "{error}"
    );
    let error = |source: SourceConfig| plan_of(&source, 1).map(|_| ()).expect_err("wrong column").to_string();
    let wrong = error(SourceConfig { text: "score".into(), ..source.clone() });
    assert!(wrong.contains("`score` is DOUBLE") && wrong.contains("string or binary"), "{wrong}");
    let fine = SourceConfig { text: "Text".into(), ..source };
    assert!(error(SourceConfig { id: "score".into(), ..fine.clone() }).contains("integer"));
    assert!(error(SourceConfig { domain: "scores".into(), ..fine.clone() }).contains("did you mean `score`"));
    let constant = SourceConfig { domain_value: Some("code".into()), ..fine };
    assert_eq!(plan_of(&constant, 1)?.sources[0].columns.domain, Domain::Constant("code".into()));
    Ok(())
}

#[test]
fn listings_refuse_nothing_and_duplicates() -> Outcome {
    let folder = tempfile::tempdir()?;
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    write(&folder.path().join("p/x.parquet"), &[("text", Arc::clone(&text))], 10)?;
    write(&folder.path().join("q/x.parquet"), &[("text", text)], 10)?;
    let (p, q) = (entry(folder.path(), "p/*.parquet"), entry(folder.path(), "q"));
    let error =
        plan_of(&source(&[p.clone(), q.clone()]), 1).map(|_| ()).expect_err("two shards of one path").to_string();
    assert!(error.contains(&p) && error.contains(&q), "{error}");
    let nowhere = entry(folder.path(), "r");
    let error = plan_of(&source(&[p.clone(), nowhere.clone()]), 1).map(|_| ()).expect_err("nothing there").to_string();
    assert!(error.contains(&nowhere), "{error}");
    let twin =
        plan(&[source(std::slice::from_ref(&p)), source(&[q])], &PlanOptions::default(), &Stores::default(), &|_| {});
    assert!(matches!(twin, Err(Error::DuplicateSource { .. })));
    for name in ["", ".", "..", "a/b", "a b"] {
        let named = SourceConfig { name: name.into(), ..source(std::slice::from_ref(&p)) };
        assert!(matches!(plan_of(&named, 1), Err(Error::SourceName { .. })), "{name}");
    }
    Ok(())
}

#[test]
fn a_tiny_sample_keeps_one_unit_and_a_copy_elsewhere_is_the_same_shard() -> Outcome {
    let (here, there) = (tempfile::tempdir()?, tempfile::tempdir()?);
    for folder in [&here, &there] {
        write(&folder.path().join("x.parquet"), &[("text", Arc::new(StringArray::from(texts(400))))], 100)?;
    }
    let units = |folder: &Path, sample| {
        let source = SourceConfig { sample, ..source(&[entry(folder, "*.parquet")]) };
        plan_of(&source, 500).map(|plan| plan.sources[0].shards[0].units.clone())
    };
    assert_eq!(units(here.path(), 1e-9)?.len(), 1);
    assert_eq!(units(here.path(), 0.5)?, units(there.path(), 0.5)?);
    Ok(())
}

#[test]
fn a_folder_is_planned_whatever_its_name() -> Outcome {
    let folder = tempfile::tempdir()?;
    let text: ArrayRef = Arc::new(StringArray::from(texts(20)));
    for name in ["plain", "od[d]*{a,b}?"] {
        write(&folder.path().join(name).join("deep/x.parquet"), &[("text", Arc::clone(&text))], 100)?;
        fs_err::write(folder.path().join(name).join("notes.txt"), "no shard")?;
    }
    let root = Stores::default().open(&folder.path().display().to_string())?;
    let planned = |name: &str| {
        let folder = SourceFolder { config: source(&[]), place: root.child(name) };
        plan_folders(&[folder], &PlanOptions::default(), &|_| {})
    };
    let (plain, odd) = (planned("plain")?, planned("od[d]*{a,b}?")?);
    assert_eq!(plain.sources[0].shards[0].path, "deep/x.parquet");
    assert_eq!(plain.sources[0].shards[0].id, odd.sources[0].shards[0].id);
    assert_eq!(documents(&plain)?, documents(&odd)?);
    assert!(matches!(planned("nothing"), Err(Error::NoShards { entry, .. }) if entry.ends_with("/nothing")));
    assert!(matches!(plan_of(&source(&[]), 1), Err(Error::NoPaths { .. })));
    Ok(())
}

#[test]
fn pieces_cover_a_plan_once_and_begin_spread_over_it() -> Outcome {
    let folder = tempfile::tempdir()?;
    for shard in 0..4 {
        let texts =
            StringArray::from_iter_values((0..64).map(|row| format!("shard {shard} row {row:02} {}", "x".repeat(80))));
        write(&folder.path().join(format!("{shard}.parquet")), &[("text", Arc::new(texts))], 40)?;
    }
    let plan = plan_of(&source(&[entry(folder.path(), "*.parquet")]), 2000)?;
    let rows = |pieces: &[headwater_corpus::Piece<'_>]| -> Result<Vec<(String, u64)>, Box<dyn std::error::Error>> {
        let mut rows = Vec::new();
        for piece in pieces {
            for document in read_unit(piece.shard, &piece.source.columns, &piece.unit)? {
                rows.push((piece.shard.path.clone(), document?.row));
            }
        }
        Ok(rows)
    };
    let all = spread(&plan, 300, usize::MAX);
    let mut seen = rows(&all)?;
    let first: std::collections::BTreeSet<String> = all.iter().take(4).map(|piece| piece.shard.path.clone()).collect();
    assert_eq!(first.len(), 4, "the first four pieces are of four shards: {first:?}");
    seen.sort();
    assert!(seen.len() == 4 * 64 && seen.windows(2).all(|pair| pair[0] != pair[1]), "every row once");
    assert!(all.iter().all(|piece| piece.unit.rows <= 4), "a row has about 100 bytes");
    let few = spread(&plan, 300, 8);
    let shards: Vec<usize> = plan.sources[0]
        .shards
        .iter()
        .map(|shard| few.iter().filter(|piece| piece.shard.path == shard.path).count())
        .collect();
    assert_eq!(shards, [2, 2, 2, 2]);
    assert!(spread(&Plan { sources: Vec::new() }, 300, 8).is_empty());
    Ok(())
}

#[test]
fn text_is_estimated_from_footers() -> Outcome {
    let folder = tempfile::tempdir()?;
    let texts = StringArray::from_iter_values((0..30).map(|row| format!("{row:0100}")));
    write(&folder.path().join("a.parquet"), &[("text", Arc::new(texts))], 10)?;
    let plan = plan_of(&source(&[entry(folder.path(), "*.parquet")]), 500)?;
    let bytes = plan.sources[0].text_bytes().0;
    assert!((3000..4500).contains(&bytes), "{bytes}: 3,000 bytes of text, with lengths and page headers");
    Ok(())
}
