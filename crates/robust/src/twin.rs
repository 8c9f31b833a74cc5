//! A plain twin of the network in f64, which tests compare with; and what several tests need.

use rand::RngExt;

use crate::Mlp;
use crate::seed::{Draws, generator};

/// A step of central differences in f64: the error is of the order of its square.
const DIFFERENCE: f64 = 1e-5;

/// A network as lists: weights `(outputs, inputs)` and biases `(outputs,)` of each layer.
#[derive(Clone)]
pub(crate) struct Twin(pub(crate) Vec<(Vec<Vec<f64>>, Vec<f64>)>);

impl Twin {
    pub(crate) fn of(network: &Mlp) -> Self {
        let parameters: Vec<_> = network.parameters().collect();
        let wide = |row: Vec<f32>| row.into_iter().map(f64::from).collect::<Vec<_>>();
        let layer = |pair: &[&candle_core::Var]| {
            let weight = pair[0].to_vec2::<f32>().unwrap();
            (weight.into_iter().map(wide).collect(), wide(pair[1].to_vec1().unwrap()))
        };
        Self(parameters.chunks(2).map(layer).collect())
    }

    pub(crate) fn outputs(&self, input: &[f64]) -> Vec<f64> {
        let mut units = input.to_vec();
        for (at, (weight, bias)) in self.0.iter().enumerate() {
            if at > 0 {
                units.iter_mut().for_each(|unit| *unit = unit.max(0.0));
            }
            let affine =
                |(row, bias): (&Vec<f64>, &f64)| row.iter().zip(&units).map(|(w, x)| w * x).sum::<f64>() + bias;
            units = weight.iter().zip(bias).map(affine).collect();
        }
        units
    }

    /// −log softmax(outputs)[label].
    pub(crate) fn cross_entropy(&self, input: &[f64], label: u32) -> f64 {
        let outputs = self.outputs(input);
        outputs.iter().map(|output| output.exp()).sum::<f64>().ln() - outputs[label as usize]
    }

    /// weight · (output − target)².
    pub(crate) fn squared_error(&self, input: &[f64], target: f64, weight: f64) -> f64 {
        weight * (self.outputs(input)[0] - target).powi(2)
    }
}

/// The derivative of `of` at `x`.
pub(crate) fn slope(of: impl Fn(f64) -> f64, x: f64) -> f64 {
    (of(x + DIFFERENCE) - of(x - DIFFERENCE)) / (2.0 * DIFFERENCE)
}

/// Makes sure that f32 autograd agrees with a central difference in f64: f32 rounds at 6e-8, and a few dozen sums keep well within 2e-5.
pub(crate) fn assert_slope(gradient: f32, slope: f64) {
    let error = (f64::from(gradient) - slope).abs();
    assert!(error <= 2e-5 * slope.abs().max(1.0), "gradient {gradient}, difference {slope}");
}

/// Even draws from ±1.
pub(crate) fn even(count: usize, seed: u64) -> Vec<f32> {
    let mut random = generator(seed, Draws::Order);
    (0..count).map(|_| 2.0 * random.random::<f32>() - 1.0).collect()
}

/// The bits of all weights and biases.
pub(crate) fn bits(network: &Mlp) -> Vec<u32> {
    let values = network.parameters().flat_map(|parameter| parameter.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    values.map(f32::to_bits).collect()
}
