//! The cross-entropy and its gradient.

use half::bf16;

use crate::Instructions;
use crate::reference::{UNIT, assert_close, dot, numbers};
use crate::training::{
    Arithmetic, CrossEntropyGradient, MatrixView, MatrixViewMut, Predictions, cross_entropy_gradient,
    cross_entropy_losses,
};

/// Hidden states, weights and targets.
struct Case {
    rows: usize,
    vocab: usize,
    width: usize,
    hidden: Vec<f32>,
    weights: Vec<f32>,
    targets: Vec<Option<u32>>,
}

/// What comes out, one after the other: losses, gradient by the hidden states, gradient by the weights.
struct Outcome {
    losses: Vec<f32>,
    hidden: Vec<f32>,
    weights: Vec<f32>,
}

impl Case {
    /// Numbers without a pattern that rounding does not change, hidden states multiplied by `factor`; every fifth prediction does not count.
    fn new((rows, vocab, width): (usize, usize, usize), factor: f32) -> Self {
        let hidden = numbers::<f32>(21, rows * width).iter().map(|x| bf16::from_f32(x * factor).to_f32()).collect();
        let weights = numbers::<bf16>(22, vocab * width);
        let ids = 0..u32::try_from(vocab).expect("a small vocabulary");
        let ids = ids.cycle().skip(3).step_by(37);
        let targets = ids.take(rows).enumerate().map(|(row, id)| (row % 5 != 4).then_some(id)).collect();
        Self { rows, vocab, width, hidden, weights, targets }
    }

    /// Computes everything; the gradient by the weights begins as `before`.
    fn run(&self, instructions: Instructions, scale: f32, before: Vec<f32>, arithmetic: Arithmetic) -> Outcome {
        let mut losses = vec![f32::NAN; self.rows];
        let mut hidden = vec![f32::NAN; self.rows * self.width];
        let mut weights = before;
        let predictions = Predictions {
            hidden: MatrixView::new(&self.hidden, self.rows, self.width),
            weights: MatrixView::new(&self.weights, self.vocab, self.width),
            targets: &self.targets,
        };
        let gradient = CrossEntropyGradient {
            losses: &mut losses,
            hidden: MatrixViewMut::new(&mut hidden, self.rows, self.width),
            weights: MatrixViewMut::new(&mut weights, self.vocab, self.width),
        };
        cross_entropy_gradient(instructions, predictions, scale, gradient, arithmetic);
        Outcome { losses, hidden, weights }
    }

    fn zeros(&self) -> Vec<f32> {
        vec![0.0; self.vocab * self.width]
    }

    fn hidden_row(&self, row: usize) -> &[f32] {
        &self.hidden[row * self.width..][..self.width]
    }

    fn weight_row(&self, id: usize) -> &[f32] {
        &self.weights[id * self.width..][..self.width]
    }

    /// Logits of a row in float64, and the bound of their error in float32.
    fn logits(&self, row: usize) -> (Vec<f64>, f64) {
        let logits: Vec<_> = (0..self.vocab).map(|id| dot(self.hidden_row(row), self.weight_row(id))).collect();
        let bound = logits.iter().map(|(_, bound)| *bound).fold(0.0, f64::max);
        (logits.into_iter().map(|(logit, _)| logit).collect(), bound)
    }
}

/// log Σ exp(logits).
fn log_sum(logits: &[f64]) -> f64 {
    let highest = logits.iter().copied().fold(f64::MIN, f64::max);
    highest + logits.iter().map(|logit| (logit - highest).exp()).sum::<f64>().ln()
}

