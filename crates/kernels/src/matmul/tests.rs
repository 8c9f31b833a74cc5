//! Products and their epilogues against float64, on every level of the machine; AMX in an emulator where it has none.

use half::bf16;

use super::*;
use crate::activation::{Activation, SoftCap};
use crate::buffer::Buffer;
use crate::reference::{Left, UNIT, assert_close, dot, numbers};
use crate::{Instructions, gated_bias};

/// Rows, columns and depth: single ones, whole tiles and panels, and one more or less.
const SHAPES: [(usize, usize, usize); 9] = [
    (1, 1, 1),
    (1, 31, 7),
    (5, 32, 33),
    (12, 33, 64),
    (13, 64, 31),
    (96, 100, 32),
    (97, 20, 65),
    (31, 160, 576),
    (192, 40, 100),
];

/// The rounding of one operand.
fn rounding<E: Operand>() -> f64 {
    if E::GROUP == 1 { 0.0 } else { 1.0 / 256.0 }
}

struct Case<E> {
    rows: usize,
    columns: usize,
    depth: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    left: Left<E>,
    weights: Weights<E>,
}

impl<E: Operand> Case<E> {
    fn new((rows, columns, depth): (usize, usize, usize)) -> Self {
        Self::of((rows, columns, depth), numbers::<E>(1, rows * depth), numbers::<E>(2, columns * depth))
    }

    fn of((rows, columns, depth): (usize, usize, usize), a: Vec<f32>, b: Vec<f32>) -> Self {
        let (left, weights) = (Left::new(&a, rows, depth), Weights::pack(&b, columns, depth));
        Self { rows, columns, depth, a, b, left, weights }
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.a[row * self.depth..][..self.depth]
    }

    fn column(&self, column: usize) -> &[f32] {
        &self.b[column * self.depth..][..self.depth]
    }

    fn assert_product(&self, out: &[f32], add: impl Fn(usize, usize) -> f64, what: &str) {
        assert_eq!(out.len(), self.rows * self.columns);
        for row in 0..self.rows {
            for column in 0..self.columns {
                let (sum, bound) = dot(self.row(row), self.column(column));
                let sum = sum + add(row, column);
                let what = format!("{what} {}×{}×{}, row {row}, column {column}", self.rows, self.columns, self.depth);
                assert_close(out[row * self.columns + column], sum, bound + 3.0 * UNIT * (1.0 + sum.abs()), &what);
            }
        }
    }
}

fn check_products<E: Operand>() {
    for instructions in Instructions::all() {
        for shape in SHAPES {
            let case = Case::<E>::new(shape);
            let what = format!("{} {}", std::any::type_name::<E>(), instructions.level());
            let mut out = vec![f32::NAN; case.rows * case.columns];
            project(instructions, case.left.rows(), &case.weights, None, &mut out);
            case.assert_product(&out, |_, _| 0.0, &what);
            let bias = numbers::<f32>(3, case.columns);
            project(instructions, case.left.rows(), &case.weights, Some(&bias), &mut out);
            case.assert_product(&out, |_, column| f64::from(bias[column]), &format!("{what} with bias"));
            let before = numbers::<f32>(4, out.len());
            let mut out = before.clone();
            project_add(instructions, case.left.rows(), &case.weights, Some(&bias), &mut out);
            let add = |row: usize, column: usize| f64::from(bias[column]) + f64::from(before[row * shape.1 + column]);
            case.assert_product(&out, add, &format!("{what} added"));
        }
    }
}

#[test]
fn float32_products_are_within_their_bound() {
    check_products::<f32>();
}

#[test]
fn bfloat16_products_are_within_their_bound() {
    check_products::<bf16>();
}

/// Small integers have exact sums, so every level must give the same bits; a misplaced term would show.
#[test]
fn products_of_integers_are_exact_on_every_level() {
    let (rows, columns, depth) = (40, 70, 90);
    let integers = |seed| numbers::<f32>(seed, 90 * 70).iter().map(|x| (x * 8.0).round()).collect::<Vec<_>>();
    let case = Case::<bf16>::of((rows, columns, depth), integers(5)[..rows * depth].to_vec(), integers(6));
    for instructions in Instructions::all() {
        let mut out = vec![f32::NAN; rows * columns];
        project(instructions, case.left.rows(), &case.weights, None, &mut out);
        for (index, got) in out.iter().enumerate() {
            let (sum, _) = dot(case.row(index / columns), case.column(index % columns));
            assert_eq!(f64::from(*got), sum, "{} at {index}", instructions.level());
        }
    }
}

