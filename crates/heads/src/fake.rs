//! A tokenizer and an engine whose behaviour the tests know.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_model::{AttentionArgmax, Concurrency, Engine, Error, HeadMask, ModelShape, TokenSpan, WindowLosses};
use headwater_record::run::Numerics;

use crate::Vocabulary;

/// Words with the space before them, digits alone, runs of quotes and punctuation: boundaries like a byte-level BPE's.
#[expect(clippy::unnecessary_wraps, reason = "the type that Vocabulary asks for")]
pub(crate) fn tokenise(text: &str) -> Result<Vec<TokenSpan>, Error> {
    let class = |c: char| match c {
        _ if c.is_ascii_digit() => 0,
        _ if c.is_alphabetic() => 1,
        ' ' => 2,
        _ => 3,
    };
    let mut spans: Vec<TokenSpan> = Vec::new();
    let mut before = None;
    for (start, c) in text.char_indices() {
        let end = start + c.len_utf8();
        let joins = match (before, class(c)) {
            (Some(2), 1) => spans.last().is_some_and(|span| span.end - span.start == 1),
            (Some(1), 1) => true,
            (Some(3), 3) => spans.last().is_some_and(|span| span.end - span.start < 3),
            _ => false,
        };
        match spans.last_mut() {
            Some(span) if joins => span.end = end,
            _ => spans.push(TokenSpan { id: 0, start, end }),
        }
        before = Some(class(c));
    }
    for span in &mut spans {
        span.id = hash(&text[span.start..span.end]);
    }
    Ok(spans)
}

/// FNV-1a; ids need only differ.
fn hash(token: &str) -> u32 {
    token.bytes().fold(2_166_136_261, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}

/// The tiny tokenizer, with `leading` tokens before every window.
pub(crate) fn vocabulary(leading: &[u32]) -> Vocabulary<'_> {
    Vocabulary { tokenise: &tokenise, leading }
}

/// What a head of [`FakeEngine`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Looks at the token of the value that comes next.
    Copies,
    /// Looks one position past it.
    OffByOne,
    /// Copies so many of a hundred tokens, other ones in every probe.
    Sometimes(u32),
    /// Looks at the first position.
    Idle,
}

/// An engine of 4 layers of 5 heads whose heads do what their roles say; the answer is predicted as far as copying heads are left.
pub(crate) struct FakeEngine {
    pub(crate) shape: ModelShape,
    /// `(layer, head)`; heads beyond the list are idle.
    pub(crate) roles: Vec<((u16, u16), Role)>,
    /// Whether the model answers at all when intact.
    pub(crate) answers: bool,
    pub(crate) passes: AtomicU64,
}

impl FakeEngine {
    pub(crate) fn new(roles: &[((u16, u16), Role)]) -> Self {
        let shape = ModelShape {
            layers: 4,
            heads: 5,
            kv_heads: 5,
            head_dim: 2,
            hidden: 10,
            intermediate: 10,
            mlp_maps: 3,
            vocab: 1 << 31,
            context_tokens: 4096,
            attention_windows: vec![None; 4],
        };
        Self { shape, roles: roles.to_vec(), answers: true, passes: AtomicU64::new(0) }
    }

    fn role(&self, layer: usize, head: usize) -> Role {
        let here = |((l, h), _): &&((u16, u16), Role)| (usize::from(*l), usize::from(*h)) == (layer, head);
        self.roles.iter().find(here).map_or(Role::Idle, |(_, role)| *role)
    }
}

/// Where the tokens of `answer` after its first occur together for the first time.
fn needle(tokens: &[u32], answer: &[u32]) -> usize {
    let tail = &answer[1..answer.len() - 1];
    tokens.windows(tail.len()).position(|window| window == tail).unwrap_or(0)
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
        Concurrency::WindowPerThread
    }

    fn batch_losses(&self, windows: &[&[u32]], _mask: &HeadMask) -> Result<Vec<WindowLosses>, Error> {
        let zeros = |window: &&[u32]| vec![0.0; window.len() - 1];
        Ok(windows.iter().map(|window| WindowLosses { base: zeros(window), masked: zeros(window) }).collect())
    }

    fn attention_argmax(&self, tokens: &[u32], rows: Range<usize>) -> Result<AttentionArgmax, Error> {
        self.passes.fetch_add(1, Ordering::Relaxed);
        assert_eq!(rows.end + 1, tokens.len(), "rows run to the last but one");
        let start = needle(tokens, &tokens[rows.start + 1..]);
        let mut positions = Vec::new();
        for (layer, head) in
            (0..self.shape.layers).flat_map(|layer| (0..self.shape.heads).map(move |head| (layer, head)))
        {
            let copied = |row: usize| u32::try_from((start + row).saturating_sub(1)).unwrap_or(0);
            positions.extend((0..rows.len()).map(|row| match self.role(layer, head) {
                Role::Copies => copied(row),
                Role::Sometimes(share)
                    if hash(&format!("{:?} {layer} {head} {row}", &tokens[rows.start..])) % 100 < share =>
                {
                    copied(row)
                }
                Role::Sometimes(_) => 0,
                Role::OffByOne => u32::try_from(start + row).unwrap_or(0),
                Role::Idle => 0,
            }));
        }
        AttentionArgmax::new(self.shape.layers, self.shape.heads, rows.len(), positions)
    }

    fn predictions(&self, tokens: &[u32], rows: Range<usize>, masks: &[HeadMask]) -> Result<Vec<Vec<u32>>, Error> {
        self.passes.fetch_add(masks.len() as u64, Ordering::Relaxed);
        let copying: Vec<_> = self.roles.iter().filter(|(_, role)| *role == Role::Copies).map(|(id, _)| *id).collect();
        let predicted = masks.iter().map(|mask| {
            let masked: BTreeSet<(u16, u16)> = mask.set.as_slice().iter().map(|id| (id.layer, id.head)).collect();
            let left = copying.iter().filter(|id| !masked.contains(id)).count();
            let right = |row: usize| self.answers && (row % copying.len().max(1)) < left;
            rows.clone().map(|row| if right(row) { tokens[row + 1] } else { u32::MAX }).collect()
        });
        Ok(predicted.collect())
    }
}
