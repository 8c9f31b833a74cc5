//! An engine, a tokenizer, a corpus and a watch whose behaviour the tests know.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use bytes::Bytes;
use headwater_corpus::{Plan, PlanOptions, SourceConfig, Wanted, plan};
use headwater_distill::features::Extractors;
use headwater_model::{AttentionArgmax, Concurrency, Engine, Error as ModelError, HeadMask, ModelShape, WindowLosses};
use headwater_record::run::Numerics;
use headwater_record::{ContentHash, RunFile};
use headwater_run::{RunFolder, SidecarRow};
use headwater_store::Stores;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::document::Windowing;
use crate::scorer::{By, Teacher};
use crate::{
    Advance, Error, LongDocuments, ModelHashes, Phase, Scorer, Tokenise, UnitReport, UnitRows, Watch, run_file,
};

/// Time after which a test counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an engine does before it answers.
type OnWindow = Box<dyn Fn(&[u32]) -> Result<(), ModelError> + Send + Sync>;

/// An engine whose losses are simple functions of the target, and which remembers its windows.
pub(crate) struct FakeEngine {
    shape: ModelShape,
    concurrency: Concurrency,
    on_window: OnWindow,
    masked: fn(f32) -> f32,
    windows: Mutex<Vec<Vec<u32>>>,
    batches: Mutex<Vec<usize>>,
}

impl FakeEngine {
    pub(crate) fn new(concurrency: Concurrency) -> Self {
        let shape = ModelShape {
            layers: 1,
            heads: 1,
            kv_heads: 1,
            head_dim: 2,
            hidden: 2,
            intermediate: 2,
            mlp_maps: 3,
            vocab: 1 << 16,
            context_tokens: 64,
            attention_windows: vec![None; 1],
        };
        let masked = |base| base * 1.5 + 0.25;
        Self {
            shape,
            concurrency,
            on_window: Box::new(|_| Ok(())),
            masked,
            windows: Mutex::default(),
            batches: Mutex::default(),
        }
    }

    /// Calls `on_window` before it answers, which may take its time, fail or panic.
    pub(crate) fn with(self, on_window: impl Fn(&[u32]) -> Result<(), ModelError> + Send + Sync + 'static) -> Self {
        Self { on_window: Box::new(on_window), ..self }
    }

    /// Gives `masked` as the masked loss of a base loss.
    pub(crate) fn with_masked(self, masked: fn(f32) -> f32) -> Self {
        Self { masked, ..self }
    }

    /// The windows it was given so far.
    pub(crate) fn windows(&self) -> Vec<Vec<u32>> {
        lock(&self.windows).clone()
    }

    /// How many windows each batch had.
    pub(crate) fn batches(&self) -> Vec<usize> {
        lock(&self.batches).clone()
    }
}

impl Engine for FakeEngine {
    fn shape(&self) -> &ModelShape {
        &self.shape
    }

    fn numerics(&self) -> Numerics {
        let none = String::new;
        Numerics { engine: "fake".to_owned(), device: none(), precision: none(), instructions: none() }
    }

    fn concurrency(&self) -> Concurrency {
        self.concurrency
    }

    #[expect(clippy::cast_precision_loss, reason = "small test tokens")]
    fn batch_losses(&self, windows: &[&[u32]], _: &HeadMask) -> Result<Vec<WindowLosses>, ModelError> {
        let losses = |window: &&[u32]| {
            lock(&self.windows).push(window.to_vec());
            (self.on_window)(window)?;
            let base: Vec<f32> = window[1..].iter().map(|token| 1.0 + *token as f32).collect();
            let masked = base.iter().copied().map(self.masked).collect();
            Ok(WindowLosses { base, masked })
        };
        lock(&self.batches).push(windows.len());
        windows.iter().map(losses).collect()
    }

    fn attention_argmax(&self, _: &[u32], _: Range<usize>) -> Result<AttentionArgmax, ModelError> {
        unreachable!("scoring does not look at attention")
    }

    fn predictions(&self, _: &[u32], _: Range<usize>, _: &[HeadMask]) -> Result<Vec<Vec<u32>>, ModelError> {
        unreachable!("scoring does not predict")
    }
}

/// The error that engines and tokenizers fail with here.
pub(crate) fn model_error() -> ModelError {
    ModelError::WindowLength { tokens: 0, context: 0 }
}

/// A text that [`ByteTokens`] cannot write.
pub(crate) const NO_TOKENS: &str = "\u{1}";

