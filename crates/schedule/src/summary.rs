//! What there is to say of a schedule, as values to print or to serialise.

use serde::Serialize;

use crate::Schedule;
use crate::form::Form;
use crate::length::truncated;

/// A schedule with its learning rate at some steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScheduleSummary {
    /// The kind's name in configurations.
    pub kind: &'static str,
    /// Steps of the run.
    pub steps: u64,
    /// Tokens a step.
    pub tokens_per_step: u64,
    /// The highest learning rate.
    pub peak_lr: f64,
    /// Mean of the rate over the run, as a fraction of the peak.
    pub mean: f64,
    /// Steps in ascending order: evenly spaced ones and those where the rate turns.
    pub rows: Vec<ScheduleRow>,
}

/// A step of a run and its learning rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScheduleRow {
    /// Completed steps.
    pub step: u64,
    /// Tokens trained on by then.
    pub tokens: u64,
    /// The learning rate.
    pub lr: f64,
    /// The learning rate as a fraction of the peak.
    pub share_of_peak: f64,
    /// The phase that the step is in, such as `stable`; `end` after the last.
    pub phase: &'static str,
}

/// Several schedules side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScheduleComparison {
    /// The schedules in the order given.
    pub schedules: Vec<ComparedSchedule>,
    /// Their learning rates at shares of their runs, ascending.
    pub rows: Vec<ComparisonRow>,
}

/// One schedule of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparedSchedule {
    /// The name that was given.
    pub name: String,
    /// Steps of its run.
    pub steps: u64,
    /// Its highest learning rate.
    pub peak_lr: f64,
    /// Mean of its learning rate over the run.
    pub mean_lr: f64,
}

/// The learning rates of several schedules at one share of their runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparisonRow {
    /// Share of the run, in percent.
    pub percent: u32,
    /// The learning rates, in the order of the schedules.
    pub lrs: Vec<f64>,
}

/// A schedule with a name.
#[derive(Clone, Copy, Debug)]
pub struct NamedSchedule<'a> {
    /// Its name for people.
    pub name: &'a str,
    /// The schedule.
    pub schedule: &'a Schedule,
}

/// Shares of the run at which schedules are compared, in percent.
const COMPARED_PERCENT: [u32; 15] = [0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 100];

impl ScheduleSummary {
    /// Summarises `schedule` for a run of `tokens_per_step`, with about `rows` evenly spaced steps and at most as many turns.
    #[must_use]
    pub fn new(schedule: &Schedule, tokens_per_step: u64, rows: u64) -> Self {
        let phases = schedule.phases();
        let row = |step: u64| {
            let lr = schedule.lr(step);
            let phase = phases.iter().find(|phase| (phase.from..phase.to).contains(&step));
            ScheduleRow {
                step,
                tokens: step.saturating_mul(tokens_per_step),
                lr,
                share_of_peak: lr / schedule.peak_lr(),
                phase: phase.map_or("end", |phase| phase.name),
            }
        };
        Self {
            kind: schedule.kind(),
            steps: schedule.steps(),
            tokens_per_step,
            peak_lr: schedule.peak_lr(),
            mean: schedule.mean(),
            rows: listed_steps(schedule, rows).into_iter().map(row).collect(),
        }
    }
}

