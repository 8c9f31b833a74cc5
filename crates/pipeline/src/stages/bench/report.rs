//! What a measurement came to.

use headwater_model::Precision;
use headwater_record::run::Numerics;
use headwater_record::{ByteCount, ContentHash, TokenCount};
use headwater_score::Throughput;
use serde::Serialize;

/// A measurement and what follows from it.
#[derive(Clone, Debug, Serialize)]
pub struct BenchReport {
    /// What the system calls the processor.
    pub processor: String,
    /// Threads that scored.
    pub threads: usize,
    /// The model, as the pipeline names it.
    pub model: String,
    /// Its weights.
    pub weights: ContentHash,
    /// What it computes with.
    pub numerics: Numerics,
    /// Longest window, in tokens.
    pub window_tokens: usize,
    /// Which heads were masked.
    pub heads: MaskedHeads,
    /// What was measured.
    #[serde(flatten)]
    pub measured: Throughput,
    /// Operations a second that the processor does at most, on all threads; absent for other devices.
    pub peak_flops_per_second: Option<f64>,
    /// Greatest resident memory, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// What is estimated of the whole corpus.
    pub corpus: CorpusEstimate,
    /// What the other precisions would give.
    pub others: Vec<OtherPrecision>,
}

/// How fast another precision is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OtherPrecision {
    /// The precision, as `model.precision` takes it.
    pub precision: Precision,
    /// Tokens that go through the model in a second.
    pub tokens_per_second: f64,
}

/// Which heads were masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MaskedHeads {
    /// Where the head set comes from.
    pub origin: String,
    /// Whether it only stands in for one that was not found yet.
    pub is_stand_in: bool,
    /// How many heads.
    pub count: usize,
    /// The first layer that has one.
    pub first_layer: Option<usize>,
    /// Layers of the model.
    pub layers: usize,
}

/// What is estimated of the whole corpus.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CorpusEstimate {
    /// Size of its texts.
    pub text_bytes: ByteCount,
    /// Its tokens.
    pub tokens: TokenCount,
    /// Hours on one machine like this one; n of them need an n-th.
    pub machine_hours: f64,
}
