//! Every kernel at the sizes of SmolLM2-135M, one thread, on every instruction level of the machine.
//!
//! `cargo bench -p headwater-kernels` prints FLOP/s as elements a second; the group `peak` is what the processor reaches when it does nothing
//! but multiply and add in registers, the figure to hold the others against.

mod common;

use std::hint::black_box;

use common::numbers;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use headwater_kernels::{
    Activation, AttentionScratch, Buffer, HeadLayout, HeadRotation, Inner, InputRows, Instructions, Int8Rows,
    Int8Weights, KvCache, Matrix, Norm, Operand, PaddedRows, Projections, QueryBlock, ROW_STEP, RotaryTable,
    RunningMean, StridedRows, Vocabulary, Weights, attend, cross_entropy, gated, padded_depth, project, project_add,
    saturate_bf16, saturate_f32, split_heads,
};

const HIDDEN: usize = 576;
const INNER: usize = 1536;
const VOCAB: usize = 49_152;
const LAYOUT: HeadLayout = HeadLayout { heads: 9, kv_heads: 3, head_dim: 64 };
/// Base and masked stream of one block.
const ROWS: usize = 2 * ROW_STEP;

fn operands<E: Operand>(count: usize) -> Buffer<E> {
    let mut buffer = Buffer::zeros(count);
    buffer.iter_mut().zip(numbers(count)).for_each(|(to, from)| *to = E::from_f32(from));
    buffer
}

fn weights<E: Operand>(columns: usize, depth: usize) -> Weights<E> {
    Weights::pack(&numbers(columns * depth), columns, depth)
}

fn products<E: Operand>(criterion: &mut Criterion, name: &str) {
    for instructions in Instructions::all() {
        let mut group = criterion.benchmark_group(format!("{name} {}", instructions.level()));
        group.sample_size(10);
        let flops = |columns: usize, depth: usize| Throughput::Elements(2 * (ROWS * columns * depth) as u64);
        let (narrow, wide) = (operands::<E>(ROWS * HIDDEN), operands::<E>(ROWS * INNER));
        let mut out = vec![0.0; ROWS * INNER];

        let qkv = weights::<E>(LAYOUT.width(), HIDDEN);
        group.throughput(flops(LAYOUT.width(), HIDDEN));
        group.bench_function("qkv", |b| {
            b.iter(|| project(instructions, InputRows { rows: &narrow, count: ROWS }, &qkv, None, black_box(&mut out)));
        });
        let down = weights::<E>(HIDDEN, INNER);
        group.throughput(flops(HIDDEN, INNER));
        group.bench_function("down", |b| {
            b.iter(|| {
                project_add(instructions, InputRows { rows: &wide, count: ROWS }, &down, None, black_box(&mut out))
            });
        });
        let half = INNER * HIDDEN;
        let gate_up = Weights::<E>::pack_gated(&numbers(half), &numbers(half), INNER, HIDDEN);
        let mut inner = operands::<E>(ROWS * INNER);
        group.throughput(flops(2 * INNER, HIDDEN));
        group.bench_function("swiglu", |b| {
            b.iter(|| {
                gated(
                    instructions,
                    InputRows { rows: &narrow, count: ROWS },
                    Inner { weights: &gate_up, bias: None, activation: Activation::Silu },
                    PaddedRows { rows: &mut inner, width: INNER },
                )
            });
        });
        let head = weights::<E>(VOCAB, HIDDEN);
        let targets: Vec<u32> = (0_u32..).step_by(97).take(ROWS).collect();
        group.throughput(flops(VOCAB, HIDDEN));
        group.bench_function("cross-entropy", |b| {
            let vocabulary = Vocabulary { weights: &head, bias: None, cap: None };
            b.iter(|| {
                cross_entropy(instructions, InputRows { rows: &narrow, count: ROWS }, vocabulary, &targets, &mut out)
            });
        });
        group.finish();
    }
}

fn int8_products(criterion: &mut Criterion) {
    for instructions in Instructions::all() {
        let mut group = criterion.benchmark_group(format!("int8 {}", instructions.level()));
        group.sample_size(10);
        let mut out = vec![0.0; ROWS * INNER];
        for (name, columns, depth) in
            [("qkv", LAYOUT.width(), HIDDEN), ("square", HIDDEN, HIDDEN), ("down", HIDDEN, INNER)]
        {
            let mut rows = Int8Rows::default();
            let norm = Norm { width: depth, weight: None, eps: 1e-5, basis: None };
            Int8Weights::norm(instructions, &numbers(ROWS * depth), norm, &mut rows);
            let weights = Int8Weights::pack(&numbers(columns * depth), columns, depth);
            group.throughput(Throughput::Elements(2 * (ROWS * columns * depth) as u64));
            group.bench_function(name, |b| {
                b.iter(|| {
                    project(instructions, InputRows { rows: &rows, count: ROWS }, &weights, None, black_box(&mut out))
                });
            });
        }
        group.finish();
    }
}

