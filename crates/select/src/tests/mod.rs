//! Selections against a naive sort, and over files.

mod against_sort;
mod files;
mod mixtures;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Int32Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Int32Type, Schema};
use headwater_record::run::{Labels, Numerics, RunShard, RunSource, ScoringInputs};
use headwater_record::sidecar::{column, schema};
use headwater_record::{ContentHash, DocumentAddress, HeadSet, RunFile, ShardId, UnitKey};

use crate::{Result, Sidecars, Unit, units};

/// One row of a made-up sidecar.
#[derive(Clone, Debug)]
struct Line {
    domain: String,
    influence: Option<f32>,
    loss: Option<f32>,
    tokens: u32,
    status: &'static str,
}

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
                fingerprint: scoring().fingerprint("text"),
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
        sources,
    }
}

fn dictionary<'a>(words: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(words.collect::<DictionaryArray<Int32Type>>())
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
        Arc::new(UInt64Array::from(vec![100; rows])),
        Arc::new(Float32Array::from(vec![2.0; rows])),
        Arc::new(UInt32Array::from_iter_values(lines.iter().map(|line| line.tokens))),
        Arc::new(UInt32Array::from_iter_values(lines.iter().map(|line| line.tokens.saturating_sub(1)))),
        Arc::new(lines.iter().map(|line| line.loss).collect::<Float32Array>()),
        Arc::new(lines.iter().map(|line| line.loss).collect::<Float32Array>()),
        Arc::new(influence.clone()),
        Arc::new(influence),
    ];
    RecordBatch::try_new(schema(), columns).expect("a sidecar's schema")
}

/// Sidecars in memory, each in batches of three rows.
struct InMemory {
    units: Vec<Unit>,
    shards: Vec<Shard>,
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

    fn read(&self, unit: &Unit, columns: &[&str]) -> Result<Vec<RecordBatch>> {
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
}
