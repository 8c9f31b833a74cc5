use super::*;
use crate::Loss;
use crate::twin::{Twin, assert_slope, even, slope};

const RADII: [f32; 6] = [1e-3, 0.05, 0.1, 0.3, 1.0, 10.0];

/// Examples of three classes between 0 and 1, some at the bounds, and a network that was not trained.
fn classes() -> (Mlp, Examples) {
    let inputs = even(40 * 6, 1).into_iter().map(|x| (0.6 + x * 0.7).clamp(0.0, 1.0)).collect();
    let loss = Loss::cross_entropy((0..40).map(|at| at % 3).collect(), 3).unwrap();
    (Mlp::new(&[6, 16, 3], 7).unwrap(), Examples::new(inputs, 6, loss).unwrap())
}

/// Examples of a value, with weights from 0.
fn values() -> (Mlp, Examples) {
    let weights = (0_u8..30).map(|at| f32::from(at) / 15.0).collect();
    let loss = Loss::squared_error(even(30, 2), weights).unwrap();
    (Mlp::new(&[4, 8, 1], 8).unwrap(), Examples::new(even(30 * 4, 3), 4, loss).unwrap())
}

fn pgd(radius: f32, start: Start, bounds: Option<Bounds>) -> Pgd {
    Pgd { radius, step: radius / 4.0, steps: 7, start, bounds }
}

const PIXELS: Option<Bounds> = Some(Bounds { low: 0.0, high: 1.0 });

fn rows(examples: &Examples) -> Vec<Vec<f32>> {
    examples.inputs().to_vec2().unwrap()
}

fn losses(network: &Mlp, examples: &Examples) -> Vec<f32> {
    examples.losses(network).unwrap().to_vec1().unwrap()
}

#[test]
fn gradients_by_inputs_are_central_differences() {
    let (network, examples) = classes();
    let (twin, labels) = (Twin::of(&network), examples.loss().labels().unwrap().to_vec1::<u32>().unwrap());
    check_slopes(&network, &examples, |at, input| twin.cross_entropy(input, labels[at]));

    let (network, examples) = values();
    let (twin, targets) = (Twin::of(&network), even(30, 2));
    check_slopes(&network, &examples, |at, input| {
        twin.squared_error(input, f64::from(targets[at]), f64::from(at as f32 / 15.0))
    });
}

fn check_slopes(network: &Mlp, examples: &Examples, loss: impl Fn(usize, &[f64]) -> f64) {
    let (_, gradient) = input_gradient(network, examples).unwrap();
    for (at, (gradient, row)) in gradient.to_vec2::<f32>().unwrap().iter().zip(rows(examples)).enumerate() {
        let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
        for (feature, gradient) in gradient.iter().enumerate() {
            let moved = |x: f64| {
                let mut row = row.clone();
                row[feature] = x;
                loss(at, &row)
            };
            assert_slope(*gradient, slope(moved, row[feature]));
        }
    }
}

#[test]
fn attacked_inputs_stay_within_radius_and_bounds() {
    let (network, examples) = classes();
    for radius in RADII {
        for (start, bounds) in [(Start::Input, None), (Start::Random, None), (Start::Random, PIXELS)] {
            let attacked = pgd(radius, start, bounds).attack(&network, &examples, 1).unwrap();
            let mut reached = 0.0_f32;
            for (x, y) in rows(&examples).concat().into_iter().zip(rows(&attacked).concat()) {
                // the sums are those that the attack clamps to, so there is no tolerance
                assert!(x - radius <= y && y <= x + radius, "radius {radius}: {x} to {y}");
                assert!(bounds.is_none() || (0.0..=1.0).contains(&y), "radius {radius}: {y}");
                reached = reached.max((y - x).abs());
            }
            let possible = if bounds.is_some() { radius.min(0.7) } else { radius };
            assert!(reached > 0.9 * possible, "radius {radius}: only {reached}");
        }
    }
}

/// True for every network and radius, since each example keeps the best of the start and what comes after it. The losses are taken anew in
/// batches of the same shape, so there is no rounding to allow for.
#[test]
fn no_loss_is_below_that_of_the_start() {
    for (network, examples) in [classes(), values()] {
        for radius in RADII {
            for start in [Start::Input, Start::Random] {
                let pgd = pgd(radius, start, None);
                let started = Pgd { steps: 0, ..pgd }.attack(&network, &examples, 5).unwrap();
                let attacked = pgd.attack(&network, &examples, 5).unwrap();
                let (before, after) = (losses(&network, &started), losses(&network, &attacked));
                assert!(before.iter().zip(&after).all(|(before, after)| after >= before), "radius {radius}");
                assert!(after.iter().sum::<f32>() > before.iter().sum::<f32>(), "radius {radius}: nothing was gained");
            }
        }
    }
}