fn attention<E: Operand>(criterion: &mut Criterion, name: &str) {
    const TOKENS: usize = 1_440;
    for instructions in Instructions::all() {
        let mut group = criterion.benchmark_group(format!("{name} {}", instructions.level()));
        group.sample_size(10);
        let projections = numbers(TOKENS * LAYOUT.width());
        let frequencies: Vec<f64> = (0..32).map(|i| 10_000_f64.powf(-f64::from(i) / 32.0)).collect();
        let table = RotaryTable::new(&frequencies, TOKENS);
        let rotation = HeadRotation { table: &table, query_norm: None, key_norm: None };
        let mut cache = KvCache::<E>::new(LAYOUT);
        let mut queries = Buffer::<E>::zeros(LAYOUT.block_len());
        let mut block = vec![0.0; ROW_STEP * LAYOUT.width()];
        let mut split = |cache: &mut KvCache<E>, queries: &mut Buffer<E>| {
            cache.reset(TOKENS);
            for first in (0..TOKENS).step_by(ROW_STEP) {
                block.copy_from_slice(&projections[first * LAYOUT.width()..][..ROW_STEP * LAYOUT.width()]);
                split_heads(instructions, Projections { values: &mut block, first }, rotation, queries, cache);
            }
        };
        group.throughput(Throughput::Elements(TOKENS as u64));
        group.bench_function("split heads (tokens)", |b| b.iter(|| split(&mut cache, &mut queries)));
        split(&mut cache, &mut queries);
        let mut scratch = AttentionScratch::<E>::default();
        let stride = padded_depth(LAYOUT.query_width());
        let mut out = Buffer::<E>::zeros(ROW_STEP * stride);
        // two products over the keys that each query sees
        let seen = TOKENS * (TOKENS + 1) / 2;
        group.throughput(Throughput::Elements(4 * (seen * LAYOUT.head_dim) as u64));
        group.bench_function("one head, whole window", |b| {
            b.iter(|| {
                for first in (0..TOKENS).step_by(ROW_STEP) {
                    let queries = QueryBlock::new(&queries, LAYOUT, 4, first..first + ROW_STEP);
                    attend(
                        instructions,
                        queries,
                        &cache,
                        &mut scratch,
                        StridedRows { values: black_box(&mut out), stride },
                    );
                }
            });
        });
        let mut mean = RunningMean::default();
        group.throughput(Throughput::Elements(TOKENS as u64));
        group.bench_function("running mean (tokens)", |b| {
            b.iter(|| {
                mean.reset(LAYOUT);
                mean.advance(instructions, LAYOUT, black_box(&projections), 0);
            });
        });
        let x = numbers(ROWS * HIDDEN);
        let weight = numbers(HIDDEN);
        let mut normed = Buffer::<E>::EMPTY;
        group.throughput(Throughput::Elements(ROWS as u64));
        group.bench_function("norm (tokens)", |b| {
            b.iter(|| {
                Weights::<E>::norm(
                    instructions,
                    black_box(&x),
                    Norm { width: weight.len(), weight: Some(&weight), eps: 1e-5, basis: None },
                    &mut normed,
                )
            });
        });
        group.finish();
    }
}

fn peaks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("peak");
    for instructions in Instructions::all() {
        let level = instructions.level();
        group.throughput(Throughput::Elements(saturate_bf16(instructions)));
        group.bench_function(format!("bf16 {level}"), |b| b.iter(|| saturate_bf16(instructions)));
        group.throughput(Throughput::Elements(saturate_f32(instructions)));
        group.bench_function(format!("f32 {level}"), |b| b.iter(|| saturate_f32(instructions)));
    }
    group.finish();
}

fn all(criterion: &mut Criterion) {
    peaks(criterion);
    products::<bf16>(criterion, "bf16");
    products::<f32>(criterion, "f32");
    int8_products(criterion);
    attention::<bf16>(criterion, "attention bf16");
    attention::<f32>(criterion, "attention f32");
}

criterion_group!(benches, all);
criterion_main!(benches);
