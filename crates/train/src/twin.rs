//! The loss of a model in float64, written as plainly as it can be: the twin that gradients are measured against.

use crate::Shape;
use crate::layout::{Layout, Tensor};

/// A matrix `(outputs, inputs)` times a vector.
fn map(weights: &[f64], x: &[f64]) -> Vec<f64> {
    weights.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

fn norm(x: &[f64], weight: &[f64], eps: f64) -> Vec<f64> {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(weight).map(|(x, w)| x * w / (mean + eps).sqrt()).collect()
}

fn rotate(head: &mut [f64], position: usize, theta: f64) {
    let half = head.len() / 2;
    for i in 0..half {
        let angle = position as f64 * theta.powf(-2.0 * i as f64 / head.len() as f64);
        let (a, b) = (head[i], head[i + half]);
        head[i] = a * angle.cos() - b * angle.sin();
        head[i + half] = b * angle.cos() + a * angle.sin();
    }
}

fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let highest = scores.iter().copied().fold(f64::MIN, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// A model in float64.
pub(crate) struct Twin<'a> {
    shape: &'a Shape,
    layout: Layout,
}

impl<'a> Twin<'a> {
    pub(crate) fn new(shape: &'a Shape) -> Self {
        Self { shape, layout: Layout::new(shape) }
    }

    fn tensor<'p>(&self, parameters: &'p [f64], name: &str) -> &'p [f64] {
        let named = |tensor: &&Tensor| tensor.name.strip_suffix(".weight") == Some(name);
        &parameters[self.layout.tensors().iter().find(named).expect("a tensor of that name").place.clone()]
    }

    /// The loss of each token of a sequence but the first.
    pub(crate) fn losses(&self, parameters: &[f64], tokens: &[u32]) -> Vec<f64> {
        let shape = self.shape;
        let (width, eps) = (shape.width, f64::from(shape.norm_eps));
        let embedding = self.tensor(parameters, "model.embed_tokens");
        let length = tokens.len() - 1;
        let mut states: Vec<Vec<f64>> =
            tokens[..length].iter().map(|token| embedding[*token as usize * width..][..width].to_vec()).collect();
        for layer in 0..shape.layers {
            let tensor = |part: &str| self.tensor(parameters, &format!("model.layers.{layer}.{part}"));
            let weight = tensor("input_layernorm");
            let normed: Vec<_> = states.iter().map(|x| norm(x, weight, eps)).collect();
            let [queries, keys, values] = ["q", "k", "v"].map(|part| {
                let weights = tensor(&format!("self_attn.{part}_proj"));
                normed.iter().map(|x| map(weights, x)).collect::<Vec<_>>()
            });
            let output = tensor("self_attn.o_proj");
            for (x, mixed) in states.iter_mut().zip(attend(shape, queries, keys, &values)) {
                add(x, &map(output, &mixed));
            }
            let weight = tensor("post_attention_layernorm");
            let [gate, up, down] = ["gate", "up", "down"].map(|part| tensor(&format!("mlp.{part}_proj")));
            for x in &mut states {
                let normed = norm(x, weight, eps);
                let gated = map(gate, &normed).into_iter().zip(map(up, &normed));
                let gated: Vec<f64> = gated.map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
                add(x, &map(down, &gated));
            }
        }
        let head = if shape.tied { embedding } else { self.tensor(parameters, "lm_head") };
        let weight = self.tensor(parameters, "model.norm");
        let loss = |(x, target): (&Vec<f64>, &u32)| {
            let logits = map(head, &norm(x, weight, eps));
            -softmax(&logits)[*target as usize].ln()
        };
        states.iter().zip(&tokens[1..]).map(loss).collect()
    }
}

/// Turns queries and keys, and returns the means of values of each position.
fn attend(shape: &Shape, mut queries: Vec<Vec<f64>>, mut keys: Vec<Vec<f64>>, values: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let wide = shape.head_width;
    for all in [&mut queries, &mut keys] {
        for (position, all) in all.iter_mut().enumerate() {
            all.chunks_exact_mut(wide).for_each(|head| rotate(head, position, shape.rope_theta));
        }
    }
    let mix = |(position, query): (usize, &Vec<f64>)| {
        let mut mixed = vec![0.0; shape.heads * wide];
        for (head, (mixed, query)) in mixed.chunks_exact_mut(wide).zip(query.chunks_exact(wide)).enumerate() {
            let shared = head / (shape.heads / shape.kv_heads) * wide;
            let score = |key: &Vec<f64>| -> f64 {
                query.iter().zip(&key[shared..]).map(|(q, k)| q * k).sum::<f64>() / (wide as f64).sqrt()
            };
            let scores: Vec<f64> = keys[..=position].iter().map(score).collect();
            for (weight, value) in softmax(&scores).iter().zip(values) {
                mixed.iter_mut().zip(&value[shared..]).for_each(|(mixed, v)| *mixed += weight * v);
            }
        }
        mixed
    };
    queries.iter().enumerate().map(mix).collect()
}
