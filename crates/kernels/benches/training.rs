//! General products and the gradient of the cross-entropy at sizes of small Llama models, as shares of the register peak.
//!
//! `cargo bench -p headwater-kernels --bench training` prints, beside criterion's figures, the fastest sample of each as a share of
//! what a core could do in float32, measured just before: shares hold on a machine that others use, too, and products in bfloat16 may pass
//! it. `packed` is the same product as `forward` by this crate's own microkernel, which packs both operands at each call.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use common::numbers;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use headwater_kernels::{
    Arithmetic, Buffer, CrossEntropyGradient, InputRows, Instructions, Matrix, MatrixView, MatrixViewMut, Predictions,
    ROW_STEP, Update, Weights, cross_entropy_gradient, general_product, padded_depth, project, saturate_f32,
};

/// Rows, outputs and inputs of linear layers: attention of width 256 and 576, the two shapes of an MLP, and a chunk of rows by a
/// vocabulary.
const LAYERS: [(usize, usize, usize); 7] = [
    (512, 256, 256),
    (4096, 256, 256),
    (2048, 576, 576),
    (2048, 1536, 576),
    (2048, 576, 1536),
    (512, 4096, 256),
    (512, 8192, 576),
];

/// Rows, vocabulary and width.
const VOCABULARIES: [(usize, usize, usize); 2] = [(1024, 4096, 256), (1024, 8192, 576)];

/// What one core can do, in operations a second: the fastest of many runs.
fn peak(instructions: Instructions) -> f64 {
    let rates = (0..40).map(|_| {
        let start = Instant::now();
        saturate_f32(instructions) as f64 / start.elapsed().as_secs_f64()
    });
    rates.fold(0.0, f64::max)
}

/// Both ways to multiply.
fn arithmetics() -> [(&'static str, Arithmetic); 2] {
    [("f32", Arithmetic::Float32), ("bf16", Arithmetic::Bfloat16(Instructions::of_family()))]
}

/// Benchmarks `work` of `operations`, and prints its share of the peak.
#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn share(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, operations: usize, mut work: impl FnMut()) {
    let peak = peak(Instructions::of_family());
    let mut fastest = Duration::MAX;
    group.throughput(Throughput::Elements(operations as u64));
    group.bench_function(name, |b| {
        b.iter_custom(|count| {
            let mut total = Duration::ZERO;
            for _ in 0..count {
                let start = Instant::now();
                work();
                let elapsed = start.elapsed();
                fastest = fastest.min(elapsed);
                total += elapsed;
            }
            total
        });
    });
    // nothing ran where a filter left it out
    if fastest < Duration::MAX {
        let rate = operations as f64 / fastest.as_secs_f64();
        println!("share of the peak: {:.1} %", 100.0 * rate / peak);
    }
}

fn products(criterion: &mut Criterion) {
    for (rows, outputs, inputs) in LAYERS {
        let mut group = criterion.benchmark_group(format!("{rows} rows, {outputs} outputs, {inputs} inputs"));
        group.sample_size(10).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(200));
        let operations = 2 * rows * outputs * inputs;
        let (x, w, dy) = (numbers(rows * inputs), numbers(outputs * inputs), numbers(rows * outputs));
        let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
        let (x_view, w_view) = (MatrixView::new(&x, rows, inputs), MatrixView::new(&w, outputs, inputs));
        let dy = MatrixView::new(&dy, rows, outputs);
        for (name, arithmetic) in arithmetics() {
            share(&mut group, &format!("forward, {name}"), operations, || {
                let y = MatrixViewMut::new(black_box(&mut y), rows, outputs);
                general_product(x_view, w_view.transposed(), Update::Replace, y, arithmetic);
            });
            share(&mut group, &format!("gradient by inputs, {name}"), operations, || {
                let dx = MatrixViewMut::new(black_box(&mut dx), rows, inputs);
                general_product(dy, w_view, Update::Replace, dx, arithmetic);
            });
            share(&mut group, &format!("gradient by weights, {name}"), operations, || {
                let dw = MatrixViewMut::new(black_box(&mut dw), outputs, inputs);
                general_product(dy.transposed(), x_view, Update::Add, dw, arithmetic);
            });
        }
        let stride = padded_depth(inputs);
        let mut padded = Buffer::<f32>::zeros(rows.next_multiple_of(ROW_STEP) * stride);
        share(&mut group, "packed", operations, || {
            for (to, from) in padded.chunks_mut(stride).zip(x.chunks(inputs)) {
                to[..inputs].copy_from_slice(from);
            }
            let weights = Weights::<f32>::pack(&w, outputs, inputs);
            let input = InputRows { rows: &padded, count: rows };
            project(Instructions::of_family(), input, &weights, None, black_box(&mut y));
        });
        group.finish();
    }
}

fn cross_entropies(criterion: &mut Criterion) {
    for (rows, vocab, width) in VOCABULARIES {
        let mut group = criterion.benchmark_group(format!("cross-entropy, {rows} rows, {vocab} tokens, width {width}"));
        group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(200));
        let (hidden, weights) = (numbers(rows * width), numbers(vocab * width));
        let (mut by_hidden, mut by_weights) = (hidden.clone(), weights.clone());
        let mut losses = vec![0.0; rows];
        let targets: Vec<Option<u32>> = (0_u32..4096).step_by(3).map(Some).take(rows).collect();
        let predictions = Predictions {
            hidden: MatrixView::new(&hidden, rows, width),
            weights: MatrixView::new(&weights, vocab, width),
            targets: &targets,
        };
        // three products; the softmax between them is not counted
        let operations = 3 * 2 * rows * vocab * width;
        for (name, arithmetic) in arithmetics() {
            share(&mut group, &format!("loss and gradients, {name}"), operations, || {
                let gradient = CrossEntropyGradient {
                    losses: black_box(&mut losses),
                    hidden: MatrixViewMut::new(&mut by_hidden, rows, width),
                    weights: MatrixViewMut::new(&mut by_weights, vocab, width),
                };
                cross_entropy_gradient(Instructions::of_family(), predictions, 1e-3, gradient, arithmetic);
            });
        }
        group.finish();
    }
}

criterion_group!(benches, products, cross_entropies);
criterion_main!(benches);
