//! The interface of the engines that run a model.

use std::ops::{Range, RangeInclusive};

use headwater_record::HeadSet;
use headwater_record::run::Numerics;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, ModelShape};

/// What replaces the output of a masked head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MaskKind {
    /// The mean of its values over all positions up to the current one, as if it attended to all of them equally.
    #[default]
    CausalUniform,
    /// Zero.
    Zero,
}

impl MaskKind {
    /// Returns the kind as configuration and fingerprint write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CausalUniform => "causal-uniform",
            Self::Zero => "zero",
        }
    }
}

/// Heads to mask and how. The empty set leaves the model intact.
///
/// Under grouped-query attention the siblings that share a masked head's K and V stay intact.
///
/// # Source
/// AttentionInfluence §3 and appendix C. Departs: the paper's 1/L over the whole sequence would leak the future into a
/// teacher-forced loss, so the mean runs over visible positions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HeadMask {
    /// The masked heads.
    pub set: HeadSet,
    /// What replaces their output.
    pub kind: MaskKind,
}

/// The loss of every target of one window, in nats.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowLosses {
    /// Intact, `(target,)`.
    pub base: Vec<f32>,
    /// With the head set masked, `(target,)`.
    pub masked: Vec<f32>,
}

/// The position that each head attends to most, for some query positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionArgmax {
    heads: usize,
    rows: usize,
    positions: Vec<u32>,
}

impl AttentionArgmax {
    /// Wraps `positions`, `(layer, head, row)`.
    ///
    /// # Errors
    /// [`Error::ArgmaxCount`] if their number is not `layers × heads × rows`.
    pub fn new(layers: usize, heads: usize, rows: usize, positions: Vec<u32>) -> Result<Self, Error> {
        let expected = layers * heads * rows;
        if positions.len() == expected {
            Ok(Self { heads, rows, positions })
        } else {
            Err(Error::ArgmaxCount { expected, got: positions.len() })
        }
    }

    /// Returns the visible position with the greatest attention of `head` in `layer` at the query row `row_index`,
    /// counted inside the rows that were asked for. Ties take the lowest position.
    #[must_use]
    pub fn position(&self, layer: usize, head: usize, row_index: usize) -> usize {
        self.positions[(layer * self.heads + head) * self.rows + row_index] as usize
    }
}

/// How an engine uses the threads of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// One window a thread: callers give every thread a window.
    WindowPerThread,
    /// All threads, or a device, for one batch: callers give one batch at a time.
    Batch {
        /// Tokens of a batch at most, its windows counted as long as the longest; a longer window is a batch of its own.
        tokens: usize,
    },
}

/// A model that can be run with heads masked.
///
/// # Contract
/// - No window sees another, and each has positions from 0. On a device the last bits of a result may depend on how many windows its
///   batch has and how long they are, never on what they hold.
/// - The same input gives the same bits for any number of threads.
///
/// # Errors
/// Methods that take windows return [`Error::TokenOutOfRange`] for a token beyond the vocabulary, [`Error::WindowLength`] for an empty
/// window or one longer than the model's context, and [`Error::Compute`] if the device fails.
pub trait Engine: Send + Sync {
    /// Returns the sizes of the model.
    fn shape(&self) -> &ModelShape;

    /// Returns what decides the last bits of a loss.
    fn numerics(&self) -> Numerics;

    /// How callers share out windows.
    fn concurrency(&self) -> Concurrency;

    /// Returns, for each of `windows`, the next-token cross-entropy of `window[1..]`, intact and under `mask`.
    ///
    /// # Shapes
    /// - `windows`: each `(n,)` token ids
    /// - returns for each two of `(n − 1,)`, in nats
    fn batch_losses(&self, windows: &[&[u32]], mask: &HeadMask) -> Result<Vec<WindowLosses>, Error>;

    /// As [`Self::batch_losses`], of a batch of one window.
    ///
    /// # Errors
    /// As [`Self::batch_losses`].
    fn losses(&self, window: &[u32], mask: &HeadMask) -> Result<WindowLosses, Error> {
        let empty = || WindowLosses { base: Vec::new(), masked: Vec::new() };
        Ok(self.batch_losses(&[window], mask)?.pop().unwrap_or_else(empty))
    }

    /// Returns the position that every head attends to most from each query position in `rows`, from float32 attention logits.
    fn attention_argmax(&self, tokens: &[u32], rows: Range<usize>) -> Result<AttentionArgmax, Error>;

    /// Returns the most likely next token after each position in `rows`, under each of `masks`. Ties take the lowest id.
    ///
    /// # Shapes
    /// - returns `(mask, row)`
    fn predictions(&self, tokens: &[u32], rows: Range<usize>, masks: &[HeadMask]) -> Result<Vec<Vec<u32>>, Error>;

    /// Begins a text that grows by tokens, without masked heads.
    ///
    /// # Errors
    /// [`Error::NoContinuation`] by engines that score alone.
    fn continuation(&self) -> Result<Box<dyn Continuation + '_>, Error> {
        Err(Error::NoContinuation { engine: self.numerics().engine })
    }
}

/// A text that grows. The keys and values of its tokens are kept, so that each token is computed once.
pub trait Continuation {
    /// Tokens so far.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `tokens`, at least one, and returns the logits of what follows the last, `(vocab,)`.
    ///
    /// # Errors
    /// As [`Engine`]; [`Error::WindowLength`] also if the text gets longer than the model's context.
    fn extend(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Error>;
}

/// Checks that a model of `shape` can take `tokens` as a window.
pub(crate) fn validate_window(shape: &ModelShape, tokens: &[u32]) -> Result<(), Error> {
    if tokens.is_empty() || tokens.len() > shape.context_tokens {
        return Err(Error::WindowLength { tokens: tokens.len(), context: shape.context_tokens });
    }
    match tokens.iter().find(|token| **token as usize >= shape.vocab) {
        Some(token) => Err(Error::TokenOutOfRange { token: *token, vocabulary: shape.vocab }),
        None => Ok(()),
    }
}

/// Checks also that `rows` are positions of the window.
pub(crate) fn validate_rows(shape: &ModelShape, tokens: &[u32], rows: &Range<usize>) -> Result<(), Error> {
    validate_window(shape, tokens)?;
    if rows.start < rows.end && rows.end <= tokens.len() {
        return Ok(());
    }
    Err(Error::Rows { start: rows.start, end: rows.end, tokens: tokens.len() })
}

/// Layers that come before the first head of any of `masks`, and so are the same under all.
pub(crate) fn shared_layers<'a>(
    shape: &ModelShape,
    masks: impl IntoIterator<Item = &'a HeadMask>,
) -> Result<usize, Error> {
    let mut shared = shape.layers;
    for mask in masks {
        mask.set.validate(shape.layers, shape.heads)?;
        shared = shared.min(mask.set.first_layer().unwrap_or(shape.layers));
    }
    Ok(shared)
}

/// The position of the greatest of the `logits` with the positions that a query sees; the lowest of several.
#[expect(clippy::cast_possible_truncation, reason = "a window has fewer positions than 2³²")]
pub(crate) fn argmax_of_seen(logits: &[f32], seen: RangeInclusive<usize>) -> u32 {
    *seen.start() as u32 + lowest_argmax(&logits[seen])
}

/// The index of the greatest value; the lowest of several.
pub(crate) fn lowest_argmax(values: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, value) in (0_u32..).zip(values) {
        if *value > best.1 {
            best = (index, *value);
        }
    }
    best.0
}
