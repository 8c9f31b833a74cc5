//! Stochastic gradient descent with momentum.

use candle_core::Tensor;
use candle_core::backprop::GradStore;

use crate::{Error, Mlp};

/// Descent with momentum μ: v ← μ v + g, then θ ← θ − rate · v.
///
/// No dampening, no Nesterov step, no weight decay. The rate scales the whole velocity, so a change of rate acts at once, on old
/// gradients, too.
///
/// # Source
/// Sutskever et al. 2013, §2, eqs. 1 and 2, in the form of `PyTorch`'s `SGD`, which leaves the rate out of the velocity.
pub(crate) struct Sgd {
    momentum: f64,
    /// v, one for each parameter, in order.
    velocities: Vec<Tensor>,
}

impl Sgd {
    /// Starts at rest.
    pub(crate) fn new(network: &Mlp, momentum: f64) -> Result<Self, Error> {
        let velocities = network.parameters().map(|parameter| parameter.zeros_like());
        Ok(Self { momentum, velocities: velocities.collect::<Result<_, _>>()? })
    }

    /// Updates the parameters of `network`; one without a gradient moves on as it did.
    pub(crate) fn update(&mut self, network: &mut Mlp, gradients: &GradStore, rate: f64) -> Result<(), Error> {
        for (parameter, velocity) in network.parameters().zip(&mut self.velocities) {
            let kept = (&*velocity * self.momentum)?;
            // detached, or the graph of every update would hang on to all before it
            *velocity = match gradients.get(parameter) {
                Some(gradient) => (kept + gradient)?.detach(),
                None => kept,
            };
            parameter.set(&(parameter.as_tensor() - (&*velocity * rate)?)?)?;
        }
        Ok(())
    }
}
