//! Branching: a child run that leaves the stable phase of its parent and decays at once.

use serde::{Deserialize, Serialize};

use crate::form::{Decay, Form, Frame};
use crate::length::{rounded_share, whole_number};
use crate::{Batch, Curve, Error, Kind, Length, RunLength, Schedule, ScheduleConfig, Shape};

/// Where a child leaves its parent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BranchPoint {
    /// After so many steps.
    Step(u64),
    /// After so many training tokens, rounded half up to steps; a whole number.
    Tokens(f64),
}

impl BranchPoint {
    /// Returns the last step that the child shares with its parent.
    ///
    /// # Errors
    /// [`Error::Count`] for tokens that are no whole number, otherwise as [`RunLength::of_tokens`].
    pub fn step(self, batch: Batch) -> Result<u64, Error> {
        match self {
            Self::Step(step) => Ok(step),
            Self::Tokens(tokens) => Ok(RunLength::of_tokens(whole_number(tokens, "tokens")?, batch)?.steps),
        }
    }
}

/// What child is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BranchRequest {
    /// Where it leaves its parent.
    pub at: BranchPoint,
    /// Length of its decay; a fraction is one of the child's steps. By default the parent's fraction.
    pub decay: Option<Length>,
}

/// The run that a child leaves.
#[derive(Clone, Copy, Debug)]
pub struct BranchParent<'a> {
    /// Its `[schedule]` table.
    pub config: &'a ScheduleConfig,
    /// That table resolved for its run.
    pub schedule: &'a Schedule,
    /// Its run.
    pub run: RunLength,
}

/// A child run.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Its schedule, which counts from the parent's first step.
    pub schedule: Schedule,
    /// The `[schedule]` table that resolves to it for the child's run.
    pub config: ScheduleConfig,
}

impl BranchParent<'_> {
    /// Plans the child that decays with the parent's shape.
    ///
    /// # Errors
    /// As [`Schedule::branch`] and [`BranchPoint::step`]; [`Error::NoDecay`] if no step is left to decay.
    pub fn branch(&self, request: &BranchRequest) -> Result<Branch, Error> {
        let at = request.at.step(self.run.batch)?;
        let curve = self.schedule.form().decay().map_or(Curve::Linear, |decay| decay.curve);
        // whether there is a stable phase comes before how long to decay from it
        self.schedule.branch(at, 1, curve)?;
        let schedule = self.schedule.branch(at, self.decay_steps(request.decay, at)?, curve)?;
        let config = self.child_config(&schedule);
        Ok(Branch { schedule, config })
    }

    /// Returns the step nearest to `at` after which a run that saves every `every` steps has a checkpoint to branch from.
    ///
    /// That is the last one before `at`, or else the next; `None` if neither is in the stable phase.
    #[must_use]
    pub fn nearest_checkpoint(&self, at: u64, every: u64) -> Option<u64> {
        let before = at.checked_div(every)? * every;
        let is_stable = |step: &u64| self.schedule.branch(*step, 1, Curve::Linear).is_ok();
        [before, before.saturating_add(every)].into_iter().find(is_stable)
    }

    /// Steps of the child's decay. A fraction is one of the child's run: D / (at + D).
    fn decay_steps(&self, decay: Option<Length>, at: u64) -> Result<u64, Error> {
        let parents = self.schedule.decay_steps() as f64 / self.schedule.steps() as f64;
        let steps = match decay.unwrap_or(Length::Fraction(parents)) {
            Length::Fraction(fraction) => rounded_share(fraction / (1.0 - fraction), at),
            length => length.steps(self.run),
        };
        if steps > 0 { Ok(steps) } else { Err(Error::NoDecay) }
    }

    /// The parent's table with every length in steps, for the child's run.
    fn child_config(&self, child: &Schedule) -> ScheduleConfig {
        let config = self.config.clone();
        let in_steps = |length: Length| Length::Steps(length.steps(self.run));
        // kinds that decay over the whole run have no decay of their own
        let shape = match config.kind {
            Kind::Constant | Kind::Linear => Some(Shape::Linear),
            Kind::Cosine => Some(Shape::Cosine),
            Kind::Polynomial => Some(Shape::Polynomial),
            _ => None,
        };
        let (timescale, cooldown) = match child.form() {
            Form::InverseSqrt { .. } => {
                (Some(config.timescale.map_or(Length::Steps(child.warmup_steps()), in_steps)), None)
            }
            Form::Infinite { cooldown, .. } => (None, Some(Length::Steps(cooldown.steps))),
            _ => (None, None),
        };
        ScheduleConfig {
            kind: if shape.is_some() { Kind::Wsd } else { config.kind },
            warmup: Some(Length::Steps(child.warmup_steps())),
            decay: Some(Length::Steps(child.decay_steps())),
            half_life: config.half_life.map(in_steps),
            shape: shape.or(config.shape),
            timescale,
            cooldown,
            ..config
        }
    }
}

