//! Gradients against finite differences of the float64 twin and against PyTorch, and bytes for any number of threads.

mod torch;

use headwater_schedule::{Curve, WsdSteps};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::network::Workspace;
use crate::twin::Twin;
use crate::{AdamW, Precision, Shape};

/// A tiny shape: grouped, its heads wider together than the hidden state, its matrices apart.
fn grouped() -> Shape {
    Shape {
        vocabulary: 11,
        width: 6,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_width: 4,
        hidden: 7,
        rope_theta: 100.0,
        norm_eps: 1e-5,
        tied: false,
    }
}

fn shapes() -> [Shape; 4] {
    [
        grouped(),
        Shape { tied: true, ..grouped() },
        Shape { heads: 1, kv_heads: 1, head_width: 2, layers: 1, tied: true, ..grouped() },
        Shape { heads: 3, kv_heads: 3, width: 9, hidden: 17, layers: 3, ..grouped() },
    ]
}

fn schedule(steps: u64) -> Schedule {
    let phases = WsdSteps { steps, warmup_steps: steps / 10, decay_steps: steps / 4 };
    Schedule::wsd(phases, Curve::OneMinusSqrt, 0.01, 0.0).expect("a sound schedule")
}

fn settings(shape: Shape, sequences: usize, length: usize) -> Settings {
    Settings {
        shape,
        sequences,
        length,
        optimiser: AdamW::default(),
        clip: Some(1.0),
        seed: 5,
        precision: Precision::F32,
    }
}

/// A trainer whose parameters are large enough for everything to matter, and a batch of tokens.
fn case(shape: Shape, sequences: usize, length: usize) -> (Trainer, Vec<u32>) {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut trainer = Trainer::new(settings(shape, sequences, length), schedule(40)).expect("sound settings");
    trainer.parameters.values_mut().iter_mut().for_each(|x| *x += random.random_range(-0.5..0.5));
    let vocabulary = u32::try_from(trainer.settings.shape.vocabulary).expect("a small vocabulary");
    let tokens = (0..sequences * (length + 1)).map(|_| random.random_range(0..vocabulary)).collect();
    (trainer, tokens)
}

/// The gradient of the mean loss of a batch, and its losses.
fn gradient(trainer: &Trainer, tokens: &[u32]) -> (Vec<f32>, Vec<f32>) {
    let predicted = tokens.len() / (trainer.settings.length + 1) * trainer.settings.length;
    let mut losses = vec![f32::NAN; predicted];
    let batch = Batch { tokens, scale: mean_scale(predicted) };
    (batch.gradient(&trainer.network(trainer.settings.precision), &trainer.pools, &mut losses), losses)
}

