//! Selections over sidecars and shards on disk.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Float32Type, Schema, UInt64Type};
use bytes::Bytes;
use headwater_corpus::{Plan, PlanOptions, SourceConfig};
use headwater_record::RunFile;
use headwater_record::run::{Labels, RunShard, RunSource};
use headwater_record::sidecar::{column, footer};
use headwater_run::{Arm, RejectsWriter, RunFolder, Unit, units};
use headwater_store::{Place, Stores};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use super::{Line, no_progress, run_of, scoring, sidecar};
use crate::{
    Error, InfluenceColumn, Result, Rule, SelectConfig, Selection, StoredSidecars, cut, cut_with_rejects, write_subset,
};

/// Rows of a row group of the made-up shards.
const GROUP_ROWS: usize = 5;

fn encode(batch: &RecordBatch, footer: Vec<KeyValue>) -> Bytes {
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(footer))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

fn decode(bytes: Bytes) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
    arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// A text that names its shard and row.
fn text(name: &str, row: usize) -> String {
    format!("{:100}", format!("{name}#{row}"))
}

/// A shard of `rows` rows whose texts name it and their row.
fn shard_bytes(name: &str, rows: usize) -> Bytes {
    let texts: StringArray = (0..rows).map(|row| Some(text(name, row))).collect();
    let batch = RecordBatch::try_from_iter([("text", Arc::new(texts) as ArrayRef)]).unwrap();
    encode(&batch, Vec::new())
}

/// Every third row cannot be scored; the others rise with the row.
fn line(unit: &Unit, row: u64) -> Line {
    let is_scored = row % 3 != 2;
    let influence = is_scored.then(|| row as f32 / 100.0);
    let (status, loss) = if is_scored { ("scored", Some(2.0)) } else { ("short", None) };
    Line { domain: unit.source.to_string(), influence, stderr: None, loss, compression: 2.0, tokens: 10, status }
}

fn footer_of(unit: &Unit) -> Vec<KeyValue> {
    let entry = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    vec![
        entry(footer::UNIT, unit.key.to_string()),
        entry(footer::FINGERPRINT, unit.fingerprint.to_string()),
        entry(footer::ID_COLUMN, String::new()),
        entry(footer::DOMAIN_COLUMN, String::new()),
        entry(footer::DOMAIN_VALUE, unit.source.to_string()),
    ]
}

fn write_sidecar(place: &Place, unit: &Unit, footer: Vec<KeyValue>) {
    let rows = unit.key.first_row..unit.key.first_row + unit.key.rows;
    let lines: Vec<Line> = rows.map(|row| line(unit, row)).collect();
    place.write(&unit.sidecar_path(), encode(&sidecar(unit, &lines), footer)).unwrap();
}

/// A run over two sources, scored; the folder goes with the first field.
struct Scored {
    _folder: TempDir,
    corpus: Place,
    place: Place,
    plan: Plan,
    run: RunFile,
    units: Vec<Unit>,
}

impl Scored {
    fn folder(&self) -> RunFolder {
        RunFolder::new(self.place.clone())
    }
}

fn run_of_plan(plan: &Plan) -> RunFile {
    let source = |source: &headwater_corpus::PlannedSource| RunSource {
        name: source.name.clone(),
        text: source.columns.text.clone(),
        labels: Labels { domain_value: Some(source.name.clone()), ..Labels::default() },
        fingerprint: scoring().fingerprint(&source.columns.text).expect("plain data"),
        shards: source
            .shards
            .iter()
            .map(|shard| RunShard {
                path: shard.path.clone(),
                id: shard.id.clone(),
                bytes: shard.bytes,
                etag: shard.etag.clone(),
                units: shard.units.clone(),
            })
            .collect(),
        skipped: Vec::new(),
    };
    RunFile { sources: plan.sources.iter().map(source).collect(), ..run_of(&[], super::Shard::id) }
}

