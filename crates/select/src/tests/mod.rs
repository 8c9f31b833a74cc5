//! Selections against a naive sort, and over files.

mod against_sort;
mod auditing;
mod contesting;
mod correcting;
mod files;
mod mixtures;
mod reading;
mod showing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Int32Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
    new_null_array,
};
use arrow::datatypes::{Int32Type, Schema};
use headwater_corpus::BeginningText;
use headwater_record::run::{Labels, Numerics, RunShard, RunSource, ScoringInputs};
use headwater_record::sidecar::{column, schema};
use headwater_record::{ContentHash, DocumentAddress, HeadSet, RunFile, ScoreOf, ShardId, UnitKey};
use headwater_run::{Unit, units};

use crate::membership::Member;
use crate::rows::{Domains, UnitRows};
use crate::scan::Scores;
use crate::{Result, Selection, Sidecars};

/// One row of a made-up sidecar.
#[derive(Clone, Debug)]
struct Line {
    domain: String,
    influence: Option<f32>,
    stderr: Option<f32>,
    loss: Option<f32>,
    compression: f32,
    tokens: u32,
    status: &'static str,
}

impl Line {
    /// A document with scores.
    fn scored(domain: &str, influence: f32, tokens: u32) -> Self {
        Self {
            domain: domain.to_owned(),
            influence: Some(influence),
            stderr: None,
            loss: Some(1.0),
            compression: 2.0,
            tokens,
            status: "scored",
        }
    }
}

fn no_progress(_: u64) {}

/// A made-up shard: source, path and the lines of its units.
#[derive(Clone, Debug)]
struct Shard {
    source: String,
    path: String,
    units: Vec<Vec<Line>>,
}

impl Shard {
    fn id(&self) -> ShardId {
        ShardId::new(&format!("{}/{}", self.source, self.path), 1, b"footer")
    }

    /// Every line with its address.
    fn lines(&self) -> impl Iterator<Item = (DocumentAddress, &Line)> {
        (0..).zip(self.units.iter().flatten()).map(|(row, line)| {
            let (source, path) = (Arc::from(self.source.as_str()), Arc::from(self.path.as_str()));
            (DocumentAddress { source, path, row }, line)
        })
    }
}

fn scoring() -> ScoringInputs {
    ScoringInputs {
        model_config: None,
        weights: ContentHash::of(b"weights"),
        tokenizer: ContentHash::of(b"tokenizer"),
        heads: HeadSet::default(),
        mask: "causal-uniform".into(),
        window_tokens: 4096,
        long_documents: "all".into(),
        min_tokens: 32,
        numerics: Numerics {
            engine: "candle".into(),
            device: "cpu".into(),
            precision: "f32".into(),
            instructions: String::new(),
        },
        semantics: 1,
        student: None,
        cascade: None,
    }
}

/// The plan of `shards`, in the order given, with `id` as the identity of each.
fn run_of(shards: &[Shard], id: impl Fn(&Shard) -> ShardId) -> RunFile {
    let mut sources: Vec<RunSource> = Vec::new();
    for shard in shards {
        let mut first_row = 0;
        let units = shard.units.iter().zip(0..).map(|(lines, row_group)| {
            let key = UnitKey { shard: id(shard), row_group, first_row, rows: lines.len() as u64 };
            first_row += lines.len() as u64;
            key
        });
        let units = units.collect();
        let planned = RunShard { path: shard.path.clone(), id: id(shard), bytes: 1, etag: None, units };
        match sources.iter_mut().find(|source| source.name == shard.source) {
            Some(source) => source.shards.push(planned),
            None => sources.push(RunSource {
                name: shard.source.clone(),
                text: "text".into(),
                labels: Labels::default(),
                fingerprint: scoring().fingerprint("text").expect("plain data"),
                shards: vec![planned],
                skipped: Vec::new(),
            }),
        }
    }
    RunFile {
        headwater: "0.1.0".into(),
        began: "2026-01-01T00:00:00Z".into(),
        config: serde_json::Value::Null,
        scoring: scoring(),
        revisions: std::collections::BTreeMap::new(),
        sources,
    }
}

fn dictionary<'a>(words: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(words.collect::<DictionaryArray<Int32Type>>())
}

/// Bytes of every text.
const TEXT_BYTES: u64 = 100;

/// The column of windows of documents that are one window each.
fn no_windows(rows: usize) -> ArrayRef {
    let windows = schema().field_with_name(column::WINDOWS).map(|field| field.data_type().clone());
    new_null_array(&windows.expect("sidecars have it"), rows)
}

