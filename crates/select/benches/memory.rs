//! Time and resident memory of a selection over 10^5, 10^6 and 10^7 made-up rows, which exist only while they are read.
//!
//! `cargo bench -p headwater-select --bench memory`; resident memory is read from `/proc`, so on Linux only. It fails if the peak
//! grows by more than [`ALLOWED_GROWTH_KIB`] from the fewest rows to the most. Many small selections come first, unmeasured: glibc
//! gives each reading thread an arena of its own, and these fill only with repetition (`MALLOC_ARENA_MAX=1` shows the cuts alone).

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Int32Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::Int32Type;
use headwater_record::sidecar::column;
use headwater_record::{Fingerprint, ShardId, UnitKey};
use headwater_select::{By, RankBy, Result, SelectConfig, Sidecars, Unit, cut};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const UNIT_ROWS: u64 = 2_000;
const DOMAINS: u32 = 8;
const WARM_UPS: u32 = 50;

/// The plan itself (a few hundred bytes for each of 5,000 units) and what the allocator leaves lying; holding no more than four bytes
/// a row would already take 39 MiB.
const ALLOWED_GROWTH_KIB: u64 = 16 << 10;

struct Synthetic(Vec<Unit>);

impl Synthetic {
    fn new(rows: u64, fingerprint: &Fingerprint) -> Self {
        let shard = ShardId::new("a.parquet", 1, b"");
        let unit = |number: u64| Unit {
            source: Arc::from("web"),
            path: Arc::from("a.parquet"),
            key: UnitKey { shard: shard.clone(), row_group: 0, first_row: number * UNIT_ROWS, rows: UNIT_ROWS },
            fingerprint: fingerprint.clone(),
            labels: Arc::default(),
        };
        Self((0..rows / UNIT_ROWS).map(unit).collect())
    }
}

impl Sidecars for Synthetic {
    fn units(&self) -> &[Unit] {
        &self.0
    }

    fn read(&self, unit: &Unit, columns: &[&str]) -> Result<Vec<RecordBatch>> {
        let first = unit.key.first_row;
        let column = |name: &&str| -> (String, ArrayRef) {
            let mut rng = ChaCha8Rng::seed_from_u64(first);
            let words = (0..UNIT_ROWS).map(|_| rng.next_u32());
            let array: ArrayRef = match *name {
                column::ROW => Arc::new(UInt64Array::from_iter_values(first..first + UNIT_ROWS)),
                column::ID => Arc::new((0..UNIT_ROWS).map(|_| None::<&str>).collect::<StringArray>()),
                column::TOKENS => Arc::new(UInt32Array::from_iter_values(words.map(|word| word % 2_000))),
                column::DOMAIN => {
                    let names = (0..DOMAINS).map(|domain| Some(format!("domain {domain}"))).collect::<StringArray>();
                    let keys = Int32Array::from_iter_values(words.map(|word| (word % DOMAINS).cast_signed()));
                    Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(names)))
                }
                column::STATUS => {
                    let keys = Int32Array::from_iter_values(words.map(|_| 0));
                    Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(StringArray::from(vec!["scored"]))))
                }
                _ => Arc::new(Float32Array::from_iter_values(words.map(|word| (word >> 8) as f32 / 16_777_216.0))),
            };
            (name.to_string(), array)
        };
        Ok(vec![RecordBatch::try_from_iter(columns.iter().map(column)).expect("columns of equal length")])
    }
}

/// A line of `/proc/self/status`, KiB.
fn memory_kib(name: &str) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a bench, run by hand")]
    let status = std::fs::read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "a bench says what it measured")]
fn main() {
    let fingerprint: Fingerprint = serde_json::from_str("\"0123456789abcdef\"").expect("a fingerprint");
    for _ in 0..WARM_UPS {
        cut(&Synthetic::new(100_000, &fingerprint), &SelectConfig::default(), 0, &|_| ())
            .expect("made-up rows can be cut");
    }
    let mut first_peak = None;
    for rows in [100_000, 1_000_000, 10_000_000] {
        for (rank, by) in [(RankBy::Influence, By::Documents), (RankBy::Random, By::Tokens)] {
            let config = SelectConfig { rank, by, ..SelectConfig::default() };
            let sidecars = Synthetic::new(rows, &fingerprint);
            let began = Instant::now();
            let selection = cut(&sidecars, &config, 0, &|_| ()).expect("made-up rows can be cut");
            let kept: u64 = selection.domains.iter().map(|domain| domain.kept_documents).sum();
            let peak = memory_kib("VmHWM");
            println!(
                "{rows:>10} rows by {} and {}: {kept:>8} kept in {:>6.2} s, peak {:>6} KiB, now {:>6} KiB",
                rank.as_str(),
                by.as_str(),
                began.elapsed().as_secs_f64(),
                peak,
                memory_kib("VmRSS"),
            );
            let first = *first_peak.get_or_insert(peak);
            assert!(peak <= first + ALLOWED_GROWTH_KIB, "memory grew from {first} to {peak} KiB");
        }
    }
}
