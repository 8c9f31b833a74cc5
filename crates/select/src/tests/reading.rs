//! How often sidecars are read, and how much of them is fetched.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use headwater_corpus::{Plan, PlanOptions, SourceConfig, text_hash};
use headwater_record::metrics::SidecarMetrics;
use headwater_record::run::{Labels, RunShard, RunSource};
use headwater_record::{ByteCount, ContentHash, RunFile, ScoreOf, Status};
use headwater_run::{RejectsWriter, RunFolder, SidecarFooter, SidecarRow, Unit, sidecar, units};
use headwater_store::Stores;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{no_progress, run_of, scoring};
use crate::scan::Scores;
use crate::{RankBy, Result, Rule, SelectConfig, Sidecars, StoredSidecars, cut_with_rejects, profile, write_subset};

/// A scored run in a store in memory, whose row groups are units.
struct Stored {
    stores: Stores,
    folder: RunFolder,
    plan: Plan,
    run: RunFile,
}

/// Rows of one unit with numbers that hardly compress, ids as long as hashes, and some rows that were not scored.
fn rows(unit: &Unit) -> Vec<SidecarRow> {
    let mut rng = ChaCha8Rng::seed_from_u64(unit.key.first_row);
    let mut uniform = move || rng.next_u32() as f32 / u32::MAX as f32;
    let row = |row: u64| {
        let (loss, rise, tokens) = (1.0 + uniform(), uniform(), 40 + uniform().to_bits() % 2_000);
        let is_scored = row % 50 != 7;
        let scored = |value: f32| is_scored.then_some(value);
        SidecarRow {
            row,
            id: Some(ContentHash::of(&row.to_le_bytes()).short(32)),
            domain: if uniform() < 0.7 { "web" } else { "code" }.to_owned(),
            status: if is_scored { Status::Scored } else { Status::Short },
            bytes: 1,
            text_hash: Some(text_hash(b"x")),
            compression: 1.0 + uniform(),
            tokens,
            scored_tokens: tokens - 1,
            loss_base: scored(loss),
            loss_masked: scored(loss * (1.0 + rise)),
            influence: scored(rise),
            influence_stderr: scored(0.1 * uniform()),
            copied: scored(uniform()),
            by: ScoreOf::Teacher,
            windows: Vec::new(),
        }
    };
    (unit.key.first_row..unit.key.first_row + unit.key.rows).map(row).collect()
}

fn stored(unit_rows: usize, count: usize) -> Stored {
    let stores = Stores::default();
    let root = stores.open("memory://lake").unwrap();
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"; unit_rows * count]));
    let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(unit_rows)).build();
    let mut shard = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut shard, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    root.write("corpus/a.parquet", shard.into()).unwrap();
    let source = SourceConfig {
        name: "web".to_owned(),
        paths: vec![root.describe("corpus")],
        text: "text".to_owned(),
        id: "id".to_owned(),
        domain: "domain".to_owned(),
        domain_value: None,
        sample: 1.0,
    };
    let mut plan = headwater_corpus::plan(&[source], &PlanOptions::default(), &stores, &no_progress).unwrap();
    plan.sources[0].shards[0].cut_by_rows(unit_rows as u64);
    let shard = &plan.sources[0].shards[0];
    let planned = RunShard {
        path: shard.path.clone(),
        id: shard.id.clone(),
        bytes: shard.bytes,
        etag: None,
        units: shard.units.clone(),
    };
    let source = RunSource {
        name: "web".to_owned(),
        text: "text".to_owned(),
        labels: Labels { domain_column: Some("domain".to_owned()), ..Labels::default() },
        fingerprint: scoring().fingerprint("text").unwrap(),
        shards: vec![planned],
        skipped: Vec::new(),
    };
    let run = RunFile { sources: vec![source], ..run_of(&[], super::Shard::id) };
    let folder = RunFolder::new(root.child("run"));
    let units = units(&run).unwrap();
    assert_eq!(units.len(), count);
    for unit in units {
        let bytes = sidecar::encode(&SidecarFooter::of(&unit), &rows(&unit)).unwrap();
        folder.place().write(&unit.sidecar_path(), bytes.into()).unwrap();
    }
    Stored { stores, folder, plan, run }
}