/// Steps that are far too long swing from side to side; the last input is then often worse than the first.
#[test]
fn the_best_input_is_kept_when_steps_are_too_long() {
    let (network, examples) = classes();
    let long = |steps| Pgd { radius: 3.0, step: 6.0, steps, start: Start::Input, bounds: None };
    let mut best = losses(&network, &examples);
    for steps in 1..6 {
        let attacked = losses(&network, &long(steps).attack(&network, &examples, 1).unwrap());
        assert!(attacked.iter().zip(&best).all(|(more, fewer)| more >= fewer), "{steps} steps");
        best = attacked;
    }
}

/// Where the output is linear, the worst input is known: x ± radius · sign(w), away from the target. Ten steps of a quarter of the radius
/// cross the ball from any start.
#[test]
fn a_linear_output_is_attacked_as_well_as_can_be() {
    let network = Mlp::new(&[4, 1], 2).unwrap();
    let weights = &Twin::of(&network).0[0].0[0];
    let inputs = [0.1, -0.4, 0.3, 0.9];
    for (target, away) in [(5.0, -1.0), (-5.0, 1.0)] {
        let loss = Loss::squared_error(vec![target], vec![1.0]).unwrap();
        let examples = Examples::new(inputs.to_vec(), 4, loss).unwrap();
        for start in [Start::Input, Start::Random] {
            let pgd = Pgd { steps: 10, ..pgd(0.2, start, None) };
            let attacked = rows(&pgd.attack(&network, &examples, 3).unwrap());
            for ((x, y), w) in inputs.iter().zip(&attacked[0]).zip(weights) {
                let worst = f64::from(*x) + away * 0.2 * w.signum();
                assert!((f64::from(*y) - worst).abs() < 1e-6, "{y}, not {worst}");
            }
        }
    }
}

#[test]
fn a_radius_of_0_changes_nothing() {
    for (network, examples) in [classes(), values()] {
        for start in [Start::Input, Start::Random] {
            let attacked = Pgd { step: 0.1, ..pgd(0.0, start, None) }.attack(&network, &examples, 1).unwrap();
            assert_eq!(rows(&attacked), rows(&examples));
        }
    }
}

#[test]
fn starts_follow_the_seed_and_fill_the_ball() {
    let (network, examples) = classes();
    let start = |seed| {
        let pgd = Pgd { steps: 0, ..pgd(0.5, Start::Random, None) };
        rows(&pgd.attack(&network, &examples, seed).unwrap()).concat()
    };
    assert_eq!(start(1), start(1));
    assert_ne!(start(1), start(2));
    let moves: Vec<f32> = start(1).iter().zip(rows(&examples).concat()).map(|(y, x)| y - x).collect();
    // 240 even draws from ±0.5: the mean has a standard error of 0.019
    let mean = moves.iter().sum::<f32>() / moves.len() as f32;
    assert!(mean.abs() < 0.08 && moves.iter().any(|by| *by > 0.45) && moves.iter().any(|by| *by < -0.45), "{mean}");
}

/// The batch that an example is attacked in changes neither its gradient nor its result, but for its random start.
#[test]
fn examples_are_attacked_each_for_itself() {
    let (network, examples) = classes();
    let pgd = pgd(0.1, Start::Input, PIXELS);
    let together = rows(&pgd.attack(&network, &examples, 1).unwrap());
    for at in [0, 17, 39] {
        let alone = rows(&pgd.attack(&network, &examples.at(&[at]).unwrap(), 1).unwrap());
        for (alone, together) in alone[0].iter().zip(&together[at as usize]) {
            assert!((alone - together).abs() < 1e-6, "example {at}: {alone}, not {together}");
        }
    }
}

#[test]
fn settings_are_checked() {
    let (network, examples) = classes();
    let of = |pgd: Pgd| pgd.attack(&network, &examples, 1);
    let sound = pgd(0.1, Start::Input, PIXELS);
    let setting = |pgd: Pgd| match of(pgd) {
        Err(Error::Setting { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(setting(Pgd { radius: -0.1, ..sound }), "radius");
    assert_eq!(setting(Pgd { step: f32::NAN, ..sound }), "step");
    assert_eq!(setting(Pgd { bounds: Some(Bounds { low: 1.0, high: 0.0 }), ..sound }), "bounds");
    let tight = of(Pgd { bounds: Some(Bounds { low: 0.0, high: 0.5 }), ..sound });
    assert!(matches!(tight, Err(Error::OutOfBounds { low: 0.0, high: 1.0 })), "{tight:?}");
    let other = sound.attack(&Mlp::new(&[6, 4], 1).unwrap(), &examples, 1);
    assert!(matches!(other, Err(Error::Size { expected: 3, got: 4, .. })), "{other:?}");
}
