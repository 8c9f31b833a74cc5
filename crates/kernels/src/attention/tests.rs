//! Attention, running means and norms against float64, on every level.

use std::num::NonZeroUsize;

use half::bf16;

use super::*;
use crate::reference::{UNIT, assert_close, numbers};
use crate::rotary::{HeadNorm, RotaryTable};
use crate::{Instructions, Matrix, Norm, Weights};

const LAYOUTS: [HeadLayout; 3] = [
    HeadLayout { heads: 6, kv_heads: 2, head_dim: 64 },
    HeadLayout { heads: 4, kv_heads: 2, head_dim: 8 },
    HeadLayout { heads: 1, kv_heads: 1, head_dim: 40 },
];

/// One position's queries, keys and values in float64, rounded as the kernel rounds them.
struct Reference {
    queries: Vec<Vec<f64>>,
    keys: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
}

#[expect(clippy::cast_possible_truncation, reason = "rounding is what is asked for")]
fn rounded<E: Operand>(x: f64) -> f64 {
    f64::from(E::from_f32(x as f32).to_f32())
}

fn frequencies(head_dim: usize) -> Vec<f64> {
    (0..head_dim / 2).map(|i| 100_f64.powf(-(i as f64) / head_dim as f64)).collect()
}

fn rotated(head: &[f32], norm: Option<HeadNorm<'_>>, position: usize, scale: f64) -> Vec<f64> {
    let mut x: Vec<f64> = head.iter().map(|x| f64::from(*x)).collect();
    if let Some(norm) = norm {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let by = (mean + f64::from(norm.eps)).sqrt().recip();
        x.iter_mut().zip(norm.weight).for_each(|(x, weight)| *x *= by * f64::from(*weight));
    }
    let half = x.len() / 2;
    let mut out = vec![0.0; x.len()];
    for (i, frequency) in frequencies(x.len()).into_iter().enumerate() {
        let (sin, cos) = (position as f64 * frequency).sin_cos();
        out[i] = (x[i] * cos - x[i + half] * sin) * scale;
        out[i + half] = (x[i + half] * cos + x[i] * sin) * scale;
    }
    out
}