impl Stored {
    /// Selects as the stage does; gives what was read.
    fn select(&self, config: &SelectConfig, room: Option<ByteCount>) -> SidecarMetrics {
        let sidecars = StoredSidecars::open(&self.folder, &self.run).unwrap().with_shards(&self.plan);
        let sidecars = match room {
            Some(room) => sidecars.with_room(room),
            None => sidecars,
        };
        let mut rejects = RejectsWriter::new(&self.folder).unwrap();
        let read = || self.stores.traffic().read_bytes;
        let before = read();
        let rule = Rule { config, seed: 7 };
        let selection = cut_with_rejects(&sidecars, rule, &mut rejects, &no_progress).unwrap();
        assert_eq!(read() - before, sidecars.metrics().read_bytes, "all that was fetched is counted");
        write_subset(&self.folder, &sidecars, &selection, &no_progress).unwrap();
        assert!(rejects.finish().unwrap() > 0);
        sidecars.metrics()
    }

    /// Profiles as a report does; gives what was read.
    fn report(&self, config: &SelectConfig) -> SidecarMetrics {
        let (sidecars, _) = StoredSidecars::open_partly(&self.folder, &self.run).unwrap();
        let sidecars = sidecars.with_shards(&self.plan);
        let profile = profile(&sidecars, 1, Rule { config, seed: 7 }, &no_progress).unwrap();
        assert!(profile.comparison.arms.len() >= 4);
        sidecars.metrics()
    }
}

#[test]
fn a_run_passes_over_its_sidecars_a_few_times_and_fetches_what_it_reads() {
    let stored = stored(5_000, 6);
    let corrected = SelectConfig { rank: RankBy::Corrected, ..SelectConfig::default() };
    for config in [SelectConfig::default(), corrected] {
        let mut read = stored.select(&config, None);
        read.add(&stored.report(&config));
        assert!(read.passes <= 4.0, "{read:?}");
        assert!(read.read_bytes as f64 <= 1.3 * read.projected_bytes as f64, "{read:?}");
    }
}

#[test]
fn a_selection_of_many_small_sidecars_takes_few_requests() {
    let units = 40;
    let read = stored(1_000, units).select(&SelectConfig::default(), Some(ByteCount(0)));
    let each = read.requests as f64 / units as f64;
    // on a store with 30 ms a request, as many requests as there are readers at a time
    let seconds = each * 600_000.0 * 0.03 / READERS as f64;
    assert!(seconds <= 15.0 * 60.0, "{each} requests a sidecar, {seconds} s");
}

#[test]
fn room_changes_nothing_that_is_selected() {
    let stored = stored(300, 9);
    let config = SelectConfig { rank: RankBy::Corrected, ..SelectConfig::default() };
    let hashes = [0, 20_000, 1 << 30].map(|room| {
        let sidecars = StoredSidecars::open(&stored.folder, &stored.run).unwrap().with_room(ByteCount(room));
        crate::cut(&sidecars, Rule { config: &config, seed: 7 }, &no_progress).unwrap().file.hash
    });
    assert_eq!(hashes.into_iter().collect::<BTreeSet<_>>().len(), 1);
}

/// Readers that are in flight at the same time.
const READERS: usize = 128;

/// Sidecars whose first readers wait for one another.
struct Slow {
    units: Vec<Unit>,
    inside: AtomicUsize,
    most: Mutex<usize>,
    more: Condvar,
}

impl Sidecars for Slow {
    fn units(&self) -> &[Unit] {
        &self.units
    }

    fn read(&self, index: usize, _: &[&'static str]) -> Result<Vec<RecordBatch>> {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        let mut most = self.most.lock().unwrap();
        *most = inside.max(*most);
        self.more.notify_all();
        let (most, _) = self.more.wait_timeout_while(most, Duration::from_secs(20), |most| *most < READERS).unwrap();
        drop(most);
        self.inside.fetch_sub(1, Ordering::SeqCst);
        let rows = usize::try_from(self.units[index].key.rows).unwrap();
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"; rows]));
        Ok(vec![RecordBatch::try_from_iter([("id", texts)]).unwrap()])
    }
}

#[test]
fn many_sidecars_are_read_at_once_and_visited_in_order() {
    let lines = vec![super::Line::scored("web", 0.1, 10); 3];
    let shard = super::Shard { source: "web".to_owned(), path: "a".to_owned(), units: vec![lines; 300] };
    let units = units(&run_of(&[shard], super::Shard::id)).unwrap();
    let slow = Slow { units, inside: AtomicUsize::new(0), most: Mutex::new(0), more: Condvar::new() };
    let scores = Scores { sidecars: &slow, on_progress: &no_progress };
    let mut visited = Vec::new();
    let visit = |at, rows: usize| {
        visited.push((at, rows));
        Ok(())
    };
    scores.scan_all(["id"], |rows| Ok(rows.len()), visit).unwrap();
    assert_eq!(visited, (0..300).map(|at| (at, 3)).collect::<Vec<_>>());
    assert_eq!(*slow.most.lock().unwrap(), READERS);
}
