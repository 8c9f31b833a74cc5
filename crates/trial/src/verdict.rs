//! Better, worse, or not distinguishable: the verdict on every arm of a trial.

use serde::{Deserialize, Serialize};

use crate::flips::FAMILY_LEVEL;
use crate::{Comparison, Error, Outcomes, Power, Sensitivity, holm};

/// Which arms are judged, and under which seeds: what a plan fixes before anything is trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Design {
    /// The arm that all others are compared with.
    pub control: String,
    /// A second arm that is made as the control is, with other draws. Its difference from the control is the noise floor; it is not judged.
    pub floor: Option<String>,
    /// The arms that are judged.
    pub arms: Vec<String>,
    /// The seeds that every arm is trained under.
    pub seeds: Vec<u64>,
}

/// What a trial says of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Its loss is lower than the control's: Holm's p is at most 5 %.
    Better,
    /// Its loss is higher.
    Worse,
    /// The trial could have told them apart, and did not. That is no evidence that they are equal.
    NotDistinguishable,
    /// So few seeds lead to no verdict, whatever the losses: see [`Sensitivity::seeds_needed`].
    TooFewSeeds,
}

impl Verdict {
    /// Returns the verdict as people say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NotDistinguishable => "not distinguishable",
            Self::TooFewSeeds => "too few seeds",
        }
    }
}

/// One arm of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgedArm {
    /// Its name.
    pub arm: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Two-sided p of the sign-flip test after Holm's adjustment over all judged arms.
    pub holm_p: f64,
    /// The arm against the control.
    pub comparison: Comparison,
    /// The smallest effect that this arm would have been found with in 80 % of trials, bits per byte, if its standard deviation is the true
    /// one. `None` where no outcome leads to a verdict.
    pub smallest_detectable: Option<f64>,
    /// The mean difference in standard deviations of the noise floor; below 0 the arm is better. `None` without a floor, or if it does not
    /// vary.
    pub floor_multiples: Option<f64>,
}

/// What a trial says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The control.
    pub control: String,
    /// What the trial could see.
    pub sensitivity: Sensitivity,
    /// Random against random: how far two arms differ that are made alike. `None` if the design has none.
    pub floor: Option<Comparison>,
    /// The judged arms, in the design's order.
    pub arms: Vec<JudgedArm>,
}

impl Judgement {
    /// Returns the comparison of `arm` with the control, be it judged or the noise floor, of name `floor`.
    #[must_use]
    pub fn comparison_of(&self, arm: &str, floor: Option<&str>) -> Option<&Comparison> {
        if floor == Some(arm) {
            return self.floor.as_ref();
        }
        self.arms.iter().find(|judged| judged.arm == arm).map(|judged| &judged.comparison)
    }
}

impl Design {
    /// Returns what the trial can see, before it is run.
    ///
    /// # Errors
    /// [`Error::TooFew`] with fewer than two seeds or without arms, [`Error::Setting`] if an arm or a seed is named twice.
    pub fn sensitivity(&self) -> Result<Sensitivity, Error> {
        self.check()?;
        Ok(Power::new(self.seeds.len(), self.arms.len())?.sensitivity())
    }

    /// Judges every arm by its outcomes.
    ///
    /// An arm is better or worse if the sign-flip test against the control has p of at most 5 % after Holm's adjustment. In at most 5 % of
    /// trials without any difference an arm is called better or worse.
    ///
    /// # Errors
    /// As [`Design::sensitivity`]; [`Error::NoRuns`], [`Error::Unpaired`] or [`Error::UnplannedSeed`] if the outcomes are not those of the
    /// design.
    pub fn judge(&self, outcomes: &Outcomes) -> Result<Judgement, Error> {
        self.judge_as_planned(&self.sensitivity()?, outcomes)
    }

    /// Judges as [`Design::judge`] with a sensitivity that was found before, as a plan keeps it; finding it may take seconds.
    ///
    /// # Errors
    /// As [`Design::judge`], and [`Error::Setting`] if the sensitivity is of another number of seeds or arms.
    pub fn judge_as_planned(&self, sensitivity: &Sensitivity, outcomes: &Outcomes) -> Result<Judgement, Error> {
        self.check()?;
        if (sensitivity.seeds, sensitivity.arms) != (self.seeds.len(), self.arms.len()) {
            let value = format!("{} seeds, {} arms", sensitivity.seeds, sensitivity.arms);
            return Err(Error::Setting { name: "sensitivity", value, rule: "is of another design" });
        }
        for arm in [&self.control].into_iter().chain(&self.floor).chain(&self.arms) {
            self.check_seeds(outcomes, arm)?;
        }
        let against_control = |arm: &String| outcomes.compare(&self.control, arm);
        let floor = self.floor.as_ref().map(against_control).transpose()?;
        let comparisons = self.arms.iter().map(against_control).collect::<Result<Vec<_>, _>>()?;
        let p: Vec<f64> = comparisons.iter().map(|comparison| comparison.sign_flip.p).collect();
        let floor_sd = floor.as_ref().map(|floor| floor.sd_difference).filter(|sd| *sd > 0.0);

        let judged = self.arms.iter().zip(comparisons).zip(holm(&p)).map(|((arm, comparison), holm_p)| JudgedArm {
            arm: arm.clone(),
            verdict: verdict(holm_p, comparison.mean_difference, sensitivity),
            holm_p,
            smallest_detectable: comparison.smallest_detectable(sensitivity),
            floor_multiples: floor_sd.map(|sd| comparison.mean_difference / sd),
            comparison,
        });
        let arms = judged.collect();
        Ok(Judgement { control: self.control.clone(), sensitivity: *sensitivity, floor, arms })
    }