/// Checks losses and both gradients of every level against float64.
fn check(shape: (usize, usize, usize), factor: f32) {
    let case = Case::new(shape, factor);
    let (rows, vocab, width) = shape;
    let scale = 0.125;
    let before = numbers::<f32>(23, vocab * width);
    // gradients by the logits and the bounds of their errors: `(rows, vocab)`
    let (mut by_logits, mut errors) = (vec![0.0; rows * vocab], vec![0.0; rows * vocab]);
    // roundings of a sum of exponentials in eight lanes or more, of each of them and of what follows
    let sum_error = (vocab as f64 / 8.0 + 24.0) * UNIT;
    let mut losses = vec![(0.0, 0.0); rows];
    for (row, target) in case.targets.iter().enumerate() {
        let Some(target) = target.map(|target| target as usize) else { continue };
        let (logits, bound) = case.logits(row);
        let normaliser = log_sum(&logits);
        let loss = normaliser - logits[target];
        let highest = logits.iter().copied().fold(f64::MIN, f64::max);
        let depth = highest - logits[target];
        losses[row] = (loss, 2.0 * bound + sum_error + 4.0 * UNIT * (loss.abs() + depth));
        for (id, logit) in logits.iter().enumerate() {
            let probability = (logit - normaliser).exp();
            let at = row * vocab + id;
            by_logits[at] = f64::from(scale) * (probability - f64::from(u8::from(id == target)));
            // a difference of logits is rounded, and exponentials end at e^−87
            let relative = (2.0 * bound + 2.0 * UNIT * (highest - logit).abs()).exp_m1() + sum_error;
            errors[at] = f64::from(scale) * (probability * relative + 2.0 * UNIT + 1e-36);
        }
    }
    let both = |instructions| [(instructions, Arithmetic::Float32), (instructions, Arithmetic::Bfloat16(instructions))];
    for (instructions, arithmetic) in Instructions::all().flat_map(both) {
        let outcome = case.run(instructions, scale, before.clone(), arithmetic);
        let level = format!("{} {arithmetic:?}", instructions.level());
        // the gradient by the logits is what is rounded, by up to 2⁻⁸ of it
        let rounding = if arithmetic == Arithmetic::Float32 { 0.0 } else { 1.0 / 256.0 };
        let errors: Vec<f64> =
            errors.iter().zip(&by_logits).map(|(error, by)| error * (1.0 + rounding) + by.abs() * rounding).collect();
        for (row, (loss, bound)) in losses.iter().enumerate() {
            assert_close(outcome.losses[row], *loss, *bound, &format!("{level}: loss {row} of {shape:?}"));
        }
        for at in 0..rows * width {
            let (row, column) = (at / width, at % width);
            let terms = (0..vocab).map(|id| {
                let weight = f64::from(case.weights[id * width + column]);
                (by_logits[row * vocab + id], errors[row * vocab + id], weight)
            });
            let (sum, bound) = weighted(terms, vocab);
            assert_close(outcome.hidden[at], sum, bound, &format!("{level}: row {row}, column {column} of {shape:?}"));
        }
        for (at, kept) in before.iter().enumerate() {
            let (id, column) = (at / width, at % width);
            let terms = (0..rows).map(|row| {
                let hidden = f64::from(case.hidden[row * width + column]);
                (by_logits[row * vocab + id], errors[row * vocab + id], hidden)
            });
            let (sum, bound) = weighted(terms, rows);
            let sum = sum + f64::from(*kept);
            let bound = bound + 8.0 * UNIT * (1.0 + sum.abs());
            assert_close(
                outcome.weights[at],
                sum,
                bound,
                &format!("{level}: token {id}, column {column} of {shape:?}"),
            );
        }
    }
}

/// The sum of `(gradient, its error, factor)` over gradient · factor, and the bound of its float32 twin of `count` terms.
fn weighted(terms: impl Iterator<Item = (f64, f64, f64)>, count: usize) -> (f64, f64) {
    terms.fold((0.0, 1e-37), |(sum, bound), (gradient, error, factor)| {
        let rounding = (count as f64 + 1.0) * UNIT * (gradient.abs() + error);
        (sum + gradient * factor, bound + factor.abs() * (error + rounding))
    })
}

#[test]
fn losses_and_gradients_are_within_their_bounds() {
    for shape in [(1, 1, 4), (2, 31, 1), (31, 33, 97), (97, 304, 40), (33, 1000, 31)] {
        check(shape, 1.0);
    }
}

#[test]
fn several_chunks_of_rows_are_within_their_bounds() {
    check((1030, 37, 8), 1.0);
    check((530, 300, 8), 1.0);
}

