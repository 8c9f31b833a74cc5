//! How often a network is right, with and without an attack.

use candle_core::Tensor;

use crate::seed::{Draws, generator};
use crate::{Error, Examples, Mlp, Pgd};

/// Examples that are judged at once, which bounds the memory.
const ROWS: usize = 100;

/// Returns the share of `examples` whose label has the highest output; a tie is wrong, and so is what is not a number.
///
/// # Errors
/// [`Error::NoLabels`] for examples with values, [`Error::Size`] and [`Error::Tensor`] if they do not fit the network.
pub fn accuracy(network: &Mlp, examples: &Examples) -> Result<f64, Error> {
    share_right(network, examples, Ok)
}

/// Returns the share of `examples` whose label still has the highest output under the attack `pgd`: an upper bound of what no attack
/// within the radius breaks.
///
/// # Errors
/// As [`accuracy`] and [`Pgd::attack`].
///
/// # Determinism
/// The same seed gives the same share.
pub fn robust_accuracy(network: &Mlp, examples: &Examples, pgd: &Pgd, seed: u64) -> Result<f64, Error> {
    let mut starts = generator(seed, Draws::Attacks);
    share_right(network, examples, |rows| pgd.attack_drawing(network, &rows, &mut starts))
}

/// The share of `examples` that are right as `seen`.
fn share_right(
    network: &Mlp,
    examples: &Examples,
    mut seen: impl FnMut(Examples) -> Result<Examples, Error>,
) -> Result<f64, Error> {
    examples.fits(network)?;
    let places = examples.places()?;
    let mut right = 0;
    for places in places.chunks(ROWS) {
        let rows = seen(examples.at(places)?)?;
        let labels = rows.loss().labels().ok_or(Error::NoLabels)?;
        right += count_right(&network.forward_frozen(rows.inputs())?, labels)?;
    }
    Ok(right as f64 / places.len() as f64)
}

/// How many of `labels`, `(example,)`, have the highest of the `outputs`, `(example, class)`.
fn count_right(outputs: &Tensor, labels: &Tensor) -> Result<usize, Error> {
    let (outputs, labels) = (outputs.to_vec2::<f32>()?, labels.to_vec1::<u32>()?);
    let is_right = |(row, label): &(&Vec<f32>, &u32)| {
        let label = **label as usize;
        row.iter().enumerate().all(|(class, output)| class == label || row[label] > *output)
    };
    Ok(outputs.iter().zip(&labels).filter(is_right).count())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::{Loss, Start};

    #[test]
    fn the_label_must_be_above_all_others() {
        let outputs = [[0.0, 1.0, 0.5], [2.0, 2.0, 0.0], [3.0, f32::NAN, 0.0], [-1.0, -2.0, -3.0]];
        let outputs = Tensor::new(&outputs, &Device::Cpu).unwrap();
        let labels = Tensor::new(&[1_u32, 0, 0, 0], &Device::Cpu).unwrap();
        assert_eq!(count_right(&outputs, &labels).unwrap(), 2);
    }

    /// A network whose outputs are 0 and x.
    fn sign_of_x() -> Mlp {
        let network = Mlp::new(&[1, 2], 1).unwrap();
        let weight = Tensor::new(&[[0_f32], [1.0]], &Device::Cpu).unwrap();
        network.parameters().next().unwrap().set(&weight).unwrap();
        network
    }

    #[test]
    fn an_attack_breaks_what_lies_within_its_radius_of_the_border() {
        // 250 examples make three chunks; those within 0.3 of 0 are 29 on each side and the tie at 0, which is wrong anyway
        let inputs: Vec<f32> = (0_i16..250).map(|at| f32::from(at - 125) / 100.0).collect();
        let labels = inputs.iter().map(|x| u32::from(*x > 0.0)).collect();
        let examples = Examples::new(inputs, 1, Loss::cross_entropy(labels, 2).unwrap()).unwrap();
        assert_eq!(accuracy(&sign_of_x(), &examples).unwrap(), 249.0 / 250.0);
        let pgd = Pgd { radius: 0.295, step: 0.1, steps: 10, start: Start::Random, bounds: None };
        assert_eq!(robust_accuracy(&sign_of_x(), &examples, &pgd, 1).unwrap(), (250.0 - 59.0) / 250.0);
    }

    #[test]
    fn values_have_no_accuracy() {
        let loss = Loss::squared_error(vec![1.0], vec![1.0]).unwrap();
        let examples = Examples::new(vec![1.0], 1, loss).unwrap();
        assert!(matches!(accuracy(&Mlp::new(&[1, 1], 1).unwrap(), &examples), Err(Error::NoLabels)));
    }
}
