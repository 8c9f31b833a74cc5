//! Every kernel at the sizes of SmolLM2-135M, one thread, on every instruction level of the machine.
//!
//! `cargo bench -p headwater-kernels` prints FLOP/s as elements a second; the group `peak` is what the processor reaches when it does nothing
//! but multiply and add in registers, the figure to hold the others against.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use headwater_kernels::{
    AttentionScratch, Buffer, HeadLayout, Instructions, KeyValues, Operand, QueryBlock, ROW_STEP, RotaryTable, Rows,
    RunningMean, Weights, attend, cross_entropy, padded_depth, project, project_add, rms_norm, split_heads, swiglu,
};

const HIDDEN: usize = 576;
const INNER: usize = 1536;
const VOCAB: usize = 49_152;
const LAYOUT: HeadLayout = HeadLayout { heads: 9, kv_heads: 3, head_dim: 64 };
/// Base and masked stream of one block.
const ROWS: usize = 2 * ROW_STEP;

/// Numbers without a pattern, in [−1, 1).
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

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
            b.iter(|| project(instructions, Rows::new(&narrow, ROWS, HIDDEN), &qkv, None, black_box(&mut out)));
        });
        let down = weights::<E>(HIDDEN, INNER);
        group.throughput(flops(HIDDEN, INNER));
        group.bench_function("down", |b| {
            b.iter(|| project_add(instructions, Rows::new(&wide, ROWS, INNER), &down, None, black_box(&mut out)));
        });
        let half = INNER * HIDDEN;
        let gated = Weights::<E>::pack_gated(&numbers(half), &numbers(half), INNER, HIDDEN);
        let mut inner = operands::<E>(ROWS * INNER);
        group.throughput(flops(2 * INNER, HIDDEN));
        group.bench_function("swiglu", |b| {
            b.iter(|| swiglu(instructions, Rows::new(&narrow, ROWS, HIDDEN), &gated, None, (&mut inner, INNER)));
        });
        let head = weights::<E>(VOCAB, HIDDEN);
        let targets: Vec<u32> = (0..ROWS as u32).map(|row| row * 97).collect();
        group.throughput(flops(VOCAB, HIDDEN));
        group.bench_function("cross-entropy", |b| {
            b.iter(|| cross_entropy(instructions, Rows::new(&narrow, ROWS, HIDDEN), &head, &targets, &mut out));
        });
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
        let rotary = RotaryTable::new(&frequencies, TOKENS);
        let mut cache = KeyValues::<E>::new(LAYOUT);
        let mut queries = Buffer::<E>::zeros(LAYOUT.block_len());
        let mut block = vec![0.0; ROW_STEP * LAYOUT.width()];
        let mut split = |cache: &mut KeyValues<E>, queries: &mut Buffer<E>| {
            cache.reset(TOKENS);
            for first in (0..TOKENS).step_by(ROW_STEP) {
                block.copy_from_slice(&projections[first * LAYOUT.width()..][..ROW_STEP * LAYOUT.width()]);
                split_heads(instructions, (&mut block, first), (&rotary, [None, None]), queries, cache);
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
                    let queries = QueryBlock::new(&queries, LAYOUT, 4, (first, ROW_STEP));
                    attend(instructions, queries, &cache, &mut scratch, (black_box(&mut out), stride));
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
        let mut normed = Buffer::<E>::zeros(ROWS * padded_depth(HIDDEN));
        group.throughput(Throughput::Elements(ROWS as u64));
        group.bench_function("norm (tokens)", |b| {
            b.iter(|| rms_norm(instructions, black_box(&x), &weight, 1e-5, &mut normed));
        });
        group.finish();
    }
}

#[cfg(target_arch = "x86_64")]
mod peak {
    //! Sums in registers and nothing else.

    use std::arch::x86_64::*;

    pub(super) const STEPS: usize = 100_000;
    pub(super) const SUMS: usize = 24;

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn bf16(term: __m512bh) -> f32 {
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, term, term);
            }
        }
        sums.iter().fold(0.0, |total, sum| total + _mm512_reduce_add_ps(*sum))
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn f32(term: __m512) -> f32 {
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(term, term, *sum);
            }
        }
        sums.iter().fold(0.0, |total, sum| total + _mm512_reduce_add_ps(*sum))
    }
}

#[cfg(target_arch = "x86_64")]
fn peaks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("peak");
    if std::arch::is_x86_feature_detected!("avx512bf16") {
        group.throughput(Throughput::Elements((peak::STEPS * peak::SUMS * 64) as u64));
        // SAFETY: the processor has the instructions, and 64 zero bytes are a vector.
        group.bench_function("avx512-bf16", |b| b.iter(|| unsafe { peak::bf16(black_box(std::mem::zeroed())) }));
    }
    if std::arch::is_x86_feature_detected!("avx512f") {
        group.throughput(Throughput::Elements((peak::STEPS * peak::SUMS * 32) as u64));
        // SAFETY: as above.
        group.bench_function("avx512 f32", |b| b.iter(|| unsafe { peak::f32(black_box(std::mem::zeroed())) }));
    }
    group.finish();
}

#[cfg(not(target_arch = "x86_64"))]
fn peaks(_criterion: &mut Criterion) {}

fn all(criterion: &mut Criterion) {
    peaks(criterion);
    products::<bf16>(criterion, "bf16");
    products::<f32>(criterion, "f32");
    attention::<bf16>(criterion, "attention bf16");
    attention::<f32>(criterion, "attention f32");
}

criterion_group!(benches, all);
criterion_main!(benches);