/// The mean loss of a batch in float64.
fn twin_loss(trainer: &Trainer, parameters: &[f64], tokens: &[u32]) -> f64 {
    let sequences = tokens.chunks_exact(trainer.settings.length + 1);
    let twin = Twin::new(&trainer.settings.shape);
    let losses: Vec<f64> = sequences.flat_map(|tokens| twin.losses(parameters, tokens)).collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool").install(work)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Checks the gradient by every parameter against central differences of the twin.
fn check_slopes(shape: Shape, sequences: usize, length: usize) {
    let (trainer, tokens) = case(shape, sequences, length);
    let (gradient, losses) = gradient(&trainer, &tokens);
    let mut parameters: Vec<f64> = trainer.parameters.values().iter().map(|x| f64::from(*x)).collect();
    let expected = twin_loss(&trainer, &parameters, &tokens);
    assert!((mean(&losses) - expected).abs() < 2e-6 * expected, "loss {} instead of {expected}", mean(&losses));
    // third derivatives are below a thousand here, so that a slope is off by less than 1e-7; the rest is float32
    let step = 1e-5;
    for tensor in trainer.parameters.layout().tensors() {
        let largest = gradient[tensor.place.clone()].iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let bound = 1e-7 + 1e-5 * f64::from(largest);
        for at in tensor.place.clone() {
            let x = parameters[at];
            parameters[at] = x + step;
            let above = twin_loss(&trainer, &parameters, &tokens);
            parameters[at] = x - step;
            let slope = (above - twin_loss(&trainer, &parameters, &tokens)) / (2.0 * step);
            parameters[at] = x;
            let (got, place) = (f64::from(gradient[at]), at - tensor.place.start);
            assert!((got - slope).abs() <= bound, "{} at {place}: {got}, not {slope}", tensor.name);
        }
    }
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    for shape in shapes() {
        check_slopes(shape, 2, 5);
    }
}

#[test]
fn gradients_of_several_blocks_of_queries_are_the_slopes_of_the_loss() {
    check_slopes(Shape { layers: 1, width: 4, hidden: 3, vocabulary: 5, ..grouped() }, 1, 131);
}

#[test]
fn a_sequence_of_one_token_has_a_gradient() {
    check_slopes(grouped(), 2, 1);
}

#[test]
fn probabilities_that_are_computed_again_have_the_same_bits() {
    let (trainer, tokens) = case(grouped(), 1, 150);
    let network = trainer.network(Precision::F32);
    let run = |mut work: Workspace| {
        let (mut losses, mut sums) = (vec![f32::NAN; 150], vec![0.0; trainer.parameters.values().len()]);
        network.add_gradient(&tokens, 0.5, &mut work, (&mut losses, &mut sums));
        (bits(&losses), bits(&sums))
    };
    let shape = &trainer.settings.shape;
    assert!(run(Workspace::new(shape, 150)) == run(Workspace::forgetting(shape, 150)));
}

#[test]
fn steps_have_the_same_bytes_for_any_number_of_threads() {
    // leaves of the tree that are full and not, and sums of more than one piece
    for (sequences, precision) in [1, 4, 7].into_iter().flat_map(|n| [(n, Precision::F32), (n, Precision::Bf16)]) {
        let run = |threads| {
            on_threads(threads, || {
                let shape = Shape { vocabulary: 600, width: 32, heads: 4, head_width: 8, ..grouped() };
                let (mut trainer, tokens) = case(shape, sequences, 70);
                trainer.settings.precision = precision;
                let logs: Vec<_> = (0..4).map(|_| trainer.step(&tokens).expect("a step")).collect();
                let losses = trainer.losses(&tokens).expect("losses");
                (logs, bits(trainer.parameters.values()), bits(&trainer.second), bits(&losses))
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3), "{sequences} sequences, {precision:?}");
    }
}

#[test]
fn losses_are_those_of_the_twin_and_of_a_step() {
    let (mut trainer, tokens) = case(grouped(), 3, 9);
    let losses = trainer.losses(&tokens).expect("losses");
    let parameters: Vec<f64> = trainer.parameters.values().iter().map(|x| f64::from(*x)).collect();
    for (losses, tokens) in losses.chunks_exact(9).zip(tokens.chunks_exact(10)) {
        let expected = Twin::new(&trainer.settings.shape).losses(&parameters, tokens);
        losses.iter().zip(&expected).for_each(|(got, x)| assert!((f64::from(*got) - x).abs() < 1e-5 * (1.0 + x)));
    }
    assert_eq!(bits(&losses), bits(&gradient(&trainer, &tokens).1));
    assert_eq!(bits(&losses[9..]), bits(&trainer.losses(&tokens[10..]).expect("losses")));
    assert_eq!(trainer.step(&tokens).expect("a step").loss, mean(&losses));
}

#[test]
fn training_goes_down() {
    let (mut trainer, tokens) = case(grouped(), 4, 12);
    let before = trainer.step(&tokens).expect("a step").loss;
    let after = (1..40).map(|_| trainer.step(&tokens).expect("a step").loss).last().expect("steps");
    assert!(after < 0.8 * before, "from {before} to {after}");
}

#[test]
fn a_gradient_is_clipped_to_its_norm() {
    // with moments that keep nothing and a large ε a step is the clipped gradient itself
    let optimiser = AdamW { beta1: 0.0, beta2: 0.0, eps: 1e6, weight_decay: 0.0 };
    let moved = |clip| {
        let (mut trainer, tokens) = case(grouped(), 2, 8);
        trainer.settings.optimiser = optimiser;
        trainer.settings.clip = clip;
        trainer.step = 20;
        let before = trainer.parameters.values().to_vec();
        let log = trainer.step(&tokens).expect("a step");
        assert_eq!(trainer.first.len(), before.len());
        (log.l2, norms(trainer.instructions, &trainer.first).1)
    };
    let (l2, kept) = moved(None);
    assert!((kept / l2 - 1.0).abs() < 1e-6);
    assert!((moved(Some(l2 * 2.0)).1 / l2 - 1.0).abs() < 1e-6, "a smaller gradient is left");
    assert!((moved(Some(0.25)).1 / 0.25 - 1.0).abs() < 1e-5);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (mut trainer, mut tokens) = case(grouped(), 2, 8);
    let before = bits(trainer.parameters.values());
    let error = trainer.step(&tokens[1..]).expect_err("a token too few").to_string();
    assert_eq!(error, "tokens of a batch: 17, not 18");
    let error = trainer.losses(&tokens[1..]).expect_err("a token too few").to_string();
    assert_eq!(error, "tokens: 17, not a multiple of 9");
    tokens[17] = 11;
    let message = "token 11 at place 17 is not in the vocabulary of 11";
    assert_eq!(trainer.step(&tokens).expect_err("no such token").to_string(), message);
    assert_eq!(trainer.losses(&tokens).expect_err("no such token").to_string(), message);
    assert_eq!((trainer.completed(), before), (0, bits(trainer.parameters.values())));
    assert_eq!(trainer.losses(&[]).expect("no losses"), [0.0; 0]);
}

#[test]
fn a_run_that_diverges_says_so_and_keeps_its_parameters() {
    let (mut trainer, tokens) = case(grouped(), 2, 8);
    trainer.parameters.values_mut()[70] = f32::INFINITY;
    let before = bits(trainer.parameters.values());
    assert!(matches!(trainer.step(&tokens), Err(Error::Diverged { step: 0 })));
    assert_eq!((trainer.completed(), before), (0, bits(trainer.parameters.values())));
}

#[test]
fn parameters_of_another_shape_are_refused() {
    let parameters = Parameters::draw(&grouped(), 1).expect("a sound shape");
    let other = settings(Shape { tied: true, ..grouped() }, 2, 8);
    let error = Trainer::with_parameters(other, schedule(40), parameters).expect_err("another shape").to_string();
    assert!(error.starts_with("parameters: "), "{error}");
}

#[test]
fn settings_that_cannot_be_are_named() {
    let sound = || settings(grouped(), 2, 8);
    let optimiser = AdamW::default();
    let wrong = [
        (Settings { sequences: 0, ..sound() }, "sequences = 0: "),
        (Settings { length: usize::MAX, ..sound() }, "length = 18446744073709551615: "),
        (Settings { sequences: 1 << 20, length: 1 << 20, ..sound() }, "tokens of a batch = 1099512676352: "),
        (Settings { clip: Some(0.0), ..sound() }, "clip = 0: "),
        (Settings { optimiser: AdamW { beta2: 1.0, ..optimiser }, ..sound() }, "beta2 = 1: "),
        (Settings { optimiser: AdamW { eps: f64::NAN, ..optimiser }, ..sound() }, "eps = NaN: "),
        (Settings { optimiser: AdamW { weight_decay: -1.0, ..optimiser }, ..sound() }, "weight_decay = -1: "),
        (Settings { shape: Shape { heads: 0, ..grouped() }, ..sound() }, "heads = 0: "),
    ];
    for (settings, message) in wrong {
        let error = Trainer::new(settings, schedule(40)).expect_err("it cannot be").to_string();
        assert!(error.starts_with(message), "{error}");
    }
}
