//! A multilayer perceptron with rectified linear units.

use candle_core::{Device, Tensor, Var};
use candle_nn::{Linear, Module};
use rand::RngExt;

use crate::Error;
use crate::seed::{Draws, generator};

/// One affine map.
#[derive(Debug)]
struct Layer {
    /// `(outputs, inputs)`.
    weight: Var,
    /// `(outputs,)`.
    bias: Var,
}

/// A multilayer perceptron: affine maps with max(0, ·) between them.
///
/// It is no `Clone`, as candle's tensors share their memory: see [`Mlp::deep_copy`].
#[derive(Debug)]
pub struct Mlp {
    layers: Vec<Layer>,
}

impl Mlp {
    /// Builds a network of `sizes`: features, units of each hidden layer, outputs.
    ///
    /// Weights are drawn evenly from ±√(6 / inputs), which has the variance 2 / inputs; biases are 0.
    ///
    /// # Errors
    /// [`Error::Setting`] for fewer than two sizes or a size of 0.
    ///
    /// # Source
    /// He et al. 2015 (arXiv 1502.01852), §2.2, eq. 10. Departs: uniform, not Gaussian, of the same variance.
    pub fn new(sizes: &[usize], seed: u64) -> Result<Self, Error> {
        let sound = sizes.len() >= 2 && !sizes.contains(&0);
        Error::unless(sound, "sizes", format_args!("{sizes:?}"), "at least two, each above 0")?;
        let mut random = generator(seed, Draws::Weights);
        let mut layer = |pair: &[usize]| -> Result<Layer, Error> {
            let (inputs, outputs) = (pair[0], pair[1]);
            let even: Vec<f32> = (0..outputs * inputs).map(|_| 2.0 * random.random::<f32>() - 1.0).collect();
            let scaled = (Tensor::from_vec(even, (outputs, inputs), &Device::Cpu)? * (6.0 / inputs as f64).sqrt())?;
            let bias = Var::from_vec(vec![0_f32; outputs], outputs, &Device::Cpu)?;
            Ok(Layer { weight: Var::from_tensor(&scaled)?, bias })
        };
        Ok(Self { layers: sizes.windows(2).map(&mut layer).collect::<Result<_, _>>()? })
    }

    /// Returns a network of the same weights that share no memory with these.
    ///
    /// # Errors
    /// [`Error::Tensor`] if candle fails.
    pub fn deep_copy(&self) -> Result<Self, Error> {
        let copied = |var: &Var| Var::from_tensor(&var.as_detached_tensor());
        let layer = |of: &Layer| Ok(Layer { weight: copied(&of.weight)?, bias: copied(&of.bias)? });
        Ok(Self { layers: self.layers.iter().map(layer).collect::<Result<_, Error>>()? })
    }

    /// Returns the outputs for `inputs`; their gradients reach the weights.
    ///
    /// # Shapes
    /// - `inputs`: `(example, feature)`
    /// - returns `(example, output)`: logits of classes, or a value
    ///
    /// # Errors
    /// [`Error::Tensor`] if the number of features is another.
    pub fn forward(&self, inputs: &Tensor) -> Result<Tensor, Error> {
        self.forward_with(inputs, |var| var.as_tensor().clone())
    }

    /// The same outputs, but gradients reach the inputs alone, which is all that an attack needs.
    pub(crate) fn forward_frozen(&self, inputs: &Tensor) -> Result<Tensor, Error> {
        self.forward_with(inputs, Var::as_detached_tensor)
    }

    fn forward_with(&self, inputs: &Tensor, tensor: impl Fn(&Var) -> Tensor) -> Result<Tensor, Error> {
        let mut units = inputs.clone();
        for (at, Layer { weight, bias }) in self.layers.iter().enumerate() {
            if at > 0 {
                units = units.relu()?;
            }
            // (example, outputs of the layer)
            units = Linear::new(tensor(weight), Some(tensor(bias))).forward(&units)?;
        }
        Ok(units)
    }

    /// Returns the weights and biases, from the first layer to the last: `(outputs, inputs)`, `(outputs,)`, and so on.
    pub fn parameters(&self) -> impl Iterator<Item = &Var> {
        self.layers.iter().flat_map(|layer| [&layer.weight, &layer.bias])
    }

    /// Returns the number of outputs.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.bias.elem_count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::{Twin, bits, even};

    #[test]
    fn outputs_are_those_of_the_plain_twin() {
        let network = Mlp::new(&[5, 7, 4, 3], 3).unwrap();
        let inputs = even(6 * 5, 1);
        let twin = Twin::of(&network);
        let tensor = Tensor::from_slice(&inputs, (6, 5), &Device::Cpu).unwrap();
        let outputs: Vec<Vec<f32>> = network.forward(&tensor).unwrap().to_vec2().unwrap();
        assert_eq!(outputs, network.forward_frozen(&tensor).unwrap().to_vec2::<f32>().unwrap());
        for (row, outputs) in inputs.chunks(5).zip(outputs) {
            for (twin, output) in
                twin.outputs(&row.iter().map(|x| f64::from(*x)).collect::<Vec<_>>()).iter().zip(outputs)
            {
                assert!((twin - f64::from(output)).abs() < 1e-5, "{twin}, not {output}");
            }
        }
    }

    #[test]
    fn weights_have_the_variance_of_he() {
        let network = Mlp::new(&[200, 100, 1], 5).unwrap();
        let weights: Vec<f32> = network.layers[0].weight.flatten_all().unwrap().to_vec1().unwrap();
        let mean = weights.iter().map(|weight| f64::from(*weight)).sum::<f64>() / 20_000.0;
        let variance = weights.iter().map(|weight| f64::from(*weight).powi(2)).sum::<f64>() / 20_000.0;
        // 20,000 draws: the standard errors are 0.0007 of the mean and 0.00006 of the variance
        assert!(mean.abs() < 0.003 && (variance - 0.01).abs() < 0.000_3, "{mean} {variance}");
        assert!(network.layers[0].bias.to_vec1::<f32>().unwrap().iter().all(|bias| *bias == 0.0));
    }

    #[test]
    fn a_copy_stays_when_its_original_changes() {
        let network = Mlp::new(&[3, 4, 2], 1).unwrap();
        let (copy, before) = (network.deep_copy().unwrap(), bits(&network));
        assert_eq!(bits(&copy), before);
        for var in network.parameters() {
            var.set(&var.ones_like().unwrap()).unwrap();
        }
        assert_eq!(bits(&copy), before);
        assert_ne!(bits(&network), before);
    }

    #[test]
    fn weights_follow_the_seed() {
        let of = |seed| bits(&Mlp::new(&[3, 4, 2], seed).unwrap());
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn sizes_are_checked() {
        for sizes in [&[][..], &[3], &[3, 0, 2]] {
            assert!(matches!(Mlp::new(sizes, 1), Err(Error::Setting { name: "sizes", .. })), "{sizes:?}");
        }
    }
}
