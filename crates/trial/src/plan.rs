//! What a trial is to do, written before anything is trained.

use headwater_record::ContentHash;
use headwater_train::Settings;
use serde::{Deserialize, Serialize};

use crate::held_out::HeldOutSummary;
use crate::{Design, TrialTrainer};

/// The arm that the others are compared with: documents drawn at random, others under each seed.
pub const CONTROL: &str = "random";

/// As the control, with other draws: what a difference between arms of no difference looks like.
pub const FLOOR: &str = "random-again";

/// What the runs are compared by.
pub const PRIMARY_METRIC: &str =
    "bits per byte of the held-out text after the last step, all documents together, by their bytes";

/// How verdicts are made.
pub const TEST: &str =
    "two-sided sign-flip test of differences paired by seed, Holm's correction over the arms, level 0.05";

/// `plan.json` of a trial. Its hash is the trial's name: another plan is another trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialPlan {
    /// Version of Headwater that made it.
    pub headwater: String,
    /// The fingerprints or hashes of the scores that the arms are cut from.
    pub scores: String,
    /// Arms, control, floor and seeds.
    pub design: Design,
    /// The selections of each arm: one, or one for each seed.
    pub selections: Vec<ArmSelections>,
    /// What the runs are compared by.
    pub primary_metric: String,
    /// How verdicts are made.
    pub test: String,
    /// The arms that differ from the control in the course of the learning rate alone.
    pub schedules: Vec<ScheduleArm>,
    /// The domains, and the share of the tokens that every arm trains on.
    pub domains: Vec<PlannedDomain>,
    /// The text that runs are judged by.
    pub held_out: HeldOutSummary,
    /// The hash of the tokenizer, which was made from texts that are not held out.
    pub tokenizer: ContentHash,
    /// What trains them.
    #[serde(default)]
    pub trainer: TrialTrainer,
    /// How the models are trained; the seed is that of the run.
    pub training: Settings,
    /// The course of the learning rate, as `[schedule]` describes it.
    pub schedule: serde_json::Value,
    /// Its highest rate.
    pub peak_lr: f64,
    /// Steps of a run.
    pub steps: u64,
    /// The step from which the rate falls; none under a schedule without a decay.
    pub decay_from: Option<u64>,
}

/// An arm that trains on the texts of the control under another course of the learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleArm {
    /// The arm.
    pub arm: String,
    /// Its course, as `[schedule]` describes it, or what it is refined from.
    pub schedule: serde_json::Value,
}

/// What an arm was cut by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmSelections {
    /// The arm.
    pub arm: String,
    /// The hash of each selection; one for each seed of an arm that is drawn anew.
    pub selections: Vec<ContentHash>,
    /// The hash of the texts of each, as tokens.
    pub texts: Vec<ContentHash>,
    /// Share of the stretches of 13 words of the held-out text that the first one has in it, near-duplicates being left out.
    pub held_out_seen: f64,
}

/// A domain of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedDomain {
    /// Its name.
    pub domain: String,
    /// Its share of what every run trains on: that of the documents that can be ranked, by tokens.
    pub share: f64,
    /// Tokens of text that every arm has of it.
    pub tokens: u64,
    /// How often each run reads them.
    pub passes: f64,
}

impl TrialPlan {
    /// The hash of the plan, which names the trial.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        // what can be deserialised can be serialised
        ContentHash::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// The arm whose draws `arm` trains on: itself, or the control for one that tries a schedule.
    #[must_use]
    pub fn texts_of<'a>(&'a self, arm: &'a str) -> &'a str {
        if self.schedules.iter().any(|schedule| schedule.arm == arm) { &self.design.control } else { arm }
    }

    /// Floating-point operations of one run's training.
    #[must_use]
    pub fn run_flops(&self) -> f64 {
        self.run_tokens() as f64 * self.training.shape.flops_per_token(self.training.length)
    }

    /// Tokens that a run trains on.
    #[must_use]
    pub const fn run_tokens(&self) -> u64 {
        self.steps * (self.training.sequences * self.training.length) as u64
    }

    /// Runs of the trial.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.arms().count() * self.design.seeds.len()
    }

    /// Every arm, the control and the floor first.
    pub fn arms(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.design.control.as_str())
            .chain(self.design.floor.as_deref())
            .chain(self.design.arms.iter().map(String::as_str))
    }
}