#[test]
fn large_logits_are_within_their_bounds() {
    // logits of a few hundred and of a few ten thousand
    for factor in [200.0, 20_000.0] {
        check((20, 70, 16), factor);
        // and those of several blocks of the vocabulary apart
        check((20, 600, 16), factor);
    }
}

/// The loss as a function of all numbers in float64, of which each is moved by a little.
#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let case = Case::new((9, 23, 7), 1.5);
    let scale = 0.2_f32;
    let outcome = case.run(Instructions::of_family(), scale, case.zeros(), Arithmetic::Float32);
    let (rows, vocab, width) = (case.rows, case.vocab, case.width);
    let loss = |hidden: &[f64], weights: &[f64]| -> f64 {
        let losses = (0..rows).filter_map(|row| {
            let target = case.targets[row]? as usize;
            let hidden = &hidden[row * width..][..width];
            let logits: Vec<f64> = (0..vocab)
                .map(|id| hidden.iter().zip(&weights[id * width..][..width]).map(|(h, w)| h * w).sum())
                .collect();
            Some(log_sum(&logits) - logits[target])
        });
        f64::from(scale) * losses.sum::<f64>()
    };
    let widened = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    let (mut hidden, mut weights) = (widened(&case.hidden), widened(&case.weights));
    let step = 1e-5;
    // third derivatives are below one here, so that a slope is off by less than step²; the rest is float32
    let bound = 2e-6;
    for at in 0..rows * width {
        let x = hidden[at];
        hidden[at] = x + step;
        let above = loss(&hidden, &weights);
        hidden[at] = x - step;
        let slope = (above - loss(&hidden, &weights)) / (2.0 * step);
        hidden[at] = x;
        assert_close(outcome.hidden[at], slope, bound, &format!("hidden {at}"));
    }
    for at in 0..vocab * width {
        let x = weights[at];
        weights[at] = x + step;
        let above = loss(&hidden, &weights);
        weights[at] = x - step;
        let slope = (above - loss(&hidden, &weights)) / (2.0 * step);
        weights[at] = x;
        assert_close(outcome.weights[at], slope, bound, &format!("weight {at}"));
    }
}

#[test]
fn predictions_that_do_not_count_change_nothing() {
    let mut case = Case::new((12, 50, 9), 1.0);
    let all = case.run(Instructions::of_family(), 1.0, case.zeros(), Arithmetic::Float32);
    for row in [4, 9] {
        assert_eq!(case.targets[row], None);
        assert_eq!(all.losses[row].to_bits(), 0);
        assert!(all.hidden[row * 9..][..9].iter().all(|x| *x == 0.0), "row {row} has a gradient");
        case.hidden[row * 9..][..9].fill(1e3);
    }
    let changed = case.run(Instructions::of_family(), 1.0, case.zeros(), Arithmetic::Float32);
    assert_eq!((all.losses, all.hidden, all.weights), (changed.losses, changed.hidden, changed.weights));
    case.targets.fill(None);
    let none = case.run(Instructions::of_family(), 1.0, case.zeros(), Arithmetic::Float32);
    assert!(none.losses.iter().chain(&none.hidden).chain(&none.weights).all(|x| *x == 0.0));
}

#[test]
fn rows_may_lie_apart() {
    let case = Case::new((6, 20, 5), 1.0);
    let packed = case.run(Instructions::of_family(), 1.0, case.zeros(), Arithmetic::Float32);
    let spread =
        |values: &[f32]| values.chunks(5).flat_map(|row| row.iter().copied().chain([f32::NAN; 3])).collect::<Vec<_>>();
    let (hidden, weights) = (spread(&case.hidden), spread(&case.weights));
    let (mut losses, mut by_hidden, mut by_weights) = (vec![0.0; 6], vec![7.0; 6 * 8], spread(&case.zeros()));
    let predictions = Predictions {
        hidden: MatrixView::with_stride(&hidden, 6, 5, 8),
        weights: MatrixView::with_stride(&weights, 20, 5, 8),
        targets: &case.targets,
    };
    let gradient = CrossEntropyGradient {
        losses: &mut losses,
        hidden: MatrixViewMut::with_stride(&mut by_hidden, 6, 5, 8),
        weights: MatrixViewMut::with_stride(&mut by_weights, 20, 5, 8),
    };
    cross_entropy_gradient(Instructions::of_family(), predictions, 1.0, gradient, Arithmetic::Float32);
    let near = |got: &[f32], expected: &[f32]| {
        for (got, expected) in got.chunks(8).zip(expected.chunks(5)) {
            got.iter().zip(expected).for_each(|(got, x)| assert_close(*got, f64::from(*x), 1e-5, "with a gap"));
        }
    };
    near(&by_hidden, &packed.hidden);
    near(&by_weights, &packed.weights);
    assert!(by_hidden.chunks(8).all(|row| row[5..] == [7.0; 3]), "the gap is written");
}

