//! Losses, gradients and 200 steps of PyTorch; `tests/golden/make_golden.py` made the numbers.

use headwater_schedule::{Curve, WsdSteps};
use safetensors::SafeTensors;

use super::*;

/// As the script has them.
const SEQUENCES: usize = 5;
const LENGTH: usize = 70;
const VOCABULARY: u32 = 61;

/// A file of the script.
struct Golden(SafeTensors<'static>);

impl Golden {
    fn numbers(&self, name: &str) -> Vec<f32> {
        let tensor = self.0.tensor(name).expect("a tensor of that name");
        tensor.data().as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect()
    }

    /// A trainer that begins with the script's parameters and has its settings.
    fn trainer(&self, shape: Shape) -> Trainer {
        let layout = crate::Layout::new(&shape);
        let values = layout.tensors().iter().flat_map(|tensor| self.numbers(&tensor.name)).collect();
        let parameters = Parameters::from_values(&shape, values).expect("parameters of that shape");
        let settings = Settings { clip: Some(0.6), ..settings(shape, SEQUENCES, LENGTH) };
        let phases = WsdSteps { steps: 200, warmup_steps: 20, decay_steps: 60 };
        let schedule = Schedule::wsd(phases, Curve::OneMinusSqrt, 0.01, 0.0).expect("a sound schedule");
        Trainer::with_parameters(settings, schedule, parameters).expect("sound settings")
    }
}

fn both() -> [(Golden, Shape); 2] {
    let parse = |bytes| Golden(SafeTensors::deserialize(bytes).expect("a file of the script"));
    let grouped = Shape {
        vocabulary: VOCABULARY as usize,
        width: 16,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_width: 6,
        hidden: 20,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
        tied: false,
    };
    let tied =
        Shape { width: 24, heads: 2, head_width: 12, hidden: 40, rope_theta: 500.0, tied: true, ..grouped.clone() };
    [
        (parse(include_bytes!("../../../tests/golden/grouped.safetensors")), grouped),
        (parse(include_bytes!("../../../tests/golden/tied.safetensors")), tied),
    ]
}

/// The batch of a step, as the script draws it.
fn batch(step: u64) -> Vec<u32> {
    let mut tokens = Vec::new();
    for sequence in 0..SEQUENCES as u64 {
        let mut token = (step * 17 + sequence * 29) % u64::from(VOCABULARY);
        for place in 0..=LENGTH as u64 {
            tokens.push(u32::try_from(token).expect("a small token"));
            let draw = (((step * 31 + sequence) * 1009 + place) * 2_654_435_761 % (1 << 32)) >> 16;
            token = (3 * token + 1 + draw % 3) % u64::from(VOCABULARY);
        }
    }
    tokens
}

#[test]
fn losses_and_gradients_are_those_of_pytorch() {
    for (golden, shape) in both() {
        let trainer = golden.trainer(shape);
        let (gradient, losses) = gradient(&trainer, &batch(0));
        for (got, expected) in losses.iter().zip(golden.numbers("losses")) {
            assert!((got - expected).abs() <= 1e-5 * (1.0 + expected), "{got} and {expected}");
        }
        for tensor in trainer.parameters.layout().tensors() {
            let expected = golden.numbers(&format!("gradient.{}", tensor.name));
            let got = &gradient[tensor.place.clone()];
            assert_eq!(got.len(), expected.len());
            let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
            let difference = norm(&mut got.iter().zip(&expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
            let relative = difference / norm(&mut expected.iter().map(|x| f64::from(*x)));
            assert!(relative <= 1e-5, "{}: {relative:e}", tensor.name);
            let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            for (got, expected) in got.iter().zip(&expected) {
                let bound = 1e-4 * expected.abs() + 1e-6 * largest;
                assert!((got - expected).abs() <= bound, "{}: {got} and {expected}", tensor.name);
            }
        }
    }
}

/// Products of numbers that are rounded by up to 2⁻⁸ each, in a dozen layers of products one on the other, against PyTorch in float32: no gradient
/// is off by more than 1.3 %, and no loss of 200 steps by more than 0.0017.
#[test]
fn bfloat16_is_near_float32() {
    for (golden, shape) in both() {
        let mut trainer = golden.trainer(shape);
        trainer.settings.precision = Precision::Bf16;
        let (gradient, losses) = gradient(&trainer, &batch(0));
        let (got, expected) = (mean(&losses), mean(&golden.numbers("losses")));
        assert!(got != expected && (got - expected).abs() <= 1e-3, "{got} and {expected}");
        for tensor in trainer.parameters.layout().tensors() {
            let expected = golden.numbers(&format!("gradient.{}", tensor.name));
            let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
            let difference = norm(&mut gradient[tensor.place.clone()].iter().zip(&expected).map(|(a, b)| a - b));
            let relative = difference / norm(&mut expected.iter().copied());
            assert!(relative <= 0.02, "{}: {relative:e}", tensor.name);
        }
        let mut most: f64 = 0.0;
        for (step, expected) in (0..).zip(golden.numbers("curve").chunks_exact(3)) {
            let log = trainer.step(&batch(step)).expect("a step");
            most = most.max((log.loss - f64::from(expected[0])).abs());
        }
        println!("200 steps: loss is at most {most:e} from PyTorch's");
        assert!(most <= 4e-3, "{most:e}");
    }
}

#[test]
fn two_hundred_steps_follow_pytorch() {
    for (golden, shape) in both() {
        let mut trainer = golden.trainer(shape);
        let mut most: f64 = 0.0;
        let mut clipped = 0;
        for (step, expected) in (0..).zip(golden.numbers("curve").chunks_exact(3)) {
            let log = trainer.step(&batch(step)).expect("a step");
            let [loss, l2, l1] = [0, 1, 2].map(|column| f64::from(expected[column]));
            most = most.max((log.loss - loss).abs());
            clipped += usize::from(log.l2 > 0.6);
            assert!((log.loss - loss).abs() <= 1e-3, "step {step}: loss {} and {loss}", log.loss);
            // norms of gradients that drifted apart by rounding
            assert!((log.l2 / l2 - 1.0).abs() <= 0.02, "step {step}: l2 {} and {l2}", log.l2);
            assert!((log.l1 / l1 - 1.0).abs() <= 0.02, "step {step}: l1 {} and {l1}", log.l1);
        }
        println!("loss is at most {most:e} from PyTorch's; {clipped} of 200 steps are clipped");
        assert!(trainer.completed() == 200 && (1..200).contains(&clipped));
    }
}
