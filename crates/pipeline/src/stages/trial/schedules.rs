//! The courses of the learning rate that a trial tries.

use bytes::Bytes;
use headwater_corpus::NumberFile;
use headwater_schedule::norms::NormSource;
use headwater_schedule::refine::{GradientNorm, RefineOptions, SPOILT_EDGES};
use headwater_schedule::{Kind, Schedule, ScheduleConfig};
use headwater_trial::{CONTROL, ScheduleArm, TriedSchedule};
use serde_json::{Value, json};

use crate::schedules::{refine_norms, warn_of_norms};
use crate::{Pipeline, Result};

/// The column of a run's log that schedules are refined from: what an Adam-type optimiser is refined by.
const NORMS: &str = "grad_norm_l1";

/// The column of its steps.
const STEPS: &str = "step";

/// The course of an arm.
#[derive(Clone, Debug)]
pub(super) enum Course {
    Known(Schedule),
    /// Refined from the log of the control's run under the first seed.
    Refined,
}

impl Pipeline {
    /// The arms that try a schedule, as the plan describes them and with their courses.
    ///
    /// # Errors
    /// [`crate::Error::Trial`] for the course of the control; [`crate::Error::Schedule`] for one that does not fit a run.
    pub(super) fn tried_schedules(&self) -> Result<Vec<(ScheduleArm, Course)>> {
        let control = self.trial_schedule()?;
        let of = |tried: &TriedSchedule| {
            let (schedule, course) = match Kind::ALL.into_iter().find(|kind| kind.name() == tried.as_str()) {
                Some(kind) => {
                    let config = self.course(&ScheduleConfig { kind, ..ScheduleConfig::default() });
                    let schedule = self.resolved(&config)?;
                    if schedule == control {
                        let (name, value) = ("trial.schedules", tried.as_str().to_owned());
                        let rule = "it is the course of `[schedule]`, which the control has";
                        return Err(headwater_trial::Error::Setting { name, value, rule }.into());
                    }
                    (serde_json::to_value(&config).unwrap_or_default(), Course::Known(schedule))
                }
                None => (refined_from(self.config.run.seed), Course::Refined),
            };
            Ok((ScheduleArm { arm: tried.arm(), schedule }, course))
        };
        self.config.trial.schedules.iter().map(of).collect()
    }

    /// Refines the schedule of a run from the log at `path`, relative to the output, and leaves it at `table`; `None` before there is a log.
    pub(super) fn refined_schedule(&self, path: &str, table: &str) -> Result<Option<Schedule>> {
        if self.place().read_if_exists(path)?.is_none() {
            return Ok(None);
        }
        let log = NumberFile::open(self.place(), path)?;
        let (steps, norms) = (log.read(STEPS)?, log.read(NORMS)?);
        let file = self.describe(path);
        let source = NormSource { file: &file, column: Some(NORMS) };
        let log = source.read_columns(&[(STEPS, steps), (NORMS, norms)])?;
        // as `headwater schedule refine` does
        let options = RefineOptions { edges: SPOILT_EDGES, ..RefineOptions::new(GradientNorm::L1) };
        let refined = refine_norms(file, &log, &options, "")?;
        if self.place().read_if_exists(table)?.is_none() {
            warn_of_norms(&refined.summary(&log));
            self.place().write(table, Bytes::from(refined.csv(usize::try_from(self.config.trial.steps()).ok())))?;
        }
        let points = Some(refined.points().points);
        let config = ScheduleConfig { kind: Kind::Points, points, ..ScheduleConfig::default() };
        self.resolved(&config).map(Some)
    }
}

/// What the plan says of a refined schedule.
fn refined_from(seed: u64) -> Value {
    json!({"refined": {"norm": "l1", "arm": CONTROL, "seed": seed}})
}