#[test]
fn a_hidden_state_that_is_no_number_shows_in_its_loss() {
    let mut case = Case::new((4, 40, 6), 1.0);
    case.hidden[6] = f32::NAN;
    for instructions in Instructions::all() {
        let outcome = case.run(instructions, 1.0, case.zeros(), Arithmetic::Float32);
        assert_eq!(outcome.losses.iter().map(|loss| loss.is_nan()).collect::<Vec<_>>(), [false, true, false, false]);
        assert!(outcome.hidden[6..12].iter().all(|x| x.is_nan()), "{}", instructions.level());
    }
}

#[test]
fn no_rows_leave_the_gradient_of_the_weights_alone() {
    let case = Case::new((0, 10, 3), 1.0);
    let before = numbers::<f32>(25, 30);
    let outcome = case.run(Instructions::of_family(), 1.0, before.clone(), Arithmetic::Float32);
    assert_eq!((outcome.losses.len(), outcome.weights), (0, before));
}

#[test]
#[should_panic(expected = "target Some(10) of row 1 is not in the vocabulary of 10")]
fn a_target_outside_of_the_vocabulary_is_refused() {
    let mut case = Case::new((2, 10, 3), 1.0);
    case.targets[1] = Some(10);
    case.run(Instructions::of_family(), 1.0, case.zeros(), Arithmetic::Float32);
}

#[test]
#[should_panic(expected = "a target and a loss for each row")]
fn a_missing_target_is_refused() {
    let mut case = Case::new((3, 10, 3), 1.0);
    case.targets.pop();
    case.run(Instructions::of_family(), 1.0, case.zeros(), Arithmetic::Float32);
}

#[test]
fn losses_alone_have_the_same_bits() {
    let case = Case::new((530, 301, 9), 3.0);
    let both = |instructions| [(instructions, Arithmetic::Float32), (instructions, Arithmetic::Bfloat16(instructions))];
    for (instructions, arithmetic) in Instructions::all().flat_map(both) {
        let outcome = case.run(instructions, 0.5, case.zeros(), arithmetic);
        let mut losses = vec![f32::NAN; case.rows];
        let predictions = Predictions {
            hidden: MatrixView::new(&case.hidden, case.rows, case.width),
            weights: MatrixView::new(&case.weights, case.vocab, case.width),
            targets: &case.targets,
        };
        cross_entropy_losses(instructions, predictions, &mut losses, arithmetic);
        assert_eq!(losses, outcome.losses);
    }
}

/// Logits that overflow to −∞ have no probability, in whichever blocks of the vocabulary they are.
#[test]
fn infinitely_small_logits_count_nothing() {
    for (first, last) in [(0, 256), (256, 512), (512, 513)] {
        let mut case = Case::new((3, 513, 1), 1.0);
        case.hidden.fill(1e20);
        case.weights.fill(0.0);
        case.weights[first..last].fill(-1e20);
        case.targets.fill(Some(if first == 0 { 300 } else { 7 }));
        for instructions in Instructions::all() {
            let outcome = case.run(instructions, 1.0, case.zeros(), Arithmetic::Float32);
            let expected = ((513 - (last - first)) as f64).ln();
            for loss in outcome.losses {
                assert_close(loss, expected, 1e-5, &format!("{}, from {first}", instructions.level()));
            }
            assert!(outcome.weights.iter().all(|x| x.is_finite()), "{}", instructions.level());
        }
    }
}
