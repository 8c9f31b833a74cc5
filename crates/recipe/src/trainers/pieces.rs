//! Schedules as pieces: straight lines and half waves of a cosine, each of whole steps, for a trainer that composes a schedule of
//! such stages; and straight lines that approximate a curve.

use std::collections::BTreeSet;

use headwater_schedule::{Curve, Decay, Form, Frame, Period, Point, Schedule};

/// Most pieces that a config is written with.
const MOST_PIECES: usize = 2000;

/// Most straight lines that approximate a curve, about.
const MOST_LINES: usize = 200;

/// How far a line may lie from the curve that it approximates, as a fraction of the peak, if `MOST_LINES` allow.
const TOLERANCE: f64 = 1e-4;

/// Steps at which a line is compared with its curve.
const COMPARED: u64 = 64;

/// How the rate moves in a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PieceShape {
    Linear,
    Cosine,
}

/// A stretch of a schedule; rates are fractions of the peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Piece {
    pub(crate) steps: u64,
    pub(crate) shape: PieceShape,
    /// The rate at its first step.
    pub(crate) start: f64,
    /// The rate that it leads to, which is that of its first step after it unless the next piece starts elsewhere.
    pub(crate) end: f64,
}

/// The pieces that make up a schedule's steps 0 to N, exactly; `None` if none do, or too many.
pub(crate) fn pieces(schedule: &Schedule) -> Option<Vec<Piece>> {
    let unit = Schedule::new(Frame { peak_lr: 1.0, ..*schedule.frame() }, schedule.form().clone()).ok()?;
    let (warm, end, floor) = (unit.warmup_steps(), unit.steps(), unit.floor());
    let mut made = Pieces { at: 0, end, pieces: Vec::new() };
    made.line(warm, (0.0, unit.lr(warm)));
    match unit.form() {
        Form::Wsd(decay) => {
            made.flat(decay.start, 1.0);
            made.decay(decay, (1.0, floor))?;
        }
        Form::WsdS { periods, curve } => {
            for Period { end, decay_steps } in periods {
                let decay = Decay { start: end - decay_steps, steps: *decay_steps, curve: *curve };
                made.flat(decay.start, 1.0);
                made.decay(&decay, (1.0, floor))?;
            }
        }
        Form::MultiStep { milestones, .. } => {
            milestones.iter().chain([&end]).for_each(|next| made.flat(*next, unit.lr(made.at)));
        }
        Form::SlowStart { .. } => unit.boundaries().iter().for_each(|next| made.flat(*next, unit.lr(made.at))),
        Form::Infinite { cooldown, hold, decay } => {
            made.decay(cooldown, (1.0, *hold))?;
            if cooldown.steps == 0 {
                // the rate falls at once, but after this step
                made.flat((warm + 1).min(decay.start), 1.0);
            }
            made.flat(decay.start, *hold);
            made.decay(decay, (unit.lr(decay.start), floor))?;
        }
        Form::Triangular { cycle_steps, rise_steps, damping } => {
            let mut height = 1.0 - floor;
            while made.at < end && made.pieces.len() <= MOST_PIECES {
                let (start, top) = (made.at, floor + height);
                made.line(start + rise_steps, (floor, top));
                made.line(start + cycle_steps, (top, floor));
                height *= damping;
            }
        }
        Form::Points(points) => {
            // between two whole steps with a corner between them there is no step, so a line joins them too
            let is_whole = points.iter().all(|point| point.step.fract() == 0.0);
            let knots = if is_whole { unit.boundaries() } else { unit.sampled_steps(1) };
            knots.iter().for_each(|knot| made.line(*knot, (unit.lr(made.at), unit.lr(*knot))));
        }
        Form::InverseSqrt { .. } | Form::Power { .. } => return None,
    }
    Some(made.pieces).filter(|pieces| pieces.len() <= MOST_PIECES)
}

/// Pieces up to step `at`, of a run of `end` steps.
struct Pieces {
    at: u64,
    end: u64,
    pieces: Vec<Piece>,
}