fn reference<E: Operand>(projections: &[f32], layout: HeadLayout, norms: [Option<HeadNorm<'_>>; 2]) -> Vec<Reference> {
    let scale = (layout.head_dim as f64).sqrt().recip();
    let rows = projections.chunks(layout.width()).enumerate();
    rows.map(|(position, row)| {
        let (q, kv) = row.split_at(layout.query_width());
        let (k, v) = kv.split_at(layout.kv_width());
        let heads = |part: &[f32], norm, scale| -> Vec<Vec<f64>> {
            let heads = part.chunks(layout.head_dim).map(|head| rotated(head, norm, position, scale));
            heads.map(|head| head.into_iter().map(rounded::<E>).collect()).collect()
        };
        let values = v.chunks(layout.head_dim);
        Reference {
            queries: heads(q, norms[0], scale),
            keys: heads(k, norms[1], 1.0),
            values: values.map(|v| v.iter().map(|x| rounded::<E>(f64::from(*x))).collect()).collect(),
        }
    })
    .collect()
}

/// Runs a window through the kernels; returns outputs, `(position, head, head_dim)`, and the logits of the last block.
fn run<E: Operand>(
    instructions: Instructions,
    layout: HeadLayout,
    projections: &[f32],
    (norms, span): ([Option<HeadNorm<'_>>; 2], AttentionSpan),
    cache: &mut KvCache<E>,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let tokens = projections.len() / layout.width();
    let table = RotaryTable::new(&frequencies(layout.head_dim), tokens);
    let [query_norm, key_norm] = norms;
    let rotation = HeadRotation { table: &table, query_norm, key_norm };
    let mut queries = Buffer::<E>::zeros(layout.block_len());
    let mut scratch = AttentionScratch::<E>::default();
    let stride = padded_depth(layout.query_width());
    let (mut out, mut logits) = (Vec::new(), Vec::new());
    cache.reset(tokens);
    for first in (0..tokens).step_by(ROW_STEP) {
        let rows = ROW_STEP.min(tokens - first);
        let mut block = projections[first * layout.width()..][..rows * layout.width()].to_vec();
        let projections = Projections { values: &mut block, first };
        split_heads(instructions, projections, rotation, &mut queries, cache);
        let mut attended = Buffer::<E>::zeros(ROW_STEP * stride);
        logits.clear();
        for head in 0..layout.heads {
            let queries = QueryBlock::new(&queries, layout, head, first..first + rows).spanning(span);
            let to = StridedRows { values: &mut attended[head * layout.head_dim..], stride };
            attend(instructions, queries, cache, &mut scratch, to);
            let mut all = vec![0.0; rows * (first + rows)];
            attention_logits(instructions, queries, cache, StridedRows { values: &mut all, stride: first + rows });
            logits.push(all);
        }
        for row in attended.chunks(stride).take(rows) {
            out.extend(row[..layout.query_width()].iter().map(|x| x.to_f32()));
        }
    }
    (out, logits)
}

fn check_attention<E: Operand>() {
    // a value is rounded by up to `step` where the kernel rounds from float32 and the reference from float64
    let step = if E::GROUP == 1 { 4.0 * UNIT } else { 1.0 / 256.0 };
    for layout in LAYOUTS {
        let weight = numbers::<f32>(20, layout.head_dim);
        let norm = HeadNorm { weight: &weight, eps: 1e-6 };
        for instructions in Instructions::all() {
            let mut cache = KvCache::<E>::new(layout);
            // the longest first: what it leaves in the cache must not be seen by the shorter ones
            let (all, window) =
                (AttentionSpan::default(), |window| AttentionSpan { window: NonZeroUsize::new(window), cap: None });
            let capped = AttentionSpan { cap: Some(SoftCap(0.7)), ..window(300) };
            for (tokens, norms, span) in [
                (600, [None, None], all),
                (1, [None, None], all),
                (97, [Some(norm); 2], all),
                (257, [None, None], all),
                (600, [None, None], window(100)),
                (300, [Some(norm); 2], window(1)),
                (700, [None, None], capped),
            ] {
                let projections = numbers::<f32>(21, tokens * layout.width());
                let expected = reference::<E>(&projections, layout, norms);
                let (out, logits) = run(instructions, layout, &projections, (norms, span), &mut cache);
                let last_block = (tokens - 1) / ROW_STEP * ROW_STEP;
                for position in (0..tokens).step_by(if tokens > 100 { 7 } else { 1 }) {
                    for head in 0..layout.heads {
                        let kv = head / layout.group();
                        let query = &expected[position].queries[head];
                        let dot = |key: &[f64]| query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>();
                        let seen: Vec<f64> = expected[..=position].iter().map(|row| dot(&row.keys[kv])).collect();
                        let size = |key: &[f64]| query.iter().zip(key).map(|(q, k)| (q * k).abs()).sum::<f64>();
                        let largest = expected[..=position].iter().map(|row| size(&row.keys[kv])).fold(0.0, f64::max);
                        // both operands may be rounded the other way
                        let logit_bound = largest * (2.0 * step + layout.head_dim as f64 * UNIT) + 1e-6;
                        let what =
                            format!("{} {layout:?} {tokens} tokens, {position}, head {head}", instructions.level());
                        if position >= last_block {
                            let row = &logits[head][(position - last_block) * tokens..][..=position];
                            for (got, expected) in row.iter().zip(&seen) {
                                assert_close(*got, *expected, logit_bound, &what);
                            }
                        }
                        let seen = &seen[span.first_seen(position)..];
                        let cap =
                            |x: &f64| span.cap.map_or(*x, |SoftCap(cap)| f64::from(cap) * (x / f64::from(cap)).tanh());
                        let seen: Vec<f64> = seen.iter().map(cap).collect();
                        let values = &expected[span.first_seen(position)..];
                        let highest = seen.iter().copied().fold(f64::MIN, f64::max);
                        let weights: Vec<f64> = seen.iter().map(|logit| (logit - highest).exp()).collect();
                        let total: f64 = weights.iter().sum();
                        for i in 0..layout.head_dim {
                            let terms = weights.iter().zip(values).map(|(w, row)| w * row.values[kv][i] / total);
                            let (sum, size) =
                                terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                            // weights are off by e^±2δ, rounded once, and so are values and the result
                            let bound = size * (2.0 * logit_bound + 3.0 * step + (position + 20) as f64 * UNIT) + 1e-6;
                            let got = out[(position * layout.heads + head) * layout.head_dim + i];
                            assert_close(got, sum, bound, &what);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn float32_attention_is_within_its_bound() {
    check_attention::<f32>();
}

#[test]
fn bfloat16_attention_is_within_its_bound() {
    check_attention::<bf16>();
}

#[test]
fn running_means_are_within_their_bound() {
    let layout = LAYOUTS[0];
    let tokens = 300;
    let projections = numbers::<f32>(22, tokens * layout.width());
    for instructions in Instructions::all() {
        let mut mean = RunningMean::default();
        mean.reset(layout);
        for first in (0..tokens).step_by(ROW_STEP) {
            let rows = ROW_STEP.min(tokens - first);
            let block = &projections[first * layout.width()..][..rows * layout.width()];
            mean.advance(instructions, layout, block, first);
            for head in [0, 2, 3, 5] {
                let mut out = vec![0.0; rows * layout.head_dim];
                let rows = StridedRows { values: &mut out, stride: layout.head_dim };
                mean.write::<f32>(instructions, layout, head, rows);
                for (row, out) in out.chunks(layout.head_dim).enumerate() {
                    for (i, got) in out.iter().enumerate() {
                        let value = |position: usize| {
                            let at =
                                layout.query_width() + layout.kv_width() + head / layout.group() * layout.head_dim + i;
                            f64::from(projections[position * layout.width() + at])
                        };
                        let seen = first + row + 1;
                        let sum: f64 = (0..seen).map(value).sum();
                        let size: f64 = (0..seen).map(|position| value(position).abs()).sum();
                        let bound = size * UNIT + 2.0 * UNIT;
                        assert_close(*got, sum / seen as f64, bound, &format!("{} at {seen}", instructions.level()));
                    }
                }
            }
        }
    }
}

#[test]
fn norms_are_within_their_bound() {
    for width in [1, 8, 40, 576] {
        let (x, weight) = (numbers::<f32>(23, 5 * width), numbers::<f32>(24, width));
        for instructions in Instructions::all() {
            let stride = padded_depth(width);
            let mut out = Buffer::EMPTY;
            Weights::<f32>::norm(
                instructions,
                &x,
                Norm { width, weight: Some(&weight), eps: 1e-5, basis: None },
                &mut out,
            );
            for (row, x) in x.chunks(width).enumerate() {
                let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / width as f64;
                let by = (mean + f64::from(1e-5_f32)).sqrt().recip();
                for (i, x) in x.iter().enumerate() {
                    let expected = f64::from(*x) * by * f64::from(weight[i]);
                    let bound = expected.abs() * (width as f64 / 8.0 + 8.0) * UNIT;
                    assert_close(out[row * stride + i], expected, bound, &format!("{} {width}", instructions.level()));
                }
            }
        }
    }
}
