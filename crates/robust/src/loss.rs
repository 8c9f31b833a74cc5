//! What a network is to get right: classes, or values.

use candle_core::{Device, Tensor};

use crate::Error;

/// The loss of each of some examples, together with their labels or values.
#[derive(Clone, Debug)]
pub struct Loss(Kind);

#[derive(Clone, Debug)]
enum Kind {
    CrossEntropy {
        /// `(example,)`, u32.
        labels: Tensor,
        classes: usize,
    },
    SquaredError {
        /// `(example,)`.
        targets: Tensor,
        /// `(example,)`.
        weights: Tensor,
    },
}

impl Loss {
    /// Returns the cross-entropy of one label an example: −log softmax(outputs)\[label\], in nats.
    ///
    /// # Errors
    /// [`Error::Setting`] for a label that is not below `classes`.
    pub fn cross_entropy(labels: Vec<u32>, classes: usize) -> Result<Self, Error> {
        if let Some(label) = labels.iter().find(|label| **label as usize >= classes) {
            Error::unless(false, "label", label, "below the number of classes")?;
        }
        let examples = labels.len();
        Ok(Self(Kind::CrossEntropy { labels: Tensor::from_vec(labels, examples, &Device::Cpu)?, classes }))
    }

    /// Returns the weighted squared error of one value an example: weight · (output − target)².
    ///
    /// Batches take the mean over examples, so weights of mean 1 keep the meaning of a learning rate.
    ///
    /// # Errors
    /// [`Error::Size`] for another number of weights than of targets, [`Error::Setting`] for a target that is not finite or a weight
    /// that is not finite and at least 0.
    pub fn squared_error(targets: Vec<f32>, weights: Vec<f32>) -> Result<Self, Error> {
        let examples = targets.len();
        Error::unless_size("weights", examples, weights.len())?;
        for (target, weight) in targets.iter().zip(&weights) {
            Error::unless(target.is_finite(), "target", target, "finite")?;
            Error::unless(weight.is_finite() && *weight >= 0.0, "weight", weight, "finite and at least 0")?;
        }
        let tensor = |values| Tensor::from_vec(values, examples, &Device::Cpu);
        Ok(Self(Kind::SquaredError { targets: tensor(targets)?, weights: tensor(weights)? }))
    }

    /// Returns the loss of each example.
    ///
    /// # Shapes
    /// - `outputs`: `(example, class)`, or `(example, 1)` for values
    /// - returns `(example,)`
    ///
    /// # Errors
    /// [`Error::Tensor`] if `outputs` has another shape.
    pub fn of(&self, outputs: &Tensor) -> Result<Tensor, Error> {
        match &self.0 {
            Kind::CrossEntropy { labels, .. } => {
                let log_probabilities = candle_nn::ops::log_softmax(outputs, 1)?; // (example, class)
                let of_label = log_probabilities.gather(&labels.unsqueeze(1)?, 1)?; // (example, 1)
                Ok(of_label.squeeze(1)?.neg()?)
            }
            Kind::SquaredError { targets, weights } => {
                let errors = (outputs.squeeze(1)? - targets)?; // (example,)
                Ok((errors.sqr()? * weights)?)
            }
        }
    }

    /// Returns the number of examples.
    #[must_use]
    pub fn examples(&self) -> usize {
        match &self.0 {
            Kind::CrossEntropy { labels: of_examples, .. } | Kind::SquaredError { targets: of_examples, .. } => {
                of_examples.elem_count()
            }
        }
    }

    /// Returns how many outputs a network needs.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        match &self.0 {
            Kind::CrossEntropy { classes, .. } => *classes,
            Kind::SquaredError { .. } => 1,
        }
    }

    /// The labels, `(example,)`, if there are any.
    pub(crate) const fn labels(&self) -> Option<&Tensor> {
        match &self.0 {
            Kind::CrossEntropy { labels, .. } => Some(labels),
            Kind::SquaredError { .. } => None,
        }
    }

    /// The loss of the examples at `places`, `(place,)`.
    pub(crate) fn at(&self, places: &Tensor) -> Result<Self, Error> {
        let at = |tensor: &Tensor| tensor.index_select(places, 0);
        Ok(Self(match &self.0 {
            Kind::CrossEntropy { labels, classes } => Kind::CrossEntropy { labels: at(labels)?, classes: *classes },
            Kind::SquaredError { targets, weights } => {
                Kind::SquaredError { targets: at(targets)?, weights: at(weights)? }
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(loss: &Loss, outputs: &[f32], width: usize) -> Vec<f32> {
        let outputs = Tensor::from_slice(outputs, (outputs.len() / width, width), &Device::Cpu).unwrap();
        loss.of(&outputs).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn cross_entropy_is_the_surprise_of_the_label() {
        // softmax of (ln 1, ln 2, ln 5) is (1/8, 2/8, 5/8)
        let logits = [0.0, 2_f32.ln(), 5_f32.ln()];
        let loss = Loss::cross_entropy(vec![2, 0, 1], 3).unwrap();
        let losses = of(&loss, &logits.repeat(3), 3);
        for (loss, probability) in losses.iter().zip([5.0_f32 / 8.0, 1.0 / 8.0, 2.0 / 8.0]) {
            assert!((loss + probability.ln()).abs() < 1e-6, "{losses:?}");
        }
        // large logits do not overflow
        assert_eq!(of(&Loss::cross_entropy(vec![0], 2).unwrap(), &[0.0, 1e4], 2), [1e4]);
    }

    #[test]
    fn squared_errors_are_weighted() {
        let loss = Loss::squared_error(vec![1.0, 2.0, 3.0], vec![1.0, 0.5, 0.0]).unwrap();
        assert_eq!(of(&loss, &[4.0, 0.0, 9.0], 1), [9.0, 2.0, 0.0]);
        let places = Tensor::new(&[1_u32, 0], &Device::Cpu).unwrap();
        assert_eq!(of(&loss.at(&places).unwrap(), &[4.0, 0.0], 1), [2.0, 1.0]);
    }

    #[test]
    fn labels_values_and_weights_are_checked() {
        let setting = |loss: Result<Loss, Error>| match loss {
            Err(Error::Setting { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(setting(Loss::cross_entropy(vec![0, 3], 3)), "label");
        assert_eq!(setting(Loss::squared_error(vec![f32::NAN], vec![1.0])), "target");
        assert_eq!(setting(Loss::squared_error(vec![1.0], vec![-1.0])), "weight");
        assert!(matches!(Loss::squared_error(vec![1.0], vec![]), Err(Error::Size { expected: 1, got: 0, .. })));
    }
}