fn check_independence<E: Operand>() {
    let case = Case::<E>::new((101, 45, 130));
    for instructions in Instructions::all() {
        let mut together = vec![0.0; 101 * 45];
        project(instructions, case.left.rows(), &case.weights, None, &mut together);
        for row in [0, 11, 12, 50, 100] {
            let alone = Left::<E>::new(case.row(row), 1, 130);
            let mut out = vec![0.0; 45];
            project(instructions, alone.rows(), &case.weights, None, &mut out);
            let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&out), bits(&together[row * 45..][..45]), "{} row {row}", instructions.level());
        }
    }
}

#[test]
fn a_row_gives_the_same_bits_alone_and_among_others() {
    check_independence::<f32>();
    check_independence::<bf16>();
}

const ACTIVATIONS: [Activation; 3] = [Activation::Silu, Activation::Gelu, Activation::GeluTanh];

/// The activation in float64, and what a kernel's may be off by for itself, a share of |x|.
fn activate(activation: Activation, x: f64) -> (f64, f64) {
    match activation {
        Activation::Silu => (x / (1.0 + (-x).exp()), 4.0 * UNIT),
        Activation::GeluTanh => {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            // the exponent, up to 87 where it matters, is rounded a few times
            (x * 0.5 * (1.0 + u.tanh()), 16.0 * UNIT)
        }
        Activation::Gelu => (x * normal_distribution(x), 2e-7),
    }
}

