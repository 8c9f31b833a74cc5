//! Next-token cross-entropy, in chunks, so that memory never holds the logits of a whole batch.

use candle_core::{D, Result, Tensor};

use super::decoder::Decoder;

/// Rows that are projected on the vocabulary at once: bounds the logits to `128 × vocab` floats.
const CHUNK_ROWS: usize = 128;

/// The positions of a batch that predict a target.
#[derive(Debug)]
pub(super) struct Targets {
    /// Rows of `(w·t, hidden)`.
    rows: Vec<u32>,
    /// What each of `rows` predicts.
    ids: Vec<u32>,
    /// Targets of each window.
    counts: Vec<usize>,
}

impl Targets {
    /// Those of `windows`, which fill `(w, t)`: all positions of a window but its last.
    pub(super) fn new(windows: &[&[u32]]) -> Self {
        let length = windows.iter().map(|window| window.len()).max().unwrap_or(0);
        let rows =
            (0..).step_by(length.max(1)).zip(windows).flat_map(|(start, window)| start..start + window.len() - 1);
        let ids = windows.iter().flat_map(|window| &window[1..]).copied();
        Self {
            rows: rows.filter_map(|row| u32::try_from(row).ok()).collect(),
            ids: ids.collect(),
            counts: windows.iter().map(|window| window.len() - 1).collect(),
        }
    }

    /// Whether no window has a target.
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl Decoder {
    /// Returns the cross-entropy of each target, in nats: log Σ exp(logits) − logit of the target.
    ///
    /// # Shapes
    /// - `hidden`: `(w·t, hidden)`, before the final norm
    /// - returns `(targets,)` for each window
    pub(super) fn losses(&self, hidden: &Tensor, targets: &Targets) -> Result<Vec<Vec<f32>>> {
        let mut chunks = Vec::new();
        for (rows, ids) in targets.rows.chunks(CHUNK_ROWS).zip(targets.ids.chunks(CHUNK_ROWS)) {
            let rows = Tensor::new(rows, hidden.device())?; // (q,)
            let logits = self.logits(&hidden.index_select(&rows, 0)?)?; // (q, vocab)
            let ids = Tensor::new(ids, hidden.device())?.unsqueeze(1)?; // (q, 1)
            let chosen = logits.gather(&ids, D::Minus1)?.squeeze(1)?; // (q,)
            chunks.push((logits.log_sum_exp(D::Minus1)? - chosen)?); // (q,)
        }
        // read once, so that a device is not waited for after every chunk
        let mut losses = Tensor::cat(&chunks, 0)?.to_vec1::<f32>()?.into_iter();
        Ok(targets.counts.iter().map(|count| losses.by_ref().take(*count).collect()).collect())
    }
}
