//! Branching: a child run that leaves the stable phase of its parent and decays at once.

use crate::form::{Decay, Form, Frame};
use crate::{Curve, Error, Schedule};

impl Schedule {
    /// Returns the child run that resumes after `at` steps of this schedule and decays for `steps` along `curve` to the
    /// floor.
    ///
    /// The child's schedule counts from the parent's first step: it is the parent's up to `at`, so a trainer that restores its
    /// step counter from the parent's checkpoint needs no other change.
    ///
    /// # Errors
    /// [`Error::NoPlateau`] for a form without a final decay, [`Error::OffPlateau`] if `at` is in warm-up, cooldown or decay,
    /// [`Error::TooManySteps`].
    ///
    /// # Source
    /// `MiniCPM` (arXiv 2404.06395) §4.3 and Hägele et al. 2024 (arXiv 2405.18392) §3: one stable run serves many budgets.
    pub fn branch(&self, at: u64, steps: u64, curve: Curve) -> Result<Self, Error> {
        let decay = *self.form().decay().ok_or_else(|| Error::NoPlateau { kind: self.kind() })?;
        let from = match self.form() {
            Form::Infinite { cooldown, .. } => cooldown.end(),
            _ => self.warmup_steps(),
        };
        if !(from..=decay.start).contains(&at) {
            return Err(Error::OffPlateau { at, from, to: decay.start });
        }
        let frame = Frame { steps: at.saturating_add(steps), ..*self.frame() };
        let decay = Decay { start: at, steps, curve };
        let form = match self.form().clone() {
            Form::InverseSqrt { timescale_steps, .. } => Form::InverseSqrt { timescale_steps, decay },
            Form::Power { coefficient, exponent, tokens_per_step, .. } => {
                Form::Power { coefficient, exponent, tokens_per_step, decay }
            }
            Form::Infinite { cooldown, hold, .. } => Form::Infinite { cooldown, hold, decay },
            _ => Form::Wsd(decay),
        };
        Self::new(frame, form)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Curve, Error, Schedule, WsdSteps};

    /// `SmolLM3`: 4,720,000 steps, decay from 4,198,000 over 522,000; each branch is the parent until it leaves.
    #[test]
    fn a_branch_is_its_parent_until_it_leaves() -> Result<(), Error> {
        let phases = WsdSteps { steps: 4_720_000, warmup_steps: 2000, decay_steps: 522_000 };
        let parent = Schedule::wsd(phases, Curve::Linear, 2.0e-4, 0.0)?;
        let child = parent.branch(1_000_000, 100_000, Curve::OneMinusSqrt)?;
        assert_eq!((child.steps(), child.decay_start()), (1_100_000, 1_000_000));
        assert!([0, 1, 1999, 2000, 999_999, 1_000_000].iter().all(|step| child.lr(*step) == parent.lr(*step)));
        assert_eq!((child.lr(1_025_000), child.lr(1_100_000)), (1.0e-4, 0.0));
        assert_eq!(parent.branch(4_198_000, 522_000, Curve::Linear)?, parent);
        Ok(())
    }

    #[test]
    fn only_the_stable_phase_has_branches() -> Result<(), Error> {
        let parent =
            Schedule::wsd(WsdSteps { steps: 100, warmup_steps: 10, decay_steps: 20 }, Curve::Linear, 1.0, 0.0)?;
        for at in [9, 81] {
            let error = parent.branch(at, 10, Curve::Linear).unwrap_err().to_string();
            assert!(error.contains(&format!("step {at}")) && error.contains("from step 10 to step 80"), "{error}");
        }
        assert!(parent.branch(50, u64::MAX, Curve::Linear).is_err());
        Ok(())
    }
}
