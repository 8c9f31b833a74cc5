//! What the runs of a trial measured: losses by arm, seed and, where known, held-out document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Final losses of one arm by seed, in bits per byte of held-out text; lower is better.
pub type Losses = BTreeMap<u64, f64>;

/// Final losses by arm and seed.
///
/// Runs of different arms under one seed share their initialisation and whatever else the seed decides, so they are compared pair by pair.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outcomes {
    /// Arm → seed → bits per byte.
    arms: BTreeMap<String, Losses>,
}

impl Outcomes {
    /// Returns outcomes without a run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records the loss of a run.
    ///
    /// # Units
    /// Bits per byte of held-out text.
    ///
    /// # Errors
    /// [`Error::Loss`] if the loss is not finite and at least 0, [`Error::Twice`] if the arm has a run under this seed.
    pub fn record(&mut self, arm: &str, seed: u64, bits_per_byte: f64) -> Result<(), Error> {
        check_loss(arm, seed, bits_per_byte)?;
        let runs = self.arms.entry(arm.to_owned()).or_default();
        match runs.insert(seed, bits_per_byte) {
            None => Ok(()),
            Some(before) => {
                runs.insert(seed, before);
                Err(Error::Twice { arm: arm.to_owned(), seed })
            }
        }
    }

    /// Returns the losses of `arm`.
    ///
    /// # Errors
    /// [`Error::NoRuns`] if it has none.
    pub fn arm(&self, arm: &str) -> Result<&Losses, Error> {
        self.arms.get(arm).ok_or_else(|| Error::NoRuns { arm: arm.to_owned() })
    }

    /// Names the arms, in alphabetical order.
    pub fn arms(&self) -> impl Iterator<Item = &str> {
        self.arms.keys().map(String::as_str)
    }

    /// Returns the losses of `control` and of `arm` by seed, `(seed,)` each, in ascending order of seeds.
    ///
    /// # Errors
    /// [`Error::NoRuns`], [`Error::Unpaired`] if one of them has a run under a seed that the other lacks.
    pub fn paired(&self, control: &str, arm: &str) -> Result<(Vec<f64>, Vec<f64>), Error> {
        let (of_control, of_arm) = (self.arm(control)?, self.arm(arm)?);
        unless_same_seeds((control, of_control), (arm, of_arm))?;
        Ok((of_control.values().copied().collect(), of_arm.values().copied().collect()))
    }
}

/// Losses by arm, seed and held-out document; all runs are measured on the same documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DocumentLosses {
    /// `(document,)`, bytes.
    bytes: Vec<u64>,
    /// Arm → seed → `(document,)`, bits per byte.
    arms: BTreeMap<String, BTreeMap<u64, Vec<f64>>>,
}

impl DocumentLosses {
    /// Returns losses without a run, to be measured on documents of these lengths, `(document,)`, in bytes.
    ///
    /// # Errors
    /// [`Error::TooFew`] without documents, [`Error::Setting`] if one is empty.
    pub fn new(bytes: Vec<u64>) -> Result<Self, Error> {
        Error::unless_enough("held-out documents", 1, bytes.len())?;
        if bytes.contains(&0) {
            let rule = "a document without text has no loss per byte";
            return Err(Error::Setting { name: "bytes of a document", value: "0".to_owned(), rule });
        }
        Ok(Self { bytes, arms: BTreeMap::new() })
    }

    /// Records the losses of a run, `(document,)`.
    ///
    /// # Units
    /// Bits per byte of each document.
    ///
    /// # Errors
    /// [`Error::Documents`] if their number differs, [`Error::Loss`] if one is not finite and at least 0, [`Error::Twice`].
    pub fn record(&mut self, arm: &str, seed: u64, bits_per_byte: Vec<f64>) -> Result<(), Error> {
        let (expected, got) = (self.bytes.len(), bits_per_byte.len());
        if expected != got {
            return Err(Error::Documents { arm: arm.to_owned(), seed, expected, got });
        }
        bits_per_byte.iter().try_for_each(|loss| check_loss(arm, seed, *loss))?;
        let runs = self.arms.entry(arm.to_owned()).or_default();
        if runs.contains_key(&seed) {
            return Err(Error::Twice { arm: arm.to_owned(), seed });
        }
        runs.insert(seed, bits_per_byte);
        Ok(())
    }

    /// Returns the loss of each run over all documents: their bits by their bytes.
    #[must_use]
    pub fn outcomes(&self) -> Outcomes {
        let total: f64 = self.bytes.iter().map(|bytes| *bytes as f64).sum();
        let loss = |losses: &Vec<f64>| {
            let bits: f64 = losses.iter().zip(&self.bytes).map(|(loss, bytes)| loss * *bytes as f64).sum();
            bits / total
        };
        let of_arm = |runs: &BTreeMap<u64, Vec<f64>>| runs.iter().map(|(seed, losses)| (*seed, loss(losses))).collect();
        Outcomes { arms: self.arms.iter().map(|(arm, runs)| (arm.clone(), of_arm(runs))).collect() }
    }