/// The sidecar of a unit with `lines`, all columns.
fn sidecar(unit: &Unit, lines: &[Line]) -> RecordBatch {
    let rows = lines.len();
    let constant = |word: &str| -> ArrayRef {
        let words = Arc::new(StringArray::from(vec![word]));
        Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0; rows]), words))
    };
    let first = unit.key.first_row;
    let row_numbers = UInt64Array::from_iter_values(first..first + rows as u64);
    let ids = (first..).take(rows).map(|row| Some(format!("{}/{}#{row}", unit.source, unit.path)));
    let influence: Float32Array = lines.iter().map(|line| line.influence).collect();
    let columns: Vec<ArrayRef> = vec![
        constant(&unit.source),
        constant(&unit.path),
        Arc::new(row_numbers),
        Arc::new(ids.collect::<StringArray>()),
        dictionary(lines.iter().map(|line| line.domain.as_str())),
        dictionary(lines.iter().map(|line| line.status)),
        Arc::new(UInt64Array::from(vec![TEXT_BYTES; rows])),
        Arc::new(UInt64Array::from(vec![None; rows])),
        Arc::new(lines.iter().map(|line| Some(line.compression)).collect::<Float32Array>()),
        Arc::new(UInt32Array::from_iter_values(lines.iter().map(|line| line.tokens))),
        Arc::new(UInt32Array::from_iter_values(lines.iter().map(|line| line.tokens.saturating_sub(1)))),
        Arc::new(lines.iter().map(|line| line.loss).collect::<Float32Array>()),
        Arc::new(lines.iter().map(|line| line.loss).collect::<Float32Array>()),
        Arc::new(influence),
        Arc::new(lines.iter().map(|line| line.stderr).collect::<Float32Array>()),
        Arc::new(Float32Array::from(vec![None; rows])),
        constant(ScoreOf::Student.as_str()),
        no_windows(rows),
    ];
    RecordBatch::try_new(schema(), columns).expect("a sidecar's schema")
}

/// Sidecars in memory, each in batches of three rows. The source's own column `score` is row × 3 mod 7.
struct InMemory {
    units: Vec<Unit>,
    shards: Vec<Shard>,
}

/// The addresses that a selection keeps, by domain and bucket.
fn kept(selection: &Selection, sidecars: &InMemory) -> BTreeMap<String, BTreeMap<usize, BTreeSet<DocumentAddress>>> {
    let mut kept: BTreeMap<_, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
    let digest = |rows: &UnitRows<'_>| Ok((selection.membership.members(rows)?, rows.domains()?));
    let scores = Scores { sidecars, on_progress: &no_progress };
    let visit = |at: usize, (members, domains): (Vec<Member>, Domains)| {
        assert!(members.windows(2).all(|pair| pair[0].row < pair[1].row));
        for member in members {
            if let Some(bucket) = member.bucket {
                let domain = domains.names[member.domain as usize].to_string();
                let address = sidecars.units[at].address(member.row as u64);
                kept.entry(domain).or_default().entry(bucket).or_default().insert(address);
            }
        }
        Ok(())
    };
    scores.scan_all(selection.membership.columns(), digest, visit).expect("in memory");
    kept
}

impl InMemory {
    fn new(shards: Vec<Shard>) -> Result<Self> {
        Ok(Self { units: units(&run_of(&shards, Shard::id))?, shards })
    }
}

impl Sidecars for InMemory {
    fn units(&self) -> &[Unit] {
        &self.units
    }

    fn read(&self, index: usize, columns: &[&'static str]) -> Result<Vec<RecordBatch>> {
        let unit = &self.units[index];
        let shard = self.shards.iter().find(|shard| shard.source == *unit.source && shard.path == *unit.path);
        let lines = &shard.expect("a shard of the plan").units[unit.key.row_group as usize];
        let whole = sidecar(unit, lines);
        let fields: Vec<_> =
            columns.iter().map(|name| schema().field_with_name(name).cloned().expect(column::ROW)).collect();
        let arrays = columns.iter().map(|name| whole.column_by_name(name).cloned().expect(column::ROW)).collect();
        let projected = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("the same rows");
        let rows = projected.num_rows();
        Ok((0..rows).step_by(3).map(|first| projected.slice(first, 3.min(rows - first))).collect())
    }

    fn source_numbers(&self, unit: &Unit, column: &str) -> Result<Vec<f32>> {
        assert_eq!(column, "score");
        let rows = unit.key.first_row..unit.key.first_row + unit.key.rows;
        Ok(rows.map(score).collect())
    }

    fn source_texts(&self, unit: &Unit, rows: &[u64], _: usize) -> Result<Vec<Option<BeginningText>>> {
        let text = |row: &u64| BeginningText {
            text: format!("\n  row {}\nmore", unit.key.first_row + row),
            is_cut_off: false,
        };
        Ok(rows.iter().map(|row| Some(text(row))).collect())
    }
}

fn score(row: u64) -> f32 {
    (row * 3 % 7) as f32
}
