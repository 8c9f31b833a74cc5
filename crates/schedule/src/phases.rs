//! The stretches of a schedule and the steps worth a row in a table.

use crate::Schedule;
use crate::form::{Form, Frame};
use crate::length::rounded;
use crate::validate::epoch_start;

/// Cycles whose corners are listed.
const MOST_CYCLES: usize = 1000;

/// A stretch of a run with a name, for pictures and tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Such as `stable`.
    pub name: &'static str,
    /// First step.
    pub from: u64,
    /// One past the last.
    pub to: u64,
}

impl Schedule {
    /// Phases in order, those of no steps left out; together they are the run.
    #[must_use]
    pub fn phases(&self) -> Vec<Phase> {
        let Frame { steps, warmup_steps: warm, .. } = *self.frame();
        let mut ends = vec![("warm-up", warm)];
        match self.form() {
            Form::Wsd(decay) => ends.extend([("stable", decay.start), ("decay", steps)]),
            Form::WsdS { periods, .. } => {
                ends.extend(periods.iter().flat_map(|p| [("stable", p.end - p.decay_steps), ("decay", p.end)]));
            }
            Form::InverseSqrt { decay, .. } => ends.extend([("inverse square root", decay.start), ("decay", steps)]),
            Form::Power { decay, .. } => ends.extend([("power", decay.start), ("decay", steps)]),
            Form::Infinite { cooldown, decay, .. } => {
                ends.extend([("cooldown", cooldown.end()), ("hold", decay.start), ("decay", steps)]);
            }
            Form::MultiStep { milestones, .. } => {
                ends.extend(milestones.iter().chain([&steps]).map(|end| ("stable", *end)));
            }
            Form::SlowStart { ramp, epochs, .. } => {
                ends.extend([("ramp", epoch_start(*ramp, *epochs, steps)), ("decay", steps)]);
            }
            Form::Triangular { .. } => ends.push(("cycles", steps)),
            Form::Points(_) => ends.push(("points", steps)),
        }
        let mut from = 0;
        let mut phases = Vec::new();
        for (name, to) in ends {
            if to > from {
                phases.push(Phase { name, from, to });
                from = to;
            }
        }
        phases
    }

    /// Returns the steps of `0..=N` where the rate turns, ascending.
    #[must_use]
    pub fn boundaries(&self) -> Vec<u64> {
        let mut steps: Vec<u64> = self.phases().iter().map(|phase| phase.to).chain([0, self.steps()]).collect();
        match self.form() {
            Form::SlowStart { epochs, .. } => {
                steps.extend((1..*epochs).map(|epoch| epoch_start(epoch, *epochs, self.steps())));
            }
            Form::Triangular { cycle_steps, rise_steps, .. } => {
                let starts = (0..).map(|cycle| cycle * cycle_steps).take_while(|start| *start < self.steps());
                steps.extend(starts.take(MOST_CYCLES).flat_map(|start| [start, start + rise_steps]));
            }
            Form::Points(points) => steps.extend(points.iter().map(|point| rounded(point.step))),
            _ => {}
        }
        steps.retain(|step| *step <= self.steps());
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// About `rows` steps of `0..=N`, ascending, evenly spaced, with the steps at and beside every boundary.
    #[must_use]
    pub fn sampled_steps(&self, rows: u64) -> Vec<u64> {
        let last = self.steps();
        let spacing = last.div_ceil(rows.max(1)).max(1);
        let bounds = self.boundaries();
        let beside = bounds.into_iter().flat_map(|bound| [bound.saturating_sub(1), bound, (bound + 1).min(last)]);
        let mut steps: Vec<u64> = (0..=last / spacing).map(|row| row * spacing).chain(beside).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }
}