impl Schedule {
    /// Returns the child run that resumes after `at` steps of this schedule and decays for `steps` along `curve` to the floor.
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
    use super::*;
    use crate::WsdSteps;

    /// The table of the child, resolved for the child's run, is the child that was planned.
    #[test]
    fn a_childs_table_makes_the_child() -> Result<(), Error> {
        let run = RunLength { steps: 119_209, batch: Batch { sequences: 1024, sequence_tokens: 8192 } };
        for (text, at) in [
            ("kind = 'wsd'", 60_000),
            ("kind = 'wsd'\nshape = 'exponential'\nhalf_life = 0.05\nfloor = 0.01", 50_000),
            ("kind = 'wsd'\nshape = 'polynomial'\nexponent = 2.5", 1_000),
            ("kind = 'constant'", 119_209),
            ("kind = 'cosine'", 119),
            ("kind = 'linear'\nfloor = 0.1", 119),
            ("kind = 'polynomial'\nexponent = 2.0", 119),
            ("kind = 'inverse-sqrt'\nwarmup = 0.05", 60_000),
            ("kind = 'inverse-sqrt'\ntimescale = 0.1", 60_000),
            ("kind = 'power'\nshape = 'linear'", 60_000),
            ("kind = 'infinite'\ncooldown = 0.25\ncooldown_shape = 'linear'", 60_000),
        ] {
            let config: ScheduleConfig = toml::from_str(text).expect("a schedule");
            let schedule = config.resolve(run, 4.0e-4)?;
            let parent = BranchParent { config: &config, schedule: &schedule, run };
            let request = BranchRequest { at: BranchPoint::Step(at), decay: Some(Length::Steps(10_000)) };
            let child = parent.branch(&request)?;
            let of_child = RunLength { steps: child.schedule.steps(), ..run };
            assert_eq!(child.config.resolve(of_child, 4.0e-4)?, child.schedule, "{text}");
        }
        Ok(())
    }

    #[test]
    fn a_fraction_is_one_of_the_childs_run() -> Result<(), Error> {
        let run = RunLength { steps: 1000, batch: Batch { sequences: 1, sequence_tokens: 10 } };
        let config: ScheduleConfig = toml::from_str("warmup = 0\ndecay = 0.2").expect("a schedule");
        let schedule = config.resolve(run, 1.0)?;
        let parent = BranchParent { config: &config, schedule: &schedule, run };
        let steps = |at, decay| parent.branch(&BranchRequest { at, decay }).map(|child| child.schedule.steps());
        assert_eq!(steps(BranchPoint::Step(400), None)?, 500);
        assert_eq!(steps(BranchPoint::Tokens(4000.0), Some(Length::Fraction(0.5)))?, 800);
        assert_eq!(steps(BranchPoint::Step(400), Some(Length::Tokens(100)))?, 410);
        assert!(matches!(steps(BranchPoint::Step(400), Some(Length::Fraction(0.0))), Err(Error::NoDecay)));
        assert!(matches!(steps(BranchPoint::Tokens(0.5), None), Err(Error::Count { .. })));
        assert!(matches!(steps(BranchPoint::Step(801), Some(Length::Steps(0))), Err(Error::OffPlateau { .. })));
        Ok(())
    }

    #[test]
    fn the_nearest_checkpoint_is_one_of_the_stable_phase() -> Result<(), Error> {
        let schedule =
            Schedule::wsd(WsdSteps { steps: 100, warmup_steps: 30, decay_steps: 20 }, Curve::Linear, 1.0, 0.0)?;
        let run = RunLength { steps: 100, batch: Batch { sequences: 1, sequence_tokens: 1 } };
        let parent = BranchParent { config: &ScheduleConfig::default(), schedule: &schedule, run };
        let nearest =
            [(55, 10), (35, 20), (75, 70), (50, 100), (50, 0)].map(|(at, every)| parent.nearest_checkpoint(at, every));
        assert_eq!(nearest, [Some(50), Some(40), Some(70), None, None]);
        Ok(())
    }

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
