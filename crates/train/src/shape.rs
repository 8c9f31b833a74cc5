//! The shape of a model.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Most numbers of a model: what is beyond is not small.
const MOST_PARAMETERS: u64 = 1 << 31;

/// Most of any one dimension, so that products of three of them fit into 64 bits.
const MOST_OF_A_DIMENSION: usize = 1 << 20;

/// The shape of a Llama model without biases.
///
/// # Source
/// Touvron et al. (2023), LLaMA (arXiv 2302.13971), §2.2, with the grouped queries of Ainslie et al. (2023), GQA (arXiv 2305.13245).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Numbers in a hidden state.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values; each serves as many heads of queries.
    pub kv_heads: usize,
    /// Numbers in a head; even.
    pub head_width: usize,
    /// Numbers between the two maps of an MLP.
    pub hidden: usize,
    /// Base of the wavelengths of positions.
    pub rope_theta: f64,
    /// ε of the norms.
    pub norm_eps: f32,
    /// Whether one matrix turns tokens into hidden states and these into logits.
    pub tied: bool,
}

impl Default for Shape {
    /// 1.28 M parameters: width 128, 4 layers, a vocabulary of 4,096.
    fn default() -> Self {
        Self {
            vocabulary: 4096,
            width: 128,
            layers: 4,
            heads: 4,
            kv_heads: 4,
            head_width: 32,
            hidden: 320,
            rope_theta: 10_000.0,
            norm_eps: 1e-5,
            tied: true,
        }
    }
}

impl Shape {
    /// Checks that there can be such a model.
    ///
    /// # Errors
    /// [`Error::Setting`] that names the first value that cannot be used.
    pub fn check(&self) -> Result<(), Error> {
        let dimensions = [
            ("vocabulary", self.vocabulary),
            ("width", self.width),
            ("layers", self.layers),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("head_width", self.head_width),
            ("hidden", self.hidden),
        ];
        for (name, value) in dimensions {
            Error::unless((1..=MOST_OF_A_DIMENSION).contains(&value), name, value, "at least 1 and at most 2²⁰")?;
        }
        let shared = self.heads.is_multiple_of(self.kv_heads);
        Error::unless(shared, "kv_heads", self.kv_heads, "heads must be a multiple of it")?;
        Error::unless(self.head_width.is_multiple_of(2), "head_width", self.head_width, "must be even")?;
        let base = self.rope_theta.is_finite() && self.rope_theta > 0.0;
        Error::unless(base, "rope_theta", self.rope_theta, "must be above 0")?;
        let eps = self.norm_eps.is_finite() && self.norm_eps > 0.0;
        Error::unless(eps, "norm_eps", self.norm_eps, "must be above 0")?;
        let count = self.counted();
        let few = count.is_some_and(|count| count <= MOST_PARAMETERS);
        let count = count.map_or_else(|| "more than 2⁶⁴".to_owned(), |count| count.to_string());
        Error::unless(few, "parameters", count, "at most 2³¹")
    }

    /// Number of parameters; a tied matrix counts once.
    ///
    /// # Panics
    /// If there are more than 2⁶⁴, which [`Shape::check`] refuses.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.counted().expect("invariant: a checked shape has fewer parameters")
    }

    fn counted(&self) -> Option<u64> {
        let matrices = self.layer_weights()?.checked_mul(self.layers as u64)?;
        let embedding = (self.vocabulary as u64).checked_mul(self.width as u64)?;
        let embeddings = if self.tied { embedding } else { embedding.checked_mul(2)? };
        let norms = (2 * self.layers as u64 + 1).checked_mul(self.width as u64)?;
        matrices.checked_add(embeddings)?.checked_add(norms)
    }

    /// Numbers in the matrices of a layer.
    fn layer_weights(&self) -> Option<u64> {
        let width = self.width as u64;
        let columns = 2 * (self.query_width()? + self.kv_width()?) + 3 * self.hidden as u64;
        width.checked_mul(columns)
    }

    fn query_width(&self) -> Option<u64> {
        (self.heads as u64).checked_mul(self.head_width as u64)
    }

    fn kv_width(&self) -> Option<u64> {
        (self.kv_heads as u64).checked_mul(self.head_width as u64)
    }

    /// Floating-point operations that training takes for a token of a sequence of `length` tokens.
    ///
    /// # Units
    /// Six for each weight that multiplies, two of them forwards and four backwards, and 6 · `length` · heads · `head_width` a layer for attention,
    /// where a token sees half of the sequence on average.
    ///
    /// # Source
    /// Kaplan et al. (2020), Scaling Laws for Neural Language Models (arXiv 2001.08361), §2.1, with the head counted and attention
    /// as it is causal.
    ///
    /// # Panics
    /// As [`Shape::parameters`].
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an operation count needs no last digit")]
    pub fn flops_per_token(&self, length: usize) -> f64 {
        let weights = self.parameters() as f64 - ((2 * self.layers + 1) * self.width) as f64;
        let looked_up = if self.tied { 0.0 } else { (self.vocabulary * self.width) as f64 };
        let attention = 6.0 * length as f64 * (self.layers * self.heads * self.head_width) as f64;
        6.0 * (weights - looked_up) + attention
    }

    /// Numbers in the queries of a token.
    pub(crate) fn queries(&self) -> usize {
        self.heads * self.head_width
    }

    /// Numbers in the queries, keys and values of a token.
    pub(crate) fn projections(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_width
    }

    /// Radians a position, `(head_width / 2,)`.
    ///
    /// # Source
    /// Su et al. (2021), `RoFormer`, §3.2.2: θ^(−2i / `head_width`).
    #[expect(clippy::cast_precision_loss, reason = "widths are small")]
    pub(crate) fn frequencies(&self) -> Vec<f64> {
        let exponent = |pair: usize| -((2 * pair) as f64) / self.head_width as f64;
        (0..self.head_width / 2).map(|pair| libm::pow(self.rope_theta, exponent(pair))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_small_model_of_trials() {
        let shape = Shape::default();
        shape.check().expect("a sound shape");
        assert_eq!(shape.parameters(), 1_279_104);
        assert_eq!(Shape { tied: false, ..shape.clone() }.parameters(), 1_279_104 + 4096 * 128);
        // a matrix that only looks up multiplies nothing
        assert_eq!(Shape { tied: false, ..shape.clone() }.flops_per_token(512), shape.flops_per_token(512));
        assert_eq!(shape.flops_per_token(512), 6.0 * (1_279_104.0 - 9.0 * 128.0) + 6.0 * 512.0 * 4.0 * 128.0);
    }

    #[test]
    fn a_value_that_cannot_be_is_named() {
        let shape = Shape::default;
        let wrong = [
            (Shape { width: 0, ..shape() }, "width = 0: at least 1 and at most 2²⁰"),
            (Shape { kv_heads: 3, ..shape() }, "kv_heads = 3: heads must be a multiple of it"),
            (Shape { head_width: 5, ..shape() }, "head_width = 5: must be even"),
            (Shape { rope_theta: f64::NAN, ..shape() }, "rope_theta = NaN: must be above 0"),
            (Shape { norm_eps: 0.0, ..shape() }, "norm_eps = 0: must be above 0"),
            (Shape { layers: usize::MAX, ..shape() }, "layers = 18446744073709551615: at least 1 and at most 2²⁰"),
            (Shape { vocabulary: 1 << 20, width: 1 << 12, ..shape() }, "parameters = 4"),
        ];
        for (shape, message) in wrong {
            let error = shape.check().expect_err("it cannot be").to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