fn listed_steps(schedule: &Schedule, rows: u64) -> Vec<u64> {
    let spacing = (schedule.steps() / rows.max(1)).max(1);
    let mut steps: Vec<u64> = (0..=schedule.steps() / spacing).map(|row| row * spacing).collect();
    steps.extend(thinned(&schedule.boundaries(), rows));
    steps.extend(thinned(&lows(schedule), rows).flat_map(|low| [low, low + 1]));
    steps.push(schedule.steps());
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// Of many steps about as many as there are rows, evenly.
fn thinned(steps: &[u64], rows: u64) -> impl Iterator<Item = u64> {
    let every = steps.len().div_ceil(usize::try_from(rows).unwrap_or(usize::MAX).max(1)).max(1);
    steps.iter().copied().step_by(every)
}

/// The last steps of periods, where the rate is lowest: the step after one is at the peak again.
fn lows(schedule: &Schedule) -> Vec<u64> {
    let Form::WsdS { periods, .. } = schedule.form() else { return Vec::new() };
    let ends = periods.iter().map(|period| period.end).filter(|end| (1..schedule.steps()).contains(end));
    ends.map(|end| end - 1).collect()
}

impl ScheduleComparison {
    /// Compares `schedules` at the same shares of their runs.
    #[must_use]
    pub fn new(schedules: &[NamedSchedule<'_>]) -> Self {
        let compared = |named: &NamedSchedule<'_>| ComparedSchedule {
            name: named.name.to_owned(),
            steps: named.schedule.steps(),
            peak_lr: named.schedule.peak_lr(),
            mean_lr: named.schedule.mean() * named.schedule.peak_lr(),
        };
        let row = |percent: u32| {
            let share = f64::from(percent) / 100.0;
            let lr = |schedule: &Schedule| schedule.lr(truncated((schedule.steps() as f64 * share).round()));
            ComparisonRow { percent, lrs: schedules.iter().map(|named| lr(named.schedule)).collect() }
        };
        Self {
            schedules: schedules.iter().map(compared).collect(),
            rows: COMPARED_PERCENT.into_iter().map(row).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Curve, Error, Frame, Period, WsdSteps};

    fn wsd(steps: u64, peak_lr: f64) -> Result<Schedule, Error> {
        Schedule::wsd(WsdSteps { steps, warmup_steps: steps / 10, decay_steps: steps / 4 }, Curve::Linear, peak_lr, 0.0)
    }

    #[test]
    fn rows_are_evenly_spaced_and_hold_every_turn() -> Result<(), Error> {
        let summary = ScheduleSummary::new(&wsd(100, 2.0)?, 10, 4);
        let steps: Vec<u64> = summary.rows.iter().map(|row| row.step).collect();
        assert_eq!(steps, [0, 10, 25, 50, 75, 100]);
        let row = |step, lr, phase| ScheduleRow { step, tokens: step * 10, lr, share_of_peak: lr / 2.0, phase };
        assert_eq!(summary.rows[1], row(10, 2.0, "stable"));
        assert_eq!(summary.rows[5], row(100, 0.0, "end"));
        assert_eq!((summary.kind, summary.steps, summary.tokens_per_step), ("wsd", 100, 10));
        assert!(!ScheduleSummary::new(&wsd(100, 2.0)?, 10, 0).rows.is_empty());
        Ok(())
    }

    #[test]
    fn the_lows_of_periods_are_listed() -> Result<(), Error> {
        let frame = Frame { steps: 300, warmup_steps: 3, peak_lr: 1.0, floor: 0.0 };
        let periods = [100, 200, 300].map(|end| Period { end, decay_steps: 25 });
        let schedule = Schedule::new(frame, Form::WsdS { periods: periods.to_vec(), curve: Curve::Linear })?;
        let summary = ScheduleSummary::new(&schedule, 1, 4);
        let share = |step| summary.rows.iter().find(|row| row.step == step).map(|row| row.share_of_peak);
        for low in [99, 199] {
            assert!(share(low).is_some_and(|share| share < 0.1), "{low}: {:?}", summary.rows);
            assert_eq!(share(low + 1), Some(1.0));
        }
        assert_eq!(share(300), Some(0.0));
        Ok(())
    }

    #[test]
    fn schedules_are_compared_at_shares_of_their_runs() -> Result<(), Error> {
        let (short, long) = (wsd(100, 1.0)?, wsd(1000, 3.0)?);
        let named =
            [NamedSchedule { name: "short", schedule: &short }, NamedSchedule { name: "long", schedule: &long }];
        let comparison = ScheduleComparison::new(&named);
        let at = |percent| comparison.rows.iter().find(|row| row.percent == percent).map(|row| row.lrs.clone());
        assert_eq!(at(5), Some(vec![0.5, 1.5]));
        assert_eq!(at(50), Some(vec![1.0, 3.0]));
        assert_eq!(at(100), Some(vec![0.0, 0.0]));
        assert_eq!((comparison.schedules[1].name.as_str(), comparison.schedules[1].steps), ("long", 1000));
        Ok(())
    }
}
