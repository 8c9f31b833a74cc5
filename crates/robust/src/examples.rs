//! Inputs and what a network is to make of them.

use candle_core::{Device, Tensor};

use crate::{Error, Loss, Mlp};

/// Inputs with their loss.
#[derive(Clone, Debug)]
pub struct Examples {
    /// `(example, feature)`.
    inputs: Tensor,
    loss: Loss,
}

impl Examples {
    /// Pairs inputs with their loss.
    ///
    /// # Shapes
    /// - `inputs`: `(example, feature)`, row by row
    ///
    /// # Errors
    /// [`Error::Size`] if `inputs` are not `features` numbers for each example of `loss`, [`Error::Setting`] if there are no examples or an
    /// input is not finite.
    pub fn new(inputs: Vec<f32>, features: usize, loss: Loss) -> Result<Self, Error> {
        let examples = loss.examples();
        Error::unless(examples > 0, "examples", examples, "at least 1")?;
        Error::unless_size("inputs", examples * features, inputs.len())?;
        if let Some(input) = inputs.iter().find(|input| !input.is_finite()) {
            Error::unless(false, "input", input, "finite")?;
        }
        Ok(Self { inputs: Tensor::from_vec(inputs, (examples, features), &Device::Cpu)?, loss })
    }

    /// Returns the inputs, `(example, feature)`.
    #[must_use]
    pub const fn inputs(&self) -> &Tensor {
        &self.inputs
    }

    /// Returns the loss.
    #[must_use]
    pub const fn loss(&self) -> &Loss {
        &self.loss
    }

    /// Returns the losses of `network`, `(example,)`; their gradients reach its weights.
    ///
    /// # Errors
    /// [`Error::Size`] if the network has another number of outputs, [`Error::Tensor`] if it takes another number of features.
    pub fn losses(&self, network: &Mlp) -> Result<Tensor, Error> {
        self.fits(network)?;
        self.loss.of(&network.forward(&self.inputs)?)
    }

    /// The same losses, but gradients reach the inputs alone.
    pub(crate) fn losses_frozen(&self, network: &Mlp) -> Result<Tensor, Error> {
        self.fits(network)?;
        self.loss.of(&network.forward_frozen(&self.inputs)?)
    }

    /// Makes sure that `network` has the outputs that the loss takes.
    pub(crate) fn fits(&self, network: &Mlp) -> Result<(), Error> {
        Error::unless_size("outputs of the network", self.loss.outputs(), network.outputs())
    }

    /// The examples at `places`, from 0.
    pub(crate) fn at(&self, places: &[u32]) -> Result<Self, Error> {
        let places = Tensor::from_slice(places, places.len(), &Device::Cpu)?;
        Ok(Self { inputs: self.inputs.index_select(&places, 0)?, loss: self.loss.at(&places)? })
    }

    /// The same loss of other inputs.
    pub(crate) fn with_inputs(&self, inputs: Tensor) -> Self {
        Self { inputs, loss: self.loss.clone() }
    }

    /// The places of all examples.
    pub(crate) fn places(&self) -> Result<Vec<u32>, Error> {
        let examples = self.loss.examples();
        let end = u32::try_from(examples).map_err(|_| Error::Setting {
            name: "examples",
            value: examples.to_string(),
            rule: "at most 2³² − 1",
        })?;
        Ok((0..end).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_checked_and_picked_with_their_losses() {
        let loss = |examples: usize| Loss::squared_error(vec![0.0; examples], vec![1.0; examples]).unwrap();
        let size = Examples::new(vec![1.0; 5], 2, loss(3));
        assert!(matches!(size, Err(Error::Size { what: "inputs", expected: 6, got: 5 })));
        assert!(matches!(Examples::new(vec![], 2, loss(0)), Err(Error::Setting { name: "examples", .. })));
        assert!(matches!(Examples::new(vec![f32::INFINITY], 1, loss(1)), Err(Error::Setting { name: "input", .. })));

        let labels = Loss::cross_entropy(vec![0, 1, 2], 3).unwrap();
        let picked = Examples::new(vec![1.0, 2.0, 3.0], 1, labels).unwrap().at(&[2, 0]).unwrap();
        assert_eq!(picked.inputs().to_vec2::<f32>().unwrap(), [[3.0], [1.0]]);
        assert_eq!(picked.loss().labels().unwrap().to_vec1::<u32>().unwrap(), [2, 0]);
        assert!(matches!(picked.losses(&Mlp::new(&[1, 2], 1).unwrap()), Err(Error::Size { expected: 3, got: 2, .. })));
    }
}
