//! What sets a decoder apart from a Llama, in words.

use std::collections::BTreeSet;

use crate::{Activation, DecoderSpec, HeadNorms, NormKind, NormPlaces, RopeScaling};

impl DecoderSpec {
    /// Returns what sets the decoder apart from a Llama, a few words each.
    #[must_use]
    pub fn particulars(&self) -> Vec<String> {
        let mut said = Vec::new();
        let windows: BTreeSet<_> = self.layers.iter().filter_map(|layer| layer.window).collect();
        let windowed = self.layers.iter().filter(|layer| layer.window.is_some()).count();
        for window in windows {
            said.push(format!("{windowed} of {} layers see {window} positions", self.layers.len()));
        }
        let unrotated = self.layers.iter().filter(|layer| layer.rope.is_none()).count();
        if unrotated > 0 {
            said.push(format!("{unrotated} of {} layers rotate nothing", self.layers.len()));
        }
        let is_partial = self.ropes.iter().any(|rope| rope.rotated < self.shape.head_dim);
        for (holds, what) in [
            (self.learns_positions, "learned positions"),
            (is_partial, "heads rotated in part"),
            (self.norm == NormKind::Layer, "layer norms"),
            (self.norm_places == NormPlaces::After, "norms after attention and MLP"),
            (self.norm_places == NormPlaces::Around, "norms around attention and MLP"),
            (self.head_norms == HeadNorms::EachHead, "norms of every head's Q and K"),
            (self.head_norms == HeadNorms::AllHeads, "norms of Q and K over all heads"),
            (self.is_parallel, "attention and MLP side by side"),
            (self.shape.mlp_maps == 2, "an MLP without a gate"),
            (self.activation != Activation::Silu, "GELU"),
            (self.attention_cap.is_some() || self.logit_cap.is_some(), "caps of logits"),
            (self.embedding_multiplier != 1.0 || self.residual_multiplier != 1.0, "multipliers"),
        ] {
            if holds {
                said.push(what.to_owned());
            }
        }
        let stretched = self.ropes.iter().map(|rope| &rope.scaling).find(|scaling| **scaling != RopeScaling::None);
        let stretched = stretched.map(|scaling| match scaling {
            RopeScaling::None => "",
            RopeScaling::Linear { .. } => "rotation by shares of a position",
            RopeScaling::Llama3 { .. } => "rotation stretched as by Llama 3",
            RopeScaling::Yarn { .. } => "YaRN",
            RopeScaling::Divisors(_) => "stored divisors of rotation, for windows of the context",
        });
        said.extend(stretched.map(str::to_owned));
        said
    }

    /// Returns how many weights its maps and its embedding have, a vocabulary projection of its own included.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        let shape = &self.shape;
        let heads = shape.head_dim * (2 * shape.heads + 2 * shape.kv_heads);
        let layer = shape.hidden * (heads + shape.mlp_maps * shape.intermediate);
        let vocabularies = if self.tying == crate::Tying::Untied { 2 } else { 1 };
        let positions = if self.learns_positions { shape.context_tokens } else { 0 };
        (shape.layers * layer + shape.hidden * (vocabularies * shape.vocab + positions)) as u64
    }
}
