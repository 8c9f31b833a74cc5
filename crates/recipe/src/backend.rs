//! How a trainer writes a schedule in its config, and which schedule it follows when it has no keys for the wanted one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use headwater_schedule::{Curve, Decay, Form, Frame, Schedule};

use crate::file::RecipeFile;
use crate::plan::{TABLE_ROWS, TrainingPlan};
use crate::{Error, Result, Trainer};

/// Steps at which schedules are compared for a config's header, about.
const COMPARED_STEPS: u64 = 1 << 22;

/// Steps at which a candidate for the nearest schedule is compared.
const SEARCHED_STEPS: u64 = 256;

/// The same with the boundaries of what is wanted, at most about.
const MOST_SEARCHED: usize = 1024;

/// Places where the decay of a candidate may begin.
const STARTS: u64 = 64;

/// Boundaries of what is wanted where it may begin too, and where warm-up may end.
const MOST_BOUNDS: usize = 64;

/// Differences below this share of the peak are rounding.
pub(crate) const ROUNDING: f64 = 1e-9;

/// Differences above this share of the peak are worth a warning.
const FAR: f64 = 0.05;

/// What writes the config of one trainer.
pub(crate) trait TrainerBackend: Sync {
    /// Returns the trainer.
    fn trainer(&self) -> Trainer;

    /// Returns the paths of all files that its recipes may have, apart from the table of learning rates.
    fn paths(&self) -> &'static [&'static str];

    /// Returns the curves by which a stable phase can decay.
    fn decay_curves(&self) -> &'static [Curve];

    /// Returns whether its recipe has a ramp of the batch.
    fn ramps_batch(&self, _plan: &TrainingPlan<'_>) -> bool {
        false
    }

    /// Returns whether it cuts each part of the data into sequences by itself, so that a part must fill one.
    fn cuts_each_part(&self) -> bool {
        false
    }

    /// Returns whether its keys express this schedule, apart from where it begins to count.
    fn supports(&self, schedule: &Schedule) -> bool {
        matches!(schedule.form(), Form::Wsd(decay) if decay.steps == 0 || self.decay_curves().contains(&decay.curve))
    }

    /// Returns the nearest schedule that its keys express.
    fn nearest(&self, wanted: &Schedule) -> Result<Schedule> {
        nearest(self, wanted)
    }

    /// Returns the rate of update `step`, counted from 0, under a schedule that it supports.
    fn rate(&self, schedule: &Schedule, step: u64) -> f64;

    /// Returns the update whose rate it logs at step `logged`, one of [`logged_steps`](Self::logged_steps).
    fn update_logged_at(&self, logged: u64) -> u64;

    /// Returns the steps of its log that have a rate, by its own count, for a run of `steps` updates.
    fn logged_steps(&self, steps: u64) -> RangeInclusive<u64> {
        1..=steps
    }

    /// Describes how it counts steps, in a sentence.
    fn step_convention(&self) -> &'static str;

    /// Returns its keys for a schedule that it supports, as its config has them.
    fn scheduler_keys(&self, schedule: &Schedule) -> Result<String>;

    /// Builds the files of its recipe, apart from the table of learning rates.
    fn files(&self, plan: &TrainingPlan<'_>, followed: &FollowedSchedule) -> Result<Vec<RecipeFile>>;
}

/// The schedule that a trainer follows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FollowedSchedule {
    /// One that it supports.
    pub(crate) schedule: Schedule,
    /// What it makes of the one that is wanted, a sentence each.
    pub(crate) sentences: Vec<String>,
    /// A warning for the user, if the trainer follows a schedule that is far from the wanted one.
    pub(crate) warning: Option<String>,
}

impl FollowedSchedule {
    /// The wanted schedule, or else the nearest that the trainer expresses.
    pub(crate) fn new(backend: &dyn TrainerBackend, wanted: &Schedule) -> Result<Self> {
        let title = backend.trainer().title();
        let is_wanted = backend.supports(wanted);
        let schedule = if is_wanted { wanted.clone() } else { backend.nearest(wanted)? };
        let (worst, at) = worst(backend, &schedule, wanted);
        let mut sentences = Vec::new();
        if !is_wanted {
            sentences.push(format!(
                "Schedule: {title} has no {}; this is the nearest that it has: {}.",
                name(wanted),
                described(&schedule)
            ));
        }
        sentences.push(format!("Steps: {}.", backend.step_convention()));
        sentences.push(if worst <= ROUNDING {
            "Learning rates: those of schedule.csv, update by update.".to_owned()
        } else {
            format!("Learning rates: differ from schedule.csv by at most {worst:.3e} of the peak, in update {at}.")
        });
        let warning = (!is_wanted && worst > FAR).then(|| {
            format!(
                "{title} has no {}: what it follows differs by up to {:.0} % of the peak, as its config says",
                name(wanted),
                worst * 100.0
            )
        });
        Ok(Self { schedule, sentences, warning })
    }
}