/// A text at which [`ByteTokens`] panics.
pub(crate) const PANICS: &str = "\u{2}";

/// Every byte is a token.
pub(crate) struct ByteTokens;

impl Tokenise for ByteTokens {
    fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        assert!(text != PANICS, "the tokenizer panics");
        if text == NO_TOKENS { Err(model_error()) } else { Ok(text.bytes().map(u32::from).collect()) }
    }
}

/// `engine` with no head masked.
pub(crate) fn teacher(engine: &dyn Engine) -> Teacher<'_> {
    Teacher { engine, mask: HeadMask::default() }
}

/// Scores with `engine` in windows of four tokens.
pub(crate) fn scorer(engine: &FakeEngine) -> Scorer<'_> {
    Scorer {
        by: By::Teacher(teacher(engine)),
        tokenizer: &ByteTokens,
        extractors: Arc::new(Extractors::new(4, 256)),
        windowing: Windowing { window_tokens: 4, long_documents: LongDocuments::All, leading: &[] },
        min_tokens: 2,
    }
}

/// Shards in memory, their plan, and a run that is empty yet.
pub(crate) struct Corpus {
    pub(crate) stores: Stores,
    pub(crate) source: SourceConfig,
    pub(crate) plan: Plan,
    pub(crate) folder: RunFolder,
    unit_rows: usize,
}

impl Corpus {
    /// Makes a shard of each of `shards`, with units of `unit_rows` rows. Ids are `d0`, `d1`, …; domains `even` and `odd`.
    pub(crate) fn new(shards: &[Vec<Option<String>>], unit_rows: usize) -> Self {
        let stores = Stores::default();
        let place = stores.open("memory://corpus").expect("a name is given");
        for (number, texts) in shards.iter().enumerate() {
            let path = format!("{number:03}.parquet");
            place.write(&path, shard(texts, unit_rows)).expect("memory takes it");
        }
        let source = SourceConfig {
            name: "s".to_owned(),
            paths: vec!["memory://corpus".to_owned()],
            text: "text".to_owned(),
            id: "id".to_owned(),
            domain: "domain".to_owned(),
            domain_value: None,
            sample: 1.0,
        };
        let planned = planned(&source, &stores, unit_rows);
        let folder = RunFolder::new(stores.open("memory://run").expect("a name is given"));
        Self { stores, source, plan: planned, folder, unit_rows }
    }

    /// Shards of documents that have these texts.
    pub(crate) fn of_texts(shards: &[&[&str]], unit_rows: usize) -> Self {
        let some = |texts: &&[&str]| texts.iter().map(|text| Some((*text).to_owned())).collect();
        let shards: Vec<Vec<Option<String>>> = shards.iter().map(some).collect();
        Self::new(&shards, unit_rows)
    }

    /// Plans the same shards with another configuration.
    pub(crate) fn plan_as(&self, source: &SourceConfig) -> Plan {
        planned(source, &self.stores, self.unit_rows)
    }

    /// The units of the plan.
    pub(crate) fn units(&self) -> Vec<UnitRows<'_>> {
        let source = &self.plan.sources[0];
        source
            .units()
            .map(|(shard, unit)| UnitRows { shard, columns: &source.columns, unit, wanted: Wanted::Documents })
            .collect()
    }

    /// `run.json` of the plan under `scorer`.
    pub(crate) fn run_file(&self, scorer: &Scorer<'_>) -> RunFile {
        let hash = ContentHash::of(b"");
        let inputs = scorer.inputs(ModelHashes { weights: hash, config: None, tokenizer: hash });
        let run = run_file(&self.plan, inputs, "1970-01-01T00:00:00Z".to_owned(), serde_json::Value::Null);
        run.expect("inputs can be hashed")
    }
}

fn planned(source: &SourceConfig, stores: &Stores, unit_rows: usize) -> Plan {
    let plan = plan(std::slice::from_ref(source), &PlanOptions::default(), stores, &|_| {});
    let mut plan = plan.expect("the shards are sound");
    // a row group is a unit, whatever its texts
    plan.sources.iter_mut().flat_map(|source| &mut source.shards).for_each(|shard| shard.cut_by_rows(unit_rows as u64));
    plan
}

