//! What lies between products, and the update, against float64 on every level.

use crate::reference::{UNIT, assert_close, numbers};
use crate::training::{
    AdamWFactors, AdamWState, CausalRows, HeadRows, NormInputs, Turn, absolute_and_square_sums, adamw_update,
    causal_softmax, causal_softmax_gradient, gate_rows, gate_rows_gradient, norm_rows, norm_rows_gradient, rotate_rows,
};
use crate::{Instructions, RotaryTable};

/// Lengths around those of vectors.
const WIDTHS: [usize; 8] = [1, 2, 7, 8, 16, 17, 40, 129];

/// A bound for sums of `count` terms below `size`, with exponentials of relative error 2⁻²² among them.
fn bound(count: usize, size: f64) -> f64 {
    (count as f64 + 24.0) * UNIT * size + 1e-36
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

#[test]
fn norms_and_their_gradients_are_within_their_bounds() {
    let (rows, eps) = (5, 1e-5_f32);
    for (width, instructions) in
        WIDTHS.into_iter().flat_map(|width| Instructions::all().map(move |level| (width, level)))
    {
        let (x, by_y) = (numbers::<f32>(31, rows * width), numbers::<f32>(32, rows * width));
        let weight = numbers::<f32>(33, width);
        let (mut out, mut inverse) = (vec![f32::NAN; rows * width], vec![f32::NAN; rows]);
        norm_rows(instructions, &x, (&weight, eps), &mut out, &mut inverse);
        let (before_x, before_weight) = (numbers::<f32>(34, rows * width), numbers::<f32>(35, width));
        let (mut by_x, mut by_weight) = (before_x.clone(), before_weight.clone());
        let inputs = NormInputs { x: &x, weight: &weight, inverse_rms: &inverse };
        norm_rows_gradient(instructions, inputs, &by_y, &mut by_x, &mut by_weight);
        let (x, by_y, weight) = (wide(&x), wide(&by_y), wide(&weight));
        let mut expected_weight = wide(&before_weight);
        let mut largest: f64 = 1.0;
        for row in 0..rows {
            let at = row * width..(row + 1) * width;
            let (x, by_y) = (&x[at.clone()], &by_y[at.clone()]);
            let squares = x.iter().map(|x| x * x).sum::<f64>() / width as f64;
            let r = (squares + f64::from(eps)).sqrt().recip();
            largest = largest.max(r);
            let along = (0..width).map(|i| x[i] * weight[i] * by_y[i]).sum::<f64>() / width as f64;
            for i in 0..width {
                let what = format!("{}: row {row}, column {i} of {width}", instructions.level());
                assert_close(out[at.start + i], x[i] * weight[i] * r, bound(width, r), &what);
                let slope = r * weight[i] * by_y[i] - x[i] * r * r * r * along;
                let expected = f64::from(before_x[at.start + i]) + slope;
                assert_close(by_x[at.start + i], expected, bound(3 * width, 1.0 + r + r * r * r), &what);
                expected_weight[i] += by_y[i] * x[i] * r;
            }
        }
        for (got, expected) in by_weight.iter().zip(&expected_weight) {
            assert_close(*got, *expected, bound(width + rows, 1.0 + rows as f64 * largest), "weight");
        }
    }
}

#[test]
fn gates_and_their_gradients_are_within_their_bounds() {
    let rows = 3;
    for (width, instructions) in
        WIDTHS.into_iter().flat_map(|width| Instructions::all().map(move |level| (width, level)))
    {
        let gate_up: Vec<f32> = numbers::<f32>(41, rows * 2 * width).iter().map(|x| x * 12.0).collect();
        let by_out = numbers::<f32>(42, rows * width);
        let (mut out, mut gradient) = (vec![f32::NAN; rows * width], gate_up.clone());
        gate_rows(instructions, &gate_up, width, &mut out);
        gate_rows_gradient(instructions, &by_out, width, &mut gradient);
        for at in 0..rows * width {
            let (row, column) = (at / width, at % width);
            let gate_at = row * 2 * width + column;
            let (gate, up) = (f64::from(gate_up[gate_at]), f64::from(gate_up[gate_at + width]));
            let (g, share) = (f64::from(by_out[at]), 1.0 / (1.0 + (-gate).exp()));
            let what = format!("{}: gate {gate}, up {up}", instructions.level());
            assert_close(out[at], gate * share * up, bound(4, 144.0), &what);
            let slope = share * (1.0 + gate * (1.0 - share));
            assert_close(gradient[gate_at], g * up * slope, bound(8, 144.0), &what);
            assert_close(gradient[gate_at + width], g * gate * share, bound(4, 12.0), &what);
        }
    }
}

#[test]
fn a_gate_far_from_zero_stays_finite() {
    for instructions in Instructions::all() {
        let mut gate_up = [-1e4, 1e4, 2.0, 2.0];
        let mut out = [f32::NAN; 2];
        gate_rows(instructions, &gate_up, 2, &mut out);
        assert!(out[0].abs() < 1e-30 && out[1] == 2e4, "{out:?}");
        gate_rows_gradient(instructions, &[1.0; 2], 2, &mut gate_up);
        assert!(gate_up[0].abs() < 1e-30 && gate_up[1] == 2.0 && gate_up[3] == 1e4, "{gate_up:?}");
    }
}

#[test]
fn causal_softmaxes_and_their_gradients_are_within_their_bounds() {
    for (first, rows) in [(0, 1), (0, 9), (5, 3), (16, 17)] {
        let keys = first + rows;
        let (stride, scale) = (keys + 3, 0.7_f32);
        let layout = CausalRows { rows, keys, stride, first, scale };
        let scores: Vec<f32> = numbers::<f32>(51, rows * stride).iter().map(|x| x * 9.0).collect();
        let by_p = numbers::<f32>(52, rows * stride);
        for instructions in Instructions::all() {
            let (mut probabilities, mut gradient) = (scores.clone(), by_p.clone());
            causal_softmax(instructions, &mut probabilities, layout);
            causal_softmax_gradient(instructions, &probabilities, &mut gradient, layout);
            for row in 0..rows {
                let at = row * stride;
                let seen = first + row + 1;
                let powers = scores[at..][..seen].iter().map(|x| (f64::from(*x) * f64::from(scale)).exp());
                let powers: Vec<f64> = powers.collect();
                let sum: f64 = powers.iter().sum();
                let mean: f64 = powers.iter().zip(&by_p[at..]).map(|(p, g)| p / sum * f64::from(*g)).sum();
                for key in 0..stride {
                    let what = format!("{}: row {row}, key {key} of {seen}", instructions.level());
                    let (p, g) = (probabilities[at + key], gradient[at + key]);
                    if key < seen {
                        let expected = powers[key] / sum;
                        assert_close(p, expected, bound(seen, 4.0 * expected), &what);
                        let slope = f64::from(scale) * expected * (f64::from(by_p[at + key]) - mean);
                        assert_close(g, slope, bound(seen, 16.0 * expected), &what);
                    } else if key < keys {
                        assert_eq!((p, g), (0.0, 0.0), "{what}");
                    } else {
                        assert_eq!((p, g), (scores[at + key], by_p[at + key]), "{what} is another's");
                    }
                }
            }
        }
    }
}

#[test]
fn rotations_turn_pairs_and_back() {
    for half in [1, 3, 8, 20] {
        let frequencies: Vec<f64> = (0..half).map(|i| 1.0 / f64::from(i + 1)).collect();
        let table = RotaryTable::new(&frequencies, 6);
        let half = frequencies.len();
        let rows = HeadRows { stride: 5 * half, heads: 2, head_width: 2 * half };
        let values = numbers::<f32>(61, 6 * 5 * half);
        for instructions in Instructions::all() {
            let mut turned = values.clone();
            rotate_rows(instructions, &mut turned, rows, &table, Turn::Forwards);
            for (at, got) in turned.iter().enumerate() {
                let (position, column) = (at / rows.stride, at % rows.stride);
                if column >= 4 * half {
                    assert_eq!(*got, values[at], "what is in no head is left alone");
                    continue;
                }
                let (sin, cos) = (position as f64 * frequencies[column % half]).sin_cos();
                let (x, sign) =
                    if column % (2 * half) < half { (values[at + half], -1.0) } else { (values[at - half], 1.0) };
                let expected = f64::from(values[at]) * cos + sign * f64::from(x) * sin;
                assert_close(*got, expected, bound(2, 2.0), &format!("{}: {position}, {column}", instructions.level()));
            }
            rotate_rows(instructions, &mut turned, rows, &table, Turn::Backwards);
            for (got, x) in turned.iter().zip(&values) {
                assert_close(*got, f64::from(*x), bound(4, 4.0), "there and back");
            }
        }
    }
}

#[test]
fn updates_follow_their_formula() {
    let factors =
        AdamWFactors { gradient: 0.5, beta1: 0.9, beta2: 0.95, keep: 0.99, rate: 0.01, spread: 1.7, eps: 1e-8 };
    for count in WIDTHS {
        let (gradient, before) = (numbers::<f32>(71, count), numbers::<f32>(72, count));
        let first = numbers::<f32>(73, count);
        let second: Vec<f32> = numbers::<f32>(74, count).iter().map(|x| x * x).collect();
        for instructions in Instructions::all() {
            let (mut p, mut m, mut v) = (before.clone(), first.clone(), second.clone());
            let state = AdamWState { parameters: &mut p, first: &mut m, second: &mut v };
            adamw_update(instructions, factors, &gradient, state);
            for at in 0..count {
                let g = 0.5 * f64::from(gradient[at]);
                let (beta1, beta2) = (f64::from(0.9_f32), f64::from(0.95_f32));
                let expected_m = beta1 * f64::from(first[at]) + f64::from(1.0 - 0.9_f32) * g;
                let expected_v = beta2 * f64::from(second[at]) + f64::from(1.0 - 0.95_f32) * g * g;
                assert_close(m[at], expected_m, bound(0, 1.0), "first moment");
                assert_close(v[at], expected_v, bound(0, 1.0), "second moment");
                let spread = f64::from(1.7_f32) * f64::from(v[at]).sqrt() + f64::from(1e-8_f32);
                let step = f64::from(m[at]) / spread;
                let expected = f64::from(0.99_f32) * f64::from(before[at]) - f64::from(0.01_f32) * step;
                assert_close(p[at], expected, bound(0, 1.0 + step.abs() * 0.01), &format!("{}", instructions.level()));
            }
        }
    }
}

#[test]
fn sums_are_those_of_float64() {
    for count in [0, 1, 255, 256, 257, 3001] {
        let x = numbers::<f32>(81, count);
        let wide = wide(&x);
        for instructions in Instructions::all() {
            let (absolutes, squares) = absolute_and_square_sums(instructions, &x);
            let expected: f64 = wide.iter().map(|x| x.abs()).sum();
            assert!((absolutes - expected).abs() <= 64.0 * UNIT * expected, "{absolutes} and {expected}");
            let expected: f64 = wide.iter().map(|x| x * x).sum();
            assert!((squares - expected).abs() <= 64.0 * UNIT * expected, "{squares} and {expected}");
        }
    }
    for instructions in Instructions::all() {
        let (absolutes, squares) = absolute_and_square_sums(instructions, &[1.0, f32::NAN, 2.0]);
        assert!(absolutes.is_nan() && squares.is_nan());
    }
}