/// The largest difference over the run between what the trainer does and what is wanted, as a share of the peak, and its update.
fn worst(backend: &dyn TrainerBackend, followed: &Schedule, wanted: &Schedule) -> (f64, u64) {
    let steps = wanted.sampled_steps(COMPARED_STEPS).into_iter().chain(followed.sampled_steps(1));
    let updates = steps.filter(|step| *step < wanted.steps());
    let gaps = updates.map(|step| ((backend.rate(followed, step) - wanted.lr(step)).abs() / wanted.peak_lr(), step));
    gaps.fold((0.0, 0), |worst, gap| if gap.0 > worst.0 { gap } else { worst })
}

/// Among the trainer's WSD schedules the one whose largest difference from `wanted` is least.
pub(crate) fn nearest<D: TrainerBackend + ?Sized>(backend: &D, wanted: &Schedule) -> Result<Schedule> {
    let (steps, samples) = (wanted.steps(), searched(wanted));
    let highest = samples.iter().map(|step| wanted.lr(*step)).fold(0.0, f64::max);
    let floor = (wanted.lr(steps) / highest).clamp(0.0, 1.0);
    let bounds = thinned(&wanted.boundaries(), MOST_BOUNDS);
    let warmups = match wanted.warmup_steps() {
        0 => bounds.iter().copied().filter(|bound| *bound <= steps / 2).collect(),
        warm => vec![warm],
    };
    let starts = || (0..=STARTS).map(|part| steps / STARTS * part).chain(bounds.iter().copied());
    let mut candidates = Vec::new();
    for curve in backend.decay_curves() {
        for warmup_steps in &warmups {
            for start in starts().filter(|start| start >= warmup_steps) {
                let frame = Frame { steps, warmup_steps: *warmup_steps, peak_lr: highest, floor };
                let form = Form::Wsd(Decay { start, steps: steps - start, curve: *curve });
                candidates.extend(Schedule::new(frame, form));
            }
        }
    }
    candidates.retain(|candidate| backend.supports(candidate));
    nearest_of(candidates, wanted)
        .ok_or_else(|| Error::UnsupportedSchedule { trainer: backend.trainer().title(), schedule: name(wanted) })
}

/// Steps at which candidates are compared.
fn searched(wanted: &Schedule) -> Vec<u64> {
    thinned(&wanted.sampled_steps(SEARCHED_STEPS), MOST_SEARCHED)
}

/// About `most` of `steps`, evenly, the ends among them.
fn thinned(steps: &[u64], most: usize) -> Vec<u64> {
    let every = steps.len().div_ceil(most).max(1);
    let mut thinned: Vec<u64> = steps.iter().copied().step_by(every).chain(steps.last().copied()).collect();
    thinned.dedup();
    thinned
}

/// The candidate whose largest difference from `wanted` is least, the first of equals.
pub(crate) fn nearest_of(candidates: impl IntoIterator<Item = Schedule>, wanted: &Schedule) -> Option<Schedule> {
    let samples = searched(wanted);
    let gap = |candidate: &Schedule| {
        let gaps = samples.iter().map(|step| (candidate.lr(*step) - wanted.lr(*step)).abs());
        gaps.fold(0.0, f64::max)
    };
    let measured = candidates.into_iter().map(|candidate| (gap(&candidate), candidate));
    measured.min_by(|left, right| left.0.total_cmp(&right.0)).map(|(_, candidate)| candidate)
}

/// What a schedule is, in a few words.
pub(crate) fn name(schedule: &Schedule) -> String {
    match schedule.form() {
        Form::Wsd(decay) if decay.steps == 0 => "constant rate".to_owned(),
        Form::Wsd(decay) if decay.start == schedule.warmup_steps() => {
            format!("{} decay of the whole run", decay.curve.name())
        }
        Form::Wsd(decay) => format!("{} decay of a stable phase", decay.curve.name()),
        _ => format!("\"{}\" schedule", schedule.kind()),
    }
}

fn described(schedule: &Schedule) -> String {
    if let Form::Points(points) = schedule.form() {
        return format!("{} straight lines", points.len().saturating_sub(1));
    }
    let then = match schedule.form() {
        Form::InverseSqrt { .. } => ", then as 1 / √step",
        _ => "",
    };
    let decay = schedule
        .decay()
        .map(|decay| format!(", {} decay from step {} to {:?}", shape(decay.curve), decay.start, schedule.floor_lr()));
    let warmup = schedule.warmup_steps();
    format!("warm-up to {:?} in {warmup} steps{then}{}", schedule.peak_lr(), decay.unwrap_or_default())
}

/// A shape with its parameter.
fn shape(curve: Curve) -> String {
    match curve {
        Curve::Polynomial { exponent } => format!("polynomial (exponent {exponent})"),
        curve => curve.name().to_owned(),
    }
}

/// What a trainer that follows a schedule logs: `step,lr`, by its own count of steps.
pub(crate) fn expected_lr_csv(backend: &dyn TrainerBackend, followed: &FollowedSchedule) -> String {
    let schedule = &followed.schedule;
    let logged = backend.logged_steps(schedule.steps());
    let sampled = schedule.sampled_steps(TABLE_ROWS).into_iter().chain([*logged.start(), *logged.end()]);
    let mut table = "step,lr\n".to_owned();
    for step in sampled.filter(|step| logged.contains(step)).collect::<BTreeSet<_>>() {
        let _ = writeln!(table, "{step},{:?}", backend.rate(schedule, backend.update_logged_at(step)));
    }
    table
}
