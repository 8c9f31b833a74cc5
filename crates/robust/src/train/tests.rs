use headwater_schedule::{Curve, WsdSteps};

use super::*;
use crate::twin::{Twin, assert_slope, bits, even, slope};
use crate::{Bounds, Loss, Start};

/// 50 points, labelled by whether the sum of their first two features is above 0.
fn points() -> Examples {
    let inputs = even(50 * 3, 4);
    let labels = inputs.chunks(3).map(|row| u32::from(row[0] + row[1] > 0.0)).collect();
    Examples::new(inputs, 3, Loss::cross_entropy(labels, 2).unwrap()).unwrap()
}

fn constant(steps: u64, rate: f64) -> Schedule {
    Schedule::wsd(WsdSteps { steps, warmup_steps: 0, decay_steps: 0 }, Curve::Linear, rate, 0.0).unwrap()
}

fn training(schedule: &Schedule) -> Training<'_> {
    Training { schedule, batch: 50, momentum: 0.9, attack: None, seed: 1 }
}

const ATTACK: Pgd = Pgd { radius: 0.1, step: 0.025, steps: 3, start: Start::Random, bounds: None };

/// The loss of `twin` over [`points`], where the parameter at `place` of `layer` is `x`; the bias comes after the weights.
fn loss_with(twin: &Twin, layer: usize, place: usize, x: f64) -> f64 {
    let mut moved = twin.clone();
    let (weight, bias) = &mut moved.0[layer];
    let width = weight[0].len();
    match place.checked_sub(weight.len() * width) {
        Some(at) => bias[at] = x,
        None => weight[place / width][place % width] = x,
    }
    let inputs = points().inputs().to_vec2::<f32>().unwrap();
    let labels: Vec<u32> = points().loss().labels().unwrap().to_vec1().unwrap();
    let loss = |(row, label): (&Vec<f32>, &u32)| {
        moved.cross_entropy(&row.iter().map(|x| f64::from(*x)).collect::<Vec<_>>(), *label)
    };
    inputs.iter().zip(&labels).map(loss).sum::<f64>() / 50.0
}

/// Calls `with` the layer, place and value of each parameter, in order.
fn each_parameter(twin: &Twin, mut with: impl FnMut(usize, usize, f64)) {
    for (layer, (weight, bias)) in twin.0.iter().enumerate() {
        weight.iter().flatten().chain(bias).enumerate().for_each(|(place, value)| with(layer, place, *value));
    }
}

fn flat(network: &Mlp) -> Vec<f32> {
    bits(network).into_iter().map(f32::from_bits).collect()
}

#[test]
fn gradients_by_parameters_are_central_differences() {
    let network = Mlp::new(&[3, 5, 2], 6).unwrap();
    let gradients = points().losses(&network).unwrap().mean_all().unwrap().backward().unwrap();
    let gradients = network.parameters().map(|parameter| gradients.get(parameter).unwrap().flatten_all().unwrap());
    let mut gradients = gradients.flat_map(|gradient| gradient.to_vec1::<f32>().unwrap());
    let twin = Twin::of(&network);
    each_parameter(&twin, |layer, place, value| {
        assert_slope(gradients.next().unwrap(), slope(|x| loss_with(&twin, layer, place, x), value));
    });
    assert_eq!(gradients.next(), None);
}

/// v = g₀, θ₁ = θ₀ − r₀ g₀; v = μ g₀ + g₁, θ₂ = θ₁ − r₁ (μ g₀ + g₁), with gradients by differences and rates of a schedule that falls.
#[test]
fn two_updates_are_those_of_the_formula() {
    let schedule =
        Schedule::wsd(WsdSteps { steps: 2, warmup_steps: 0, decay_steps: 2 }, Curve::Linear, 0.4, 0.5).unwrap();
    let once = Schedule::wsd(WsdSteps { steps: 1, warmup_steps: 0, decay_steps: 0 }, Curve::Linear, 0.4, 0.0).unwrap();
    let start = Mlp::new(&[3, 5, 2], 6).unwrap();
    let (mut after_one, mut after_two) = (start.deep_copy().unwrap(), start.deep_copy().unwrap());
    train(&mut after_one, &points(), &training(&once)).unwrap();
    let updates = train(&mut after_two, &points(), &training(&schedule)).unwrap();
    let rates: Vec<f64> = updates.iter().map(|update| update.rate).collect();
    assert!((rates[0] - 0.4).abs() < 1e-12 && (rates[1] - 0.3).abs() < 1e-12, "{rates:?}");

    let gradients = |network: &Mlp| {
        let (twin, mut gradients) = (Twin::of(network), Vec::new());
        each_parameter(&twin, |layer, place, value| {
            gradients.push(slope(|x| loss_with(&twin, layer, place, x), value));
        });
        gradients
    };
    let (first, second) = (gradients(&start), gradients(&after_one));
    for (at, before) in flat(&start).into_iter().map(f64::from).enumerate() {
        let one = before - 0.4 * first[at];
        let two = one - 0.3 * (0.9 * first[at] + second[at]);
        let [got_one, got_two] = [&after_one, &after_two].map(|network| f64::from(flat(network)[at]));
        assert!((got_one - one).abs() < 1e-5 && (got_two - two).abs() < 1e-5, "{one} {two}, not {got_one} {got_two}");
    }
}