fn shard(texts: &[Option<String>], unit_rows: usize) -> Bytes {
    let ids = (0..texts.len()).map(|row| format!("d{row}"));
    let domains = (0..texts.len()).map(|row| if row % 2 == 0 { "even" } else { "odd" });
    let columns: [(&str, ArrayRef); 3] = [
        ("text", Arc::new(StringArray::from_iter(texts))),
        ("id", Arc::new(StringArray::from_iter_values(ids))),
        ("domain", Arc::new(StringArray::from_iter_values(domains))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)));
    let batch = batch.expect("columns have one length");
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(unit_rows)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).expect("the schema is plain");
    writer.write(&batch).expect("memory takes it");
    writer.close().expect("memory takes it");
    Bytes::from(bytes)
}

/// What becomes of a unit that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// Scoring ends with its error.
    #[default]
    End,
    /// The others are scored all the same.
    PassOver,
}

/// Counts what it is told and keeps what becomes of units.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) on_failure: OnFailure,
    /// Units that need not be scored.
    pub(crate) skipped: Vec<usize>,
    /// Rows that are known, of each unit; of one that is `None` they cannot be read.
    pub(crate) known: BTreeMap<usize, Option<BTreeMap<u64, SidecarRow>>>,
    /// Windows after which all is over.
    pub(crate) most_windows: Option<u64>,
    pub(crate) is_over: AtomicBool,
    pub(crate) documents: AtomicU64,
    pub(crate) windows: AtomicU64,
    pub(crate) tokenised: AtomicUsize,
    pub(crate) reads: AtomicUsize,
    pub(crate) outcomes: Mutex<Vec<(usize, Result<UnitReport, String>)>>,
}

impl Recorder {
    /// What became of units, by index, with errors as text.
    pub(crate) fn outcomes(&self) -> Vec<(usize, Result<UnitReport, String>)> {
        let mut outcomes = lock(&self.outcomes).clone();
        outcomes.sort_by_key(|(unit, _)| *unit);
        outcomes
    }

    /// The units that were scored.
    pub(crate) fn scored(&self) -> Vec<usize> {
        self.outcomes().into_iter().filter(|(_, outcome)| outcome.is_ok()).map(|(unit, _)| unit).collect()
    }
}

impl Watch for Recorder {
    fn skips(&self, index: usize) -> bool {
        self.skipped.contains(&index)
    }

    fn known(&self, index: usize) -> Result<BTreeMap<u64, SidecarRow>, Error> {
        match self.known.get(&index) {
            None => Ok(BTreeMap::new()),
            Some(known) => known.clone().ok_or(Error::OnlyThread),
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn tokenised(&self, _row: &SidecarRow) {
        self.tokenised.fetch_add(1, Ordering::SeqCst);
    }

    fn advance(&self, advance: Advance) {
        self.documents.fetch_add(advance.documents, Ordering::SeqCst);
        let windows = self.windows.fetch_add(advance.windows, Ordering::SeqCst) + advance.windows;
        if self.most_windows.is_some_and(|most| windows >= most) {
            self.is_over.store(true, Ordering::SeqCst);
        }
    }

    fn spent(&self, phase: Phase, _time: Duration) {
        if phase == Phase::Read {
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn unit(&self, index: usize, outcome: Result<UnitReport, Error>) -> Result<(), Error> {
        let kept = outcome.as_ref().map(Clone::clone).map_err(ToString::to_string);
        lock(&self.outcomes).push((index, kept));
        match self.on_failure {
            OnFailure::End => outcome.map(|_| ()),
            OnFailure::PassOver => Ok(()),
        }
    }
}

/// Keeps the rows of units.
#[derive(Default)]
pub(crate) struct Rows(Mutex<BTreeMap<usize, Vec<SidecarRow>>>);

impl Rows {
    /// Takes the rows of a unit, once.
    pub(crate) fn put(&self, unit: usize, rows: &[SidecarRow]) {
        let before = lock(&self.0).insert(unit, rows.to_vec());
        assert_eq!(before, None, "unit {unit} comes twice");
    }

    pub(crate) fn into_inner(self) -> BTreeMap<usize, Vec<SidecarRow>> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works in a pool of `threads` beside the calling one, and gives the message of its panic, if it panics.
///
/// # Panics
/// If the work takes so long that it hangs.
pub(crate) fn in_pool<T: Send + 'static>(
    threads: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads + 1).build().expect("threads can be had");
        let ended = catch_unwind(AssertUnwindSafe(|| pool.install(work)));
        drop(sender.send(ended));
    });
    let ended = receiver.recv_timeout(PATIENCE).expect("scoring must not hang");
    ended.map_err(|panic| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| String::new(), |message| (*message).to_owned()),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
