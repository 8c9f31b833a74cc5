//! Projected gradient ascent on inputs: the usual attack by first derivatives. What it does not break, another attack may.
//!
//! Source: Madry et al. 2018 (arXiv 1706.06083), §2.1.

use candle_core::{Device, Tensor, Var};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::seed::{Draws, generator};
use crate::{Error, Examples, Mlp};

/// Where an attack starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the input.
    Input,
    /// Anywhere within the radius of it, each feature drawn evenly.
    Random,
}

/// What all inputs lie between, such as the black and white of a pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The lowest.
    pub low: f32,
    /// The highest.
    pub high: f32,
}

/// Steps along the sign of the gradient of the loss by the inputs, each taken back to within `radius` of the input (l∞) and to the bounds.
///
/// # Units
/// Radius, step and bounds are in units of the inputs.
///
/// # Source
/// Madry et al. 2018 (arXiv 1706.06083), §2.1, the equation of PGD, with the random start of its experiments. Departs: of the start and the inputs after
/// each step an example keeps the one of highest loss, where the paper keeps the last one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pgd {
    /// How far any feature may move, ε.
    pub radius: f32,
    /// How far it moves in a step, α.
    pub step: f32,
    /// Steps.
    pub steps: usize,
    /// Where they start.
    pub start: Start,
    /// What inputs lie between; `None` where they have no bounds.
    pub bounds: Option<Bounds>,
}

impl Pgd {
    /// Returns `examples` with the inputs that this attack on `network` finds.
    ///
    /// Each lies within the f32 sums x ± radius of its input and within the bounds, and its loss is at least that of the start. Examples do
    /// not affect each other.
    ///
    /// # Errors
    /// [`Error::Setting`] for a radius or step that is not finite and at least 0 or bounds that are no range, [`Error::OutOfBounds`] if
    /// an input is beyond them, [`Error::Size`] or [`Error::Tensor`] if the examples do not fit the network.
    ///
    /// # Determinism
    /// The same seed gives the same bits.
    pub fn attack(&self, network: &Mlp, examples: &Examples, seed: u64) -> Result<Examples, Error> {
        self.attack_drawing(network, examples, &mut generator(seed, Draws::Attacks))
    }

    /// [`Pgd::attack`] with starts from `random`.
    pub(crate) fn attack_drawing(
        &self,
        network: &Mlp,
        examples: &Examples,
        random: &mut ChaCha8Rng,
    ) -> Result<Examples, Error> {
        let within = self.within(examples.inputs())?;
        let start = match self.start {
            Start::Input => examples.inputs().clone(),
            Start::Random => within.clamp(&self.random_start(examples.inputs(), random)?)?,
        };
        let mut current = examples.with_inputs(start);
        let mut worst: Option<Worst> = None;
        for _ in 0..self.steps {
            let (losses, gradient) = input_gradient(network, &current)?;
            let moved = (current.inputs() + (gradient.sign()? * f64::from(self.step))?)?;
            Worst::offer(&mut worst, &current, losses)?;
            current = examples.with_inputs(within.clamp(&moved)?);
        }
        let losses = current.losses_frozen(network)?;
        Worst::offer(&mut worst, &current, losses)?;
        Ok(worst.map_or(current, |worst| examples.with_inputs(worst.inputs)))
    }

    /// Where attacked inputs may lie.
    fn within(&self, inputs: &Tensor) -> Result<Within, Error> {
        for (name, value) in [("radius", self.radius), ("step", self.step)] {
            Error::unless(value.is_finite() && value >= 0.0, name, value, "finite and at least 0")?;
        }
        let radius = f64::from(self.radius);
        let (low, high) = ((inputs - radius)?, (inputs + radius)?);
        let Some(bounds) = self.bounds else { return Ok(Within { low, high }) };
        Error::unless(bounds.low <= bounds.high, "bounds", format_args!("{bounds:?}"), "low at most high")?;
        let (lowest, highest) = (inputs.min_all()?.to_scalar()?, inputs.max_all()?.to_scalar()?);
        if lowest < bounds.low || highest > bounds.high {
            return Err(Error::OutOfBounds { low: lowest, high: highest });
        }
        Ok(Within { low: low.maximum(bounds.low)?, high: high.minimum(bounds.high)? })
    }

    /// `inputs`, each feature moved by an even draw from ±radius.
    fn random_start(&self, inputs: &Tensor, random: &mut ChaCha8Rng) -> Result<Tensor, Error> {
        let even: Vec<f32> = (0..inputs.elem_count()).map(|_| 2.0 * random.random::<f32>() - 1.0).collect();
        let even = Tensor::from_vec(even, inputs.dims(), &Device::Cpu)?;
        Ok((inputs + (even * f64::from(self.radius))?)?)
    }
}

/// The lowest and the highest values that each feature of each input may take, `(example, feature)`.
struct Within {
    low: Tensor,
    high: Tensor,
}

impl Within {
    fn clamp(&self, inputs: &Tensor) -> Result<Tensor, Error> {
        Ok(inputs.clamp(&self.low, &self.high)?)
    }
}

/// The inputs of highest loss up to now.
struct Worst {
    /// `(example, feature)`.
    inputs: Tensor,
    /// `(example,)`.
    losses: Tensor,
}

impl Worst {
    /// Takes those inputs of `examples` whose losses, `(example,)`, are higher.
    fn offer(worst: &mut Option<Self>, examples: &Examples, losses: Tensor) -> Result<(), Error> {
        let inputs = examples.inputs();
        *worst = Some(match worst {
            None => Self { inputs: inputs.clone(), losses },
            Some(worst) => {
                let higher = losses.gt(&worst.losses)?; // (example,)
                let rows = higher.unsqueeze(1)?.broadcast_as(inputs.shape())?; // (example, feature)
                Self {
                    inputs: rows.where_cond(inputs, &worst.inputs)?,
                    losses: higher.where_cond(&losses, &worst.losses)?,
                }
            }
        });
        Ok(())
    }
}

/// The loss of each example, `(example,)`, and its gradient by the example's inputs, `(example, feature)`.
///
/// The losses are summed, not averaged, before they are derived, so that an example's gradient does not shrink as others join it.
fn input_gradient(network: &Mlp, examples: &Examples) -> Result<(Tensor, Tensor), Error> {
    let inputs = Var::from_tensor(examples.inputs())?;
    let losses = examples.with_inputs(inputs.as_tensor().clone()).losses_frozen(network)?;
    let gradients = losses.sum_all()?.backward()?;
    let gradient = gradients.get(&inputs).map_or_else(|| inputs.zeros_like(), |gradient| Ok(gradient.detach()))?;
    Ok((losses.detach(), gradient))
}

#[cfg(test)]
mod tests;