    /// The lengths of the documents, `(document,)`, in bytes.
    pub(crate) fn bytes(&self) -> &[u64] {
        &self.bytes
    }

    /// Differences arm − control, `(seed, document)`, in bits, in ascending order of seeds.
    pub(crate) fn bit_differences(&self, control: &str, arm: &str) -> Result<Vec<Vec<f64>>, Error> {
        let runs = |arm: &str| self.arms.get(arm).ok_or_else(|| Error::NoRuns { arm: arm.to_owned() });
        let (of_control, of_arm) = (runs(control)?, runs(arm)?);
        unless_same_seeds((control, of_control), (arm, of_arm))?;
        let bits = |(control, arm): (&Vec<f64>, &Vec<f64>)| {
            let losses = control.iter().zip(arm).zip(&self.bytes);
            losses.map(|((control, arm), bytes)| (arm - control) * *bytes as f64).collect()
        };
        Ok(of_control.values().zip(of_arm.values()).map(bits).collect())
    }
}

/// Makes sure that a loss is one.
fn check_loss(arm: &str, seed: u64, value: f64) -> Result<(), Error> {
    if value.is_finite() && value >= 0.0 { Ok(()) } else { Err(Error::Loss { arm: arm.to_owned(), seed, value }) }
}

/// Makes sure that two named arms have runs under the same seeds.
fn unless_same_seeds<T>(one: (&str, &BTreeMap<u64, T>), other: (&str, &BTreeMap<u64, T>)) -> Result<(), Error> {
    for ((_, has), (arm, lacks)) in [(one, other), (other, one)] {
        if let Some(seed) = has.keys().find(|seed| !lacks.contains_key(seed)) {
            return Err(Error::Unpaired { arm: arm.to_owned(), seed: *seed });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_paired_by_seed_and_none_is_lost() {
        let mut outcomes = Outcomes::new();
        for (arm, seed, loss) in [("random", 7, 1.7), ("random", 2, 1.2), ("influence", 2, 1.1), ("influence", 7, 1.6)]
        {
            outcomes.record(arm, seed, loss).unwrap();
        }
        assert_eq!(outcomes.paired("random", "influence").unwrap(), (vec![1.2, 1.7], vec![1.1, 1.6]));
        assert!(matches!(outcomes.record("random", 2, 9.0), Err(Error::Twice { seed: 2, .. })));
        assert_eq!(outcomes.arm("random").unwrap()[&2], 1.2, "the first stays");
        outcomes.record("influence", 9, 1.0).unwrap();
        let unpaired = outcomes.paired("random", "influence");
        assert!(matches!(unpaired, Err(Error::Unpaired { arm, seed: 9 }) if arm == "random"));
        assert!(matches!(outcomes.paired("random", "loss"), Err(Error::NoRuns { .. })));
        assert_eq!(outcomes.arms().collect::<Vec<_>>(), ["influence", "random"]);
    }

    #[test]
    fn what_diverged_is_no_loss() {
        let mut outcomes = Outcomes::new();
        for loss in [f64::NAN, f64::INFINITY, -0.1] {
            assert!(matches!(outcomes.record("random", 1, loss), Err(Error::Loss { .. })));
        }
        assert!(outcomes.arm("random").is_err());
    }

    #[test]
    fn the_loss_of_a_run_weighs_documents_by_their_bytes() {
        let mut losses = DocumentLosses::new(vec![100, 300]).unwrap();
        losses.record("random", 1, vec![2.0, 1.0]).unwrap();
        losses.record("loss", 1, vec![1.0, 1.5]).unwrap();
        assert_eq!(losses.outcomes().arm("random").unwrap()[&1], 1.25);
        assert_eq!(losses.bit_differences("random", "loss").unwrap(), [[-100.0, 150.0]]);
        assert!(matches!(losses.record("loss", 2, vec![1.0]), Err(Error::Documents { expected: 2, got: 1, .. })));
        assert!(matches!(losses.record("loss", 1, vec![1.0, 1.0]), Err(Error::Twice { .. })));
        assert!(DocumentLosses::new(vec![]).is_err() && DocumentLosses::new(vec![1, 0]).is_err());
    }

    #[test]
    fn outcomes_are_json_by_arm_and_seed() {
        let mut outcomes = Outcomes::new();
        outcomes.record("random", 3, 1.25).unwrap();
        let json = serde_json::to_string(&outcomes).unwrap();
        assert_eq!(json, r#"{"random":{"3":1.25}}"#);
        assert_eq!(serde_json::from_str::<Outcomes>(&json).unwrap(), outcomes);
    }
}