fn plan_of(corpus: &Place) -> Plan {
    let source = |name: &str| SourceConfig {
        name: name.to_owned(),
        paths: vec![corpus.describe(name)],
        text: "text".to_owned(),
        id: "id".to_owned(),
        domain: "domain".to_owned(),
        domain_value: None,
        sample: 1.0,
    };
    headwater_corpus::plan(&[source("web"), source("books")], &PlanOptions::default(), &Stores::default(), &no_progress)
        .unwrap()
}

fn scored() -> Scored {
    let folder = tempfile::tempdir().unwrap();
    let root = Stores::default().open(folder.path().to_str().unwrap()).unwrap();
    let (corpus, place) = (root.child("corpus"), root.child("run"));
    corpus.write("web/deep/a.parquet", shard_bytes("web/a", 12)).unwrap();
    corpus.write("web/b.parquet", shard_bytes("web/b", 4)).unwrap();
    corpus.write("web/c.parquet", shard_bytes("web/c", 1)).unwrap();
    corpus.write("books/a.parquet", shard_bytes("books/a", 9)).unwrap();
    let plan = plan_of(&corpus);
    let run = run_of_plan(&plan);
    let units = units(&run).unwrap();
    units.iter().for_each(|unit| write_sidecar(&place, unit, footer_of(unit)));
    Scored { _folder: folder, corpus, place, plan, run, units }
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    batch["text"].as_string::<i32>().iter().map(|text| text.unwrap().trim_end().to_owned()).collect()
}

fn select(scored: &Scored, run: &RunFile, config: &SelectConfig) -> Result<Selection> {
    let sidecars = StoredSidecars::open(&scored.folder(), run)?.with_shards(&scored.plan);
    cut(&sidecars, Rule { config, seed: 0 }, &no_progress)
}

fn selection(scored: &Scored, config: &SelectConfig) -> Selection {
    select(scored, &scored.run, config).unwrap()
}

#[test]
fn kept_rows_arrive_in_files_of_their_own() {
    let scored = scored();
    assert!(scored.units.len() > 3, "row groups are units");
    let config = SelectConfig { fraction: 0.5, influence_column: InfluenceColumn::Yes, ..SelectConfig::default() };
    let selection = selection(&scored, &config);
    let sidecars = StoredSidecars::open(&scored.folder(), &scored.run).unwrap().with_shards(&scored.plan);
    let write = || write_subset(&scored.folder(), &sidecars, &selection, &no_progress).unwrap();
    let summary = write();
    assert_eq!((summary.written, summary.already_there, summary.empty), (3, 0, 1));

    let folder = RunFolder::subset(&selection.file.hash);
    let books = decode(scored.place.read(&format!("{folder}/books/a.parquet")).unwrap());
    assert_eq!(texts(&books), ["books/a#4", "books/a#6", "books/a#7"]);
    let influence: Vec<f32> = books["influence"].as_primitive::<Float32Type>().values().to_vec();
    assert_eq!(influence, [0.04, 0.06, 0.07]);
    // Of 12 ranked rows, 6: row 3 ties in both shards, and `b.parquet` comes before `deep/a.parquet`.
    let deep = decode(scored.place.read(&format!("{folder}/web/deep/a.parquet")).unwrap());
    assert_eq!(texts(&deep), ["web/a#4", "web/a#6", "web/a#7", "web/a#9", "web/a#10"]);
    assert_eq!(texts(&decode(scored.place.read(&format!("{folder}/web/b.parquet")).unwrap())), ["web/b#3"]);

    let again = write();
    assert_eq!((again.written, again.already_there, again.empty), (0, 3, 1));
    let folder = scored.folder();
    folder.write_selection(Arm::Selection, &selection.file).unwrap();
    assert_eq!(folder.selection(Arm::Selection).unwrap(), Some(selection.file));
}