    /// Makes sure that nothing is named twice.
    fn check(&self) -> Result<(), Error> {
        let mut names: Vec<&String> = [&self.control].into_iter().chain(&self.floor).chain(&self.arms).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::Setting { name: "arm", value: twice[0].clone(), rule: "is named twice" });
        }
        let mut seeds = self.seeds.clone();
        seeds.sort_unstable();
        if let Some(twice) = seeds.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::Setting { name: "seed", value: twice[0].to_string(), rule: "is named twice" });
        }
        Ok(())
    }

    /// Makes sure that `arm` was trained under the design's seeds, and no others.
    fn check_seeds(&self, outcomes: &Outcomes, arm: &str) -> Result<(), Error> {
        let losses = outcomes.arm(arm)?;
        if let Some(seed) = self.seeds.iter().find(|seed| !losses.contains_key(seed)) {
            return Err(Error::Unpaired { arm: arm.to_owned(), seed: *seed });
        }
        match losses.keys().find(|seed| !self.seeds.contains(seed)) {
            Some(seed) => Err(Error::UnplannedSeed { arm: arm.to_owned(), seed: *seed }),
            None => Ok(()),
        }
    }
}

/// The verdict on an arm whose loss is higher by `mean_difference`.
fn verdict(holm_p: f64, mean_difference: f64, sensitivity: &Sensitivity) -> Verdict {
    if sensitivity.level == 0.0 {
        Verdict::TooFewSeeds
    } else if holm_p > FAMILY_LEVEL {
        Verdict::NotDistinguishable
    } else if mean_difference < 0.0 {
        Verdict::Better
    } else {
        Verdict::Worse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn design(arms: &[&str], seeds: u64) -> Design {
        Design {
            control: "random".to_owned(),
            floor: Some("random-2".to_owned()),
            arms: arms.iter().map(|arm| (*arm).to_owned()).collect(),
            seeds: (0..seeds).collect(),
        }
    }

    /// Losses of arms that differ from the control by a constant and a little that depends on the seed.
    fn outcomes(arms: &[(&str, f64)], seeds: u32) -> Outcomes {
        let mut outcomes = Outcomes::new();
        for seed in 0..seeds {
            let control = 1.5 + 0.01 * f64::from(seed);
            outcomes.record("random", seed.into(), control).unwrap();
            let floor = if seed % 2 == 0 { 0.002 } else { -0.001 };
            outcomes.record("random-2", seed.into(), control + floor).unwrap();
            for (arm, effect) in arms {
                let loss = control + effect + 0.0001 * f64::from(seed % 3);
                outcomes.record(arm, seed.into(), loss).unwrap();
            }
        }
        outcomes
    }

    #[test]
    fn better_worse_and_neither() {
        let arms = [("influence", -0.02), ("loss", 0.03), ("corrected", -0.0001)];
        let judgement = design(&["influence", "loss", "corrected"], 8).judge(&outcomes(&arms, 8)).unwrap();
        let verdicts: Vec<Verdict> = judgement.arms.iter().map(|arm| arm.verdict).collect();
        assert_eq!(verdicts, [Verdict::Better, Verdict::Worse, Verdict::NotDistinguishable]);
        // 3 × 2/256, for both of the first
        assert_eq!(judgement.arms[1].holm_p, 6.0 / 256.0);
        let floor = judgement.floor.unwrap();
        let expected = judgement.arms[0].comparison.mean_difference / floor.sd_difference;
        assert_eq!(judgement.arms[0].floor_multiples, Some(expected));
        assert!(expected < -10.0 && judgement.arms[0].smallest_detectable.unwrap() < 0.001);
    }

    #[test]
    fn few_seeds_say_so_and_how_many_are_needed() {
        let judgement =
            design(&["influence", "loss"], 5).judge(&outcomes(&[("influence", -0.5), ("loss", 0.5)], 5)).unwrap();
        assert!(
            judgement.arms.iter().all(|arm| arm.verdict == Verdict::TooFewSeeds && arm.smallest_detectable.is_none())
        );
        assert_eq!(judgement.sensitivity.seeds_needed, Some(7));
    }

    #[test]
    fn outcomes_must_be_those_of_the_design() {
        let arms = [("influence", -0.02)];
        let judge = |design: &Design, seeds| design.judge(&outcomes(&arms, seeds));
        assert!(matches!(judge(&design(&["influence"], 8), 7), Err(Error::Unpaired { seed: 7, .. })));
        assert!(matches!(judge(&design(&["influence"], 8), 9), Err(Error::UnplannedSeed { seed: 8, .. })));
        assert!(matches!(judge(&design(&["loss"], 8), 8), Err(Error::NoRuns { .. })));
        assert!(matches!(judge(&design(&[], 8), 8), Err(Error::TooFew { .. })));
        assert!(matches!(judge(&design(&["random"], 8), 8), Err(Error::Setting { name: "arm", .. })));
        let of_others = design(&["influence", "loss"], 8).sensitivity().unwrap();
        let judged = design(&["influence"], 8).judge_as_planned(&of_others, &outcomes(&arms, 8));
        assert!(matches!(judged, Err(Error::Setting { name: "sensitivity", .. })));
        let twice = Design { seeds: vec![3, 1, 3], ..design(&["influence"], 8) };
        assert!(matches!(twice.sensitivity(), Err(Error::Setting { name: "seed", .. })));
    }

    #[test]
    fn a_judgement_survives_json() {
        let judgement = design(&["influence"], 8).judge(&outcomes(&[("influence", -0.02)], 8)).unwrap();
        let json = serde_json::to_string(&judgement).unwrap();
        assert!(json.contains(r#""verdict":"better""#) && json.contains(r#""kind":"exact""#), "{json}");
        assert_eq!(serde_json::from_str::<Judgement>(&json).unwrap(), judgement);
    }
}
