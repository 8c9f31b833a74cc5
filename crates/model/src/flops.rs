//! Arithmetic of a forward pass, counted from the sizes of a model, to compare measured speed with.
//!
//! Only products of matrices count, two operations for each multiply-add. A causal attention head sees `t` positions from position
//! `t`; what an engine computes beyond them does not count. Norms, rotations, exponentials and the
//! running means of masked heads are left out; together they are a few operations for each number that passes through a layer.

use std::num::NonZeroUsize;

use headwater_kernels::Instructions;
use headwater_record::run::Numerics;

use crate::cost::products;
use crate::{HeadMask, ModelShape};

impl ModelShape {
    /// Returns the operations of [`Engine::losses`](crate::Engine::losses) for a window of `tokens`, leading ones included, under
    /// `mask`: the layers below the first masked head once, all above and the vocabulary projection intact and masked. That the native engine
    /// runs the projections and intact heads of the first masked layer once is not taken off: a hundredth or less.
    ///
    /// # Units
    /// Floating-point operations, two for each multiply-add.
    #[must_use]
    pub fn losses_flops(&self, tokens: usize, mask: &HeadMask) -> f64 {
        let (layers, heads) = (self.layers as f64, self.heads as f64);
        let shared = mask.set.first_layer().map_or(layers, |layer| layer as f64);
        let streams = if mask.set.as_slice().is_empty() { 1.0 } else { 2.0 };
        let passes = shared + streams * (layers - shared);
        let vocabulary = streams * self.vocabulary_flops();
        // a head of each layer, as often as the layer is passed
        let head = |(layer, window): (usize, &Option<NonZeroUsize>)| {
            let passes = if (layer as f64) < shared { 1.0 } else { streams };
            let masked = mask.set.in_layer(layer).count() as f64;
            (passes * heads - masked) * self.head_flops(tokens, *window)
        };
        let attention: f64 = self.attention_windows.iter().enumerate().map(head).sum();
        tokens as f64 * (passes * self.layer_flops() + vocabulary) + attention
    }

    /// Operations of the projections and the MLP of one layer for one token.
    fn layer_flops(&self) -> f64 {
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let attention = self.hidden * (queries + 2 * keys) + queries * self.hidden;
        2.0 * (attention + self.mlp_maps * self.hidden * self.intermediate) as f64
    }

    /// Operations of the projection on the vocabulary for one token.
    fn vocabulary_flops(&self) -> f64 {
        2.0 * (self.hidden * self.vocab) as f64
    }

    /// Operations of one intact head of one layer over a window: QKᵀ and its product with V, over the `1 + 2 + … + tokens` positions that are
    /// seen, each term at most `window`.
    fn head_flops(&self, tokens: usize, window: Option<NonZeroUsize>) -> f64 {
        let grown = window.map_or(tokens, |window| window.get().min(tokens)) as f64;
        let visible = grown * (grown + 1.0) / 2.0 + (tokens as f64 - grown) * grown;
        2.0 * 2.0 * self.head_dim as f64 * visible
    }
}

/// Multiplies and adds in registers on the calling thread for a fraction of a millisecond, as fast as the processor can in the numerics
/// class. Returns the operations done, an upper bound for a forward pass of the same time; `None` for a class that no level names.
#[must_use]
pub fn saturate(numerics: &Numerics) -> Option<u64> {
    // only the native engine names a level
    let instructions = numerics.instructions.parse().ok().and_then(|level| Instructions::new(level).ok());
    let instructions = instructions.unwrap_or_else(Instructions::of_family);
    products(&numerics.precision).map(|saturate| saturate(instructions))
}

#[cfg(test)]
mod tests {
    use headwater_record::HeadSet;
    use headwater_record::heads::HeadId;

    use super::*;
    use crate::{MaskKind, Precision};

    fn tiny() -> ModelShape {
        ModelShape {
            layers: 3,
            heads: 4,
            kv_heads: 2,
            head_dim: 5,
            hidden: 7,
            intermediate: 11,
            mlp_maps: 3,
            vocab: 13,
            context_tokens: 64,
            attention_windows: vec![None; 3],
        }
    }

    fn mask(heads: &[(u16, u16)]) -> Result<HeadMask, headwater_record::Error> {
        let set = HeadSet::new(heads.iter().copied().map(HeadId::from).collect())?;
        Ok(HeadMask { set, kind: MaskKind::CausalUniform })
    }

    #[test]
    fn operations_are_those_counted_by_hand() -> Result<(), headwater_record::Error> {
        // a layer, for one token: Q 7·20, K and V 7·10 each, O 20·7, gate, up and down 7·11 each, two operations a product
        let layer = 2 * (140 + 70 + 70 + 140 + 3 * 77);
        let vocabulary = 2 * 7 * 13;
        // a head, for three tokens: 1 + 2 + 3 pairs, 5 products each for the logits and for the values
        let head = 2 * 6 * (5 + 5);
        let intact = 3 * 3 * layer + 3 * 4 * head + 3 * vocabulary;
        assert_eq!(tiny().losses_flops(3, &HeadMask::default()), f64::from(intact));
        // layer 0 once, layers 1 and 2 twice, without two of the heads
        let both = 3 * 5 * layer + (5 * 4 - 2) * head + 2 * 3 * vocabulary;
        assert_eq!(tiny().losses_flops(3, &mask(&[(1, 0), (2, 3)])?), f64::from(both));
        // under a window of two positions the third query of a head sees one less, and without a gate an MLP has one map less
        let narrow = ModelShape { attention_windows: vec![None, NonZeroUsize::new(2), None], mlp_maps: 2, ..tiny() };
        let fewer = f64::from(4 * 2 * (5 + 5)) + f64::from(3 * 3 * 2 * 77);
        assert_eq!(narrow.losses_flops(3, &HeadMask::default()), f64::from(intact) - fewer);
        Ok(())
    }

    #[test]
    fn every_class_of_the_processor_can_be_saturated_and_no_other() {
        let class = |precision: &str, instructions: &str| Numerics {
            engine: "native".to_owned(),
            device: "cpu".to_owned(),
            precision: precision.to_owned(),
            instructions: instructions.to_owned(),
        };
        for precision in ["f32", "bf16", Precision::Int8.class()] {
            for instructions in ["", "plain"] {
                assert!(saturate(&class(precision, instructions)).is_some_and(|operations| operations > 0));
            }
        }
        assert_eq!(saturate(&class("fp4", "plain")), None);
    }
}
