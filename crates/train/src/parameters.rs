//! The parameters of a model.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::layout::{Layout, Role, Tensor};
use crate::{Error, Shape};

/// Standard deviation of matrices at the start.
const SPREAD: f64 = 0.02;

/// The parameters of a model, in float32.
#[derive(Clone, Debug)]
pub struct Parameters {
    layout: Layout,
    values: Vec<f32>,
}

impl Parameters {
    /// Draws parameters: matrices from a normal distribution of standard deviation 0.02, those whose product is added to the hidden
    /// states of 0.02 / √(2 · layers), and norms of one.
    ///
    /// # Errors
    /// As [`Shape::check`].
    ///
    /// # Determinism
    /// The same shape and seed give the same bits everywhere: ChaCha8 in the order of [`Layout::tensors`], and no function of the
    /// system's mathematical library.
    ///
    /// # Source
    /// Radford et al. (2019), Language Models are Unsupervised Multitask Learners, §2.3: residual layers are scaled by 1 / √N for N of
    /// them; the spread is that of GPT-2's and of transformers' `initializer_range`. Box and Muller (1958) for normal numbers.
    #[expect(clippy::cast_precision_loss, reason = "there are few layers")]
    pub fn draw(shape: &Shape, seed: u64) -> Result<Self, Error> {
        shape.check()?;
        let layout = Layout::new(shape);
        let mut values = vec![0.0; layout.numbers()];
        let mut normal = Normal(ChaCha8Rng::seed_from_u64(seed));
        let residual = SPREAD / ((2 * shape.layers) as f64).sqrt();
        for Tensor { place, role, .. } in layout.tensors() {
            let values = &mut values[place.clone()];
            match role {
                Role::Matrix => normal.fill(values, SPREAD),
                Role::Residual => normal.fill(values, residual),
                Role::Norm => values.fill(1.0),
            }
        }
        Ok(Self { layout, values })
    }

    /// Takes `values` in the order of [`Layout::tensors`].
    ///
    /// # Errors
    /// As [`Shape::check`], and [`Error::Size`] if there are too few or too many.
    pub fn from_values(shape: &Shape, values: Vec<f32>) -> Result<Self, Error> {
        shape.check()?;
        let layout = Layout::new(shape);
        if values.len() != layout.numbers() {
            return Err(Error::Size { what: "parameters", expected: layout.numbers().to_string(), got: values.len() });
        }
        Ok(Self { layout, values })
    }

    /// Returns where each tensor lies.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns all numbers.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns the tensors with their numbers.
    pub fn tensors(&self) -> impl Iterator<Item = (&Tensor, &[f32])> {
        self.layout.tensors().iter().map(|tensor| (tensor, &self.values[tensor.place.clone()]))
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

/// Draws normal numbers.
struct Normal(ChaCha8Rng);

impl Normal {
    fn fill(&mut self, values: &mut [f32], spread: f64) {
        for pair in values.chunks_mut(2) {
            let both = self.pair();
            for (value, x) in pair.iter_mut().zip(both) {
                *value = narrow(spread * x);
            }
        }
    }

    /// Two independent numbers of mean 0 and standard deviation 1.
    fn pair(&mut self) -> [f64; 2] {
        // in (0, 1], so that there is a logarithm
        let share = 1.0 - self.0.random::<f64>();
        let angle = std::f64::consts::TAU * self.0.random::<f64>();
        let radius = (-2.0 * libm::log(share)).sqrt();
        [radius * libm::cos(angle), radius * libm::sin(angle)]
    }
}

#[expect(clippy::cast_possible_truncation, reason = "parameters are float32")]
fn narrow(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_has_its_spreads_and_follows_its_seed() {
        let shape = Shape { layers: 2, ..Shape::default() };
        let drawn = Parameters::draw(&shape, 3).expect("a sound shape");
        for (tensor, values) in drawn.tensors() {
            let spread = match tensor.role {
                Role::Norm => {
                    assert!(values.iter().all(|x| *x == 1.0));
                    continue;
                }
                Role::Matrix => 0.02,
                Role::Residual => 0.01,
            };
            let count = values.len() as f64;
            let squares = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / count;
            let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
            // five standard errors of each
            assert!((squares.sqrt() / spread - 1.0).abs() < 5.0 / (2.0 * count).sqrt(), "{}", tensor.name);
            assert!(mean.abs() < 5.0 * spread / count.sqrt(), "{}", tensor.name);
        }
        let again = Parameters::draw(&shape, 3).expect("a sound shape");
        assert_eq!(drawn.values(), again.values());
        assert_ne!(drawn.values(), Parameters::draw(&shape, 4).expect("a sound shape").values());
        // the numbers that everyone gets from this seed
        let first: Vec<u32> = drawn.values()[..3].iter().map(|x| x.to_bits()).collect();
        assert_eq!(first, FIRST_OF_SEED_3);
    }

    const FIRST_OF_SEED_3: [u32; 3] = [1_019_715_617, 1_012_908_799, 1_014_647_004];
}
