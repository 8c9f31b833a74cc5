//! Next-token cross-entropy, in chunks, so that memory never holds the logits of a whole window.

use candle_core::{D, Result, Tensor};

use super::decoder::Decoder;

/// Rows that are projected on the vocabulary at once: bounds the logits to `128 × vocab` floats.
const CHUNK_ROWS: usize = 128;

impl Decoder {
    /// Returns the cross-entropy of each target, in nats: log Σ exp(logits) − logit of the target.
    ///
    /// # Shapes
    /// - `hidden`: `(t, hidden)`, before the final norm; the last row predicts no target
    /// - `targets`: `(t − 1,)`
    /// - returns `(t − 1,)`
    pub(super) fn losses(&self, hidden: &Tensor, targets: &[u32]) -> Result<Vec<f32>> {
        let mut losses = Vec::with_capacity(targets.len());
        for (start, chunk) in (0..).step_by(CHUNK_ROWS).zip(targets.chunks(CHUNK_ROWS)) {
            let logits = self.logits(&hidden.narrow(0, start, chunk.len())?)?; // (q, vocab)
            let targets = Tensor::new(chunk, hidden.device())?.unsqueeze(1)?; // (q, 1)
            let chosen = logits.gather(&targets, D::Minus1)?.squeeze(1)?; // (q,)
            losses.extend((logits.log_sum_exp(D::Minus1)? - chosen)?.to_vec1::<f32>()?); // (q,)
        }
        Ok(losses)
    }
}