impl Pieces {
    fn flat(&mut self, to: u64, rate: f64) {
        let to = to.min(self.end);
        match self.pieces.last_mut() {
            Some(last) if to > self.at && last.start == rate && last.end == rate => {
                last.steps += to - self.at;
                self.at = to;
            }
            _ => self.line(to, (rate, rate)),
        }
    }

    /// A line to step `to`, cut where the run ends.
    fn line(&mut self, to: u64, (start, end): (f64, f64)) {
        let cut = to.min(self.end);
        if cut > self.at {
            let share = (cut - self.at) as f64 / (to - self.at) as f64;
            let end = if cut == to { end } else { start + (end - start) * share };
            self.pieces.push(Piece { steps: cut - self.at, shape: PieceShape::Linear, start, end });
            self.at = cut;
        }
    }

    /// A decay from where the pieces end; `None` if it is of another shape.
    fn decay(&mut self, decay: &Decay, (start, end): (f64, f64)) -> Option<()> {
        if decay.steps > 0 {
            let shape = match decay.curve {
                Curve::Linear => PieceShape::Linear,
                Curve::Cosine => PieceShape::Cosine,
                _ => return None,
            };
            self.pieces.push(Piece { steps: decay.steps, shape, start, end });
            self.at = decay.end();
        }
        Some(())
    }
}

/// Straight lines in place of a schedule, within `TOLERANCE` of it if `MOST_LINES` or so do.
pub(crate) fn lines(wanted: &Schedule) -> Option<Schedule> {
    let mut tolerance = TOLERANCE;
    let mut knots = knots(wanted, tolerance);
    while knots.len() > MOST_LINES + 1 && tolerance < 0.1 {
        tolerance *= 2.0;
        knots = self::knots(wanted, tolerance);
    }
    let point = |step: &u64| Point { step: *step as f64, multiplier: share(wanted, *step).clamp(0.0, 1.0) };
    let frame = Frame { warmup_steps: 0, floor: 0.0, ..*wanted.frame() };
    Schedule::new(frame, Form::Points(knots.iter().map(point).collect())).ok()
}

/// The ends of lines that stay within `tolerance` of the schedule, each as long as it can be.
fn knots(wanted: &Schedule, tolerance: f64) -> BTreeSet<u64> {
    let bounds = wanted.boundaries();
    // where the last step before a bound does not go on as the one before it: from one period to the next
    let is_jump = |bound: &u64| {
        let [second, first, at] = [2, 1, 0].map(|back| share(wanted, bound.saturating_sub(back)));
        *bound > 1 && ((at - first) - (first - second)).abs() > tolerance
    };
    let mut knots: BTreeSet<u64> = bounds.iter().copied().collect();
    knots.extend(bounds.iter().filter(|bound| is_jump(bound)).map(|bound| bound - 1));
    let ends: Vec<u64> = knots.iter().copied().collect();
    for pair in ends.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        while from < to {
            from = farthest(wanted, (from, to), tolerance);
            knots.insert(from);
        }
    }
    knots
}

/// The farthest step to which a line from `from` stays within `tolerance`.
fn farthest(wanted: &Schedule, (from, to): (u64, u64), tolerance: f64) -> u64 {
    if gap(wanted, (from, to)) <= tolerance {
        return to;
    }
    let (mut near, mut far) = (from + 1, to);
    while far - near > 1 {
        let middle = near + (far - near) / 2;
        if gap(wanted, (from, middle)) <= tolerance {
            near = middle;
        } else {
            far = middle;
        }
    }
    near
}

/// How far the line between two steps lies from the schedule, at most, as a fraction of the peak.
fn gap(wanted: &Schedule, (from, to): (u64, u64)) -> f64 {
    let (start, end, length) = (share(wanted, from), share(wanted, to), (to - from) as f64);
    let line = |step: u64| start + (end - start) * ((step - from) as f64 / length);
    let steps = (from..to).step_by(usize::try_from((to - from).div_ceil(COMPARED)).unwrap_or(usize::MAX));
    steps.map(|step| (share(wanted, step) - line(step)).abs()).fold(0.0, f64::max)
}

fn share(schedule: &Schedule, step: u64) -> f64 {
    schedule.lr(step) / schedule.peak_lr()
}

#[cfg(test)]
mod tests;
