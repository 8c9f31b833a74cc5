//! The inputs of the page: the artefacts of a run, each `None` if it does not exist.

use std::collections::BTreeMap;

use headwater_record::audit::AuditFile;
use headwater_record::profile::Profile;
use headwater_record::{HeadsFile, Metrics, RunFile, SelectionFile, StudentFile};
use headwater_schedule::Schedule;

/// Passes beyond which repeated tokens teach less and less (Muennighoff et al. 2023, arXiv 2305.16264).
pub(crate) const MOST_PASSES: f64 = 4.0;

/// What is known of a run. The page names each part that is `None`, with the command that makes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageInputs<'a> {
    /// The pipeline as it is given on the command line, options included: what follows `headwater select`.
    pub pipeline: &'a str,
    /// `run.json`.
    pub run: Option<&'a RunFile>,
    /// `heads.json`.
    pub heads: Option<&'a HeadsFile>,
    /// `student.json`, where a student scored.
    pub student: Option<&'a StudentFile>,
    /// `audit.json`.
    pub audit: Option<&'a AuditFile>,
    /// The scores on grids, with samples.
    pub profile: Option<&'a Profile>,
    /// `selection.json`.
    pub selection: Option<&'a SelectionFile>,
    /// What a training run reads.
    pub mixture: Option<&'a Mixture>,
    /// The learning rate of a training run.
    pub schedule: Option<PlannedSchedule<'a>>,
    /// What the last trial came to.
    pub trial: Option<&'a ShownTrial>,
    /// `metrics.json`.
    pub metrics: Option<&'a Metrics>,
    /// What else the reader must know, a sentence each. The page finds rejects, skipped shards and unhealthy heads itself.
    pub warnings: &'a [String],
}

/// What a trial came to: small models trained on competing selections or under competing schedules, judged by text that none of them has seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShownTrial {
    /// The folder of its plan, runs and models.
    pub folder: String,
    /// The arm that the others are compared with, and its mean loss, bits per byte of held-out text.
    pub control: (String, f64),
    /// The other arms.
    pub arms: Vec<ShownArm>,
    /// Seeds that every arm was trained under.
    pub seeds: usize,
    /// Documents that the arms are judged by, and their bytes.
    pub held_out: (u64, u64),
    /// Parameters of the model.
    pub parameters: u64,
    /// Tokens that a run trains on.
    pub run_tokens: u64,
    /// How far below known scales it lies, a sentence.
    pub reach: String,
    /// Arms that train on the texts of the control, under another course of the learning rate.
    pub schedule_arms: usize,
    /// Each arm's mean loss of what it trains on, in equal stretches of the run, nats a token.
    pub courses: Vec<(String, Vec<f64>)>,
    /// Share of the run from which the rate of the control falls, if it does.
    pub decay_from: Option<f64>,
    /// Standard deviation over seeds of the difference of two arms that are made alike, bits per byte.
    pub floor: Option<f64>,
    /// Difference from the control by domain and arm, bits per byte; arms in the order of `arms`.
    pub domains: Vec<(String, Vec<Option<f64>>)>,
}

/// An arm of a trial beside the control. Differences are arm − control, bits per byte of held-out text; below 0 the arm is better.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShownArm {
    /// Its name.
    pub name: String,
    /// What is said of it, such as `worse`.
    pub verdict: String,
    /// Mean difference, and its 95 % interval.
    pub difference: (f64, [f64; 2]),
    /// Mean difference before the decay of the rate.
    pub before_decay: Option<f64>,
    /// Probability of such a difference by chance, after Holm's adjustment; `None` for what is not judged.
    pub p: Option<f64>,
    /// The smallest difference that the trial would have found.
    pub smallest: Option<f64>,
}

/// A schedule and the size of its steps.
#[derive(Clone, Copy, Debug)]
pub struct PlannedSchedule<'a> {
    /// The schedule.
    pub schedule: &'a Schedule,
    /// Sequence length × sequences a batch.
    pub tokens_per_step: u64,
}

/// What a training run reads, stage by stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mixture {
    /// The stages in order; one if the mixture never changes.
    pub stages: Vec<MixtureStage>,
}

/// A stretch of a training run that reads one mixture.
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureStage {
    /// When it is, such as `until the decay`.
    pub name: String,
    /// What is read; the weights sum to 1.
    pub parts: Vec<MixturePart>,
    /// Tokens that are read in it; `None` if the length of the run is not known.
    pub tokens: Option<f64>,
    /// The share of what is selected, where it is set; `None` where the subset is appended to the corpus, so that its size decides.
    pub selected_weight: Option<f64>,
    /// How the weights are computed, for people.
    pub arithmetic: String,
}

impl Mixture {
    /// How often the run reads each token of a part; `None` if the part is empty or the length of the run is not known.
    pub(crate) fn passes(&self, name: &str) -> Option<f64> {
        let part = |stage: &MixtureStage| stage.parts.iter().find(|part| part.name == name).cloned();
        let tokens = self.stages.iter().find_map(part)?.tokens;
        let read = |stage: &MixtureStage| Some(stage.tokens? * part(stage).map_or(0.0, |part| part.weight));
        let read = self.stages.iter().map(read).sum::<Option<f64>>()?;
        (tokens > 0).then(|| read / tokens as f64)
    }

    /// The part that is read most often, with its passes; `None` if no part's are known.
    pub(crate) fn most_read(&self) -> Option<(&str, f64)> {
        let parts = self.stages.iter().flat_map(|stage| &stage.parts);
        let passes = parts.filter_map(|part| Some((part.name.as_str(), self.passes(&part.name)?)));
        passes.max_by(|one, other| one.1.total_cmp(&other.1))
    }
}

/// A part of a mixture.
#[derive(Clone, Debug, PartialEq)]
pub struct MixturePart {
    /// Its name, such as `corpus`.
    pub name: String,
    /// Share of the tokens that are trained on.
    pub weight: f64,
    /// Tokens of one pass over it.
    pub tokens: u64,
}

impl PageInputs<'_> {
    /// The command that makes an artefact of this run.
    pub(crate) fn command(&self, stage: &str) -> String {
        let pipeline = if self.pipeline.is_empty() { "PIPELINE.toml" } else { self.pipeline };
        format!("headwater {stage} {pipeline}")
    }

    /// A value of the resolved pipeline, by its path such as `/run/seed`; `None` if it is not there.
    pub(crate) fn setting(&self, pointer: &str) -> Option<&serde_json::Value> {
        self.run.and_then(|run| run.config.pointer(pointer))
    }

    /// The same as text; empty if it is not there.
    pub(crate) fn setting_text(&self, pointer: &str) -> String {
        match self.setting(pointer) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    /// Rows by status, of the selection or else of the scores that are there; `None` before both.
    pub(crate) fn statuses(&self) -> Option<&BTreeMap<String, u64>> {
        self.selection.map(|file| &file.statuses).or(self.profile.map(|profile| &profile.statuses))
    }
}