#[test]
fn rejects_are_what_was_not_scored() {
    let scored = scored();
    let mut writer = RejectsWriter::new(&scored.folder()).unwrap();
    let sidecars = StoredSidecars::open(&scored.folder(), &scored.run).unwrap();
    let rule = Rule { config: &SelectConfig::default(), seed: 0 };
    let selection = cut_with_rejects(&sidecars, rule, &mut writer, &no_progress).unwrap();
    assert!(scored.place.read_if_exists(RunFolder::REJECTS).unwrap().is_none(), "it appears whole");
    let rejects = writer.finish().unwrap();
    let listed = decode(scored.place.read(RunFolder::REJECTS).unwrap());
    assert_eq!((rejects, listed.num_rows()), (8, 8));
    assert!(listed[column::ROW].as_primitive::<UInt64Type>().values().iter().all(|row| row % 3 == 2));
    let names: Vec<_> = listed.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["source", "shard", "row", "id", "domain", "status"]);
    assert_eq!(selection.file.statuses["short"], 8);
}

#[test]
fn a_foreign_sidecar_is_ignored_and_a_missing_one_named() {
    let scored = scored();
    let before = selection(&scored, &SelectConfig::default()).file;
    let mut foreign = scored.units[0].clone();
    foreign.key.first_row = 1_000;
    write_sidecar(&scored.place, &foreign, footer_of(&foreign));
    assert_eq!(selection(&scored, &SelectConfig::default()).file, before);

    let mut larger = scored.run.clone();
    larger.sources[0].shards[0].units.push(headwater_record::UnitKey { first_row: 5_000, ..foreign.key });
    let error = select(&scored, &larger, &SelectConfig::default()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::MissingSidecar { missing: 1, first_row: 5_000, .. }), "{text}");
    assert!(text.contains("headwater score") && text.contains("source web"), "{text}");
}

#[test]
fn a_sidecar_must_be_what_its_name_says() {
    let scored = scored();
    let (unit, other) = (&scored.units[0], &scored.units[1]);
    let refused = |what: &str| {
        let error = select(&scored, &scored.run, &SelectConfig::default()).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    };
    write_sidecar(&scored.place, unit, footer_of(other));
    refused(footer::UNIT);
    write_sidecar(&scored.place, unit, Vec::new());
    refused(footer::UNIT);
    let batch = sidecar(other, &[line(other, other.key.first_row)]);
    scored.place.write(&unit.sidecar_path(), encode(&batch, footer_of(unit))).unwrap();
    refused("number of rows");
    let lines: Vec<Line> = (0..unit.key.rows).map(|row| line(unit, row)).collect();
    let whole = sidecar(unit, &lines);
    let narrow = Schema::new(whole.schema().fields()[..8].to_vec());
    let narrow = RecordBatch::try_new(Arc::new(narrow), whole.columns()[..8].to_vec()).unwrap();
    scored.place.write(&unit.sidecar_path(), encode(&narrow, footer_of(unit))).unwrap();
    refused("tokens");
    scored.place.write(&unit.sidecar_path(), Bytes::from_static(b"PAR1 cut short")).unwrap();
    refused("cannot be read");
}

#[test]
fn sidecars_with_other_labels_are_refused() {
    let mut scored = scored();
    scored.run.sources[0].labels.domain_column = Some("topic".to_owned());
    let error = select(&scored, &scored.run, &SelectConfig::default()).unwrap_err();
    assert!(
        matches!(error, Error::Run(headwater_run::Error::Labels { .. })) && error.to_string().contains("--relabel"),
        "{error}"
    );
}

#[test]
fn a_shard_that_changed_since_it_was_scored_is_refused() {
    let scored = scored();
    let config = SelectConfig::default();
    let selection = selection(&scored, &config);
    scored.corpus.write("books/a.parquet", shard_bytes("books/other", 9)).unwrap();
    let write = |plan: &Plan| {
        let sidecars = StoredSidecars::open(&scored.folder(), &scored.run).unwrap().with_shards(plan);
        write_subset(&scored.folder(), &sidecars, &selection, &no_progress)
    };
    assert!(matches!(write(&plan_of(&scored.corpus)), Err(Error::ShardChanged { .. })));
    assert!(matches!(write(&Plan { sources: Vec::new() }), Err(Error::NotPlanned { .. })));
}
