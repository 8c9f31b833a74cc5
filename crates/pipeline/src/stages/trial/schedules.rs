//! The courses of the learning rate that a trial tries.

use headwater_corpus::NumberFile;
use headwater_schedule::norms::NormSource;
use headwater_schedule::refine::{GradientNorm, RefineOptions, refine_log};
use headwater_schedule::{Kind, RunLength, Schedule, ScheduleConfig};
use headwater_trial::{CONTROL, ScheduleArm, TriedSchedule};
use serde_json::{Value, json};

use crate::{Error, Pipeline, Result};

/// The column of a run's log that schedules are refined from: what an Adam-type optimiser is refined by.
const NORMS: &str = "grad_norm_l1";

/// The course of an arm.
#[derive(Clone, Debug)]
pub(super) enum Course {
    Known(Schedule),
    /// Refined from the log of the control's run under the first seed.
    Refined,
}

impl Pipeline {
    /// The arms that try a schedule, as the plan describes them and with their courses.
    pub(super) fn tried_schedules(&self, length: RunLength) -> Result<Vec<(ScheduleArm, Course)>> {
        let of = |tried: &TriedSchedule| {
            let (schedule, course) = match Kind::ALL.into_iter().find(|kind| kind.name() == tried.as_str()) {
                Some(kind) => {
                    let config = self.course(&ScheduleConfig { kind, ..ScheduleConfig::default() });
                    let schedule = config.resolve(length, self.config.trial.peak_lr)?;
                    (serde_json::to_value(&config).unwrap_or_default(), Course::Known(schedule))
                }
                None => (refined_from(self.config.run.seed), Course::Refined),
            };
            Ok((ScheduleArm { arm: tried.arm(), schedule }, course))
        };
        self.config.trial.schedules.iter().map(of).collect()
    }

    /// Refines the schedule of a run from the log at `path`, relative to the output; `None` before there is one.
    pub(super) fn refined_schedule(&self, path: &str, length: RunLength) -> Result<Option<Schedule>> {
        if self.place().read_if_exists(path)?.is_none() {
            return Ok(None);
        }
        let norms = NumberFile::open(self.place(), path)?.read(NORMS)?;
        let steps: Vec<Option<f64>> = (0..norms.len()).map(|step| Some(step as f64)).collect();
        let file = self.describe(path);
        let source = NormSource { file: &file, column: Some(NORMS) };
        let log = source.read_columns(&[("step", steps), (NORMS, norms)])?;
        let refined = refine_log(&log, &RefineOptions::new(GradientNorm::L1)).map_err(|source| Error::Refine {
            file,
            read: log.norms.len(),
            edges: 0,
            hint: "",
            source: Box::new(source),
        })?;
        let points = Some(refined.points().points);
        let config = ScheduleConfig { kind: Kind::Points, points, ..ScheduleConfig::default() };
        Ok(Some(config.resolve(length, self.config.trial.peak_lr)?))
    }
}

/// What the plan says of a refined schedule.
fn refined_from(seed: u64) -> Value {
    json!({"refined": {"norm": "l1", "arm": CONTROL, "seed": seed}})
}