/// Φ by its power series, Abramowitz and Stegun (1964), 26.2.10 and 26.2.11; beyond six standard deviations it is 0 or 1.
fn normal_distribution(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut sum) = (x, x);
    for k in 1..200 {
        term *= x * x / f64::from(2 * k + 1);
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[test]
fn activations_are_within_their_bounds() {
    for instructions in Instructions::all() {
        for activation in ACTIVATIONS {
            let x: Vec<f32> = (-1_200_i16..=1_200).map(|i| f32::from(i) / 100.0).collect();
            let identity = Weights::<f32>::pack(&[1.0], 1, 1);
            let mut rows = Buffer::EMPTY;
            Weights::<f32>::take(instructions, &x, 1, &mut rows);
            let mut out = Buffer::<f32>::EMPTY;
            let inner = Inner { weights: &identity, bias: None, activation };
            let inputs = InputRows { rows: &rows, count: x.len() };
            activated(instructions, inputs, inner, PaddedRows { rows: &mut out, width: 1 });
            for (row, x) in x.iter().enumerate() {
                let (expected, off) = activate(activation, f64::from(*x));
                let bound = f64::from(x.abs()) * off + 4.0 * UNIT * expected.abs() + 1e-12;
                let what = format!("{} {activation:?} of {x}", instructions.level());
                assert_close(out[row * padded_depth(1)], expected, bound, &what);
            }
        }
    }
}

fn check_activated<E: Operand>() {
    for (rows, inner, depth) in [(1, 1, 3), (14, 40, 64), (97, 70, 20)] {
        let case = Case::<E>::of((rows, inner, depth), numbers::<E>(17, rows * depth), numbers::<E>(18, inner * depth));
        let bias = numbers::<f32>(19, inner);
        for instructions in Instructions::all() {
            for bias in [None, Some(bias.as_slice())] {
                let mut out = Buffer::<E>::EMPTY;
                let map = Inner { weights: &case.weights, bias, activation: Activation::GeluTanh };
                let to = PaddedRows { rows: &mut out, width: inner };
                activated(instructions, case.left.rows(), map, to);
                for row in 0..rows {
                    for column in 0..inner {
                        let (sum, bound) = dot(case.row(row), case.column(column));
                        let sum = sum + bias.map_or(0.0, |bias| f64::from(bias[column]));
                        let (expected, off) = activate(Activation::GeluTanh, sum);
                        // |gelu'| ≤ 1.13
                        let bound = 1.13 * bound + sum.abs() * off + expected.abs() * (4.0 * UNIT + rounding::<E>());
                        let what = format!("{} row {row}, column {column}", instructions.level());
                        let got = out[row * padded_depth(inner) + column].to_f32();
                        assert_close(got, expected, bound + 1e-7, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn activated_maps_are_within_their_bound() {
    check_activated::<f32>();
    check_activated::<bf16>();
}

fn check_gated<E: Operand>(activation: Activation) {
    for (rows, inner, depth) in [(1, 1, 3), (14, 40, 64), (96, 16, 33), (100, 70, 20)] {
        let (gate, up) = (numbers::<E>(7, inner * depth), numbers::<E>(8, inner * depth));
        let (gate_bias, up_bias) = (numbers::<f32>(9, inner), numbers::<f32>(10, inner));
        let a = numbers::<E>(11, rows * depth);
        let left = Left::<E>::new(&a, rows, depth);
        let weights = Weights::<E>::pack_gated(&gate, &up, inner, depth);
        let bias = gated_bias(&gate_bias, &up_bias);
        for instructions in Instructions::all() {
            for bias in [None, Some(bias.as_slice())] {
                let mut out = Buffer::<E>::EMPTY;
                let map = Inner { weights: &weights, bias, activation };
                gated(instructions, left.rows(), map, PaddedRows { rows: &mut out, width: inner });
                for row in 0..rows {
                    let a = &a[row * depth..][..depth];
                    for column in 0..inner {
                        let (mut g, g_bound) = dot(a, &gate[column * depth..][..depth]);
                        let (mut u, u_bound) = dot(a, &up[column * depth..][..depth]);
                        if bias.is_some() {
                            g += f64::from(gate_bias[column]);
                            u += f64::from(up_bias[column]);
                        }
                        let (activation, off) = activate(activation, g);
                        let expected = activation * u;
                        // slopes are up to 1.13, and 8 roundings of exp, sum, quotient and product
                        let bound = (1.13 * g_bound + off * g.abs()) * u.abs() + g.abs() * u_bound + 1e-7;
                        let bound =
                            bound + expected.abs() * (16.0 * UNIT + rounding::<E>()) + 3.0 * UNIT * (g.abs() + u.abs());
                        let what = format!("{} row {row}, column {column}", instructions.level());
                        assert_close(out[row * padded_depth(inner) + column].to_f32(), expected, bound, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn gated_maps_are_within_their_bound() {
    for activation in ACTIVATIONS {
        check_gated::<f32>(activation);
        check_gated::<bf16>(activation);
    }
}

fn check_cross_entropy<E: Operand>(scale: f32, is_biased: bool, cap: Option<SoftCap>) {
    for (rows, vocab, depth) in [(1, 1, 4), (7, 30, 32), (97, 304, 40), (20, 1000, 64)] {
        let a: Vec<f32> = numbers::<E>(12, rows * depth).iter().map(|x| x * scale).collect();
        let case = Case::<E>::of((rows, vocab, depth), a, numbers::<E>(13, vocab * depth));
        let bias = is_biased.then(|| numbers::<f32>(25, vocab));
        let vocabulary = Vocabulary { weights: &case.weights, bias: bias.as_deref(), cap };
        let logit = |row: usize, v: usize| {
            let (sum, bound) = dot(case.row(row), case.column(v));
            let sum = sum + bias.as_ref().map_or(0.0, |bias| f64::from(bias[v]));
            match cap {
                Some(SoftCap(cap)) => {
                    let capped = f64::from(cap) * (sum / f64::from(cap)).tanh();
                    (capped, bound + 20.0 * UNIT * capped.abs())
                }
                None => (sum, bound + UNIT * sum.abs()),
            }
        };
        let ids = 0..u32::try_from(vocab).expect("a small vocabulary");
        let targets: Vec<u32> = ids.cycle().skip(11).step_by(37).take(rows).collect();
        for instructions in Instructions::all() {
            let mut losses = vec![f32::NAN; rows];
            cross_entropy(instructions, case.left.rows(), vocabulary, &targets, &mut losses);
            for (row, loss) in losses.iter().enumerate() {
                let logits: Vec<(f64, f64)> = (0..vocab).map(|v| logit(row, v)).collect();
                let highest = logits.iter().map(|(logit, _)| *logit).fold(f64::MIN, f64::max);
                let sum: f64 = logits.iter().map(|(logit, _)| (logit - highest).exp()).sum();
                let expected = highest + sum.ln() - logits[targets[row] as usize].0;
                let bound = logits.iter().map(|(_, bound)| *bound).fold(0.0, f64::max);
                // each logit is off by `bound`; the sum by vocab / 16 additions and an exponential each
                let bound = 2.0 * bound + (vocab as f64 / 8.0 + 16.0) * UNIT + 4.0 * UNIT * (highest.abs() + expected);
                assert_close(*loss, expected, bound, &format!("{} {rows}×{vocab}, row {row}", instructions.level()));
            }
        }
    }
}

#[test]
fn cross_entropy_is_within_its_bound() {
    let caps = [3.0, 30.0, 1e4, 1e30].map(|cap| Some(SoftCap(cap)));
    for (is_biased, cap) in [(false, None), (true, None)].into_iter().chain(caps.map(|cap| (true, cap))) {
        check_cross_entropy::<f32>(1.0, is_biased, cap);
        check_cross_entropy::<bf16>(1.0, is_biased, cap);
        // logits of some hundreds: exp would overflow without the running maximum
        check_cross_entropy::<f32>(64.0, is_biased, cap);
        check_cross_entropy::<bf16>(64.0, is_biased, cap);
    }
}

#[test]
fn a_logit_that_is_no_number_gives_a_loss_that_is_none() {
    for instructions in Instructions::all() {
        let mut b = numbers::<f32>(14, 70 * 32);
        b[40 * 32] = f32::NAN;
        let case = Case::<f32>::of((2, 70, 32), numbers::<f32>(15, 64), b);
        let mut losses = vec![0.0; 2];
        for cap in [None, Some(SoftCap(20.0))] {
            let vocabulary = Vocabulary { weights: &case.weights, bias: None, cap };
            cross_entropy(instructions, case.left.rows(), vocabulary, &[1, 2], &mut losses);
        }
        assert!(losses.iter().all(|loss| loss.is_nan()), "{}: {losses:?}", instructions.level());
    }
}

#[test]
fn columns_are_read_back() {
    let values = numbers::<bf16>(16, 45 * 33);
    let weights = Weights::<bf16>::pack(&values, 45, 33);
    let mut column = vec![0.0; 33];
    for (index, expected) in values.chunks(33).enumerate() {
        weights.read_column(index, &mut column);
        assert_eq!(column, expected);
    }
}

/// The tiles' kernel itself, in an emulator where the processor has none.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn products_in_tiles_are_within_their_bound() {
    if Instructions::new(crate::Level::Avx512Bf16).is_err() {
        return; // epilogues beside tiles use AVX-512 with bfloat16
    }
    prepare_tiles();
    for shape in [(1, 1, 1), (33, 40, 65), (97, 64, 96)] {
        let case = Case::<bf16>::new(shape);
        let mut out = vec![f32::NAN; case.rows * case.columns];
        let mut store = Store { out: &mut out, stride: case.columns, columns: case.columns, bias: None };
        let rows = Rows::new(case.left.rows().rows, case.rows, case.depth);
        let product = Product::new(rows, case.weights.panels(), case.depth);
        // SAFETY: the processor has AVX-512 with bfloat16, and tiles or their emulator.
        unsafe { super::microkernel::multiply_amx(product, &mut store) };
        case.assert_product(&out, |_, _| 0.0, "tiles");
    }
}

/// Permission to use tiles where the processor has them, else their emulator.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn prepare_tiles() {
    if !crate::amx::is_available() {
        crate::amx_emulator::install();
    }
}

/// A product of int8 against float64 on the rounded operands, which is exact up to the last multiplications by the scales.
fn assert_int8_product(out: &[f32], x: &[f32], weights: &Int8Weights, (columns, depth): (usize, usize), what: &str) {
    let mut column_values = vec![0.0; depth];
    for column in 0..columns {
        weights.read_column(column, &mut column_values);
        for (row, x) in x.chunks(depth).enumerate() {
            let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let step = f64::from(largest) / 127.0;
            let (mut sum, mut weight) = (0.0, 0.0);
            for (x, w) in x.iter().zip(&column_values) {
                sum += f64::from(*x) * f64::from(*w);
                weight += f64::from(w.abs());
            }
            // half a step of each input, and where the kernel's own rounding falls the other way
            let bound = weight * step * 0.502 + sum.abs() * 8.0 * UNIT + 1e-6;
            assert_close(out[row * columns + column], sum, bound, &format!("{what} row {row}, column {column}"));
        }
    }
}

/// Rows under a norm, given a weight of ones or none, as the kernel rounds them and in float32.
#[expect(clippy::cast_possible_truncation, reason = "values that float32 is to hold")]
fn int8_rows(instructions: Instructions, x: &[f32], depth: usize, has_weight: bool) -> (Int8Rows, Vec<f32>) {
    let mut rows = Int8Rows::default();
    let ones = vec![1.0; depth];
    let weight = has_weight.then_some(ones.as_slice());
    Int8Weights::norm(instructions, x, Norm { width: depth, weight, eps: 0.0, basis: None }, &mut rows);
    let normed = x.chunks(depth).flat_map(|x| {
        let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / depth as f64;
        x.iter().map(move |x| (f64::from(*x) / mean.sqrt()) as f32).collect::<Vec<f32>>()
    });
    (rows, normed.collect())
}

#[test]
fn int8_products_are_within_their_bound_and_the_same_in_tiles() {
    for instructions in Instructions::all() {
        for (has_weight, (rows, columns, depth)) in [false, true].into_iter().cycle().zip([
            (1, 1, 3),
            (13, 40, 64),
            (97, 33, 100),
            (40, 64, 576),
            (40, 64, 576),
        ]) {
            let x = numbers::<f32>(17, rows * depth);
            let weights = Int8Weights::pack(&numbers::<f32>(18, columns * depth), columns, depth);
            let (left, normed) = int8_rows(instructions, &x, depth, has_weight);
            let mut out = vec![f32::NAN; rows * columns];
            project(instructions, InputRows { rows: &left, count: rows }, &weights, None, &mut out);
            assert_int8_product(&out, &normed, &weights, (columns, depth), instructions.level().as_str());
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            if instructions.level() == crate::Level::Avx512Bf16 && rows * columns * depth < 400_000 {
                prepare_tiles();
                let mut tiled = vec![f32::NAN; rows * columns];
                let mut store = Store { out: &mut tiled, stride: columns, columns, bias: None };
                // SAFETY: the processor has AVX-512 with bfloat16, and tiles or their emulator.
                unsafe { super::int8::multiply_amx(super::int8::Int8Product::new(&weights, &left, rows), &mut store) };
                assert_eq!(tiled, out, "integers are exact, so tiles give the same bits");
            }
        }
    }
}

#[test]
fn int8_rows_of_zeros_and_of_no_numbers_stay_what_they_are() {
    for instructions in Instructions::all() {
        let mut x = vec![0.0; 3 * 64];
        x[64 + 5] = f32::NAN;
        x[128..].copy_from_slice(&numbers::<f32>(19, 64));
        let weights = Int8Weights::pack(&numbers::<f32>(20, 40 * 64), 40, 64);
        for weight in [Some([1.0; 64].as_slice()), None] {
            let mut left = Int8Rows::default();
            Int8Weights::norm(instructions, &x, Norm { width: 64, weight, eps: 1e-5, basis: None }, &mut left);
            let mut out = vec![1.0; 3 * 40];
            project(instructions, InputRows { rows: &left, count: 3 }, &weights, None, &mut out);
            assert!(out[..40].iter().all(|y| *y == 0.0), "{:?}", &out[..40]);
            assert!(out[40..80].iter().all(|y| y.is_nan()) && out[80..].iter().all(|y| y.is_finite()));
        }
    }
}