#[test]
fn losses_are_those_before_each_update() {
    let mut network = Mlp::new(&[3, 5, 2], 6).unwrap();
    let before = f64::from(points().losses(&network).unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap());
    let updates = train(&mut network, &points(), &training(&constant(30, 0.1))).unwrap();
    assert!((f64::from(updates[0].loss) - before).abs() < 1e-5);
    assert!(updates[29].loss < updates[0].loss);
}

#[test]
fn a_seed_gives_its_bits() {
    let schedule = constant(12, 0.2);
    let of = |seed, attack| {
        let mut network = Mlp::new(&[3, 5, 2], 6).unwrap();
        let training = Training { batch: 8, attack, seed, ..training(&schedule) };
        let updates = train(&mut network, &points(), &training).unwrap();
        (bits(&network), updates)
    };
    for attack in [None, Some(ATTACK)] {
        assert_eq!(of(1, attack), of(1, attack));
        assert_ne!(of(1, attack).0, of(2, attack).0);
    }
    assert_ne!(of(1, None).0, of(1, Some(ATTACK)).0);
}

/// Two schedules from one trained network: the copies start alike, end apart, and leave the original as it was.
#[test]
fn schedules_start_from_the_same_network() {
    let trained = Mlp::new(&[3, 5, 2], 6).unwrap();
    let before = bits(&trained);
    let first_loss = |schedule: &Schedule| {
        let mut copy = trained.deep_copy().unwrap();
        let updates = train(&mut copy, &points(), &training(schedule)).unwrap();
        (updates[0].loss, bits(&copy))
    };
    let (low, high) = (first_loss(&constant(5, 0.1)), first_loss(&constant(5, 0.2)));
    assert_eq!(low.0, high.0);
    assert_ne!(low.1, high.1);
    assert_eq!(bits(&trained), before);
}

#[test]
fn an_epoch_uses_every_example_once() {
    let mut batches = Batches::new((0..10).collect(), 4, 1);
    let mut epoch = || {
        let sizes_and_places: Vec<Vec<u32>> = (0..updates_per_epoch(10, 4)).map(|_| batches.draw().to_vec()).collect();
        assert_eq!(sizes_and_places.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        sizes_and_places.concat()
    };
    let (first, second) = (epoch(), epoch());
    assert_ne!(first, second);
    for mut places in [first, second] {
        places.sort_unstable();
        assert_eq!(places, (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn a_rate_that_is_too_high_is_told() {
    let mut network = Mlp::new(&[3, 5, 5, 1], 6).unwrap();
    let loss = Loss::squared_error(even(50, 1), vec![1.0; 50]).unwrap();
    let examples = Examples::new(even(150, 4), 3, loss).unwrap();
    let diverged = train(&mut network, &examples, &training(&constant(200, 1e6)));
    assert!(matches!(diverged, Err(Error::Diverged { update: 1.. })), "{diverged:?}");
}

#[test]
fn settings_are_checked() {
    let schedule = constant(1, 0.1);
    let of = |training| train(&mut Mlp::new(&[3, 2], 1).unwrap(), &points(), &training);
    assert!(matches!(of(Training { batch: 0, ..training(&schedule) }), Err(Error::Setting { name: "batch", .. })));
    for momentum in [-0.1, 1.0, f64::NAN] {
        let momentum = of(Training { momentum, ..training(&schedule) });
        assert!(matches!(momentum, Err(Error::Setting { name: "momentum", .. })));
    }
    let bounds = Some(Bounds { low: 0.0, high: 1.0 });
    let outside = of(Training { attack: Some(Pgd { bounds, ..ATTACK }), ..training(&schedule) });
    assert!(matches!(outside, Err(Error::OutOfBounds { .. })));
}
